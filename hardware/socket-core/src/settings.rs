//! What must outlive a power cut beside energy and relay: the place in the network, counters, options. One record
//! holds all of it. Knows no board; see [`crate::log`].
//!
//! ```text
//!  0 schema u8 = 1 | 1 starts u16 | 3 interval u8 min | 4 over-current limit u16 mA | 6 power-on u8
//!  7 state u8: 0 unjoined, 1 pending, 2 joined | 8 NETID u16 | 10 SHORT u16 | 12 slot u16, FFFF none
//! 14 ceiling of the up-counter u32
//! 18 K_up 16 | 34 K_down 16 | 50 K_ack 16 | 66 K_kek 16 | 82 group key 16 | 98 zeros, kept for RESUME
//! ```

use plugline_protocol::messages::PowerOn;
use plugline_protocol::security::{BOOT_JUMP, CommandGate, Counters, Key, STORE_EVERY};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use crate::place::Place;

/// Octets of a settings record on the board.
pub const SETTINGS_LEN: usize = 128;

const SCHEMA: u8 = 1;
const NO_SLOT: u16 = 0xFFFF;
const PENDING: u8 = 1;
const JOINED: u8 = 2;
/// Where the keys are: K_up, K_down, K_ack, K_kek, group key.
const KEYS: [usize; 5] = [18, 34, 50, 66, 82];

/// What a COMMAND may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Report in every so many superframes, 1 … 60.
    pub interval_min: u8,
    /// Trip above this current in mA; 0 is the hardware's limit.
    pub limit_ma: u16,
    /// What the relay does when power comes.
    pub power_on: PowerOn,
}

impl Default for Options {
    fn default() -> Self {
        Self { interval_min: 1, limit_ma: 0, power_on: PowerOn::default() }
    }
}

/// Everything that the record holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Starts since manufacture.
    pub(crate) starts: u16,
    pub(crate) options: Options,
    pub(crate) place: Option<Place>,
}

impl Settings {
    /// Writes the body of a record. `staying` is `false` when the place is being left: then it is not written.
    pub(crate) fn write(&self, staying: bool, octets: &mut [u8]) {
        let mut put = |at: usize, some: &[u8]| octets[at..at + some.len()].copy_from_slice(some);
        let Options { interval_min, limit_ma, power_on } = self.options;
        put(0, &[SCHEMA]);
        put(1, &self.starts.to_be_bytes());
        put(3, &[interval_min]);
        put(4, &limit_ma.to_be_bytes());
        put(6, &[power_on as u8]);
        let Some(place) = self.place.as_ref().filter(|_| staying) else { return };
        put(7, &[if place.committed { JOINED } else { PENDING }]);
        put(8, &place.identity.network.0.to_be_bytes());
        put(10, &place.identity.short.0.to_be_bytes());
        put(12, &place.slot.unwrap_or(NO_SLOT).to_be_bytes());
        put(14, &place.counters.ceiling().to_be_bytes());
        let keys = [&place.up, &place.down, &place.ack, &place.kek, &place.group_key];
        keys.iter().zip(KEYS).for_each(|(key, at)| put(at, key.octets()));
    }

    /// Reads the body of a record; `false` when it is of another schema. After this the ceiling must be stored anew
    /// before anything is sent. `damaged`: a newer record may be lost, so that the ceiling may have been higher.
    pub(crate) fn restore(&mut self, body: &[u8], eui: Eui64, damaged: bool) -> bool {
        let [schema] = get(body, 0);
        if schema != SCHEMA {
            return false;
        }
        let [interval_min] = get(body, 3);
        let [power_on] = get(body, 6);
        self.options = Options {
            interval_min: interval_min.clamp(1, 60),
            limit_ma: u16::from_be_bytes(get(body, 4)),
            power_on: PowerOn::of(power_on).unwrap_or_default(),
        };
        self.starts = u16::from_be_bytes(get(body, 1));
        self.place = place(body, eui, damaged);
        true
    }
}

