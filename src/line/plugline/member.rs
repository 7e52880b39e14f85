//! One joined socket: its names and keys, its counters, and what was last heard of it.
//!
//! Refuses to know the modem, other sockets and what is in flight.

use std::time::Duration;

use plugline_protocol::messages::{Capabilities, Grant};
use plugline_protocol::security::{Channel, Joined, KeySet, ReplayWindow, ShortKey};
use plugline_protocol::{Eui64, Identity};

use super::driver::Fares;
use super::energy::Register;
use super::options::Behaviour;
use crate::device::{Abilities, Moment, Quantity, Target};
use crate::line::Profile;

/// Counters are reserved this many ahead, so that a record is written seldom; so many are lost at a restart.
pub(super) const RESERVE: u32 = 256;
/// What a counter leaps ahead when an old record is taken back: more than a socket is sent in half a year of a frame a
/// second, and still 256 times within its 32 bits.
pub(super) const LEAP: u32 = 1 << 24;
/// Minutes that may be missing and are remembered as told or not.
const MINUTES: u64 = 64;

/// A counter whose ceiling is on disk before it is used: after a restart no value comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reserved {
    /// The last one used.
    pub(super) used: u32,
    /// The highest one that the last record allows.
    ceiling: u32,
    /// The highest one that a record on disk allows.
    durable: u32,
}

impl Reserved {
    /// From the ceiling of a record: everything below may have been used.
    pub(super) fn restored(ceiling: u32) -> Self {
        Self { used: ceiling, ceiling, durable: ceiling }
    }

    /// From here on far above: what was used since the record was made is not known.
    pub(super) fn leap(&mut self) {
        *self = Self::restored(self.ceiling.saturating_add(LEAP));
    }

    /// The next one; `None` until a higher ceiling is on disk.
    pub(super) fn take(&mut self) -> Option<u32> {
        let next = self.used.checked_add(1).filter(|next| *next <= self.durable)?;
        self.used = next;
        Some(next)
    }

    /// A record is to be written soon.
    pub(super) fn low(&self) -> bool {
        self.ceiling.saturating_sub(self.used) < RESERVE / 2
    }

    /// The ceiling for a record that is being written.
    pub(super) fn raise(&mut self) -> u32 {
        self.ceiling = self.ceiling.max(self.used.saturating_add(RESERVE));
        self.ceiling
    }

    /// The last record is on disk.
    pub(super) fn kept(&mut self) {
        self.durable = self.ceiling;
    }
}

/// Of which minutes the energy was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Minutes {
    newest: u64,
    /// Bit k: `newest − k` was told, or is not to be.
    told: u64,
}

impl Minutes {
    /// From this minute on; those before are not missed.
    pub(super) fn since(minute: u64) -> Self {
        Self { newest: minute, told: u64::MAX }
    }

    /// Marks a minute; `true` if it was missing.
    pub(super) fn take(&mut self, minute: u64) -> bool {
        if minute > self.newest {
            let step = minute - self.newest;
            self.told = if step < MINUTES { self.told << step } else { 0 };
            self.newest = minute;
        }
        let back = self.newest - minute;
        let missing = back < MINUTES && self.told >> back & 1 == 0;
        if missing {
            self.told |= 1 << back;
        }
        missing
    }
}

/// What a socket is kept as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) identity: Identity,
    pub(super) keys: KeySet,
    pub(super) slot: Option<u16>,
    /// The slot that it was told.
    pub(super) told_slot: Option<u16>,
    pub(super) capabilities: Capabilities,
    pub(super) hardware: u16,
    pub(super) window: ReplayWindow,
    pub(super) down: Reserved,
    pub(super) import: Register,
    pub(super) export: Register,
    /// It measures mains frequency; it measures the power factor.
    pub(super) extras: [bool; 2],
    /// What it was told to be like.
    pub(super) told: Behaviour,
    /// Which group key it was told.
    pub(super) group_age: u8,
}

impl Own {
    /// As a socket is after joining.
    pub(super) fn new(joined: &Joined, capabilities: Capabilities, hardware: u16) -> Self {
        let Grant { slot, .. } = joined.grant;
        Self {
            identity: joined.identity,
            keys: joined.keys.clone(),
            slot,
            told_slot: slot,
            capabilities,
            hardware,
            window: ReplayWindow::new(),
            down: Reserved::default(),
            import: Register::default(),
            export: Register::default(),
            extras: [false; 2],
            told: Behaviour::default(),
            group_age: 0,
        }
    }
}

/// Its keys laid out.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) up: Channel,
    pub(super) down: Channel,
    pub(super) short: ShortKey,
}

impl Link {
    pub(super) fn new(keys: &KeySet, who: &Identity) -> Self {
        Self {
            up: Channel::up(&keys.up, who),
            down: Channel::down(&keys.down, who),
            short: ShortKey::new(&keys.ack, who),
        }
    }
}

