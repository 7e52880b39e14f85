//! What somebody with a tap on the wiring can send: recorded, forged, cut, foreign and future frames. The standing
//! checks of the lab hold all the time: no relay moves, nothing is published that a socket did not measure.

use plugline::hub::command::State;
use plugline_protocol::frame::{crc, without_crc};
use plugline_protocol::label::Label;
use plugline_protocol::security::Key;
use plugline_simulator::mains::Overheard;

use super::household;
use super::lab::{Lab, MINUTE, SECOND};

/// A house of five, joined, with some commands and buttons behind it.
fn lived_in(seed: u64) -> Lab {
    let mut lab = Lab::joined_house(&household(5, seed));
    for socket in 1..=5 {
        let on = lab.switch(socket, true);
        lab.settle(&on);
        let off = lab.switch(socket, false);
        lab.settle(&off);
    }
    lab.press(4);
    lab.run_for(3 * MINUTE);
    lab
}

fn overheard(lab: &Lab) -> Vec<Vec<u8>> {
    let frames: Vec<&Overheard> = lab.house.overheard().collect();
    frames.into_iter().map(|frame| frame.bytes.to_vec()).collect()
}

fn with_crc(pdu: &[u8]) -> Vec<u8> {
    [pdu, &crc(pdu).to_le_bytes()].concat()
}

/// Puts frames on the line, one after the other.
fn speak(lab: &mut Lab, frames: &[Vec<u8>]) {
    for frame in frames {
        let at_us = lab.house.now_us() + 20_000;
        // Somebody in the house may be speaking; an attacker does not mind.
        if let Ok(end_us) = lab.house.inject(frame, at_us) {
            lab.run_for(std::time::Duration::from_micros(end_us - at_us + 25_000));
        }
    }
}

/// The house goes on as if nothing had been.
fn goes_on(lab: &mut Lab) {
    // What lay over reports is in the history of the next ones.
    lab.run_for(6 * MINUTE);
    let before = lab.unix_ms();
    lab.run_for(5 * MINUTE);
    for socket in 1..=5 {
        assert!(
            lab.minutes_told(socket, before).len() >= 4,
            "{socket}: {:?}",
            lab.minutes_told(socket, before)
        );
        let id = lab.switch(socket, socket % 2 == 0);
        assert_eq!(lab.settle(&id).command.state, State::Confirmed, "{socket}");
    }
    assert_eq!(lab.joined(), 5);
}

#[test]
fn everything_that_was_ever_said_can_be_said_again_and_nothing_happens() {
    let mut lab = lived_in(11);
    let frames = overheard(&lab);
    assert!(frames.len() > 60, "{}", frames.len());
    let moves = lab.house.moves().count();
    speak(&mut lab, &frames);
    assert_eq!(lab.house.moves().count(), moves);
    let refused: u16 = lab.house.stations().iter().map(|station| station.counts().replayed).sum();
    let malformed = lab.malformed();
    let old: u64 = ["replayed", "repeated"].iter().filter_map(|kind| malformed.get(kind)).sum();
    assert!(refused >= 10 && old >= 10, "{refused} {malformed:?}");
    goes_on(&mut lab);
}

#[test]
fn commands_from_before_a_power_cut_move_nothing_after_it() {
    let mut lab = lived_in(12);
    let frames = overheard(&lab);
    lab.house.cut();
    lab.run_for(SECOND);
    lab.house.restore();
    let moves = lab.house.moves().count();
    // Before the sockets have said a word, while they do, and after.
    speak(&mut lab, &frames);
    assert_eq!(lab.house.moves().count(), moves);
    goes_on(&mut lab);
}

