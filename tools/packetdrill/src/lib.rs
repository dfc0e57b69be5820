//! Our stack behind packetdrill's shared-object interface: the original tool drives it, in virtual
//! time, with the scripts that were written for it.
//!
//! ```text
//!   packetdrill --so_filename=libtapline_packetdrill.so --so_flags=profile=linux script.pkt
//!        |  packetdrill_interface_init(flags, &table)        | code blocks: getsockopt(TCP_INFO)
//!        v                                                   v by LD_PRELOAD of the same file
//!   entry: 32 C calls -> session: one lock, virtual clock -> tools::posix -> the stack
//! ```
//!
//! | file | |
//! |---|---|
//! | `flags` | what `--so_flags` may say; see README.md |
//! | `session` | the process, its clock, and the calls that wait |
//! | `interface` | the table that the tool calls by |
//! | `entry`, `memory` | C's calls and C's memory: all that is `unsafe` |
//!
//! For tests only: nothing of the product depends on it.

mod entry;
pub mod flags;
pub mod interface;
mod memory;
pub mod session;

pub use interface::Interface;

use flags::Flags;
use libc::{c_char, c_int, c_void, socklen_t};
use std::ffi::CStr;

/// Begins a run and fills in the table. A flag that says nothing ends the program: there is no way
/// to tell the tool.
///
/// # Safety
/// `flags` is null or a string, `out` a writable table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, out: *mut Interface) {
    let text = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and the caller says that it is a string.
        unsafe { CStr::from_ptr(flags) }
            .to_string_lossy()
            .into_owned()
    };
    let userdata = match Flags::parse(&text).and_then(|flags| session::begin(&flags)) {
        Ok(userdata) => userdata,
        Err(error) => {
            eprintln!("tapline-packetdrill: --so_flags: {error}");
            std::process::exit(2);
        }
    };
    // SAFETY: the caller says that it is writable.
    unsafe { memory::set(out, entry::table(userdata.cast())) };
}

/// The C library's `getsockopt`, which code blocks call: answered here for descriptors of the run,
/// by the kernel for all others.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    match session::current().filter(|session| session.owns(fd)) {
        // SAFETY: as the caller says.
        Some(session) => unsafe { entry::get_option(&session, fd, (level, name), value, len) },
        None => {
            // SAFETY: as the caller says; the C library's own does the same.
            let got = unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) };
            c_int::try_from(got).unwrap_or(-1)
        }
    }
}
