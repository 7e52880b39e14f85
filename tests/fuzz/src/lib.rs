//! What must hold for any bytes. The fuzz targets run these claims on inputs they invent; `tests/it/framers.rs` runs
//! them on the seeds and on random inputs.
//!
//! The first byte of an input says how its rest is cut into portions.

use plugline::line::framing::{Fault, StreamDecoder};
use plugline::line::{Decoded, Malformed, dlt645, insteon, plugline as own};

/// What came out of a framer, comparable and complete.
#[derive(Debug, PartialEq)]
enum Span {
    Frame(Vec<u8>),
    Fault(Fault),
}

impl Span {
    fn len(&self) -> usize {
        match self {
            Self::Frame(bytes) => bytes.len(),
            Self::Fault(fault) => fault.len,
        }
    }
}

/// DL/T 645: no panic; portions make no difference; each byte comes out once; frames are written as they were read.
pub fn dlt645_framer(input: &[u8]) {
    let Some((&portion, bytes)) = input.split_first() else { return };
    let out = dlt645_spans(bytes, bytes.len());
    assert_eq!(dlt645_spans(bytes, portion.into()), out, "in portions of {portion}");
    let (whole, idle) = out;
    assert_eq!(whole.iter().map(Span::len).sum::<usize>() + idle, bytes.len(), "bytes in and out");
    for span in &whole {
        match span {
            Span::Frame(frame) => {
                assert!(bytes.windows(frame.len()).any(|window| window == frame), "a frame nobody sent");
                dlt645::decode::decode(frame).expect("a good frame decodes alone");
            }
            Span::Fault(fault) => assert!(fault.len > 0, "an empty fault"),
        }
    }
    let _ = dlt645::decode::decode(bytes);
}

fn dlt645_spans(bytes: &[u8], portion: usize) -> (Vec<Span>, usize) {
    let mut framer = dlt645::frame::Framer::new();
    let mut spans = Vec::new();
    let mut drain = |framer: &mut dlt645::frame::Framer| {
        while let Some(next) = framer.next() {
            spans.push(match next {
                Ok(frame) => {
                    let mut out = Vec::new();
                    frame.emit(0, &mut out);
                    Span::Frame(out)
                }
                Err(fault) => Span::Fault(fault),
            });
        }
    };
    for chunk in bytes.chunks(portion.max(1)) {
        framer.push(chunk);
        drain(&mut framer);
    }
    framer.drop_partial();
    drain(&mut framer);
    assert!(!framer.has_partial(), "nothing is left after the end");
    (spans, framer.wake_up_bytes().try_into().expect("fewer than were pushed"))
}

/// INSTEON: the same claims, and any command that can be read is written as it was.
pub fn insteon_framer(input: &[u8]) {
    let Some((&portion, bytes)) = input.split_first() else { return };
    let whole = insteon_spans(bytes, bytes.len());
    assert_eq!(insteon_spans(bytes, portion.into()), whole, "in portions of {portion}");
    let written: Vec<u8> = {
        let mut at = 0;
        let mut written = Vec::new();
        for span in &whole {
            match span {
                Span::Frame(frame) => written.extend_from_slice(frame),
                Span::Fault(fault) => written.extend_from_slice(&bytes[at..at + fault.len]),
            }
            at += span.len();
        }
        written
    };
    assert_eq!(written, bytes, "bytes in and out");
    if let Ok(command) = insteon::frame::Command::parse(bytes) {
        assert_eq!(command.to_bytes(), bytes, "a command is written as it was read");
    }
    let _ = insteon::decode::decode(bytes);
}

fn insteon_spans(bytes: &[u8], portion: usize) -> Vec<Span> {
    let mut framer = insteon::frame::Framer::new();
    let mut spans = Vec::new();
    let mut drain = |framer: &mut insteon::frame::Framer| {
        while let Some(next) = framer.next() {
            spans.push(match next {
                Ok(frame) => {
                    // Every frame can be described.
                    assert!(!insteon::decode::describe(&frame).frame.is_empty(), "a frame without a name");
                    Span::Frame(frame.to_bytes())
                }
                Err(fault) => Span::Fault(fault),
            });
        }
    };
    for chunk in bytes.chunks(portion.max(1)) {
        framer.push(chunk);
        drain(&mut framer);
    }
    framer.drop_partial();
    drain(&mut framer);
    assert!(!framer.has_partial(), "nothing is left after the end");
    spans
}

/// A good packet of the host link: STATUS-REQ, as its vector has it.
const STATUS_REQ: [u8; 9] = [0x00, 0x07, 0x24, 0x07, 0xE7, 0x91, 0xAA, 0x14, 0x00];

/// The host link as `decode` and captures show it: no panic; portions make no difference; faults lie within the bytes,
/// one behind the other; a packet that was decoded decodes alone; and one with zeros at both ends is found whatever
/// came before.
pub fn plugline_packets(input: &[u8]) {
    let Some((&portion, bytes)) = input.split_first() else { return };
    let whole = packets(bytes, bytes.len());
    assert_eq!(packets(bytes, portion.into()), whole, "in portions of {portion}");
    let mut before = 0;
    for one in &whole {
        match one {
            Ok(packet) => {
                assert!(!packet.frame.is_empty() && !packet.fields.is_empty(), "a packet without a name")
            }
            Err(fault) => {
                assert!((before..bytes.len()).contains(&fault.offset), "{fault:?}");
                assert!(!fault.kind.is_empty() && !fault.detail.is_empty(), "{fault:?}");
                before = fault.offset;
            }
        }
    }
    let good = whole.iter().filter(|one| one.is_ok()).count();
    let behind = packets(&[bytes, &STATUS_REQ].concat(), usize::MAX);
    // Its first zero may end a packet that was cut off just there.
    let more = behind.iter().filter(|one| one.is_ok()).count() - good;
    assert!((1..=2).contains(&more), "{more} more");
    assert!(behind.last().is_some_and(|last| last.as_ref().is_ok_and(|packet| packet.frame == "status_req")));
    let _ = own::decode::decode(bytes);
}

fn packets(bytes: &[u8], portion: usize) -> Vec<Result<Decoded, Malformed>> {
    let mut decoder = own::decode::Packets::default();
    let mut found = Vec::new();
    for chunk in bytes.chunks(portion.max(1)) {
        decoder.push(chunk);
        found.extend(std::iter::from_fn(|| decoder.next_decoded()));
    }
    decoder.end();
    found.extend(std::iter::from_fn(|| decoder.next_decoded()));
    found
}
