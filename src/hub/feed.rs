//! Events, their numbers, and the ring of the newest ones. Pure.
//!
//! A number is given once: the log reserves numbers ahead in durable blocks, and nothing is numbered beyond the
//! reserved ceiling (`protocol-spec/http.md`, Two heads).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::device::{Device, DeviceId, LineName, Reading};
use crate::hub::command::Command;
use crate::line::Cause;

/// Newest events kept in memory for readers that keep up. 4,096 events are minutes of a busy house and about
/// a megabyte; older ones are read from the log.
pub const RING_EVENTS: usize = 4096;

/// What happened to a device in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// Its name, options or figures changed.
    Changed,
    /// It is gone.
    Removed,
    /// Its hardware was replaced.
    Replaced,
}

/// Why numbers are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The gateway did not end cleanly.
    Crash,
    /// The disk failed.
    Storage,
}

/// What happened in a joining window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoiningNews {
    /// It was opened, or its end was put off.
    Opened {
        /// When it ends by itself, milliseconds since 1970 UTC.
        closes_unix_ms: i64,
    },
    /// A device came.
    Joined {
        /// Which.
        device: DeviceId,
    },
    /// A try went wrong; the window stays open.
    Failed {
        /// Stable word for programs.
        code: Arc<str>,
        /// One sentence.
        detail: Arc<str>,
    },
    /// It was closed.
    Closed {
        /// `time`, `request` or `joined`.
        reason: Arc<str>,
    },
}

/// Something about the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayEvent {
    /// It started.
    Started {
        /// Its version.
        version: Arc<str>,
    },
    /// It is about to stop.
    Stopping,
    /// A line's modem answers.
    LineUp {
        /// Which.
        line: LineName,
    },
    /// A line's port or modem is gone.
    LineDown {
        /// Which.
        line: LineName,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// Somebody who is not in the registry spoke on a line.
    ForeignDevice {
        /// Where.
        line: LineName,
        /// Its address.
        address: Arc<str>,
    },
    /// A joining window went on.
    Joining {
        /// Of which line.
        line: LineName,
        /// How.
        news: JoiningNews,
    },
    /// The wall clock was set.
    ClockStep {
        /// By how much, milliseconds.
        step_ms: i64,
    },
    /// Numbers that were given out or reserved and whose events are lost: seq > `from` and ≤ `to`.
    Gap {
        /// Last seq before the hole.
        from: u64,
        /// Last seq of the hole.
        to: u64,
        /// Why.
        reason: GapReason,
    },
}

/// A word for people about something that wants their attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Stable word for programs: `energy_fell`.
    pub code: Arc<str>,
    /// One sentence.
    pub detail: Arc<str>,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Quantities were measured.
    Reading(Reading),
    /// The relay was shown in another position, or for the first time.
    Relay {
        /// Closed (power on).
        on: bool,
        /// Why.
        cause: Cause,
    },
    /// The device answers again, or no longer.
    Online {
        /// It answers.
        online: bool,
        /// Why it is thought so, for people.
        reason: Arc<str>,
    },
    /// The registry changed.
    Device {
        /// How.
        change: Change,
        /// The device after the change (before it, when removed).
        device: Arc<Device>,
    },
    /// A command entered a state.
    Command(Arc<Command>),
    /// A word for people.
    Notification(Notification),
    /// About the gateway.
    Gateway(GatewayEvent),
    /// Something was here and was erased; readers pass over it.
    Erased,
}

impl Body {
    /// The kind of the contract.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reading(_) => "reading",
            Self::Relay { .. } | Self::Online { .. } => "state",
            Self::Device { .. } => "device",
            Self::Command(_) => "command",
            Self::Notification(_) => "notification",
            Self::Gateway(_) => "gateway",
            Self::Erased => "erased",
        }
    }

    /// Must be on disk before people see it or soon after: everything but readings is synced at once.
    #[must_use]
    pub fn urgent(&self) -> bool {
        !matches!(self, Self::Reading(_))
    }
}

/// An event before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// When, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// The wall clock was not synchronised then.
    pub t_estimated: bool,
    /// Reported after its time.
    pub late: bool,
    /// The figures are estimated.
    pub estimated: bool,
    /// About which device; `None` for gateway events.
    pub device: Option<DeviceId>,
    /// What.
    pub body: Body,
}

/// A numbered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1, in its epoch.
    pub seq: u64,
    /// What happened.
    pub fresh: Fresh,
}

/// Gives numbers up to the reserved ceiling and keeps the newest events; generic over what is kept, so that an
/// encoding can live beside its event.
#[derive(Debug)]
pub struct Ring<T> {
    head: u64,
    ceiling: u64,
    newest: VecDeque<Arc<T>>,
}

impl<T> Ring<T> {
    /// Starts behind `head`, the last number that was ever given.
    #[must_use]
    pub fn new(head: u64) -> Self {
        Self { head, ceiling: head, newest: VecDeque::new() }
    }

    /// The last number given.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Numbers left below the ceiling.
    #[must_use]
    pub fn reserve_left(&self) -> u64 {
        self.ceiling - self.head
    }

    /// The log has made numbers up to `ceiling` ours.
    pub fn raise_ceiling(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.max(ceiling);
    }

    /// Numbers an event and keeps it; `None` when no reserved number is left.
    pub fn append(&mut self, make: impl FnOnce(u64) -> T) -> Option<Arc<T>> {
        if self.head == self.ceiling {
            return None;
        }
        self.head += 1;
        let entry = Arc::new(make(self.head));
        if self.newest.len() == RING_EVENTS {
            self.newest.pop_front();
        }
        self.newest.push_back(Arc::clone(&entry));
        Some(entry)
    }

    /// Puts something else in the place of entries.
    pub fn replace(&mut self, with: impl Fn(&T) -> Option<T>) {
        for entry in &mut self.newest {
            if let Some(other) = with(entry) {
                *entry = Arc::new(other);
            }
        }
    }

    /// Up to `limit` entries with a number above `after`; `None` when the ring no longer (or not yet) reaches back
    /// that far and the log must be read.
    #[must_use]
    pub fn since(&self, after: u64, limit: usize) -> Option<Vec<Arc<T>>> {
        let kept_from = self.head - self.newest.len() as u64;
        if after < kept_from {
            return None;
        }
        let skip = usize::try_from(after - kept_from).unwrap_or(usize::MAX);
        Some(self.newest.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_beyond_the_reserved_ceiling() {
        let mut ring = Ring::new(7);
        assert!(ring.append(|seq| seq).is_none());
        ring.raise_ceiling(9);
        assert_eq!(ring.append(|seq| seq).as_deref(), Some(&8));
        assert_eq!(ring.append(|seq| seq).as_deref(), Some(&9));
        assert!(ring.append(|seq| seq).is_none());
    }

    #[test]
    fn the_ring_says_when_it_no_longer_reaches_back() {
        let mut ring = Ring::new(0);
        ring.raise_ceiling(10_000);
        for _ in 0..RING_EVENTS + 10 {
            ring.append(|seq| seq);
        }
        assert!(ring.since(9, 10).is_none());
        let page = ring.since(10, 2).expect("still kept");
        assert_eq!(page.iter().map(|seq| **seq).collect::<Vec<_>>(), [11, 12]);
        assert_eq!(ring.since(ring.head(), 5).expect("at the head").len(), 0);
    }
}
