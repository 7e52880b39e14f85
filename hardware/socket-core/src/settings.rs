//! What must outlive a power cut beside energy and relay: the place in the network, counters, options. One record
//! holds all of it. Knows no board; see [`crate::log`].
//!
//! ```text
//!  0 schema u8 = 1 | 1 starts u16 | 3 interval u8 min | 4 over-current limit u16 mA | 6 power-on u8
//!  7 state u8: 0 unjoined, 1 pending, 2 joined | 8 NETID u16 | 10 SHORT u16 | 12 slot u16, FFFF none
//! 14 ceiling of the up-counter u32 | 18 last COMMAND u32 | 22 last group counter u32
//! 26 K_up 16 | 42 K_down 16 | 58 K_ack 16 | 74 K_kek 16 | 90 group key 16 | 106 zeros, kept for RESUME
//! ```

use plugline_protocol::messages::PowerOn;
use plugline_protocol::security::{BOOT_JUMP, CommandGate, Counters, GroupGate, Key, STORE_EVERY};
use plugline_protocol::wire::{Full, ParseError, Reader, Writer};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use crate::place::Place;

/// Octets of a settings record on the board.
pub const SETTINGS_LEN: usize = 128;

const SCHEMA: u8 = 1;
const USED: usize = 106;
const NO_SLOT: u16 = 0xFFFF;

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
    /// The body of a record. `staying` is `false` when the place is being left: then it is not written.
    pub(crate) fn octets(&self, staying: bool) -> [u8; USED] {
        let mut octets = [0; USED];
        let mut writer = Writer::new(&mut octets);
        let Options { interval_min, limit_ma, power_on } = self.options;
        let head = |writer: &mut Writer<'_>| {
            writer.u8(SCHEMA)?;
            writer.u16(self.starts)?;
            writer.u8(interval_min)?;
            writer.u16(limit_ma)?;
            writer.u8(power_on as u8)
        };
        let written = head(&mut writer).and_then(|()| match self.place.as_ref().filter(|_| staying) {
            Some(place) => write_place(&mut writer, place),
            None => Ok(()),
        });
        debug_assert_eq!(written, Ok(()), "the record has room for all of it");
        octets
    }

    /// Reads the body of a record; `None` when there is none of this schema. After this the ceiling must be stored
    /// anew before anything is sent. `damaged`: a newer record may be lost, so that the ceiling may have been higher.
    pub(crate) fn restored(body: &[u8], eui: Eui64, damaged: bool) -> Option<Self> {
        read(&mut Reader::new(body), eui, damaged).ok()
    }
}

fn write_place(writer: &mut Writer<'_>, place: &Place) -> Result<(), Full> {
    writer.u8(if place.committed { 2 } else { 1 })?;
    writer.u16(place.identity.network.0)?;
    writer.u16(place.identity.short.0)?;
    writer.u16(place.slot.unwrap_or(NO_SLOT))?;
    writer.u32(place.counters.ceiling())?;
    writer.u32(place.commands.last())?;
    writer.u32(place.group.last())?;
    for key in [&place.up, &place.down, &place.ack, &place.kek, &place.group_key] {
        writer.bytes(key.octets())?;
    }
    Ok(())
}

fn read(reader: &mut Reader<'_>, eui: Eui64, damaged: bool) -> Result<Settings, ParseError> {
    let schema = reader.u8("schema")?;
    if schema != SCHEMA {
        return Err(ParseError::Value { field: "schema", got: schema.into() });
    }
    let starts = reader.u16("starts")?;
    let interval_min = reader.u8("interval")?.clamp(1, 60);
    let limit_ma = reader.u16("limit")?;
    let power_on = PowerOn::of(reader.u8("power on")?).unwrap_or_default();
    let state = reader.u8("state")?;
    let place = if matches!(state, 1 | 2) { read_place(reader, eui, state == 2, damaged)? } else { None };
    Ok(Settings { starts, options: Options { interval_min, limit_ma, power_on }, place })
}

/// `None` when the up-counter is used up: the socket joins anew.
fn read_place(
    reader: &mut Reader<'_>,
    eui: Eui64,
    committed: bool,
    damaged: bool,
) -> Result<Option<Place>, ParseError> {
    let network = NetworkId(reader.u16("network")?);
    let short = ShortAddress(reader.u16("short")?);
    let slot = Some(reader.u16("slot")?).filter(|slot| *slot != NO_SLOT);
    let ceiling = reader.u32("ceiling")?;
    let commands = CommandGate::restored(reader.u32("command")?);
    let group = GroupGate::restored(reader.u32("group")?);
    let up = Key::new(reader.array("up")?);
    let down = Key::new(reader.array("down")?);
    let ack = Key::new(reader.array("ack")?);
    let kek = Key::new(reader.array("kek")?);
    let group_key = Key::new(reader.array("group key")?);
    // A lost record had a ceiling of at most this much more: it was made from a counter below this one.
    let more = if damaged { STORE_EVERY + BOOT_JUMP } else { 0 };
    let counters = ceiling.checked_add(more).and_then(Counters::restored);
    let identity = Identity { eui, network, short };
    Ok(counters.map(|counters| Place {
        identity,
        up,
        down,
        ack,
        kek,
        group_key,
        slot,
        counters,
        commands,
        group,
        committed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui64 = Eui64([1, 2, 3, 4, 5, 6, 7, 8]);

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
            commands: CommandGate::restored(81),
            group: GroupGate::restored(9),
            committed: true,
        };
        let options = Options { interval_min: 5, limit_ma: 10_000, power_on: PowerOn::Off };
        Settings { starts: 3, options, place: Some(place) }
    }

    #[test]
    fn settings_come_back_as_they_were_with_the_counter_beyond_its_ceiling() {
        let was = settings();
        let back = Settings::restored(&was.octets(true), EUI, false).expect("it is of this schema");
        assert_eq!((back.starts, back.options), (3, was.options));
        let (was, back) = (was.place.expect("it is joined"), back.place.expect("it is joined"));
        assert_eq!(back.identity, was.identity);
        assert_eq!([&back.up, &back.down, &back.ack, &back.kek], [&was.up, &was.down, &was.ack, &was.kek]);
        assert_eq!((back.group_key == was.group_key, back.slot, back.committed), (true, Some(7), true));
        assert_eq!((back.commands.last(), back.group.last()), (81, 9));
        assert_eq!(back.counters.sent(), STORE_EVERY + BOOT_JUMP);
    }

    #[test]
    fn a_lost_record_cannot_have_promised_a_counter_that_is_used_again() {
        let mut was = settings();
        let body = was.octets(true);
        let place = was.place.as_mut().expect("it is joined");
        while place.counters.take().is_some() {}
        let lost = place.counters.raise().expect("there are counters left");
        let back = Settings::restored(&body, EUI, true).and_then(|back| back.place).expect("it is joined");
        assert!(back.counters.sent() > lost);
    }

    #[test]
    fn a_place_that_is_being_left_is_not_written() {
        let back = Settings::restored(&settings().octets(false), EUI, false).expect("it is of this schema");
        assert!(back.place.is_none());
        assert_eq!(back.options.interval_min, 5);
    }

    #[test]
    fn another_schema_and_a_used_up_counter_give_no_place() {
        let mut octets = settings().octets(true);
        octets[14..18].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Settings::restored(&octets, EUI, false).is_some_and(|back| back.place.is_none()));
        octets[0] = 2;
        assert!(Settings::restored(&octets, EUI, false).is_none());
    }
}