#[test]
fn frames_with_one_bit_turned_and_a_right_crc_are_forged_and_counted() {
    let mut lab = lived_in(13);
    let frames = overheard(&lab);
    let forged: Vec<Vec<u8>> = frames
        .iter()
        .enumerate()
        .filter_map(|(n, frame)| {
            let mut pdu = without_crc(frame)?.to_vec();
            // Behind the kind and the addresses, so that somebody is meant.
            let bit = 48 + (n * 37) % ((pdu.len() - 6) * 8);
            pdu[bit / 8] ^= 1 << (bit % 8);
            Some(with_crc(&pdu))
        })
        .collect();
    let moves = lab.house.moves().count();
    speak(&mut lab, &forged);
    assert_eq!(lab.house.moves().count(), moves);
    let refused: u16 = lab.house.stations().iter().map(|station| station.counts().forged).sum();
    assert!(refused >= 10 && lab.malformed()["forged"] >= 5, "{refused} {:?}", lab.malformed());
    goes_on(&mut lab);
}

#[test]
fn cut_lengthened_future_and_reserved_frames_are_counted_and_that_is_all() {
    let mut lab = lived_in(14);
    let frames = overheard(&lab);
    let mut bad = Vec::new();
    for (n, frame) in frames.iter().enumerate().take(60) {
        let Some(pdu) = without_crc(frame) else { continue };
        bad.push(with_crc(&pdu[..1 + n % pdu.len()]));
        bad.push(with_crc(&[pdu, &[0; 90][..]].concat()));
        let future = [&[pdu[0] & 0x3F | 0x80], &pdu[1..]].concat();
        let reserved = [&[pdu[0] & 0xC3 | 13 << 2], &pdu[1..]].concat();
        bad.extend([with_crc(&future), with_crc(&reserved), frame[..frame.len() - 1].to_vec()]);
    }
    speak(&mut lab, &bad);
    let malformed = lab.malformed();
    for kind in ["version", "kind", "length"] {
        assert!(malformed.get(kind).is_some_and(|count| *count >= 10), "{kind}: {malformed:?}");
    }
    let counts = lab.house.station(1).unwrap().counts();
    assert!(
        counts.version >= 10 && counts.kind >= 10 && counts.length >= 10 && counts.crc >= 10,
        "{counts:?}"
    );
    goes_on(&mut lab);
}

#[test]
fn the_frames_of_one_house_mean_nothing_in_another() {
    let other = lived_in(15);
    let mut lab = lived_in(16);
    let frames = overheard(&other);
    let moves = lab.house.moves().count();
    speak(&mut lab, &frames);
    assert_eq!(lab.house.moves().count(), moves);
    assert_eq!(lab.devices.len(), 5);
    let foreign: u16 = lab.house.stations().iter().map(|station| station.counts().foreign).sum();
    assert!(foreign >= 50, "{foreign}");
    goes_on(&mut lab);
}

#[test]
fn a_wrong_code_lets_nobody_in_and_a_person_is_told_why() {
    let mut lab = Lab::new(&household(2, 17));
    lab.run_for(5 * SECOND);
    let station = lab.house.station(1).unwrap();
    let wrong = Label { eui: station.eui(), install_key: Key::new([9; 16]) };
    let mut code = String::new();
    wrong.print(&mut code).unwrap();
    lab.open_window(Some(&code), 5 * MINUTE).unwrap();
    lab.run_for(5 * MINUTE);
    assert_eq!((lab.joined(), lab.devices.len()), (0, 0));
    let window = lab.line.as_ref().unwrap().joining.clone().unwrap();
    let told = format!("{:?} {:?}", window.error, lab.notices());
    assert!(told.contains("code") || told.contains("label"), "{told}");
    // With the right one it comes.
    lab.join(1);
}

#[test]
fn two_sockets_with_one_label_are_told_to_a_person_and_neither_takes_the_others_place_in_the_feed() {
    let mut lab = Lab::new(&household(3, 18));
    lab.house.relabel(2, 1);
    lab.run_for(5 * SECOND);
    let code = lab.house.station(1).unwrap().label();
    lab.open_window(Some(&code), 10 * MINUTE).unwrap();
    lab.allow_twins();
    lab.run_for(12 * MINUTE);
    assert_eq!(lab.devices.len(), 1);
    let told = format!("{:?}", lab.notices());
    assert!(told.contains("two_of_one_label"), "{told}");
}
