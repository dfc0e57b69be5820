//! C's memory: read and written here, and nowhere else. A null pointer is an error, as Linux's
//! `EFAULT`; any other is what C says it is.

use libc::{c_int, c_void, cmsghdr, iovec, msghdr, sockaddr, socklen_t};
use std::net::{IpAddr, SocketAddr};
use tools::posix::{ControlMessage, Errno, Target};

/// Sets `errno`.
pub(crate) fn set_errno(error: Errno) {
    // SAFETY: the C library gives each thread an `errno` of its own, at a good address.
    unsafe { *libc::__errno_location() = error.0 }
}

/// What C has at `from`.
///
/// # Safety
/// `from` is null, or there are `len` readable bytes at it.
pub(crate) unsafe fn bytes_at(from: *const c_void, len: usize) -> Option<Vec<u8>> {
    if len == 0 {
        return Some(Vec::new());
    }
    if from.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller says that so many may be read.
    Some(unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec())
}

/// Writes bytes for C, as many as there is room for; gives how many those are.
///
/// # Safety
/// `to` is null, or there are `room` writable bytes at it.
pub(crate) unsafe fn put(to: *mut c_void, room: usize, bytes: &[u8]) -> usize {
    let n = bytes.len().min(room);
    if to.is_null() || n == 0 {
        return 0;
    }
    // SAFETY: not null, the caller says that so many may be written, and what is ours does not
    // overlap with what is C's.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast::<u8>(), n) };
    n
}

/// Reads a value that may lie anywhere.
///
/// # Safety
/// `at` is null, or points to a readable `T`, of which any bytes are one.
pub(crate) unsafe fn get<T: Copy>(at: *const T) -> Option<T> {
    // SAFETY: not null, and the caller says that it may be read.
    (!at.is_null()).then(|| unsafe { at.read_unaligned() })
}

/// Writes one; nothing where the pointer is null.
///
/// # Safety
/// `at` is null, or points to a writable `T`.
pub(crate) unsafe fn set<T>(at: *mut T, value: T) {
    if !at.is_null() {
        // SAFETY: not null, and the caller says that it may be written.
        unsafe { at.write_unaligned(value) };
    }
}

