//! Where a wire comes out: a pseudo terminal, or a TCP port for one program at a time. It moves bytes and knows no
//! protocol.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};

use crate::pty::Pty;

/// An open way to the wire. Dropping it is pulling the cable.
#[derive(Debug)]
pub struct Outlet(Way);

#[derive(Debug)]
enum Way {
    Pty(Pty),
    Tcp { listener: TcpListener, address: SocketAddr, connection: Option<TcpStream> },
}

/// What is needed to open it again.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Pty(Option<PathBuf>),
    Tcp(SocketAddr),
}

impl From<Pty> for Outlet {
    fn from(pty: Pty) -> Self {
        Self(Way::Pty(pty))
    }
}

impl Outlet {
    /// Listens on a TCP address; port 0 takes a free one. Whoever connects last has the wire, as with a cable.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self(Way::Tcp { listener, address, connection: None }))
    }

    /// What a gateway names as its port: a path, or `tcp://host:port`.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        match &self.0 {
            Way::Pty(pty) => pty.path().to_path_buf(),
            Way::Tcp { address, .. } => PathBuf::from(format!("tcp://{address}")),
        }
    }

    pub(super) fn place(&self) -> Place {
        match &self.0 {
            Way::Pty(pty) => Place::Pty(pty.link().map(Path::to_path_buf)),
            Way::Tcp { address, .. } => Place::Tcp(*address),
        }
    }

    pub(super) fn open(place: &Place) -> io::Result<Self> {
        match place {
            Place::Pty(link) => Pty::open(link.as_deref()).map(Self::from),
            Place::Tcp(address) => Self::listen(*address),
        }
    }

    /// What to wait for.
    pub(super) fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        match &self.0 {
            Way::Pty(pty) => fds.push(PollFd::from_borrowed_fd(pty.as_fd(), PollFlags::IN)),
            Way::Tcp { listener, connection, .. } => {
                fds.push(PollFd::new(listener, PollFlags::IN));
                fds.extend(connection.iter().map(|connection| PollFd::new(connection, PollFlags::IN)));
            }
        }
    }

    /// Sends bytes without waiting; what does not fit is lost, as on a wire that nobody reads.
    ///
    /// # Errors
    /// When the way itself is broken; a program that has gone is no error.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Way::Pty(pty) => pty.write(bytes).map(drop),
            Way::Tcp { connection, .. } => {
                let written = connection.as_mut().map(|stream| stream.write(bytes));
                if written.is_some_and(|written| written.is_err_and(|error| !is_passing(&error))) {
                    *connection = None;
                }
                Ok(())
            }
        }
    }

    /// Takes what came, without waiting; 0 when there is nothing. `events` are those of the first thing watched.
    ///
    /// # Errors
    /// When the way itself is broken.
    pub(super) fn read(&mut self, buffer: &mut [u8], events: PollFlags) -> io::Result<usize> {
        match &mut self.0 {
            Way::Pty(_) if events.is_empty() => Ok(0),
            Way::Pty(pty) => match pty.read(buffer)? {
                0 if !events.contains(PollFlags::IN) => Err(io::ErrorKind::UnexpectedEof.into()),
                length => Ok(length),
            },
            Way::Tcp { listener, connection, .. } => {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    // A reply of some bytes is not to wait for more; without it everything works, later.
                    stream.set_nodelay(true).ok();
                    *connection = Some(stream);
                }
                match connection.as_mut().map(|stream| stream.read(buffer)) {
                    Some(Ok(length @ 1..)) => Ok(length),
                    Some(Err(error)) if is_passing(&error) => Ok(0),
                    None => Ok(0),
                    Some(Ok(_) | Err(_)) => {
                        *connection = None;
                        Ok(0)
                    }
                }
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