/// Something that the gateway has to tell a socket by itself, and when it may try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) due: Moment,
    failures: u32,
}

impl Patience {
    const FIRST: Duration = Duration::from_secs(30);
    const LAST: Duration = Duration::from_secs(3_600);

    pub(super) fn failed(&mut self, now: Moment) {
        self.due = now + Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LAST);
        self.failures += 1;
    }
}

/// A joined socket.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) own: Own,
    pub(super) link: Link,
    /// The hub knows it.
    pub(super) attached: bool,
    /// What a person wants it to be like.
    pub(super) wanted: Behaviour,
    /// Its keys are on their way to disk in this record; until then it is not believed and not answered.
    pub(super) keeping: Option<u64>,
    /// It has not shown yet that it knows of its place: it may give it up and ask to join again.
    pub(super) unproven: bool,
    pub(super) heard: Option<Moment>,
    pub(super) fares: Fares,
    /// It was asked after a long silence and did not answer.
    pub(super) silent: bool,
    pub(super) minutes: Option<Minutes>,
    /// It wants to be told where the group counter is.
    pub(super) sync: bool,
    /// A command to it was never answered; it was heard since, and is to be asked.
    pub(super) unsure: bool,
    pub(super) ask_now: bool,
    /// It asked to join, though it is joined; if it reports all the same there are two.
    pub(super) asked_again: bool,
    pub(super) alarms: [bool; 2],
    pub(super) patience: Patience,
    /// It was removed, and is to be told so.
    pub(super) leaving: bool,
}

impl Member {
    pub(super) fn new(own: Own) -> Self {
        Self {
            link: Link::new(&own.keys, &own.identity),
            own,
            attached: false,
            wanted: Behaviour::default(),
            keeping: None,
            unproven: false,
            heard: None,
            fares: Fares::default(),
            silent: false,
            minutes: None,
            sync: false,
            unsure: false,
            ask_now: false,
            asked_again: false,
            alarms: [false; 2],
            patience: Patience::default(),
            leaving: false,
        }
    }

    pub(super) fn eui(&self) -> Eui64 {
        self.own.identity.eui
    }

    pub(super) fn target(&self) -> Target {
        target_of(self.eui())
    }

    /// How often it reports.
    pub(super) fn period(&self) -> Duration {
        Duration::from_secs(60 * u64::from(self.own.told.minutes.max(1)))
    }

    /// When it counts as silent.
    pub(super) fn silent_at(&self) -> Option<Moment> {
        self.heard.map(|heard| heard + self.period() * 3 + Duration::from_secs(5))
    }

    pub(super) fn profile(&self) -> Profile {
        let Capabilities { relay, meter, export, .. } = self.own.capabilities;
        let [frequency, power_factor] = self.own.extras;
        let quantities = [
            (Quantity::Power, meter),
            (Quantity::Energy, meter),
            (Quantity::EnergyExport, export),
            (Quantity::Voltage, meter),
            (Quantity::Current, meter),
            (Quantity::Frequency, frequency),
            (Quantity::PowerFactor, power_factor),
            (Quantity::Temperature, meter),
        ];
        let pushed = quantities.into_iter().filter(|(_, has)| *has).map(|(quantity, _)| quantity);
        Profile {
            abilities: Abilities { relay, dim: false, identify: true },
            plan: std::sync::Arc::default(),
            pushed: pushed.collect(),
            push_period: Some(self.period()),
        }
    }
}

/// Where a socket sits: its EUI in small letters.
pub(super) fn target_of(eui: Eui64) -> Target {
    Target { address: spelled(eui).into(), channel: None }
}

pub(super) fn spelled(eui: Eui64) -> String {
    eui.to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_counter_is_used_before_its_ceiling_is_on_disk_and_none_comes_again() {
        let mut counter = Reserved::default();
        assert!(counter.low() && counter.take().is_none());
        let ceiling = counter.raise();
        assert_eq!(counter.take(), None, "written, not yet on disk");
        counter.kept();
        let used: Vec<u32> = std::iter::from_fn(|| counter.take()).collect();
        assert_eq!((used.first(), used.last()), (Some(&1), Some(&ceiling)));
        let mut again = Reserved::restored(ceiling);
        assert_eq!(again.take(), None);
        again.raise();
        again.kept();
        assert_eq!(again.take(), Some(ceiling + 1));
    }

    #[test]
    fn a_minute_is_missing_until_it_was_told() {
        let mut minutes = Minutes::since(100);
        assert!(!minutes.take(99) && !minutes.take(100), "before the first report nothing is missed");
        assert!(minutes.take(103));
        assert!(minutes.take(101) && !minutes.take(101) && minutes.take(102));
        assert!(minutes.take(1_000) && minutes.take(999) && !minutes.take(103), "too long ago");
    }
}
