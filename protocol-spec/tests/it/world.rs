//! The world in which the vectors were made (`security.md` §5.10), and what this crate makes of a frame in it.

use plugline_protocol::fields::{Fields, Value};
use plugline_protocol::frame::{Frame, FrameError, Kind, MAX_PAYLOAD, without_crc};
use plugline_protocol::messages::{Beacon, Command, Grant, JoinDown, JoinUp, Outcome, Report, Response};
use plugline_protocol::security::{self, Channel, JoinError, Key, KeySet, Nonces, OpenError, ShortKey};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};
use serde_json::{Map, Value as Json};

pub(crate) const WHO: Identity = Identity {
    eui: Eui64([0x02, 0xA0, 0xB1, 0xFF, 0xFE, 0x00, 0x12, 0x34]),
    network: NetworkId(0x4A17),
    short: ShortAddress(0x0012),
};
pub(crate) const NS: [u8; 8] = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17];
pub(crate) const NG: [u8; 8] = [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27];
pub(crate) const NONCES: Nonces = Nonces { socket: NS, gateway: NG };
pub(crate) const LATER_NONCES: Nonces = Nonces {
    socket: [0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37],
    gateway: [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47],
};

pub(crate) fn install() -> Key {
    Key::new(core::array::from_fn(|at| at as u8))
}

pub(crate) fn group_key() -> Key {
    Key::new(core::array::from_fn(|at| 0xC0 + at as u8))
}

pub(crate) fn keys() -> KeySet {
    KeySet::joined(&install(), &WHO, &NONCES)
}

pub(crate) fn later_keys() -> KeySet {
    KeySet::resumed(&keys().kek, &WHO, &LATER_NONCES)
}

pub(crate) fn grant() -> Grant {
    Grant { group_key: group_key(), group_counter: 6, slot: Some(3) }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Why a frame is not believed, in the words of `line.md` §3.6.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    /// How a genuine COMMAND that cannot be done is answered.
    pub(crate) outcome: Option<Outcome>,
}

impl Refused {
    pub(crate) fn because(kind: &'static str) -> Self {
        Self { kind, outcome: None }
    }
}

pub(crate) fn listed(list: &dyn Fields, into: &mut Map<String, Json>) {
    list.fields(&mut |name, value| {
        let value = match value {
            Value::Number(number) => number.into(),
            Value::Flag(flag) => flag.into(),
            Value::Word(word) => word.into(),
            Value::Bytes(bytes) => hex(bytes).into(),
            Value::Absent => Json::Null,
        };
        assert!(into.insert(name.to_owned(), value).is_none(), "{name} is listed twice");
    });
}

fn forged(error: OpenError) -> Refused {
    match error {
        OpenError::Forged => Refused::because("forged"),
        other => panic!("{other}"),
    }
}

fn of_join(error: JoinError) -> Refused {
    match error {
        JoinError::Forged => Refused::because("forged"),
        JoinError::Malformed => Refused::because("malformed"),
        JoinError::NotForUs => panic!("the frame is for this socket"),
    }
}

/// What a party of this world makes of a frame as it was on the line. `about` is the counter that an ACK or ANSWER is
/// expected to be about.
pub(crate) fn judge(on_line: &[u8], about: Option<u32>) -> Result<Map<String, Json>, Refused> {
    let pdu = without_crc(on_line).ok_or(Refused::because("crc"))?;
    let frame = Frame::parse(pdu).map_err(|error| {
        Refused::because(match error {
            FrameError::Version(_) => "version",
            FrameError::Kind(_) => "kind",
            FrameError::Length { .. } => "length",
            FrameError::Address { .. } => "address",
        })
    })?;
    if frame.kind() != Kind::JoinUp && frame.network() != WHO.network {
        return Err(Refused::because("foreign"));
    }
    let mut all = Map::new();
    listed(&frame, &mut all);
    if frame.kind().is_secured() {
        secured(&frame, &mut all)?;
    } else {
        unsecured(&frame, about, &mut all)?;
    }
    Ok(all)
}

pub(crate) fn channel_of(kind: Kind) -> Channel {
    match kind {
        Kind::Report | Kind::Response => Channel::up(&keys().up, &WHO),
        Kind::Command => Channel::down(&keys().down, &WHO),
        _ => Channel::group(&group_key(), WHO.network),
    }
}

fn secured(frame: &Frame<'_>, all: &mut Map<String, Json>) -> Result<(), Refused> {
    let mut clear = [0; MAX_PAYLOAD];
    let payload = channel_of(frame.kind()).open(frame, &mut clear).map_err(forged)?;
    let malformed = |_| Refused::because("malformed");
    match frame.kind() {
        Kind::Report => listed(&Report::parse(payload).map_err(malformed)?, all),
        Kind::Response => listed(&Response::parse(payload).map_err(malformed)?, all),
        Kind::Beacon => listed(&Beacon::parse(payload).map_err(malformed)?, all),
        Kind::Command => {
            let command = Command::parse(payload);
            let command = command.map_err(|no| Refused { kind: "rejected", outcome: Some(no.outcome) })?;
            listed(&command, all);
        }
        other => panic!("{} has no vectors", other.name()),
    }
    Ok(())
}

fn unsecured(frame: &Frame<'_>, about: Option<u32>, all: &mut Map<String, Json>) -> Result<(), Refused> {
    let genuine = |good: bool| if good { Ok(()) } else { Err(Refused::because("forged")) };
    let short = ShortKey::new(&keys().ack, &WHO);
    let later = LATER_NONCES;
    match frame.kind() {
        Kind::Ack => genuine(short.is_ack(frame, about.unwrap()))?,
        Kind::Answer => listed(&short.open_answer(frame, about.unwrap()).map_err(forged)?, all),
        Kind::JoinUp => {
            genuine(security::is_from_label(&install(), frame))?;
            listed(&JoinUp::parse(frame).unwrap(), all);
        }
        Kind::JoinDown => {
            let joined = security::accept_join(&install(), WHO.eui, NS, frame).map_err(of_join)?;
            listed(&JoinDown::parse(frame).unwrap(), all);
            listed(&joined.grant, all);
        }
        Kind::ResumeAsk => {
            let nonce = security::is_resume_ask(&keys().kek, &WHO, frame);
            genuine(nonce.is_some())?;
            all.insert("gateway_nonce".into(), hex(&nonce.unwrap()).into());
        }
        Kind::ResumeUp => {
            let nonces = security::is_resume_up(&keys().kek, &WHO, later.gateway, frame);
            genuine(nonces.is_some())?;
            all.insert("socket_nonce".into(), hex(&nonces.unwrap().socket).into());
        }
        Kind::ResumeDown => {
            let joined = security::accept_resume(&keys().kek, &WHO, &later, frame).map_err(of_join)?;
            listed(&joined.grant, all);
        }
        other => panic!("{} is secured", other.name()),
    }
    Ok(())
}
