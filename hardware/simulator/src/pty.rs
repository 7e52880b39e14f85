//! A pseudo terminal that looks like a serial port with a stable name. It moves bytes and knows no protocol.
//!
//! The port's end (the slave) is kept open here as well: otherwise reading would fail while no program has the port
//! open. A symbolic link stands for the by-id path of a real adapter: it points to the current terminal and goes
//! away with it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

/// An open pseudo terminal. Dropping it is pulling the cable: programs that have the port open see it end.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    device: PathBuf,
    link: Option<PathBuf>,
}

impl Pty {
    /// Opens a pseudo terminal in raw mode; with `link`, a symbolic link there points to it.
    ///
    /// # Errors
    /// When the system has no pseudo terminal left, when the link cannot be made, and when something other than a
    /// symbolic link stands in its place: that is never replaced.
    pub fn open(link: Option<&Path>) -> io::Result<Self> {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let device = PathBuf::from(OsString::from_vec(name.into_bytes()));
        let slave =
            rustix::fs::open(&device, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = rustix::termios::tcgetattr(&slave)?;
        settings.make_raw();
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &settings)?;
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        if let Some(link) = link {
            point(link, &device)?;
        }
        Ok(Self { master, slave, device, link: link.map(Path::to_path_buf) })
    }

    /// The path that a program opens: the link if there is one, else the device.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.device)
    }

    /// The device itself, `/dev/pts/…`.
    #[must_use]
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The link, if one was asked for.
    #[must_use]
    pub fn link(&self) -> Option<&Path> {
        self.link.as_deref()
    }

    /// For waiting until there is something to read.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Takes what was written to the port, without waiting; 0 when there is nothing.
    ///
    /// # Errors
    /// When the terminal is broken.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // A program that was killed leaves the port marked as its own for as long as it is open, and it is always
        // open here. Nobody but root could open it again.
        rustix::termios::ioctl_tiocnxcl(&self.slave).ok();
        match rustix::io::read(&self.master, buffer) {
            Ok(length) => Ok(length),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends bytes to the port, without waiting, and returns how many went. A wire does not wait for its reader: what
    /// does not fit is lost.
    ///
    /// # Errors
    /// When the terminal is broken.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.master, bytes) {
            Ok(length) => Ok(length),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let Some(link) = &self.link else { return };
        // Another terminal may have taken the link over since.
        if fs::read_link(link).is_ok_and(|target| target == self.device) {
            fs::remove_file(link).ok();
        }
    }
}

/// Makes `link` point to `device` in one step, so that the name is never missing while it is refreshed.
fn point(link: &Path, device: &Path) -> io::Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if !found.is_symlink() => {
            let why = format!("{} exists and is no symbolic link", link.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut beside = link.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::remove_file(&beside).ok();
    symlink(device, &beside)?;
    fs::rename(&beside, link)
}
