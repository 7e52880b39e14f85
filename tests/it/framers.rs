//! What holds for any bytes on a line: the claims of `tests/fuzz`, on its seeds and on random inputs, and more about
//! frames among noise.

use plugline::line::dlt645::frame::{Address, Frame, Framer, MAX_DATA};
use plugline::line::insteon;
use proptest::collection::vec;
use proptest::prelude::*;

#[expect(unreachable_pub, reason = "the file is a crate of its own for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod claims;

fn replay(target: &str, claim: fn(&[u8])) {
    let folder = format!("{}/tests/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        let mut input = std::fs::read(seed.unwrap().path()).unwrap();
        for portion in 0..=26 {
            input[0] = portion;
            claim(&input);
        }
        seen += 1;
    }
    assert!(seen > 5, "{target}: the seeds are gone");
}

#[test]
fn the_claims_hold_for_the_seeds_of_the_dlt645_fuzzer() {
    replay("dlt645_framer", claims::dlt645_framer);
}

#[test]
fn the_claims_hold_for_the_seeds_of_the_insteon_fuzzer() {
    replay("insteon_framer", claims::insteon_framer);
}

#[test]
fn the_claims_hold_for_the_seeds_of_the_plugline_fuzzer() {
    replay("plugline_packets", claims::plugline_packets);
}

/// A frame with everything owned, to be made up.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    address: [u8; 6],
    control: u8,
    data: Vec<u8>,
}

impl Owned {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Frame { address: Address(self.address), control: self.control, data: &self.data }.emit(0, &mut out);
        out
    }
}

fn frame() -> impl Strategy<Value = Owned> {
    (any::<[u8; 6]>(), any::<u8>(), vec(any::<u8>(), 0..=MAX_DATA))
        .prop_map(|(address, control, data)| Owned { address, control, data })
}

/// Bytes among which no DL/T 645 frame starts and none is a wake-up.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("starts a frame or wakes", |byte| !matches!(byte, 0x68 | 0xFE)), 1..40)
}

/// Bytes that look like parts of frames more often than chance has it.
fn lookalikes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(vec![0x68, 0x16, 0xFE, 0x00, 0x04, 0xC8, 0xC9]),
        3 => prop::sample::select(vec![0x02, 0x06, 0x15, 0x50, 0x51, 0x55, 0x56, 0x60, 0x62, 0x73, 0x77, 0x82]),
        1 => any::<u8>(),
    ];
    vec(byte, 0..400)
}

fn found(bytes: &[u8]) -> (Vec<Owned>, Vec<plugline::line::framing::Fault>) {
    let (mut frames, mut faults) = (Vec::new(), Vec::new());
    let mut framer = Framer::new();
    framer.push(bytes);
    framer.drop_partial();
    while let Some(next) = framer.next() {
        match next {
            Ok(Frame { address, control, data }) => {
                frames.push(Owned { address: address.0, control, data: data.to_vec() });
            }
            Err(fault) => faults.push(fault),
        }
    }
    (frames, faults)
}

/// Bytes of a frame from the modem, or of a command to it, of any code.
fn insteon_bytes(code: u8, body: &[u8], reply: bool) -> Vec<u8> {
    let row = insteon::table::row(code).unwrap();
    let mut bytes = vec![0x02, code];
    bytes.extend_from_slice(body);
    let len = if reply {
        insteon::table::modem_len(row, &bytes).unwrap()
    } else {
        insteon::table::host_len(row, &bytes[..8])
    };
    bytes.truncate(len);
    if reply && (row.host > 0 || code == 0x58) {
        bytes[len - 1] = 0x06;
    }
    bytes
}

proptest! {
    #[test]
    fn the_claims_hold_for_any_bytes(bytes in lookalikes()) {
        claims::dlt645_framer(&bytes);
        claims::insteon_framer(&bytes);
        claims::plugline_packets(&bytes);
    }

    #[test]
    fn a_frame_that_was_written_is_read_again(frame in frame()) {
        prop_assert_eq!(found(&frame.bytes()), (vec![frame], vec![]));
    }

    #[test]
    fn frames_among_noise_are_all_found(parts in vec((noise(), frame()), 1..8)) {
        let bytes: Vec<u8> =
            parts.iter().flat_map(|(noise, frame)| [noise.clone(), frame.bytes()]).flatten().collect();
        let (frames, faults) = found(&bytes);
        prop_assert_eq!(faults.iter().map(|fault| fault.len).collect::<Vec<_>>(),
            parts.iter().map(|(noise, _)| noise.len()).collect::<Vec<_>>());
        prop_assert_eq!(frames, parts.into_iter().map(|(_, frame)| frame).collect::<Vec<_>>());
    }

    #[test]
    fn a_flipped_bit_costs_one_frame_and_no_other(
        frames in vec(frame(), 2..6),
        (which, place, bit) in any::<(prop::sample::Index, prop::sample::Index, u8)>(),
    ) {
        let which = which.index(frames.len());
        let mut bytes = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            let start = bytes.len();
            bytes.extend(frame.bytes());
            if index == which {
                // Behind the length, so that what follows is not swallowed for want of bytes.
                let at = start + 10 + place.index(bytes.len() - start - 10);
                bytes[at] ^= 1 << (bit % 8);
            }
        }
        let (survivors, faults) = found(&bytes);
        let mut others = frames.clone();
        others.remove(which);
        prop_assert_eq!(survivors, others);
        prop_assert_eq!(faults.len(), 1);
        prop_assert_eq!(faults[0].len, frames[which].data.len() + 12);
    }

    #[test]
    fn every_insteon_frame_is_written_as_it_was_read(
        code in prop::sample::select(insteon::table::rows().map(|(code, _)| code).collect::<Vec<_>>()),
        body in vec(any::<u8>(), 40),
    ) {
        let bytes = insteon_bytes(code, &body, true);
        let mut framer = insteon::frame::Framer::new();
        framer.push(&bytes);
        match framer.next() {
            Some(Ok(frame)) => prop_assert_eq!(frame.to_bytes(), bytes),
            // The one message whose check is known.
            Some(Err(fault)) => prop_assert_eq!((fault.kind, code, bytes[9]), ("checksum", 0x51, 0x82)),
            None => prop_assert!(false, "{:02x?} is a whole frame", bytes),
        }
        prop_assert_eq!(framer.next(), None);
        if insteon::table::row(code).is_some_and(|row| row.host > 0) {
            let bytes = insteon_bytes(code, &body, false);
            prop_assert_eq!(insteon::frame::Command::parse(&bytes).unwrap().to_bytes(), bytes);
        }
    }

    #[test]
    fn insteon_frames_among_noise_are_all_found(
        parts in vec((vec(any::<u8>().prop_filter("starts a frame", |byte| !matches!(byte, 2 | 6 | 0x15)), 1..20),
            any::<[u8; 9]>()), 1..8),
    ) {
        let mut bytes = Vec::new();
        for (noise, message) in &parts {
            bytes.extend_from_slice(noise);
            bytes.extend([0x02, 0x50]);
            bytes.extend(message);
        }
        let mut framer = insteon::frame::Framer::new();
        framer.push(&bytes);
        let mut frames = Vec::new();
        while let Some(next) = framer.next() {
            frames.extend(next.ok().map(|frame| frame.to_bytes()[2..].to_vec()));
        }
        prop_assert_eq!(frames, parts.iter().map(|(_, message)| message.to_vec()).collect::<Vec<_>>());
    }
}