/// The address in a `struct sockaddr`.
pub(crate) fn address_of(bytes: &[u8]) -> Result<Target, Errno> {
    let (family, rest) = bytes.split_first_chunk::<2>().ok_or(Errno::EINVAL)?;
    let family = c_int::from(u16::from_ne_bytes(*family));
    let port = || {
        let port = rest.first_chunk::<2>().ok_or(Errno::EINVAL)?;
        Ok(u16::from_be_bytes(*port))
    };
    let ip: IpAddr = match family {
        libc::AF_UNSPEC => return Ok(Target::Unspec),
        libc::AF_INET => {
            let ip = rest.get(2..).and_then(|r| r.first_chunk::<4>());
            (*ip.ok_or(Errno::EINVAL)?).into()
        }
        libc::AF_INET6 => {
            let ip = rest.get(6..).and_then(|r| r.first_chunk::<16>());
            (*ip.ok_or(Errno::EINVAL)?).into()
        }
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    Ok(Target::Addr(SocketAddr::new(ip, port()?)))
}

/// A `struct sockaddr` of an address.
pub(crate) fn sockaddr_of(addr: SocketAddr) -> Vec<u8> {
    let family = match addr {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let mut all = u16::try_from(family).unwrap_or(0).to_ne_bytes().to_vec();
    all.extend(addr.port().to_be_bytes());
    match addr.ip() {
        IpAddr::V4(ip) => {
            all.extend(ip.octets());
            all.resize(16, 0);
        }
        IpAddr::V6(ip) => {
            all.extend([0; 4]);
            all.extend(ip.octets());
            all.resize(28, 0);
        }
    }
    all
}

/// Reads the address that a call was given.
///
/// # Safety
/// `addr` is null, or there are `len` readable bytes at it.
pub(crate) unsafe fn address_at(addr: *const sockaddr, len: socklen_t) -> Result<Target, Errno> {
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: as the caller says.
    match unsafe { bytes_at(addr.cast(), len) } {
        None => Ok(Target::Null),
        Some(bytes) => address_of(&bytes),
    }
}

/// Writes an address where a call wants it.
///
/// # Safety
/// Both are null, or `len` points to the number of bytes that are writable at `addr`.
pub(crate) unsafe fn put_address(
    addr: *mut sockaddr,
    len: *mut socklen_t,
    value: Option<SocketAddr>,
) {
    // SAFETY: as the caller says.
    let Some(room) = (unsafe { get(len) }) else {
        return;
    };
    let bytes = value.map(sockaddr_of).unwrap_or_default();
    // SAFETY: as the caller says.
    unsafe {
        put(addr.cast(), usize::try_from(room).unwrap_or(0), &bytes);
        set(len, socklen_t::try_from(bytes.len()).unwrap_or(0));
    }
}

/// The pieces of a vector.
///
/// # Safety
/// `iov` is null, or there are `count` readable ones at it.
pub(crate) unsafe fn pieces(iov: *const iovec, count: usize) -> Result<Vec<iovec>, Errno> {
    if count > 1024 {
        return Err(Errno::EINVAL);
    }
    if iov.is_null() && count > 0 {
        return Err(Errno::EFAULT);
    }
    // SAFETY: not null, and the caller says that so many may be read.
    let all = (0..count).map(|i| unsafe { iov.add(i).read_unaligned() });
    Ok(all.collect())
}

/// All bytes of a vector, or that one of its pieces is null.
///
/// # Safety
/// Each piece is null, or has so many readable bytes.
pub(crate) unsafe fn gather(pieces: &[iovec]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for piece in pieces {
        // SAFETY: as the caller says.
        all.extend(unsafe { bytes_at(piece.iov_base, piece.iov_len) }?);
    }
    Some(all)
}

/// Spreads bytes over a vector.
///
/// # Safety
/// Each piece is null, or has so many writable bytes.
pub(crate) unsafe fn scatter(pieces: &[iovec], mut bytes: &[u8]) {
    for piece in pieces {
        // SAFETY: as the caller says.
        let n = unsafe { put(piece.iov_base, piece.iov_len, bytes) };
        bytes = bytes.get(n..).unwrap_or_default();
    }
}

/// Bytes of a control message's header.
const HEADER: usize = size_of::<cmsghdr>();

/// Control messages as C lays them out, each at a multiple of eight.
pub(crate) fn layout(messages: &[ControlMessage], room: usize) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    for message in messages {
        let len = HEADER + message.data.len();
        if all.len() + len > room {
            return (all, true);
        }
        all.extend(len.to_ne_bytes());
        all.extend(message.level.to_ne_bytes());
        all.extend(message.kind.to_ne_bytes());
        all.extend(&message.data);
        let padded = all.len().next_multiple_of(align_of::<cmsghdr>());
        all.resize(padded.min(room), 0);
    }
    (all, false)
}

/// Fills in what a `recvmsg` tells beside its bytes.
///
/// # Safety
/// `message` is a writable `struct msghdr` whose pointers are null or as long as it says.
pub(crate) unsafe fn put_message(
    message: *mut msghdr,
    from: Option<SocketAddr>,
    control: &[ControlMessage],
    flags: c_int,
) {
    // SAFETY: as the caller says.
    let Some(mut header) = (unsafe { get(message) }) else {
        return;
    };
    if !header.msg_name.is_null() {
        let bytes = from.map(sockaddr_of).unwrap_or_default();
        let room = usize::try_from(header.msg_namelen).unwrap_or(0);
        // SAFETY: as the caller says.
        unsafe { put(header.msg_name, room, &bytes) };
        header.msg_namelen = socklen_t::try_from(bytes.len()).unwrap_or(0);
    }
    let room = if header.msg_control.is_null() {
        0
    } else {
        header.msg_controllen
    };
    let (bytes, cut) = layout(control, room);
    // SAFETY: as the caller says.
    unsafe { put(header.msg_control, room, &bytes) };
    header.msg_controllen = bytes.len();
    header.msg_flags = flags | if cut { libc::MSG_CTRUNC } else { 0 };
    // SAFETY: as the caller says.
    unsafe { set(message, header) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_c_and_back() {
        for text in ["192.0.2.1:8080", "[fd3d::1]:1", "[::ffff:192.0.2.1]:65535"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(address_of(&sockaddr_of(addr)), Ok(Target::Addr(addr)));
        }
        assert_eq!(address_of(&[0; 16]), Ok(Target::Unspec));
        assert_eq!(address_of(&[2, 0, 1]), Err(Errno::EINVAL));
    }

    #[test]
    fn control_messages_are_aligned_and_cut() {
        let message = |n| ControlMessage {
            level: 1,
            kind: 2,
            data: vec![7; n],
        };
        let (bytes, cut) = layout(&[message(4), message(8)], 100);
        assert_eq!((bytes.len(), cut), (24 + 24, false));
        assert_eq!(bytes[..8], 20_usize.to_ne_bytes());
        assert!(layout(&[message(4), message(80)], 100).1);
    }
}
