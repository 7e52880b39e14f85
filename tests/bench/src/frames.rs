//! Bytes of lines, made by the gateway's own encoders: what meters and modems send.

use plugline::line::dlt645::frame::{Address, Frame, control};
use plugline::line::dlt645::item;
use plugline::line::insteon::checksum::crc16;

/// Address of the `index`th meter, from 0.
pub(crate) fn meter(index: usize) -> String {
    format!("{:012}", index + 1)
}

/// A meter's reply with one figure, `number` in packed decimal digits.
pub(crate) fn reply(meter_address: &str, di: u32, bytes: usize, number: u32) -> Vec<u8> {
    let address = Address::parse(meter_address).expect("twelve digits");
    let mut data = di.to_le_bytes().to_vec();
    let mut rest = number;
    for _ in 0..bytes {
        data.push((rest % 10 + (rest / 10 % 10) * 16) as u8);
        rest /= 100;
    }
    let mut out = Vec::new();
    Frame { address, control: control::READ | control::REPLY, data: &data }.emit(0, &mut out);
    out
}

/// A meter's reply with its power, in 0.1 W.
pub(crate) fn power(meter_address: &str, decawatts: u32) -> Vec<u8> {
    reply(meter_address, item::POWER, 3, decawatts % 800_000)
}

/// A dialect with a power figure in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Dlt645,
    Insteon,
}

/// The modem that INSTEON meters speak to.
pub(crate) const MODEM: [u8; 3] = [0x22, 0x33, 0x44];

impl Dialect {
    pub(crate) const BOTH: [Self; 2] = [Self::Dlt645, Self::Insteon];

    /// The word of the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dlt645 => "dlt645",
            Self::Insteon => "insteon",
        }
    }

    /// The configuration of the `index`th meter.
    pub(crate) fn device(self, index: usize) -> String {
        match self {
            Self::Dlt645 => format!("[[line.device]]\naddress = \"{}\"\n", meter(index)),
            Self::Insteon => {
                let [a, b, c] = insteon_id(index);
                format!("[[line.device]]\naddress = \"{a:02x}{b:02x}{c:02x}\"\nkind = \"meter\"\n")
            }
        }
    }

    /// What the `index`th meter says, with a figure made from `number`.
    pub(crate) fn power(self, index: usize, number: u32) -> Vec<u8> {
        match self {
            Self::Dlt645 => power(&meter(index), number),
            Self::Insteon => insteon_power(insteon_id(index), number),
        }
    }
}

fn insteon_id(index: usize) -> [u8; 3] {
    [0x19, 0x87, index as u8]
}

/// A meter's reply with its power and its count, which never falls.
fn insteon_power(id: [u8; 3], number: u32) -> Vec<u8> {
    let mut data = [0, 2, 1, 0x10, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0];
    data[6..8].copy_from_slice(&((number % 30_000) as u16).to_be_bytes());
    data[8..12].copy_from_slice(&number.to_be_bytes());
    let sum = crc16(0x82, 0, &data).to_be_bytes();
    data[12..].copy_from_slice(&sum);
    [&[0x02, 0x51], &id[..], &MODEM, &[0x1B, 0x82, 0x00], &data].concat()
}

/// Replies of eight meters: energy, power, voltage, current, frequency, relay.
pub(crate) fn dlt645(count: usize) -> Vec<Vec<u8>> {
    let figures: [(u32, usize); 6] = [
        (item::ENERGY, 4),
        (item::POWER, 3),
        (item::VOLTAGE, 2),
        (item::CURRENT, 3),
        (item::FREQUENCY, 2),
        (item::STATUS_WORD_3, 2),
    ];
    let frame = |index: usize| {
        let (di, bytes) = figures[index % figures.len()];
        reply(&meter(index % 8), di, bytes, 1_000 + index as u32 % 8_000)
    };
    (0..count).map(frame).collect()
}

/// Frames of an INSTEON modem: standard messages, meters' extended ones with their CRC, echoes of commands.
pub(crate) fn insteon(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| {
            let id = [0x1A, 0x77, index as u8];
            match index % 3 {
                0 => [&[0x02, 0x50], &id[..], &[0x22, 0x33, 0x44, 0x2B, 0x11, index as u8]].concat(),
                1 => insteon_meter(id, index),
                _ => [&[0x02, 0x62], &id[..], &[0x0F, 0x19, 0x00, 0x06]].concat(),
            }
        })
        .collect()
}

fn insteon_meter(id: [u8; 3], index: usize) -> Vec<u8> {
    let mut data = [0, 2, index as u8, 0x10, 0x64, 0x00, 0x3C, 0x00, 0x01, 0x02, 0x03, 0x04, 0, 0];
    let sum = crc16(0x82, 0, &data).to_be_bytes();
    data[12..].copy_from_slice(&sum);
    [&[0x02, 0x51], &id[..], &[0x22, 0x33, 0x44, 0x2B, 0x82, 0x00], &data[..]].concat()
}

/// The same frames, one byte of each changed, another one each time.
pub(crate) fn spoiled(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let spoil = |(index, frame): (usize, &Vec<u8>)| {
        let mut frame = frame.clone();
        let at = index % frame.len();
        frame[at] ^= 0x55;
        frame
    };
    frames.iter().enumerate().map(spoil).collect()
}
