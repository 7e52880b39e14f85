//! A frame sealed and opened, beside the AEAD and the CRC alone.

use std::hint::black_box;
use std::time::Duration;

use aes::Aes128;
use ccm::aead::inout::InOutBuf;
use ccm::consts::{U8, U13};
use ccm::{AeadInOut, Ccm, KeyInit};
use crc::{CRC_16_IBM_SDLC, Crc};
use plugline_protocol::frame::{Frame, MAX_FRAME, MAX_PAYLOAD, MAX_PDU, Options, with_crc, without_crc};
use plugline_protocol::messages::{History, Report as Minute};
use plugline_protocol::reading::{Flags, Reading};
use plugline_protocol::security::{Channel, Key};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use crate::report::{Report, Row};
use crate::rounds::{least, nanos};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);
const KEY: [u8; 16] = [7; 16];
const FLOOR: &str = "AES-128-CCM and CRC-16 alone (crates ccm, crc)";

type Cipher = Ccm<Aes128, U8, U13>;

pub(crate) fn run(quick: bool, report: &mut Report) {
    let (rounds, round) = if quick { (3, 10) } else { (9, 100) };
    let round = Duration::from_millis(round);
    let identity = Identity { eui: Eui64([2; 8]), network: NetworkId(0x4A17), short: ShortAddress(18) };
    let channel = Channel::up(&Key::new(KEY), &identity);
    let cipher = Cipher::new((&KEY).into());
    let minute = minute();
    let mut frame = [0; MAX_FRAME];
    let sealed = seal(&channel, 1, &minute, &mut frame).to_vec();
    let payload = sealed.len() - 2 - 8 - 10;
    let (mut ours, mut floors, mut opens, mut open_floors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut counter = 0;
    let (text, tag) = sealed[10..sealed.len() - 2].split_at(payload);
    for _ in 0..rounds {
        ours.push(nanos(round, || {
            counter += 1;
            black_box(seal(&channel, counter, black_box(&minute), &mut frame));
        }));
        floors.push(nanos(round, || {
            counter += 1;
            black_box(seal_floor(&cipher, counter, black_box(payload)));
        }));
        opens.push(nanos(round, || {
            black_box(open(&channel, black_box(&sealed)));
        }));
        open_floors.push(nanos(round, || {
            black_box(open_floor(&cipher, black_box(&sealed), text, tag));
        }));
    }
    let mut row = |case: &str, value, floor| {
        let case = format!("{case} a report of {} B", sealed.len());
        report.row(Row {
            bench: "line",
            case,
            value,
            unit: "ns",
            against: Some((FLOOR, floor)),
            goal: "≤ 2×",
        });
    };
    row("encode and seal", least(ours), least(floors));
    row("open and decode", least(opens), least(open_floors));
}

fn minute() -> Minute<'static> {
    let reading = Reading {
        flags: Flags { relay_on: true, ..Flags::default() },
        voltage_10mv: Some(23_041),
        current_ma: Some(523),
        power_10mw: Some(11_834),
        energy_100mwh: Some(123_456),
        temperature_c: Some(34),
    };
    let history =
        History::from_samples(123_456, [Some(123_436), Some(123_416), Some(123_396), Some(123_376)]);
    Minute { minute: 7, reading, history, ..Minute::default() }
}

fn seal<'o>(channel: &Channel, counter: u32, minute: &Minute<'_>, out: &'o mut [u8]) -> &'o [u8] {
    let mut room = [0; MAX_PDU];
    let pdu = channel.seal(Options::default(), counter, minute, &mut room).expect("it fits");
    with_crc(pdu, out).expect("it fits")
}

fn seal_floor(cipher: &Cipher, counter: u32, payload: usize) -> u16 {
    let mut frame = [0x5A; MAX_FRAME];
    let mut nonce = [1; 13];
    nonce[9..].copy_from_slice(&counter.to_be_bytes());
    let (head, rest) = frame.split_at_mut(10);
    let (text, rest) = rest.split_at_mut(payload);
    let tag = cipher
        .encrypt_inout_detached((&nonce).into(), &head[..9], InOutBuf::from(text))
        .expect("a frame is shorter than 64 KiB");
    rest[..8].copy_from_slice(&tag);
    CRC.checksum(&frame[..10 + payload + 8])
}

fn open(channel: &Channel, frame: &[u8]) -> Option<u32> {
    let frame = Frame::parse(without_crc(frame)?).ok()?;
    let mut clear = [0; MAX_PAYLOAD];
    let minute = Minute::parse(channel.open(&frame, &mut clear).ok()?).ok()?;
    minute.reading.energy_100mwh
}

/// The tag is not this nonce's; a wrong one costs as much as a right one.
fn open_floor(cipher: &Cipher, frame: &[u8], text: &[u8], tag: &[u8]) -> bool {
    let mut clear = [0; MAX_FRAME];
    let clear = &mut clear[..text.len()];
    clear.copy_from_slice(text);
    let tag: [u8; 8] = tag.try_into().expect("eight octets");
    let sum = CRC.checksum(&frame[..frame.len() - 2]);
    let opened =
        cipher.decrypt_inout_detached((&[1; 13]).into(), &frame[..9], InOutBuf::from(clear), (&tag).into());
    opened.is_ok() || sum == 0
}
