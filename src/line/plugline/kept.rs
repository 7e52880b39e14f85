//! What the driver keeps through a restart: the network, its keys and counters, and every socket that joined.
//!
//! ```text
//! 01 | NETID 2 | group key 16 | its number 1 | group ceiling 4 | number of sockets 2 | sockets, each:
//! EUI 8 | SHORT 2 | keys 80 | slot 2 | told slot 2 | capabilities 1 | hardware 2 | newest up-counter 4 |
//! down ceiling 4 | import 12 | export 12 | flags 1 | power-on 1 | limit 2 | minutes 1 | number of the group key told 1
//! register: base 8 | last 4, FFFFFFFF for none
//! ```
//! Counters are kept as ceilings: what lies below them counts as used. The record holds keys; nobody shows it.

use plugline_protocol::messages::{Capabilities, PowerOn};
use plugline_protocol::security::{Key, KeySet, ReplayWindow};
use plugline_protocol::wire::{ParseError, Reader};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use super::energy::Register;
use super::member::{Own, Reserved};
use super::options::Behaviour;

const FORMAT: u8 = 1;
const NONE: u32 = 0xFFFF_FFFF;
const NO_SLOT: u16 = 0xFFFF;
const FREQUENCY: u8 = 1;
const POWER_FACTOR: u8 = 2;
const IMPORT_RESTARTED: u8 = 4;
const EXPORT_RESTARTED: u8 = 8;

/// A network of this gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) id: NetworkId,
    pub(super) group_key: Key,
    pub(super) group: Reserved,
    /// Counts the group keys of this network, so that it is known who was told which.
    pub(super) group_age: u8,
}

/// As opaque bytes; raises every ceiling.
pub(super) fn emit<'m>(
    network: &mut Network,
    sockets: impl ExactSizeIterator<Item = &'m mut Own>,
) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.extend(network.id.0.to_be_bytes());
    out.extend(network.group_key.octets());
    out.push(network.group_age);
    out.extend(network.group.raise().to_be_bytes());
    out.extend(u16::try_from(sockets.len()).unwrap_or(u16::MAX).to_be_bytes());
    for own in sockets {
        socket(own, &mut out);
    }
    out
}

fn socket(own: &mut Own, out: &mut Vec<u8>) {
    let KeySet { up, down, ack, wrap, kek } = &own.keys;
    out.extend(own.identity.eui.0);
    out.extend(own.identity.short.0.to_be_bytes());
    [up, down, ack, wrap, kek].iter().for_each(|key| out.extend(key.octets()));
    out.extend(own.slot.unwrap_or(NO_SLOT).to_be_bytes());
    out.extend(own.told_slot.unwrap_or(NO_SLOT).to_be_bytes());
    out.push(own.capabilities.octet());
    out.extend(own.hardware.to_be_bytes());
    out.extend(own.window.newest().to_be_bytes());
    out.extend(own.down.raise().to_be_bytes());
    for register in [&own.import, &own.export] {
        out.extend(register.base.to_be_bytes());
        out.extend(register.last.unwrap_or(NONE).to_be_bytes());
    }
    let bit = |set: bool, mask: u8| if set { mask } else { 0 };
    let [frequency, power_factor] = own.extras;
    out.push(
        bit(frequency, FREQUENCY)
            | bit(power_factor, POWER_FACTOR)
            | bit(own.import.restarted, IMPORT_RESTARTED)
            | bit(own.export.restarted, EXPORT_RESTARTED),
    );
    out.push(own.told.power_on as u8);
    out.extend(own.told.limit_ma.to_be_bytes());
    out.push(own.told.minutes);
    out.push(own.group_age);
}

/// From those bytes; `None` when they are not such.
pub(super) fn parse(bytes: &[u8]) -> Option<(Network, Vec<Own>)> {
    let mut reader = Reader::new(bytes);
    if reader.u8("format").ok()? != FORMAT {
        return None;
    }
    let network = network(&mut reader).ok().filter(|network| network.id.is_assignable())?;
    let count = reader.u16("sockets").ok()?;
    let sockets: Result<Vec<Own>, ParseError> = (0..count).map(|_| own(&mut reader, network.id)).collect();
    let sockets = sockets.ok()?;
    reader.end("record").ok()?;
    Some((network, sockets))
}

