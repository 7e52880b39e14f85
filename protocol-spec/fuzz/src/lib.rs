//! What must hold for any bytes. The fuzz targets run these claims on inputs they invent; `tests/it/properties.rs` of
//! the protocol runs them on the seeds and on random inputs.

use plugline_protocol::fields::Fields;
use plugline_protocol::frame::{Frame, Header, Kind, MAX_PAYLOAD, MAX_PDU, Options, with_crc, without_crc};
use plugline_protocol::hostlink::{Deframer, MAX_ENCODED, Message, encode};
use plugline_protocol::label::Label;
use plugline_protocol::messages::{Beacon, Command, JoinDown, JoinUp, Payload, Report, Response};
use plugline_protocol::security::{self, Channel, Key, KeySet, Nonces, ShortKey};
use plugline_protocol::wire::Writer;
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

const WHO: Identity = Identity {
    eui: Eui64([0x02, 0xA0, 0xB1, 0xFF, 0xFE, 0x00, 0x12, 0x34]),
    network: NetworkId(0x4A17),
    short: ShortAddress(0x0012),
};
const NONCES: Nonces = Nonces {
    socket: [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17],
    gateway: [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27],
};

fn install() -> Key {
    Key::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

fn group_key() -> Key {
    Key::new(core::array::from_fn(|at| 0xC0 + at as u8))
}

fn count(list: &dyn Fields) -> usize {
    let mut fields = 0;
    list.fields(&mut |name, _| {
        assert!(!name.is_empty());
        fields += 1;
    });
    fields
}

/// A PDU: no panic; a frame that is one has the header that it was given, and goes through the CRC and back.
pub fn frame(pdu: &[u8]) {
    let _ = without_crc(pdu);
    let Ok(frame) = Frame::parse(pdu) else { return };
    assert!(pdu.len() <= MAX_PDU && pdu.len() >= 6);
    let header: &Header = frame.header();
    assert_eq!(header.octets(), pdu[..6], "the header is written as it was read");
    assert!(count(&frame) >= 7);
    assert!(pdu.ends_with(frame.tag()));
    let mut out = [0; MAX_PDU + 2];
    let on_line = with_crc(pdu, &mut out).expect("there is room");
    assert_eq!(without_crc(on_line), Some(pdu));
    let _ = JoinUp::parse(&frame).map(|up| count(&up));
    let _ = JoinDown::parse(&frame).map(|down| count(&down));
}

fn written<P: Payload>(message: &P) -> Vec<u8> {
    // Longer than any frame: a reader may be given what no frame can hold.
    let mut out = vec![0; 1 << 20];
    let mut writer = Writer::new(&mut out);
    message.emit(&mut writer).expect("there is room");
    writer.finish().to_vec()
}

/// A clear payload; its first byte says which message it is taken for. What could be read is written, and read again
/// as the same.
pub fn payload(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        0 => {
            let Ok(report) = Report::parse(bytes) else { return };
            let again = written(&report);
            // Reserved flags go, and what lies behind an unknown minute.
            assert_eq!(again.len(), bytes.len());
            assert_eq!(Report::parse(&again), Ok(report));
            count(&report);
        }
        1 => {
            let Ok(response) = Response::parse(bytes) else { return };
            assert_eq!(Response::parse(&written(&response)).map(|again| again.outcome), Ok(response.outcome));
            count(&response);
        }
        2 => {
            let Ok(beacon) = Beacon::parse(bytes) else { return };
            assert_eq!(written(&beacon), bytes, "a BEACON is written as it was read");
            assert!(beacon.quiet_s().is_none_or(|seconds| seconds <= 60));
            count(&beacon);
        }
        _ => {
            let Ok(command) = Command::parse(bytes) else { return };
            assert_eq!(written(&command), bytes, "a COMMAND is written as it was read");
            count(&command);
        }
    }
}

/// A PDU, tried with every key there is: whatever opens was sealed with that key.
pub fn open(pdu: &[u8]) {
    let Ok(frame) = Frame::parse(pdu) else { return };
    let keys = KeySet::joined(&install(), &WHO, &NONCES);
    let mut clear = [0; MAX_PAYLOAD];
    let channels = [
        Channel::up(&keys.up, &WHO),
        Channel::down(&keys.down, &WHO),
        Channel::group(&group_key(), WHO.network),
    ];
    for (kind, channel) in channels.iter().enumerate() {
        if let Ok(bytes) = channel.open(&frame, &mut clear) {
            let which = match (kind, frame.kind()) {
                (0, Kind::Report) => 0,
                (0, _) => 1,
                (1, _) => 3,
                _ => 2,
            };
            payload(&[&[which], bytes].concat());
        }
    }
    let short = ShortKey::new(&keys.ack, &WHO);
    let _ = short.is_ack(&frame, 0x1236);
    let _ = short.open_answer(&frame, 0x51);
    let _ = security::is_from_label(&install(), &frame);
    let _ = security::accept_join(&install(), WHO.eui, NONCES.socket, &frame);
    let _ = security::is_resume_ask(&keys.kek, &WHO, &frame);
    let _ = security::is_resume_up(&keys.kek, &WHO, NONCES.gateway, &frame);
    let _ = security::accept_resume(&keys.kek, &WHO, &NONCES, &frame);
    if let Ok(command) = Command::parse(frame.body()) {
        let mut out = [0; MAX_PDU];
        if let Ok(sealed) = channels[1].seal(Options::default(), 7, &command, &mut out) {
            let frame = Frame::parse(sealed).expect("what we seal is a frame");
            assert_eq!(channels[1].open(&frame, &mut clear), Ok(frame_body(&command).as_slice()));
        }
    }
}

fn frame_body(command: &Command) -> Vec<u8> {
    written(command)
}

/// Bytes of the host link: no panic; what is read is written to a packet that is read the same; and whatever came
/// before, a packet with zeros at both ends is found.
pub fn host_link(bytes: &[u8]) {
    let mut deframer = Deframer::new();
    for byte in bytes {
        let Some(Ok(packet)) = deframer.push(*byte) else { continue };
        let seq = packet.seq;
        let Ok(message) = Message::parse(&packet) else { continue };
        count(&message);
        let mut out = [0; MAX_ENCODED];
        let Ok(wire) = encode(seq, &message, &mut out) else { continue };
        assert!(comes_out(&mut Deframer::new(), wire, seq, &message), "{}", message.name());
    }
    let message = Message::Cancel { number: 7 };
    let mut out = [0; MAX_ENCODED];
    let wire = encode(200, &message, &mut out).expect("there is room");
    assert!(comes_out(&mut deframer, wire, 200, &message), "not in step after {bytes:02X?}");
}

fn comes_out(deframer: &mut Deframer, wire: &[u8], seq: u8, message: &Message<'_>) -> bool {
    wire.iter().any(|byte| match deframer.push(*byte) {
        Some(Ok(packet)) => packet.seq == seq && Message::parse(&packet).as_ref() == Ok(message),
        _ => false,
    })
}

/// A text that may be a label: no panic; a label is printed and read as the same.
pub fn label(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(label) = Label::parse(text) else { return };
    let mut printed = String::new();
    label.print(&mut printed).expect("a String takes everything");
    assert_eq!(Label::parse(&printed).as_ref(), Ok(&label));
}
