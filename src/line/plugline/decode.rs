//! Packets of the host link and frames of the line as a name and a list of fields, for logs, `decode` and captures.
//!
//! Without keys: what is sealed stays hex. The lists are those of the protocol crate.

use std::collections::VecDeque;

use plugline_protocol::fields::{Fields, Value as Octets};
use plugline_protocol::frame::{Frame, HEADER_LEN, Kind, SECURED_HEADER_LEN, TAG_LEN, without_crc};
use plugline_protocol::hostlink::{Deframer, LinkError, Message};
use plugline_protocol::messages::{JoinDown, JoinUp};

use super::member::spelled;
use crate::line::framing::{StreamDecoder, decode_one};
use crate::line::{Decoded, DecodedFrame, Malformed, Value};

/// Decodes bytes that should be exactly one packet of the host link, or one frame with its CRC as it is on the line.
///
/// # Errors
/// The first fault in the bytes.
pub fn decode(bytes: &[u8]) -> DecodedFrame {
    // A packet stands between zeros, and no frame of this version starts with one.
    if bytes.first() == Some(&0) {
        return decode_one(Packets::default(), bytes);
    }
    let detail = || "the CRC does not fit".to_owned();
    let at = bytes.len().saturating_sub(2);
    let pdu = without_crc(bytes).ok_or_else(|| Malformed { kind: "crc", offset: at, detail: detail() })?;
    let mut decoded = Decoded { frame: "frame", address: None, fields: Vec::new(), reading: None };
    frame(pdu, &mut decoded)?;
    Ok(decoded)
}

/// A stream of the host link's bytes, of either direction.
#[derive(Debug, Default)]
pub struct Packets {
    deframer: Deframer,
    /// Bytes so far, and where the present packet began.
    seen: usize,
    began: usize,
    found: VecDeque<DecodedFrame>,
}

impl StreamDecoder for Packets {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.deframer.pending() == 0 {
                self.began = self.seen;
            }
            self.seen += 1;
            if let Some(packet) = self.deframer.push(*byte) {
                let offset = self.began;
                let described = packet.map_err(|error| fault(error, offset)).and_then(|packet| {
                    let bad = |error: plugline_protocol::wire::ParseError| Malformed {
                        kind: "message",
                        offset,
                        detail: error.to_string(),
                    };
                    Ok(message(packet.seq, &Message::parse(&packet).map_err(bad)?))
                });
                self.found.push_back(described);
            }
        }
    }

    fn end(&mut self) {
        if self.deframer.pending() > 0 {
            let detail = format!("the packet ends after {} bytes", self.deframer.pending());
            self.found.push_back(Err(Malformed { kind: "truncated", offset: self.began, detail }));
            self.deframer.reset();
        }
    }

    fn next_decoded(&mut self) -> Option<DecodedFrame> {
        self.found.pop_front()
    }
}

fn fault(error: LinkError, offset: usize) -> Malformed {
    let detail = match error {
        LinkError::Stuffing => "the bytes are no COBS",
        LinkError::Short => "the packet is too short for type, number and CRC",
        LinkError::Crc => "the CRC does not fit",
        LinkError::Long => "no packet is that long",
    };
    Malformed { kind: error.name(), offset, detail: detail.to_owned() }
}

