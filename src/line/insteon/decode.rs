//! An INSTEON frame as a name and a list of fields, for logs, `decode` and captures.
//!
//! Refuses to judge what cannot be known: extended messages have no common check, so the field `sum` says which one
//! fits, and nothing is refused for it. The one exception, an energy meter's reply, is the framer's.

use super::checksum::Sum;
use super::frame::{Command, Frame, Framer};
use super::message::{Address, Flags, Kind, LinkRecord, METER_CMD1, Message, Outgoing, meter_reading};
use super::table::row;
use crate::line::framing::{StreamDecoder, decode_one};
use crate::line::{Decoded, DecodedFrame, Malformed, Value};

/// Decodes bytes that should be exactly one frame: from the modem, or else a command to it.
///
/// # Errors
/// The first fault in the bytes, read as coming from the modem.
pub fn decode(bytes: &[u8]) -> DecodedFrame {
    decode_one(Framer::new(), bytes)
        .or_else(|fault| Command::parse(bytes).map(|command| describe_command(&command)).map_err(|_| fault))
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

fn named(frame: &'static str) -> Decoded {
    Decoded { frame, address: None, fields: Vec::new(), reading: None }
}

impl Decoded {
    fn of(mut self, address: Address) -> Self {
        self.address = Some(address.to_string().into());
        self
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, value));
        self
    }
}

fn byte(value: u8) -> Value {
    Value::Text(format!("{value:02x}"))
}

