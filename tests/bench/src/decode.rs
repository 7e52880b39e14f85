//! `decode`: bytes of a port into frames and values, beside the work that no decoder is spared.
//!
//! The floor knows where each frame begins, so it does not search: it copies the bytes in as the decoder must, makes
//! the protocol's own check over them, and turns the packed digits into a number. JSON is nobody's part of it.

use std::hint::black_box;
use std::time::Duration;

use crc::{CRC_16_IBM_SDLC, Crc};
use plugline::line::dlt645::frame::Framer;
use plugline::line::dlt645::item::parse_figures;
use plugline::line::insteon::frame::{Frame as Insteon, Framer as InsteonFramer};
use plugline::line::insteon::message::{METER_CMD1, meter_reading};

use crate::frames;
use crate::report::{Report, Row};
use crate::rounds::{least, nanos};

/// Bytes that a port hands over at once.
const CHUNK: usize = 512;
const FRAMES: usize = 3000;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

pub(crate) fn run(quick: bool, report: &mut Report) {
    let round = Duration::from_millis(if quick { 20 } else { 150 });
    let rounds = if quick { 3 } else { 9 };
    let floor = "copy in, sum, digits to numbers";
    dialect((rounds, round), ("dlt645", floor), frames::dlt645(FRAMES), dlt645, dlt645_floor, report);
    let floor = "copy in, CRC-16 (crate crc) of meters' frames, sum of others";
    dialect((rounds, round), ("insteon", floor), frames::insteon(FRAMES), insteon, insteon_floor, report);
}

type Decoder = fn(&[u8]) -> i64;
type Floor = fn(&[u8], &[usize], &mut Vec<u8>) -> i64;

fn dialect(
    (rounds, round): (usize, Duration),
    (name, floor_name): (&'static str, &'static str),
    all: Vec<Vec<u8>>,
    decoder: Decoder,
    floor: Floor,
    report: &mut Report,
) {
    let lens: Vec<usize> = all.iter().map(Vec::len).collect();
    let (good, bad) = (all.concat(), frames::spoiled(&all).concat());
    let (mut floors, mut goods, mut bads) = (Vec::new(), Vec::new(), Vec::new());
    let mut buffer = Vec::with_capacity(4096);
    for _ in 0..rounds {
        floors.push(nanos(round, || {
            black_box(floor(black_box(&good), &lens, &mut buffer));
        }));
        goods.push(nanos(round, || {
            black_box(decoder(black_box(&good)));
        }));
        bads.push(nanos(round, || {
            black_box(decoder(black_box(&bad)));
        }));
    }
    let per_frame = |figures: Vec<f64>| least(figures) / all.len() as f64;
    let (floor, good, bad) = (per_frame(floors), per_frame(goods), per_frame(bads));
    let mut row = |case: &str, value, unit, against, goal| {
        report.row(Row { bench: "decode", case: format!("{name} {case}"), value, unit, against, goal });
    };
    row("good frames", good, "ns/frame", Some((floor_name, floor)), "≤ 2×");
    row("good frames", 1e9 / good, "frames/s", Some((floor_name, 1e9 / floor)), "");
    row("one byte of each frame wrong", bad, "ns/frame", Some(("good frames", good)), "≤ 1×");
}

fn dlt645(stream: &[u8]) -> i64 {
    let mut framer = Framer::new();
    let mut total = 0;
    for chunk in stream.chunks(CHUNK) {
        framer.push(chunk);
        while let Some(next) = framer.next() {
            let Some((di, data)) = next.ok().and_then(|frame| frame.item()) else { continue };
            let (reading, relay) = parse_figures(di, data);
            black_box(&reading);
            total += 1 + i64::from(relay == Some(true));
        }
    }
    total
}

fn dlt645_floor(stream: &[u8], lens: &[usize], buffer: &mut Vec<u8>) -> i64 {
    let mut total = 0;
    let mut rest = stream;
    for len in lens {
        let (frame, after) = rest.split_at(*len);
        rest = after;
        buffer.clear();
        buffer.extend_from_slice(frame);
        let sum = buffer[..len - 2].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        total += i64::from(sum == buffer[len - 2]);
        let digits = buffer[14..len - 2].iter().rev();
        total += digits.fold(0, |number, byte| {
            let plain = byte.wrapping_sub(0x33);
            number * 100 + i64::from(plain >> 4) * 10 + i64::from(plain & 15)
        });
    }
    total
}

fn insteon(stream: &[u8]) -> i64 {
    let mut framer = InsteonFramer::new();
    let mut total = 0;
    for chunk in stream.chunks(CHUNK) {
        framer.push(chunk);
        while let Some(next) = framer.next() {
            total += match next {
                Ok(Insteon::Extended(message, data)) if message.cmd1 == METER_CMD1 => {
                    black_box(&meter_reading(&data));
                    1
                }
                Ok(Insteon::Standard(message)) => i64::from(message.cmd2),
                Ok(_) => 1,
                Err(_) => 0,
            };
        }
    }
    total
}

fn insteon_floor(stream: &[u8], lens: &[usize], buffer: &mut Vec<u8>) -> i64 {
    let mut total = 0;
    let mut rest = stream;
    for len in lens {
        let (frame, after) = rest.split_at(*len);
        rest = after;
        buffer.clear();
        buffer.extend_from_slice(frame);
        total += match buffer[1] {
            0x51 => i64::from(CRC.checksum(&buffer[9..])),
            _ => buffer.iter().map(|byte| i64::from(*byte)).sum(),
        };
    }
    total
}
