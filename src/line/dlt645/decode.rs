//! A DL/T 645 frame as a name and a list of fields, for logs, `decode` and captures.
//!
//! Refuses to judge: a control byte or an identifier that nobody knows is still a good frame. Passwords are left
//! out: what is shown is read by many.

use super::frame::{Frame, Framer, control};
use super::item::{item_name, parse_item};
use crate::line::framing::{StreamDecoder, decode_one};
use crate::line::{Decoded, DecodedFrame, Malformed, Value};

/// Decodes bytes that should be exactly one frame, perhaps behind wake-up bytes.
///
/// # Errors
/// The first fault in the bytes.
pub fn decode(bytes: &[u8]) -> DecodedFrame {
    decode_one(Framer::new(), bytes)
}

impl StreamDecoder for Framer {
    fn push(&mut self, bytes: &[u8]) {
        Self::push(self, bytes);
    }

    fn end(&mut self) {
        self.drop_partial();
    }

    fn next_decoded(&mut self) -> Option<DecodedFrame> {
        Some(self.next()?.map(|frame| describe(&frame)).map_err(Malformed::from))
    }
}

/// Names of control codes: request, reply, error reply. Codes of the edition of 1997 are not among them.
const NAMES: [(u8, [&str; 3]); 10] = [
    (control::READ, ["read", "read_reply", "read_error"]),
    (control::READ_FOLLOWING, ["read_following", "read_following_reply", "read_following_error"]),
    (control::READ_ADDRESS, ["read_address", "read_address_reply", "read_address_error"]),
    (0x14, ["write", "write_reply", "write_error"]),
    (0x15, ["write_address", "write_address_reply", "write_address_error"]),
    (0x16, ["freeze", "freeze_reply", "freeze_error"]),
    (0x17, ["change_baud", "change_baud_reply", "change_baud_error"]),
    (0x18, ["change_password", "change_password_reply", "change_password_error"]),
    (control::RELAY, ["relay", "relay_reply", "relay_error"]),
    (0x08, ["broadcast_time", "unknown", "unknown"]),
];

/// Name of the frame with this control byte; `unknown` if there is none.
#[must_use]
pub fn frame_name(control_byte: u8) -> &'static str {
    let way = match control_byte & 0xC0 {
        0x00 => 0,
        0x80 => 1,
        0xC0 => 2,
        _ => return "unknown",
    };
    let code = control_byte & 0x1F;
    if control_byte & control::MORE != 0 && !matches!(control_byte, 0xB1 | 0xB2) {
        return "unknown";
    }
    NAMES.iter().find(|(known, _)| *known == code).map_or("unknown", |(_, names)| names[way])
}

/// Takes a frame apart.
#[must_use]
pub fn describe(frame: &Frame<'_>) -> Decoded {
    let name = frame_name(frame.control);
    let mut decoded =
        Decoded { frame: name, address: Some(frame.address.to_text()), fields: Vec::new(), reading: None };
    match name {
        "read" | "read_reply" | "read_following" | "read_following_reply" => item(frame, &mut decoded),
        "relay" => relay(frame, &mut decoded),
        "unknown" => {
            decoded.fields.push(("control", Value::Bytes(vec![frame.control])));
            raw(frame.data, &mut decoded);
        }
        // Behind the identifier stand password level and password.
        "write" | "change_password" => {
            let di = frame.item().map(|(di, _)| ("di", Value::Text(format!("{di:08x}"))));
            decoded.fields.extend(di);
        }
        _ if name.ends_with("_error") => error(frame, &mut decoded),
        _ => raw(frame.data, &mut decoded),
    }
    decoded
}

fn raw(data: &[u8], decoded: &mut Decoded) {
    if !data.is_empty() {
        decoded.fields.push(("data", Value::Bytes(data.to_vec())));
    }
}