fn number(value: u8) -> Value {
    Value::Number(value.into())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Takes a frame from the modem apart.
#[must_use]
pub fn describe(frame: &Frame) -> Decoded {
    match frame {
        Frame::Standard(message) => standard("standard", message),
        Frame::Unnamed5c(message) => standard("unnamed_5c", message),
        Frame::Extended(message, data) => extended(message, data),
        Frame::X10 { raw, flag } => x10(named("x10"), *raw, *flag),
        Frame::LinkCompleted { code, group, id, product } => {
            let mode = match code {
                0x00 => "responder",
                0x01 => "controller",
                0xFF => "deleted",
                _ => "unknown",
            };
            let decoded = named("link_completed").of(*id).with("mode", text(mode));
            decoded.with("group", number(*group)).product(*product)
        }
        Frame::Button(event) => {
            let action = match event & 0x0F {
                0x02 => "tapped",
                0x03 => "held",
                0x04 => "released",
                _ => "unknown",
            };
            named("button").with("button", number((event >> 4) + 1)).with("action", text(action))
        }
        Frame::UserReset => named("user_reset"),
        Frame::CleanupFailure { group, id, .. } => {
            named("cleanup_failure").of(*id).with("group", number(*group))
        }
        Frame::LinkRecord(record) => link(named("link_record"), record),
        Frame::CleanupStatus(ack) => named("cleanup_status").with("ack", Value::Flag(*ack)),
        Frame::DatabaseRecord { at, record } => {
            link(named("database_record").with("at", Value::Text(format!("{at:04x}"))), record)
        }
        Frame::Info { id, product, ack } => {
            named("info").of(*id).product(*product).with("ack", Value::Flag(*ack))
        }
        Frame::Config { bits, ack, .. } => config(named("config"), *bits).with("ack", Value::Flag(*ack)),
        Frame::Reply { command, ack } => {
            let mut decoded = describe_command(command).with("ack", Value::Flag(*ack));
            decoded.frame = row(command.code()).map_or("reply", |row| row.reply_name);
            decoded
        }
        Frame::ShortNak(code) => {
            let name = row(*code).map_or("unknown", |row| row.name);
            named("short_nak").with("command", text(name))
        }
        Frame::NotReady { .. } => named("not_ready"),
        Frame::LoneAck => named("lone_ack"),
    }
}

/// Takes a command to the modem apart.
#[must_use]
pub fn describe_command(command: &Command) -> Decoded {
    let decoded = named(row(command.code()).map_or("unknown", |row| row.name));
    match command {
        Command::Send(outgoing) => send(decoded, outgoing),
        Command::SendGroup { group, cmd1, cmd2 } => {
            decoded.with("group", number(*group)).with("cmd1", byte(*cmd1)).with("cmd2", byte(*cmd2))
        }
        Command::SendX10 { raw, flag } => x10(decoded, *raw, *flag),
        Command::StartLinking { mode, group } => {
            let mode = match mode {
                0x00 => "responder",
                0x01 => "controller",
                0x03 => "either",
                0xFF => "delete",
                _ => "unknown",
            };
            decoded.with("mode", text(mode)).with("group", number(*group))
        }
        Command::SetConfig(bits) => config(decoded, *bits),
        Command::ManageLink { action, record } => link(decoded.with("action", byte(*action)), record),
        Command::Other(raw) if !raw.body().is_empty() => {
            decoded.with("data", Value::Bytes(raw.body().to_vec()))
        }
        _ => decoded,
    }
}

impl Decoded {
    fn product(self, [category, subcategory, firmware]: [u8; 3]) -> Self {
        self.with("category", byte(category))
            .with("subcategory", byte(subcategory))
            .with("firmware", byte(firmware))
    }
}

fn x10(decoded: Decoded, raw: u8, flag: u8) -> Decoded {
    decoded.with("raw", byte(raw)).with("flag", byte(flag))
}

fn config(decoded: Decoded, bits: u8) -> Decoded {
    decoded
        .with("auto_link_off", Value::Flag(bits & 0x80 != 0))
        .with("monitor", Value::Flag(bits & 0x40 != 0))
        .with("manual_led", Value::Flag(bits & 0x20 != 0))
        .with("deadman_off", Value::Flag(bits & 0x10 != 0))
}

fn link(decoded: Decoded, record: &LinkRecord) -> Decoded {
    decoded
        .of(record.id)
        .with("flags", byte(record.flags))
        .with("in_use", Value::Flag(record.in_use()))
        .with("controller", Value::Flag(record.controller()))
        .with("group", number(record.group))
        .with("data", Value::Bytes(record.data.to_vec()))
}

fn flags(decoded: Decoded, flags: Flags) -> Decoded {
    decoded
        .with("type", text(flags.kind().name()))
        .with("hops_left", number(flags.hops_left()))
        .with("max_hops", number(flags.max_hops()))
}

fn send(decoded: Decoded, outgoing: &Outgoing) -> Decoded {
    let Outgoing { to, cmd1, cmd2, data, .. } = outgoing;
    let decoded = flags(decoded.of(*to), outgoing.flags).with("cmd1", byte(*cmd1)).with("cmd2", byte(*cmd2));
    match data {
        Some(data) => payload(decoded, data, Sum::of(*cmd1, *cmd2, data)),
        None => decoded,
    }
}

fn payload(decoded: Decoded, data: &[u8; 14], sum: Sum) -> Decoded {
    decoded.with("data", Value::Bytes(data.to_vec())).with("sum", text(sum.name()))
}

fn standard(name: &'static str, message: &Message) -> Decoded {
    let mut decoded = flags(named(name).of(message.from), message.flags);
    if let Some(report) = message.success_report() {
        return decoded
            .with("cmd1", byte(message.cmd1))
            .with("cleaned_cmd1", byte(report.cleaned_cmd1))
            .with("group", number(report.group))
            .with("devices", number(report.devices))
            .with("failed", number(report.failed));
    }
    decoded = match (message.broadcast_group(), message.flags.kind()) {
        (Some(group), _) => decoded.with("group", number(group)),
        (None, Kind::Broadcast) => decoded.product(message.to.0),
        (None, _) => decoded.with("to", Value::Text(message.to.to_string())),
    };
    decoded = decoded.with("cmd1", byte(message.cmd1)).with("cmd2", byte(message.cmd2));
    match message.nak_reason() {
        Some(reason) => decoded.with("nak", text(reason.name())),
        None => decoded,
    }
}

fn extended(message: &Message, data: &[u8; 14]) -> Decoded {
    let sum = Sum::of(message.cmd1, message.cmd2, data);
    let mut decoded = payload(standard("extended", message), data, sum);
    if message.cmd1 == METER_CMD1 && !matches!(message.flags.kind(), Kind::DirectNak) {
        decoded.reading = Some(meter_reading(data));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> Decoded {
        decode(bytes).unwrap()
    }

    #[test]
    fn one_argument_may_be_either_way() {
        let mut on = vec![2, 0x62, 0, 0, 4, 0x0F, 0x11, 0xFF];
        assert_eq!(shown(&on).frame, "send");
        on.push(6);
        assert_eq!(shown(&on).frame, "send_reply");
        on.push(6);
        assert!(decode(&on).is_err(), "a byte too many");
    }

    #[test]
    fn a_nak_says_why() {
        let nak = shown(&[2, 0x50, 0x10, 6, 0xD0, 0x18, 0xD4, 0x1D, 0xAB, 0x0D, 0xFF]);
        assert!(nak.fields.contains(&("nak", text("not_linked"))));
        assert_eq!(nak.address.as_deref(), Some("1006d0"));
    }

    #[test]
    fn a_success_report_counts_who_failed() {
        let report = shown(&[2, 0x50, 0x21, 0x7D, 0xB9, 0x11, 2, 1, 0xCB, 6, 1]);
        assert!(report.fields.contains(&("devices", number(2))));
        assert!(report.fields.contains(&("failed", number(1))));
    }

    #[test]
    fn a_wrong_sum_is_said_and_not_refused() {
        let mut bytes = vec![2, 0x62, 0xAA, 0xBB, 0xCC, 0x1F, 0x20, 0];
        bytes.extend([0; 13]);
        bytes.push(0x70);
        assert!(shown(&bytes).fields.contains(&("sum", text("none"))));
    }
}