fn network(from: &mut Reader<'_>) -> Result<Network, ParseError> {
    Ok(Network {
        id: NetworkId(from.u16("NETID")?),
        group_key: Key::new(from.array("group key")?),
        group_age: from.u8("group key's number")?,
        group: Reserved::restored(from.u32("group ceiling")?),
    })
}

fn own(from: &mut Reader<'_>, network: NetworkId) -> Result<Own, ParseError> {
    let eui = Eui64(from.array("EUI")?);
    let short = ShortAddress(from.u16("SHORT")?);
    let mut key = |field| from.array(field).map(Key::new);
    let keys =
        KeySet { up: key("up")?, down: key("down")?, ack: key("ack")?, wrap: key("wrap")?, kek: key("kek")? };
    let mut slot = |field| from.u16(field).map(|slot| Some(slot).filter(|slot| *slot != NO_SLOT));
    let (slot, told_slot) = (slot("slot")?, slot("told slot")?);
    let capabilities = Capabilities::of(from.u8("capabilities")?);
    let hardware = from.u16("hardware")?;
    let window = ReplayWindow::restored(from.u32("newest")?);
    let down = Reserved::restored(from.u32("down ceiling")?);
    let (mut import, mut export) = (register(from)?, register(from)?);
    let flags = from.u8("flags")?;
    import.restarted = flags & IMPORT_RESTARTED != 0;
    export.restarted = flags & EXPORT_RESTARTED != 0;
    let power_on = PowerOn::of(from.u8("power-on")?).unwrap_or_default();
    let told = Behaviour { power_on, limit_ma: from.u16("limit")?, minutes: from.u8("minutes")? };
    let group_age = from.u8("group key's number")?;
    Ok(Own {
        identity: Identity { eui, network, short },
        keys,
        slot,
        told_slot,
        capabilities,
        hardware,
        window,
        down,
        import,
        export,
        extras: [flags & FREQUENCY != 0, flags & POWER_FACTOR != 0],
        told,
        group_age,
    })
}

fn register(from: &mut Reader<'_>) -> Result<Register, ParseError> {
    let base = from.u64("base")?;
    let last = from.u32("last")?;
    Ok(Register { base, last: Some(last).filter(|last| *last != NONE), restarted: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugline_protocol::messages::Grant;
    use plugline_protocol::security::{Joined, Nonces};

    fn sample() -> (Network, Own) {
        let network = Network {
            id: NetworkId(0x4A17),
            group_key: Key::new([9; 16]),
            group: Reserved::restored(77),
            group_age: 3,
        };
        let identity = Identity {
            eui: Eui64([2, 0xA0, 0xB1, 0xFF, 0xFE, 0, 0x12, 0x34]),
            network: network.id,
            short: ShortAddress(18),
        };
        let nonces = Nonces { socket: [1; 8], gateway: [2; 8] };
        let keys = KeySet::joined(&Key::new([3; 16]), &identity, &nonces);
        let grant = Grant { group_key: network.group_key.clone(), group_counter: 77, slot: Some(4) };
        let capabilities = Capabilities { relay: true, meter: true, ..Capabilities::default() };
        let mut own = Own::new(&Joined { identity, keys, grant }, capabilities, 3);
        own.window = ReplayWindow::restored(4_660);
        own.down = Reserved::restored(81);
        own.import = Register { base: 1 << 33, last: Some(5), restarted: true };
        own.extras = [true, false];
        own.group_age = 2;
        own.told = Behaviour { power_on: PowerOn::Off, limit_ma: 10_000, minutes: 5 };
        (network, own)
    }

    #[test]
    fn what_is_kept_comes_back_with_its_counters_at_their_ceilings() {
        let (mut network, mut own) = sample();
        let bytes = emit(&mut network, [&mut own].into_iter());
        let (again, sockets) = parse(&bytes).expect("it was just written");
        assert_eq!((again.id, &again.group_key, again.group_age), (network.id, &network.group_key, 3));
        assert!(again.group.used > 77 && sockets[0].down.used > 81);
        let mut wanted = own;
        wanted.down = sockets[0].down;
        assert_eq!(sockets, [wanted]);
    }

    #[test]
    fn bytes_that_were_cut_or_are_of_another_format_are_not_taken() {
        let (mut network, mut own) = sample();
        let mut bytes = emit(&mut network, [&mut own].into_iter());
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), None, "{end}");
        }
        bytes[0] = 2;
        assert_eq!(parse(&bytes), None);
    }
}
