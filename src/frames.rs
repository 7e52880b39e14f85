//! Frames of every dialect as JSON: the table of dialects that can be taken apart, and the one view that `decode`,
//! captures and the live view share. Pure.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::json::{ReadingView, text};
use crate::line::framing::StreamDecoder;
use crate::line::{Decoded, DecodedFrame, Malformed, Value, dlt645, insteon, plugline};

/// Most bytes that are remembered as those of a frame that is not at its end; a framer gives up far earlier.
const PENDING_MAX: usize = 4096;

/// A dialect that can be decoded.
#[derive(Debug)]
pub struct Dialect {
    /// Its name.
    pub name: &'static str,
    /// Decodes bytes that should be exactly one frame.
    pub one: fn(&[u8]) -> DecodedFrame,
    /// Takes a stream apart.
    pub stream: fn() -> Box<dyn StreamDecoder>,
}

static DIALECTS: [Dialect; 3] = [
    Dialect {
        name: "dlt645",
        one: dlt645::decode::decode,
        stream: || Box::<dlt645::frame::Framer>::default(),
    },
    Dialect {
        name: "insteon",
        one: insteon::decode::decode,
        stream: || Box::<insteon::frame::Framer>::default(),
    },
    Dialect {
        name: "plugline",
        one: plugline::decode::decode,
        stream: || Box::<plugline::decode::Packets>::default(),
    },
];

/// Names of the dialects, in order.
pub fn dialects() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|dialect| dialect.name)
}

/// A dialect by its name.
#[must_use]
pub fn dialect(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|known| known.name == name)
}

/// What passes a port, frame by frame: those that come to their end in a chunk from the line, and the one that is
/// written.
pub struct Interpreter {
    dialect: &'static Dialect,
    stream: Box<dyn StreamDecoder>,
    /// Bytes since the last frame ended.
    pending: Vec<u8>,
}

impl Interpreter {
    /// `None` for a dialect that is not known.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let dialect = dialect(name)?;
        Some(Self { dialect, stream: (dialect.stream)(), pending: Vec::new() })
    }

    /// Bytes came from the line: what ended with them, each with its bytes.
    pub fn frames(&mut self, bytes: &[u8]) -> Vec<(Vec<u8>, DecodedFrame)> {
        let mut frames = Vec::new();
        for byte in bytes {
            self.stream.push(std::slice::from_ref(byte));
            if self.pending.len() < PENDING_MAX {
                self.pending.push(*byte);
            }
            while let Some(frame) = self.stream.next_decoded() {
                frames.push((std::mem::take(&mut self.pending), frame));
            }
        }
        frames
    }

    /// What was written as a frame. What a modem is told need not be one.
    pub fn one(&self, bytes: &[u8]) -> DecodedFrame {
        (self.dialect.one)(bytes)
    }

    /// What a chunk from the line said, as the objects that `decode` prints.
    pub fn received(&mut self, bytes: &[u8]) -> String {
        let said = self.frames(bytes).into_iter().map(|(_, frame)| self.shown(&frame));
        said.collect::<Vec<_>>().join(" ")
    }

    /// What bytes to the line say; empty when they are no frame.
    #[must_use]
    pub fn written(&self, bytes: &[u8]) -> String {
        let frame = self.one(bytes);
        if frame.is_ok() { self.shown(&frame) } else { String::new() }
    }

    fn shown(&self, frame: &DecodedFrame) -> String {
        text(&Shown { dialect: self.dialect.name, frame })
    }
}

/// A frame as `decode` prints it.
pub struct Shown<'a> {
    /// Its dialect.
    pub dialect: &'static str,
    /// What it says.
    pub frame: &'a DecodedFrame,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ok", &self.frame.is_ok())?;
        match self.frame {
            Ok(decoded) => {
                map.serialize_entry("dialect", self.dialect)?;
                map.serialize_entry("frame", decoded.frame)?;
                members(&mut map, decoded)?;
            }
            Err(malformed) => map.serialize_entry("error", &Fault(malformed))?,
        }
        map.end()
    }
}

/// The word for a frame: its name, or `malformed`.
#[must_use]
pub fn kind(frame: &DecodedFrame) -> &'static str {
    frame.as_ref().map_or("malformed", |decoded| decoded.frame)
}

/// What a frame holds: address, fields and reading under the names that `decode` prints, or the fault.
pub struct Fields<'a>(pub &'a DecodedFrame);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ok(decoded) => {
                let mut map = serializer.serialize_map(None)?;
                members(&mut map, decoded)?;
                map.end()
            }
            Err(malformed) => Fault(malformed).serialize(serializer),
        }
    }
}

fn members<M: SerializeMap>(map: &mut M, decoded: &Decoded) -> Result<(), M::Error> {
    let Decoded { address, fields, reading, .. } = decoded;
    if let Some(address) = address {
        map.serialize_entry("address", &**address)?;
    }
    for (name, value) in fields {
        map.serialize_entry(name, &ShownValue(value))?;
    }
    if let Some(reading) = reading {
        map.serialize_entry("reading", &ReadingView::from(*reading))?;
    }
    Ok(())
}

struct Fault<'a>(&'a Malformed);

impl Serialize for Fault<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("kind", self.0.kind)?;
        map.serialize_entry("offset", &self.0.offset)?;
        map.serialize_entry("detail", &self.0.detail)?;
        map.end()
    }
}

struct ShownValue<'a>(&'a Value);

impl Serialize for ShownValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => serializer.serialize_i64(*number),
            // A binary float could not hold every decimal.
            Value::Decimal(decimal) => RawValue::from_string(decimal.to_string())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                serializer.collect_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_has_its_own_bytes_however_they_come() {
        let one = [0xfe, 0x68, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x68, 0x13, 0x00, 0x79, 0x16];
        let both = [&one[..], &one[1..]].concat();
        for portion in [1, 5, both.len()] {
            let mut interpreter = Interpreter::new("dlt645").expect("a dialect");
            let frames: Vec<_> = both.chunks(portion).flat_map(|chunk| interpreter.frames(chunk)).collect();
            let bytes: Vec<&[u8]> = frames.iter().map(|(bytes, _)| &bytes[..]).collect();
            assert_eq!(bytes, [&one[..], &one[1..]]);
            assert!(frames.iter().all(|(_, frame)| frame.is_ok()), "{frames:?}");
        }
    }
}
