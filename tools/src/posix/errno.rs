//! Error numbers, with their names and what `strerror` says.

use std::fmt;

/// An error number of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

macro_rules! errors {
    ($($name:ident $text:literal,)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $name: Self = Self(libc::$name);
            )*
        }

        const TABLE: &[(Errno, &str, &str)] = &[$((Errno::$name, stringify!($name), $text),)*];
    };
}

errors! {
    EPERM "Operation not permitted",
    ENOENT "No such file or directory",
    EINTR "Interrupted system call",
    EIO "Input/output error",
    EBADF "Bad file descriptor",
    EAGAIN "Resource temporarily unavailable",
    ENOMEM "Cannot allocate memory",
    EACCES "Permission denied",
    EFAULT "Bad address",
    EBUSY "Device or resource busy",
    EEXIST "File exists",
    ENODEV "No such device",
    EINVAL "Invalid argument",
    ENFILE "Too many open files in system",
    EMFILE "Too many open files",
    ENOTTY "Inappropriate ioctl for device",
    ENOSPC "No space left on device",
    ESPIPE "Illegal seek",
    EPIPE "Broken pipe",
    EDOM "Numerical argument out of domain",
    ENOSYS "Function not implemented",
    ELOOP "Too many levels of symbolic links",
    EPROTO "Protocol error",
    EOVERFLOW "Value too large for defined data type",
    ENOTSOCK "Socket operation on non-socket",
    EDESTADDRREQ "Destination address required",
    EMSGSIZE "Message too long",
    EPROTOTYPE "Protocol wrong type for socket",
    ENOPROTOOPT "Protocol not available",
    EPROTONOSUPPORT "Protocol not supported",
    ESOCKTNOSUPPORT "Socket type not supported",
    EOPNOTSUPP "Operation not supported",
    EAFNOSUPPORT "Address family not supported by protocol",
    EADDRINUSE "Address already in use",
    EADDRNOTAVAIL "Cannot assign requested address",
    ENETDOWN "Network is down",
    ENETUNREACH "Network is unreachable",
    ECONNABORTED "Software caused connection abort",
    ECONNRESET "Connection reset by peer",
    ENOBUFS "No buffer space available",
    EISCONN "Transport endpoint is already connected",
    ENOTCONN "Transport endpoint is not connected",
    ETIMEDOUT "Connection timed out",
    ECONNREFUSED "Connection refused",
    EHOSTDOWN "Host is down",
    EHOSTUNREACH "No route to host",
    EALREADY "Operation already in progress",
    EINPROGRESS "Operation now in progress",
    ENOKEY "Required key not available",
    ENOMSG "No message of desired type",
}

impl Errno {
    /// Its name: `EAGAIN`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        TABLE.iter().find(|row| row.0 == self).map(|row| row.1)
    }

    /// The one of that name; `EWOULDBLOCK` and `ENOTSUP` are other names of two.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "EWOULDBLOCK" => Some(Self::EAGAIN),
            "ENOTSUP" => Some(Self::EOPNOTSUPP),
            _ => TABLE.iter().find(|row| row.1 == name).map(|row| row.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.iter().find(|row| row.0 == *self) {
            Some((_, name, text)) => write!(f, "{name} ({text})"),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl std::error::Error for Errno {}
