//! What a front puts behind a terminal: anything that answers bytes with bytes in virtual time.

use std::time::Duration;

use crate::bus::{Bus, Output, Recorded};
use crate::insteon::{Plm, Script};

/// The far end of a serial line, without a clock and without I/O.
pub trait Wire {
    /// Bytes from the host, at `now` on the virtual clock; `unix_ms` is the wall clock, for those that have one.
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration, unix_ms: i64);
    /// The next bytes due at or before `now`, in order.
    fn poll_output(&mut self, now: Duration) -> Option<Output>;
    /// When something will happen by itself, if anything will.
    fn poll_timeout(&self) -> Option<Duration>;
    /// Lets time pass up to `now`.
    fn advance(&mut self, now: Duration);
    /// The latest moment that it has seen.
    fn now(&self) -> Duration;
    /// What the host asked so far, oldest first; the last 4096.
    fn requests(&self) -> Vec<Recorded>;
}

impl Wire for Bus {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration, unix_ms: i64) {
        self.handle_bytes(bytes, now, unix_ms);
    }

    fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.poll_output(now)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }

    fn advance(&mut self, now: Duration) {
        self.advance(now);
    }

    fn now(&self) -> Duration {
        self.now()
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests().cloned().collect()
    }
}

impl Wire for Plm {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration, _: i64) {
        self.handle_bytes(bytes, now);
    }

    fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.poll_output(now)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }

    fn advance(&mut self, now: Duration) {
        self.advance(now);
    }

    fn now(&self) -> Duration {
        self.now()
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests().cloned().collect()
    }
}

impl Wire for Script {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration, _: i64) {
        self.handle_bytes(bytes, now);
    }

    fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.poll_output(now)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }

    fn advance(&mut self, now: Duration) {
        self.advance(now);
    }

    fn now(&self) -> Duration {
        self.now()
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests().cloned().collect()
    }
}
