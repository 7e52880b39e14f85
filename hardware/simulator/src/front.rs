//! Puts a wire behind a pseudo terminal: one thread that waits for bytes and for the next reply to be due.
//!
//! The only file of this crate that reads the clock. It decides nothing: what is answered, and when, is the wire's.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bus::{Bus, Recorded};
use crate::pty::Pty;
use crate::wire::Wire;

/// Bytes taken from the port at once; a request has at most 62 and some wake-up bytes.
const READ_BYTES: usize = 1024;

/// A bus, or another wire, behind a pseudo terminal, for as long as this lives.
#[derive(Debug)]
pub struct Front<W = Bus> {
    shared: Arc<Shared<W>>,
    orders: Sender<Order>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<W> {
    wire: Mutex<W>,
    path: Mutex<PathBuf>,
    clock: Clock,
}

#[derive(Debug)]
enum Order {
    Unplug(Sender<io::Result<()>>),
    Plug(Sender<io::Result<()>>),
    Stop,
}

/// Virtual time that runs with the real one, from where the wire stood.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    base: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's front runs its wire in real time")]
    fn starting_at(base: Duration) -> Self {
        Self { start: Instant::now(), base }
    }

    fn now(self) -> Duration {
        self.base + self.start.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "the meters' own clocks show the real time")]
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Wire + Send + 'static> Front<W> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread or no pair of sockets.
    pub fn start(wire: W, pty: Pty) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, inbox) = channel();
        let clock = Clock::starting_at(wire.now());
        let shared =
            Arc::new(Shared { wire: Mutex::new(wire), path: Mutex::new(pty.path().to_path_buf()), clock });
        let link = pty.link().map(Path::to_path_buf);
        let worker = Worker { shared: Arc::clone(&shared), inbox, woken, link, pty: Some(pty) };
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared, orders, wake, thread: Some(thread) })
    }

    /// Requests heard so far, oldest first, with their very bytes.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        locked(&self.shared.wire).requests()
    }

    /// Looks at the wire or changes it, at this moment: presses a button, sets a fault, reads a meter.
    pub fn with<R>(&self, act: impl FnOnce(&mut W) -> R) -> R {
        let mut wire = locked(&self.shared.wire);
        wire.advance(self.shared.clock.now());
        let result = act(&mut wire);
        drop(wire);
        self.wake();
        result
    }
}

impl Front {
    /// [`Front::with`], where a bus is on the wire.
    pub fn with_bus<R>(&self, act: impl FnOnce(&mut Bus) -> R) -> R {
        self.with(act)
    }
}

impl<W> Front<W> {
    /// The path that a gateway opens. Without a link it changes at every [`Front::plug`].
    #[must_use]
    pub fn path(&self) -> PathBuf {
        locked(&self.shared.path).clone()
    }

    /// Pulls the cable: the path is gone, and a program that has the port open sees it end.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn unplug(&self) -> io::Result<()> {
        self.order(Order::Unplug)
    }

    /// Puts the cable back: a new terminal under the same link. Does nothing when it is plugged in.
    ///
    /// # Errors
    /// As [`Pty::open`], and when the thread has ended.
    pub fn plug(&self) -> io::Result<()> {
        self.order(Order::Plug)
    }

    /// Ends the thread and removes the port; dropping does the same.
    pub fn stop(self) {
        drop(self);
    }

    fn order(&self, order: impl FnOnce(Sender<io::Result<()>>) -> Order) -> io::Result<()> {
        let ended = || io::Error::other("the simulator's thread has ended");
        let (done, answer) = channel();
        self.orders.send(order(done)).map_err(|_| ended())?;
        self.wake();
        answer.recv().map_err(|_| ended())?
    }

    fn wake(&self) {
        // A full pipe wakes as well as one more byte would, and an ended thread needs no waking.
        (&self.wake).write_all(&[0]).ok();
    }
}

impl<W> Drop for Front<W> {
    fn drop(&mut self) {
        self.orders.send(Order::Stop).ok();
        self.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Worker<W> {
    shared: Arc<Shared<W>>,
    inbox: Receiver<Order>,
    woken: UnixStream,
    link: Option<PathBuf>,
    pty: Option<Pty>,
}

impl<W: Wire> Worker<W> {
    fn run(mut self) {
        while self.obey() {
            let next = self.send_due();
            if self.wait(next).is_err() {
                // A broken terminal is a pulled cable; a broken wait would be a busy loop.
                if self.pty.take().is_none() {
                    return;
                }
            }
        }
    }

    /// Carries out what was ordered; `false` ends the thread.
    fn obey(&mut self) -> bool {
        while let Ok(order) = self.inbox.try_recv() {
            match order {
                Order::Stop => return false,
                Order::Unplug(done) => {
                    self.pty = None;
                    done.send(Ok(())).ok();
                }
                Order::Plug(done) => {
                    done.send(self.plug()).ok();
                }
            }
        }
        true
    }

    fn plug(&mut self) -> io::Result<()> {
        if self.pty.is_none() {
            let pty = Pty::open(self.link.as_deref())?;
            *locked(&self.shared.path) = pty.path().to_path_buf();
            self.pty = Some(pty);
        }
        Ok(())
    }

    /// Writes what is due and says when the next bytes are.
    fn send_due(&mut self) -> Option<Duration> {
        let mut wire = locked(&self.shared.wire);
        while let Some(output) = wire.poll_output(self.shared.clock.now()) {
            // With the cable out, replies go nowhere.
            if self.pty.as_ref().is_some_and(|pty| pty.write(&output.bytes).is_err()) {
                self.pty = None;
            }
        }
        wire.poll_timeout()
    }

    /// Waits for bytes, for an order, or for `next`, and feeds the bytes to the wire.
    fn wait(&mut self, next: Option<Duration>) -> io::Result<()> {
        let left = next.map(|due| due.saturating_sub(self.shared.clock.now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
        if let Some(pty) = &self.pty {
            fds.push(PollFd::from_borrowed_fd(pty.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let readable = fds.get(1).map(PollFd::revents).unwrap_or(PollFlags::empty());
        while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
        let Some(pty) = &self.pty else { return Ok(()) };
        if readable.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; READ_BYTES];
        let length = pty.read(&mut buffer)?;
        if length == 0 && !readable.contains(PollFlags::IN) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        locked(&self.shared.wire).handle_bytes(&buffer[..length], self.shared.clock.now(), unix_ms());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
