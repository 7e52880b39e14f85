//! Bytes in, bytes out in virtual time, with every fault.

use super::*;
use crate::dlt645::reply;
use crate::figures::Figures;
use crate::house::demo_house;

const MS: Duration = Duration::from_millis(1);

fn kettle() -> Address {
    Address::parse("000000004711").unwrap()
}

fn desk() -> Address {
    Address::parse("000000004713").unwrap()
}

/// A request for the voltage.
fn ask(meter: Address) -> Vec<u8> {
    reply(meter, 0x11, &[0, 1, 1, 2])
}

fn house() -> Bus {
    Bus::new(7, demo_house(7))
}

/// Everything that leaves the bus when it is asked now, with due times counted from now.
fn answers(bus: &mut Bus, request: &[u8]) -> Vec<Piece> {
    let now = bus.now();
    bus.handle_bytes(request, now, 0);
    let mut out = Vec::new();
    while let Some(due) = bus.poll_timeout() {
        out.extend(bus.poll_output(due).map(|output| (output.due - now, output.bytes)));
    }
    out
}

fn bytes(answers: Vec<Piece>) -> Vec<u8> {
    answers.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// What a fault makes of the answer, beside the answer without it.
fn with_fault(fault: Fault) -> (Vec<Piece>, Piece) {
    let sound = answers(&mut house(), &ask(kettle())).remove(0);
    let mut bus = house();
    bus.set_fault(fault);
    (answers(&mut bus, &ask(kettle())), sound)
}

#[test]
fn a_reply_is_due_twenty_to_sixty_milliseconds_later() {
    let mut bus = house();
    for _ in 0..50 {
        let answer = answers(&mut bus, &ask(kettle()));
        assert_eq!(answer.len(), 1);
        assert!((20 * MS..=60 * MS).contains(&answer[0].0));
    }
}

#[test]
fn nothing_comes_before_it_is_due() {
    let mut bus = house();
    bus.handle_bytes(&ask(kettle()), 10 * MS, 0);
    let due = bus.poll_timeout().unwrap();
    assert_eq!(bus.poll_output(due - MS), None);
    assert!(bus.poll_output(due).is_some());
    assert_eq!((bus.poll_output(due), bus.poll_timeout()), (None, None));
}

#[test]
fn at_a_baud_rate_a_reply_takes_its_time() {
    let mut bus = house().with_baud(2400);
    let slow = answers(&mut bus, &ask(kettle())).remove(0);
    let fast = answers(&mut house(), &ask(kettle())).remove(0);
    assert_eq!(slow.0 - fast.0, Duration::from_micros(18 * 11 * 1_000_000 / 2400));
}

#[test]
fn requests_are_kept_with_their_very_bytes() {
    let mut bus = house();
    let request = [vec![0xfe; 2], ask(kettle())].concat();
    answers(&mut bus, &[vec![0x42], request.clone()].concat());
    let heard: Vec<_> = bus.requests().collect();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].bytes, request);
    assert_eq!(heard[0].frame(), ask(kettle()));
    assert_eq!(bus.junk_bytes(), 1);
}

#[test]
fn half_a_request_is_forgotten_after_a_silence() {
    let mut bus = house();
    let request = ask(kettle());
    bus.handle_bytes(&request[..8], Duration::ZERO, 0);
    bus.handle_bytes(&request[8..], 501 * MS, 0);
    assert_eq!(bus.poll_timeout(), None);
    bus.handle_bytes(&request[..8], 1002 * MS, 0);
    bus.handle_bytes(&request[8..], 1500 * MS, 0);
    assert!(bus.poll_timeout().is_some());
}

#[test]
fn meters_that_answer_at_once_spoil_each_others_replies() {
    let mut bus = house();
    let everyone = [0x68, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x68, 0x13, 0x00, 0xdf, 0x16];
    let heard = bytes(answers(&mut bus, &everyone));
    assert!(!heard.is_empty());
    for meter in bus.meters() {
        let sound = reply(meter.address(), 0x93, &meter.address().wire());
        assert!(!heard.windows(sound.len()).any(|window| window == sound));
    }
}

#[test]
fn a_mute_meter_does_nothing_and_a_lost_reply_hides_what_was_done() {
    let trip = reply(kettle(), 0x1c, &[2, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0, 0, 0, 0, 0, 0, 0]);
    for (fault, closed) in [(Fault::Mute(kettle()), true), (Fault::LoseReplies(kettle()), false)] {
        let mut bus = house();
        bus.set_fault(fault);
        assert!(answers(&mut bus, &trip).is_empty());
        assert!(!answers(&mut bus, &ask(desk())).is_empty(), "the others answer");
        bus.advance(Duration::from_secs(5));
        assert_eq!(bus.meter(kettle()).unwrap().relay_closed(), closed);
        bus.clear_faults();
        assert!(!answers(&mut bus, &ask(kettle())).is_empty());
    }
}

#[test]
fn a_reply_under_anothers_address_is_sound_in_itself() {
    let (got, sound) = with_fault(Fault::AnswerForAnother { asked: kettle(), answers_as: desk() });
    let data: Vec<u8> = sound.1[10..16].iter().map(|byte| byte.wrapping_sub(0x33)).collect();
    assert_eq!(bytes(got), reply(desk(), 0x91, &data));
}

#[test]
fn garbage_stands_before_the_reply() {
    let (got, sound) = with_fault(Fault::Garbage);
    let got = bytes(got);
    assert!(got.ends_with(&sound.1) && got.len() > sound.1.len());
}

