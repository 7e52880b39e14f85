//! What must hold for any bytes. The fuzz targets run these claims on inputs they invent; `tests/it/framers.rs` runs
//! them on the seeds and on random inputs.
//!
//! The first byte of an input says how its rest is cut into portions.

use plugline::line::framing::Fault;
use plugline::line::{dlt645, insteon};

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
