//! Puts a wire behind a pseudo terminal or a TCP port: one thread that waits for bytes and for the next reply to be due.
//!
//! The only file of this crate that reads the clock. It decides nothing: what is answered, and when, is the wire's.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

mod outlet;

use crate::bus::{Bus, Recorded};
use crate::wire::Wire;
pub use outlet::Outlet;
use outlet::Place;

/// Bytes taken from the port at once; a request has at most 62 and some wake-up bytes.
const READ_BYTES: usize = 1024;

/// Slowest and fastest that virtual time may run.
pub const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;

/// A bus, or another wire, behind a pseudo terminal or a TCP port, for as long as this lives.
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

/// Virtual time that runs with the real one, or so many times as fast, from where the wire stood.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    base: Duration,
    speed: f64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's front runs its wire in real time")]
    fn starting_at(base: Duration, speed: f64) -> Self {
        Self { start: Instant::now(), base, speed }
    }

    fn now(self) -> Duration {
        self.base + self.start.elapsed().mul_f64(self.speed)
    }

    /// How long it takes until a moment of virtual time.
    fn wait(self, due: Duration) -> Duration {
        due.saturating_sub(self.now()).div_f64(self.speed)
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
    /// Starts the thread; virtual time runs with the real one.
    ///
    /// # Errors
    /// When the system gives no thread or no pair of sockets.
    pub fn start(wire: W, outlet: impl Into<Outlet>) -> io::Result<Self> {
        Self::start_at(wire, outlet, 1.0)
    }

    /// Starts the thread; virtual time runs `speed` times as fast as the real one, within [`SPEEDS`]. The program at
    /// the other end must live as fast: its timers are those of the wire.
    ///
    /// # Errors
    /// As [`Front::start`].
    pub fn start_at(wire: W, outlet: impl Into<Outlet>, speed: f64) -> io::Result<Self> {
        let outlet = outlet.into();
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, inbox) = channel();
        let speed = if speed.is_finite() { speed.clamp(*SPEEDS.start(), *SPEEDS.end()) } else { 1.0 };
        let clock = Clock::starting_at(wire.now(), speed);
        let shared = Arc::new(Shared { wire: Mutex::new(wire), path: Mutex::new(outlet.name()), clock });
        let place = outlet.place();
        let worker = Worker { shared: Arc::clone(&shared), inbox, woken, place, outlet: Some(outlet) };
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
    /// What a gateway names as its port: a path, or `tcp://host:port`. A path without a link changes at every
    /// [`Front::plug`].
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

    /// Puts the cable back: a new terminal under the same link, or the same TCP port. Does nothing when it is plugged
    /// in.
    ///
    /// # Errors
    /// As [`crate::Pty::open`] and [`Outlet::listen`], and when the thread has ended.
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
    place: Place,
    outlet: Option<Outlet>,
}

impl<W: Wire> Worker<W> {
    fn run(mut self) {
        while self.obey() {
            let next = self.send_due();
            if self.wait(next).is_err() {
                // A broken terminal is a pulled cable; a broken wait would be a busy loop.
                if self.outlet.take().is_none() {
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
                    self.outlet = None;
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
        if self.outlet.is_none() {
            let outlet = Outlet::open(&self.place)?;
            *locked(&self.shared.path) = outlet.name();
            self.outlet = Some(outlet);
        }
        Ok(())
    }

    /// Writes what is due and says when the next bytes are.
    fn send_due(&mut self) -> Option<Duration> {
        let mut wire = locked(&self.shared.wire);
        while let Some(output) = wire.poll_output(self.shared.clock.now()) {
            // With the cable out, replies go nowhere.
            if self.outlet.as_mut().is_some_and(|outlet| outlet.write(&output.bytes).is_err()) {
                self.outlet = None;
            }
        }
        wire.poll_timeout()
    }

    /// Waits for bytes, for an order, or for `next`, and feeds the bytes to the wire.
    fn wait(&mut self, next: Option<Duration>) -> io::Result<()> {
        let left = next.map(|due| self.shared.clock.wait(due));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
        if let Some(outlet) = &self.outlet {
            outlet.watch(&mut fds);
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = fds.get(1).map(PollFd::revents).unwrap_or(PollFlags::empty());
        while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
        let Some(outlet) = &mut self.outlet else { return Ok(()) };
        let mut buffer = [0; READ_BYTES];
        let length = outlet.read(&mut buffer, events)?;
        if length == 0 {
            return Ok(());
        }
        locked(&self.shared.wire).handle_bytes(&buffer[..length], self.shared.clock.now(), unix_ms());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
