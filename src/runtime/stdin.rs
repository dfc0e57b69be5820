//! Standard input as something that can be waited for, whatever it is: a terminal, a pipe, a file.
//!
//! ```text
//!   stdin --read (a thread that may block)--> socket pair, a datagram a read --> Driver::watch
//! ```
//!
//! Why a thread: to make standard input non-blocking would make it so for the shell as well, which
//! shares it; and a plain file cannot be waited for at all. A datagram socket keeps each read
//! apart, and pushes back where nobody takes them.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixDatagram;

/// What one read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes.
    Bytes(Vec<u8>),
    /// There is no more.
    End,
    /// Nothing at the moment.
    Empty,
}

/// Standard input, read elsewhere.
#[derive(Debug)]
pub struct Input {
    socket: UnixDatagram,
    room: Vec<u8>,
}

impl Input {
    /// Begins to read, at most `max` bytes at a time.
    ///
    /// # Errors
    /// What the OS says.
    pub fn start(max: usize) -> io::Result<Self> {
        let (write, socket) = UnixDatagram::pair()?;
        socket.set_nonblocking(true)?;
        let reader = move || {
            let mut buffer = vec![0; max];
            let mut stdin = io::stdin().lock();
            // An empty datagram says that this is the end.
            while let Ok(n) = stdin.read(&mut buffer) {
                let chunk = buffer.get(..n).unwrap_or_default();
                if write.send(chunk).is_err() || n == 0 {
                    return;
                }
            }
            let _ = write.send(&[]);
        };
        #[expect(clippy::disallowed_methods, reason = "this is runtime/")]
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(reader)?;
        Ok(Self {
            socket,
            room: vec![0; max],
        })
    }

    /// The next chunk, if one waits.
    ///
    /// # Errors
    /// What the OS says.
    pub fn recv(&mut self) -> io::Result<Chunk> {
        match self.socket.recv(&mut self.room) {
            Ok(0) => Ok(Chunk::End),
            Ok(n) => Ok(Chunk::Bytes(
                self.room.get(..n).unwrap_or_default().to_vec(),
            )),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Chunk::Empty),
            Err(e) => Err(e),
        }
    }

    /// What to wait on.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