fn item(frame: &Frame<'_>, decoded: &mut Decoded) {
    let Some((di, data)) = frame.item() else { return raw(frame.data, decoded) };
    decoded.fields.push(("di", Value::Text(format!("{di:08x}"))));
    if let Some(name) = item_name(di) {
        decoded.fields.push(("item", Value::Text(name.to_owned())));
    }
    if frame.control & control::MORE != 0 {
        decoded.fields.push(("more", Value::Flag(true)));
    }
    if frame.control & !control::MORE != control::READ | control::REPLY {
        // A request's block count or time, or a later part of a long answer: not figures of the identifier.
        return raw(data, decoded);
    }
    let value = parse_item(di, data);
    if let Some(on) = value.relay {
        decoded.fields.push(("relay", Value::Flag(on)));
    }
    decoded.fields.extend(value.fields);
    decoded.reading = (!value.reading.is_empty()).then_some(value.reading);
}

fn relay(frame: &Frame<'_>, decoded: &mut Decoded) {
    let Ok(&[level, _, _, _, c0, c1, c2, c3, n1, _, ss, mm, hh, dd, mo, yy]) =
        <&[u8; 16]>::try_from(frame.data)
    else {
        return;
    };
    let operation = match n1 {
        0x1A => "trip".to_owned(),
        0x1B => "allow_close".to_owned(),
        0x1C => "close".to_owned(),
        0x2A => "alarm_on".to_owned(),
        0x2B => "alarm_off".to_owned(),
        0x3A => "protect_on".to_owned(),
        0x3B => "protect_off".to_owned(),
        other => format!("{other:02x}"),
    };
    let expires = format!("{yy:02x}-{mo:02x}-{dd:02x} {hh:02x}:{mm:02x}:{ss:02x}");
    decoded.fields.extend([
        ("operation", Value::Text(operation)),
        ("password_level", Value::Text(format!("{level:02x}"))),
        ("operator", Value::Bytes(vec![c0, c1, c2, c3])),
        ("expires", Value::Text(expires)),
    ]);
}

/// Words for the bits of an error reply, from bit 0.
const ERRORS: [&str; 7] =
    ["other", "no_such_data", "not_authorised", "baud_fixed", "year_zones", "day_slots", "tariffs"];

/// The bits of an error reply as words, joined by commas.
#[must_use]
pub fn error_words(bits: u8) -> String {
    let set = ERRORS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    set.map(|(_, word)| *word).collect::<Vec<_>>().join(",")
}

fn error(frame: &Frame<'_>, decoded: &mut Decoded) {
    let Some((&bits, rest)) = frame.data.split_first() else { return };
    decoded.fields.push(("error_bits", Value::Bytes(vec![bits])));
    decoded.fields.push(("errors", Value::Text(error_words(bits))));
    raw(rest, decoded);
}

#[cfg(test)]
mod tests {
    use super::super::frame::Address;
    use super::*;

    fn named(control: u8, data: &[u8]) -> Decoded {
        describe(&Frame { address: Address::ANY, control, data })
    }

    #[test]
    fn a_frame_of_the_edition_of_1997_is_good_and_unknown() {
        for control in [0x01, 0x81, 0x04, 0x84, 0xC1, 0x88, 0x31] {
            let decoded = named(control, &[0x10, 0x90]);
            assert_eq!(decoded.frame, "unknown", "{control:02x}");
            assert_eq!(decoded.fields[1], ("data", Value::Bytes(vec![0x10, 0x90])));
        }
    }

    #[test]
    fn an_error_reply_names_its_reasons() {
        let decoded = named(0xDC, &[0x04]);
        assert_eq!(decoded.frame, "relay_error");
        assert!(decoded.fields.contains(&("errors", Value::Text("not_authorised".to_owned()))));
    }

    #[test]
    fn a_continued_reply_says_so() {
        let decoded = named(0xB1, &[0x00, 0xFF, 0x01, 0x00, 0x26, 0, 0, 0]);
        assert_eq!(decoded.frame, "read_reply");
        assert!(decoded.fields.contains(&("more", Value::Flag(true))));
        assert!(decoded.reading.is_some());
    }

    #[test]
    fn a_password_is_never_shown() {
        let relay = named(0x1C, &[2, 0x37, 0x06, 0x02, 1, 0, 0, 0, 0x1A, 0, 0, 0, 0, 0x30, 0x12, 0x99]);
        let write = named(0x14, &[1, 4, 0, 4, 2, 0x37, 0x06, 0x02, 1, 0, 0, 0]);
        for decoded in [relay, write] {
            assert!(!format!("{decoded:?}").contains("55, 6, 2"), "{decoded:?}");
        }
    }
}
