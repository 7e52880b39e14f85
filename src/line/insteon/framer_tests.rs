//! Claims about the host link.

use super::super::frame::Command;
use super::super::message::{Address, Outgoing};
use super::super::table::rows;
use super::*;

fn all(bytes: &[u8], end: bool) -> Vec<Result<Frame, Fault>> {
    let mut framer = Framer::new();
    framer.push(bytes);
    if end {
        framer.drop_partial();
    }
    std::iter::from_fn(|| framer.next()).collect()
}

#[test]
fn every_frame_of_the_table_is_written_as_it_was_read() {
    for (code, row) in rows() {
        let mut bytes = vec![0x33; usize::from(row.modem)];
        bytes[0] = START;
        bytes[1] = code;
        match code {
            0x55 => {}
            0x56 => bytes[2] = 0x01,
            0x62 => bytes[5] = 0x0F,
            _ => {}
        }
        if row.host > 0 || code == 0x58 {
            *bytes.last_mut().unwrap() = ACK;
        }
        let frames = all(&bytes, false);
        assert_eq!(frames.len(), 1, "{code:02x}");
        assert_eq!(frames[0].unwrap().to_bytes(), bytes, "{code:02x}");
        if row.host > 0 {
            let command = &bytes[..usize::from(row.host)];
            assert_eq!(Command::parse(command).unwrap().to_bytes(), command, "{code:02x}");
        }
    }
}

#[test]
fn the_extended_flag_makes_62_longer_both_ways() {
    let command = Command::Send(Outgoing::extended(Address([0, 0, 4]), 0x11, 0x01, [2; 13]));
    let mut bytes = command.to_bytes();
    assert_eq!((bytes.len(), bytes[5]), (22, 0x1F));
    assert_eq!(Command::parse(&bytes), Ok(command));
    bytes.push(ACK);
    assert_eq!(all(&bytes, false), [Ok(Frame::Reply { command, ack: true })]);
}

#[test]
fn cleanup_failure_and_beep_come_in_two_lengths() {
    let id = Address([0x0A, 0x0B, 0x0C]);
    let seven = Frame::CleanupFailure { marked: true, group: 5, id };
    let six = Frame::CleanupFailure { marked: false, group: 5, id };
    assert_eq!(seven.to_bytes(), [2, 0x56, 1, 5, 10, 11, 12]);
    assert_eq!(all(&[seven.to_bytes(), six.to_bytes()].concat(), false), [Ok(seven), Ok(six)]);
    let bytes = [2, 0x77, ACK, 2, 0x77, 0, ACK, 2, 0x77, NAK];
    let beeps = all(&bytes, false);
    assert_eq!(beeps.len(), 3);
    assert_eq!(beeps.iter().flat_map(|beep| beep.unwrap().to_bytes()).collect::<Vec<_>>(), bytes);
}

#[test]
fn a_lone_nak_and_a_short_nak_are_told_apart_from_replies() {
    assert_eq!(all(&[NAK], false), [Ok(Frame::NotReady { marked: false })]);
    assert_eq!(all(&[2, NAK], false), [Ok(Frame::NotReady { marked: true })]);
    assert_eq!(all(&[2, 0x60, NAK], false), []);
    assert_eq!(all(&[2, 0x60, NAK], true), [Ok(Frame::ShortNak(0x60))]);
    assert_eq!(all(&[2, 0x73, NAK, 2, 0x58, ACK], false).len(), 1, "the rest of a reply may still come");
    let both = all(&[2, 0x73, NAK, 2, 0x58, ACK], true);
    assert_eq!(
        both[0],
        Ok(Frame::Config { bits: NAK, spare: [2, 0x58], ack: true }),
        "it is one by its length"
    );
    let button = [2, 0x73, NAK, 2, 0x54, 2];
    assert_eq!(all(&button, false), [Ok(Frame::ShortNak(0x73)), Ok(Frame::Button(2))]);
}

#[test]
fn a_modem_whose_id_begins_with_15_is_no_short_nak() {
    let bytes = [2, 0x60, NAK, 0x50, 0x02, 3, 0x37, 0x9E, ACK];
    let info = Frame::Info { id: Address([NAK, 0x50, 2]), product: [3, 0x37, 0x9E], ack: true };
    assert_eq!(all(&bytes, false), [Ok(info)]);
    assert_eq!(all(&bytes[..6], true)[0].unwrap_err().kind, "truncated");
}

#[test]
fn an_unknown_code_costs_no_frame_behind_it() {
    let good = [2, 0x50, 0x15, 2, 6, 0x1A, 0x77, 0x7B, 0x2B, 0, 0xFF];
    let found = all(&[&[2, 0x5A, 0xFF, 2][..], &good].concat(), false);
    assert_eq!(found[0].unwrap_err().len, 4);
    assert_eq!(found[1].unwrap().to_bytes(), good);
    assert_eq!(found.len(), 2);
}

#[test]
fn only_a_meters_reply_is_refused_for_its_crc() {
    let mut meter = vec![2, 0x51, 0x19, 0x87, 0xB7, 0x1E, 0xB5, 0x52, 0x1B, 0x82, 0];
    meter.extend([0, 2, 1, 0x0D, 0, 0x91, 0, 3, 0, 0, 0, 0x2A, 0x74, 0xD9]);
    let fault = all(&meter, false)[0].unwrap_err();
    assert_eq!((fault.kind, fault.len, fault.at), ("checksum", 25, 23));
    assert_eq!((fault.got, fault.want), (0x74D9, 0x74D8));
    meter[9] = 0x2F;
    assert!(all(&meter, false)[0].is_ok());
}

#[test]
fn a_frame_behind_a_partial_one_is_found_when_the_line_falls_silent() {
    let good = [2, 0x50, 0x21, 0x7D, 0xB9, 0x1A, 0x77, 0x7B, 0x2B, 0x0D, 2];
    let bytes = [&[2, 0x51, 0x19, 0x87][..], &good].concat();
    assert_eq!(all(&bytes, false), []);
    let found = all(&bytes, true);
    assert_eq!((found[0].unwrap_err().kind, found[0].unwrap_err().len), ("truncated", 4));
    assert_eq!(found[1].unwrap().to_bytes(), good);
}

#[test]
fn two_bytes_inside_a_broken_frame_are_no_factory_reset() {
    let mut reply = Command::Send(Outgoing::standard(Address([2, 0x55, 9]), 0x11, 0xFF)).to_bytes();
    reply.push(0x77);
    let found = all(&reply, true);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].unwrap_err().kind, found[0].unwrap_err().len), ("ack", 9));
}

#[test]
fn a_command_of_the_wrong_length_is_refused() {
    let kind = |bytes: &[u8]| Command::parse(bytes).unwrap_err().kind;
    assert_eq!(kind(&[]), "truncated");
    assert_eq!(kind(&[2]), "truncated");
    assert_eq!(kind(&[2, 0x62, 1, 2, 3, 0x0F, 0x11]), "truncated");
    assert_eq!(kind(&[2, 0x60, 6]), "trailing");
    assert_eq!(kind(&[2, 0x50]), "garbage");
    assert_eq!(kind(&[0x68]), "garbage");
}