/// `None` as well when the up-counter is used up: the socket joins anew.
fn place(body: &[u8], eui: Eui64, damaged: bool) -> Option<Place> {
    let [state] = get(body, 7);
    if !matches!(state, PENDING | JOINED) {
        return None;
    }
    // A lost record had a ceiling of at most this much more: it was made from a counter below this one.
    let more = if damaged { STORE_EVERY + BOOT_JUMP } else { 0 };
    let ceiling = u32::from_be_bytes(get(body, 14)).checked_add(more)?;
    let counters = Counters::restored(ceiling)?;
    let [up, down, ack, kek, group_key] = KEYS.map(|at| Key::new(get(body, at)));
    Some(Place {
        identity: Identity {
            eui,
            network: NetworkId(u16::from_be_bytes(get(body, 8))),
            short: ShortAddress(u16::from_be_bytes(get(body, 10))),
        },
        up,
        down,
        ack,
        kek,
        group_key,
        slot: Some(u16::from_be_bytes(get(body, 12))).filter(|slot| *slot != NO_SLOT),
        counters,
        commands: CommandGate::new(),
        group: None,
        committed: state == JOINED,
    })
}

/// Octets of a body; zeros behind its end.
fn get<const L: usize>(body: &[u8], at: usize) -> [u8; L] {
    body.get(at..at + L).and_then(|octets| octets.try_into().ok()).unwrap_or([0; L])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui64 = Eui64([1, 2, 3, 4, 5, 6, 7, 8]);

    fn restored(body: &[u8], eui: Eui64, damaged: bool) -> Option<Settings> {
        let mut settings = Settings::default();
        settings.restore(body, eui, damaged).then_some(settings)
    }

    fn octets(settings: &Settings, staying: bool) -> [u8; SETTINGS_LEN - 6] {
        let mut octets = [0; SETTINGS_LEN - 6];
        settings.write(staying, &mut octets);
        octets
    }

    fn settings() -> Settings {
        let identity = Identity { eui: EUI, network: NetworkId(0x4A17), short: ShortAddress(0x12) };
        let place = Place {
            identity,
            up: Key::new([1; 16]),
            down: Key::new([2; 16]),
            ack: Key::new([3; 16]),
            kek: Key::new([4; 16]),
            group_key: Key::new([5; 16]),
            slot: Some(7),
            counters: Counters::new(),
            commands: CommandGate::new(),
            group: None,
            committed: true,
        };
        let options = Options { interval_min: 5, limit_ma: 10_000, power_on: PowerOn::Off };
        Settings { starts: 3, options, place: Some(place) }
    }

    // [PLG-5.5-3]
    #[test]
    fn settings_come_back_as_they_were_with_the_counter_beyond_its_ceiling() {
        let was = settings();
        let back = restored(&octets(&was, true), EUI, false).expect("it is of this schema");
        assert_eq!((back.starts, back.options), (3, was.options));
        let (was, back) = (was.place.expect("it is joined"), back.place.expect("it is joined"));
        assert_eq!(back.identity, was.identity);
        assert_eq!([&back.up, &back.down, &back.ack, &back.kek], [&was.up, &was.down, &was.ack, &was.kek]);
        assert_eq!((back.group_key == was.group_key, back.slot, back.committed), (true, Some(7), true));
        assert!(back.group.is_none());
        assert_eq!(back.counters.sent(), STORE_EVERY + BOOT_JUMP);
    }

    #[test]
    fn a_lost_record_cannot_have_promised_a_counter_that_is_used_again() {
        let mut was = settings();
        let body = octets(&was, true);
        let place = was.place.as_mut().expect("it is joined");
        while place.counters.take().is_some() {}
        let lost = place.counters.raise().expect("there are counters left");
        let back = restored(&body, EUI, true).and_then(|back| back.place).expect("it is joined");
        assert!(back.counters.sent() > lost);
    }

    #[test]
    fn a_place_that_is_being_left_is_not_written() {
        let back = restored(&octets(&settings(), false), EUI, false).expect("it is of this schema");
        assert!(back.place.is_none());
        assert_eq!(back.options.interval_min, 5);
    }

    #[test]
    fn another_schema_and_a_used_up_counter_give_no_place() {
        let mut octets = octets(&settings(), true);
        octets[14..18].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(restored(&octets, EUI, false).is_some_and(|back| back.place.is_none()));
        octets[0] = 2;
        assert!(restored(&octets, EUI, false).is_none());
    }
}
