//! Bounds-checked reading and writing: the one place where bytes are taken by offset.

use core::fmt;

/// Why bytes are not what they claim to be. The text of each variant says which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// The bytes end before the named thing does.
    Truncated(&'static str),
    /// The named field has a value that its format forbids.
    Invalid(&'static str),
    /// The destination of an emit is too small.
    NoRoom,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "{what} is cut short"),
            Self::Invalid(what) => write!(f, "{what} is invalid"),
            Self::NoRoom => write!(f, "no room to write"),
        }
    }
}

impl core::error::Error for ParseError {}

/// Reads big-endian fields from the front of a slice; each read says what it was for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there are fewer.
    #[inline]
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(ParseError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParseError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(ParseError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there is none.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(what).map(|[b]| b)
    }

    /// The next two bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there are fewer.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, ParseError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// The next four bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there are fewer.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, ParseError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// The next eight bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] naming `what`, where there are fewer.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, ParseError> {
        self.array(what).map(u64::from_be_bytes)
    }
}

/// Writes big-endian fields to the front of a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            rest: bytes,
            written: 0,
        }
    }

    /// How many bytes have been written.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Room left.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.rest.len()
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        let rest = core::mem::take(&mut self.rest);
        let Some((here, after)) = rest.split_at_mut_checked(bytes.len()) else {
            return Err(ParseError::NoRoom);
        };
        here.copy_from_slice(bytes);
        self.rest = after;
        self.written += bytes.len();
        Ok(())
    }

    /// Writes one byte.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn u8(&mut self, v: u8) -> Result<(), ParseError> {
        self.put(&[v])
    }

    /// Writes two bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn u16(&mut self, v: u16) -> Result<(), ParseError> {
        self.put(&v.to_be_bytes())
    }

    /// Writes four bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn u32(&mut self, v: u32) -> Result<(), ParseError> {
        self.put(&v.to_be_bytes())
    }

    /// Writes eight bytes, big-endian.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn u64(&mut self, v: u64) -> Result<(), ParseError> {
        self.put(&v.to_be_bytes())
    }
}