fn add(fields: &mut Vec<(&'static str, Value)>, list: &dyn Fields, skip: &str) {
    list.fields(&mut |name, value| {
        let value = match value {
            Octets::Number(number) => Value::Number(number),
            Octets::Flag(flag) => Value::Flag(flag),
            Octets::Word(word) => Value::Text(word.to_owned()),
            Octets::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Octets::Absent => return,
        };
        if name != skip {
            fields.push((name, value));
        }
    });
}

fn message(number: u8, message: &Message<'_>) -> Decoded {
    let mut decoded = Decoded { frame: message.name(), address: None, fields: Vec::new(), reading: None };
    decoded.fields.push(("number", Value::Number(number.into())));
    add(&mut decoded.fields, message, "message");
    if let Message::Transmit(plugline_protocol::hostlink::Transmit { pdu, .. })
    | Message::Receive(plugline_protocol::hostlink::Receive { pdu, .. }) = message
    {
        let mut inner = Decoded { frame: "", address: None, fields: Vec::new(), reading: None };
        match frame(pdu, &mut inner) {
            // A PDU that is no frame of this version is carried all the same; why is said beside it.
            Err(fault) => decoded.fields.push(("not_a_frame", Value::Text(fault.detail))),
            Ok(()) => {
                decoded.address = inner.address;
                decoded.fields.push(("kind", Value::Text(inner.frame.to_owned())));
                decoded.fields.append(&mut inner.fields);
            }
        }
    }
    decoded
}

/// Takes a PDU apart, as far as that goes without keys.
fn frame(pdu: &[u8], into: &mut Decoded) -> Result<(), Malformed> {
    let bad = |detail: String| Malformed { kind: "frame", offset: 0, detail };
    let frame = Frame::parse(pdu).map_err(|error| bad(error.to_string()))?;
    into.frame = frame.kind().name();
    add(&mut into.fields, &frame, "frame");
    let sealed = match frame.kind() {
        Kind::JoinUp => {
            let up = JoinUp::parse(&frame).map_err(|error| bad(error.to_string()))?;
            into.address = Some(spelled(up.eui).into());
            add(&mut into.fields, &up, "");
            None
        }
        Kind::JoinDown => {
            let down = JoinDown::parse(&frame).map_err(|error| bad(error.to_string()))?;
            into.address = Some(spelled(down.eui).into());
            add(&mut into.fields, &down, "");
            pdu.get(HEADER_LEN + 16..pdu.len() - TAG_LEN)
        }
        kind if kind.is_secured() => pdu.get(SECURED_HEADER_LEN..pdu.len() - TAG_LEN),
        Kind::Answer => pdu.get(HEADER_LEN + 1..HEADER_LEN + 2),
        _ => None,
    };
    if let Some(sealed) = sealed {
        into.fields.push(("sealed", Value::Bytes(sealed.to_vec())));
    }
    into.fields.push(("tag", Value::Bytes(frame.tag().to_vec())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// `protocol-spec/host-link.md` §9.2.
    const RX_IND: &str = "00 05 21 03 19 47 01 01 01 01 05 34 BF 15 44 03 4A 17 02 12 01 24 12 34 17 AA B4 E3 8B D5 DB 0D \
                          7E B7 23 BA 14 51 AC 73 5D A0 A4 D4 31 D3 F2 73 58 68 9B E4 FA 15 94 E7 E7 00";
    /// `protocol-spec/join.md` §7.2.
    const JOIN_UP: &str = "58 00 FF FF FF FF 02 A0 B1 FF FE 00 12 34 00 13 01 07 10 11 12 13 14 15 16 17 C2 A3 21 BC CA 65 \
                           13 87 BC BF";

    fn field(decoded: &Decoded, name: &str) -> Option<Value> {
        decoded.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_packet_shows_the_frame_that_it_carries() {
        let decoded = decode(&hex(RX_IND)).expect("an example of the text");
        assert_eq!(decoded.frame, "rx_ind");
        assert_eq!(field(&decoded, "kind"), Some(Value::Text("report".into())));
        assert_eq!(field(&decoded, "counter"), Some(Value::Number(0x1234)));
        assert_eq!(field(&decoded, "snr_db"), Some(Value::Number(25)));
    }

    #[test]
    fn a_frame_of_the_line_is_known_by_its_crc() {
        let decoded = decode(&hex(JOIN_UP)).expect("an example of the text");
        assert_eq!((decoded.frame, decoded.address.as_deref()), ("join_up", Some("02a0b1fffe001234")));
        let mut broken = hex(JOIN_UP);
        broken[9] ^= 1;
        assert_eq!(decode(&broken).expect_err("one bit fell over").kind, "crc");
        assert_eq!(decode(&[]).expect_err("nothing").kind, "crc");
    }

    #[test]
    fn packets_are_found_in_a_stream_in_any_portions_and_faults_say_where() {
        let bytes = [&hex("55 AA 00")[..], &hex(RX_IND), &hex("00 02")].concat();
        for portion in [1, 7, bytes.len()] {
            let mut packets = Packets::default();
            bytes.chunks(portion).for_each(|chunk| packets.push(chunk));
            packets.end();
            let all: Vec<DecodedFrame> = std::iter::from_fn(|| packets.next_decoded()).collect();
            let kinds: Vec<_> =
                all.iter().map(|one| one.as_ref().map(|d| d.frame).map_err(|m| (m.kind, m.offset))).collect();
            let end = bytes.len() - 1;
            assert_eq!(kinds, [Err((kinds[0].unwrap_err().0, 0)), Ok("rx_ind"), Err(("truncated", end))]);
        }
    }
}