#[test]
fn a_flipped_bit_is_one_bit() {
    let (got, sound) = with_fault(Fault::BitFlip { percent: 100 });
    let wrong: u32 = bytes(got).iter().zip(&sound.1).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(wrong, 1);
}

#[test]
fn about_the_asked_share_of_replies_is_flipped() {
    let pinned = Figures {
        voltage_mv: 230_000,
        current_ma: 0,
        power_mw: 0,
        reactive_mvar: 0,
        apparent_mva: 0,
        power_factor_milli: 1000,
        frequency_mhz: 50_000,
    };
    let mut bus = Bus::new(7, vec![Meter::new(kettle(), 1).with_figures(pinned)]);
    let sound = bytes(answers(&mut bus, &ask(kettle())));
    bus.set_fault(Fault::BitFlip { percent: 20 });
    let wrong = (0..1000).filter(|_| bytes(answers(&mut bus, &ask(kettle()))) != sound).count();
    assert!((150..250).contains(&wrong), "{wrong}");
}

#[test]
fn a_split_reply_comes_whole_in_the_end() {
    let (got, sound) = with_fault(Fault::Split { gap: 80 * MS });
    assert!((2..=3).contains(&got.len()));
    assert_eq!(got[1].0 - got[0].0, 80 * MS);
    assert_eq!(bytes(got), sound.1);
}

#[test]
fn merged_replies_come_together() {
    let mut bus = house();
    bus.set_fault(Fault::Merge);
    assert!(answers(&mut bus, &ask(kettle())).is_empty());
    let both = answers(&mut bus, &ask(desk()));
    let (kettles, desks) = (kettle().wire(), desk().wire());
    assert_eq!(both.len(), 1);
    assert_eq!((&both[0].1[1..7], &both[0].1[19..25]), (kettles.as_slice(), desks.as_slice()));
}

#[test]
fn delay_doubled_start_repeat_and_echo_do_what_they_say() {
    let (got, sound) = with_fault(Fault::Delay(1500 * MS));
    assert_eq!(got, [(sound.0 + 1500 * MS, sound.1.clone())]);
    let (got, _) = with_fault(Fault::DuplicateStart);
    assert_eq!(bytes(got), [vec![0x68], sound.1.clone()].concat());
    let (got, _) = with_fault(Fault::Repeat(100 * MS));
    assert_eq!(got, [sound.clone(), (sound.0 + 100 * MS, sound.1.clone())]);
    let (got, _) = with_fault(Fault::Echo);
    assert_eq!(got, [(Duration::ZERO, ask(kettle())), sound]);
}

#[test]
fn a_long_answer_is_fetched_in_parts_of_one_moment() {
    let block = [0, 0xff, 1, 0];
    let meter = || Meter::new(kettle(), 1).with_energy_mwh(123_456_780_000);
    let whole = bytes(answers(&mut Bus::new(1, vec![meter()]), &reply(kettle(), 0x11, &block)));
    let mut bus = Bus::new(1, vec![meter()]);
    bus.set_fault(Fault::MoreData { chunk: 8 });
    let plain = |frame: &[u8]| -> Vec<u8> {
        frame[14..frame.len() - 2].iter().map(|byte| byte.wrapping_sub(0x33)).collect()
    };
    let first = bytes(answers(&mut bus, &reply(kettle(), 0x11, &block)));
    assert_eq!((first[8], first[9]), (0xb1, 12));
    let mut data = plain(&first);
    for (part, control) in [(1, 0xb2), (2, 0x92)] {
        let next = bytes(answers(&mut bus, &reply(kettle(), 0x12, &[0, 0xff, 1, 0, part])));
        let mut piece = plain(&next);
        assert_eq!((next[8], piece.pop()), (control, Some(part)));
        data.extend(piece);
    }
    assert_eq!(data, plain(&whole));
    let beyond = bytes(answers(&mut bus, &reply(kettle(), 0x12, &[0, 0xff, 1, 0, 3])));
    assert_eq!(beyond, reply(kettle(), 0xd2, &[2]));
}

#[test]
fn a_fault_for_a_number_of_times_ends_by_itself() {
    let mut bus = house();
    bus.set_fault_times(Fault::DuplicateStart, 1);
    bus.set_fault_times(Fault::LoseReplies(desk()), 1);
    assert_eq!(bytes(answers(&mut bus, &ask(kettle()))).len(), 19);
    assert_eq!(bytes(answers(&mut bus, &ask(kettle()))).len(), 18);
    assert!(answers(&mut bus, &ask(desk())).is_empty());
    assert!(!answers(&mut bus, &ask(desk())).is_empty());
}

#[test]
fn a_bad_day_can_be_had_twice() {
    let day = |seed| {
        let mut bus = Bus::new(seed, demo_house(1));
        bus.set_fault(Fault::Garbage);
        bus.set_fault(Fault::BitFlip { percent: 50 });
        bus.set_fault(Fault::Split { gap: 5 * MS });
        (0..40).map(|_| answers(&mut bus, &ask(kettle()))).collect::<Vec<_>>()
    };
    assert_eq!(day(3), day(3));
    assert_ne!(day(3), day(4));
}

#[test]
fn the_record_of_requests_has_an_end() {
    let mut bus = house();
    for _ in 0..MAX_RECORDED + 10 {
        answers(&mut bus, &ask(kettle()));
    }
    assert_eq!(bus.requests().count(), MAX_RECORDED);
}
