//! What sockets say unasked, and what only looks like it.

use super::*;
use crate::device::Quantity;
use crate::line::Reception;
use plugline_protocol::frame::{Frame, Kind};
use plugline_protocol::hostlink::Level;

fn energy(bench: &Bench) -> Vec<i64> {
    bench.readings().iter().filter_map(|reading| reading.get(Quantity::Energy)).collect()
}

#[test]
fn a_report_is_a_reading_and_a_relay() {
    let (mut bench, mut socket) = Bench::joined();
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    let reading = bench.readings()[0];
    let wanted = [
        (Quantity::Power, 118_340),
        (Quantity::Energy, 12_345_600),
        (Quantity::Voltage, 230_410),
        (Quantity::Current, 523),
        (Quantity::Temperature, 340),
    ];
    assert_eq!(reading.iter().collect::<Vec<_>>(), wanted);
    assert_eq!(bench.relays(), [(true, Cause::PowerOn)]);
    let profile = bench.line.attach(&target());
    assert!(profile.abilities.relay && profile.abilities.identify && profile.plan.is_empty());
    assert_eq!((profile.pushed.len(), profile.push_period), (5, Some(MINUTE)));
}

#[test]
fn how_well_a_genuine_frame_was_heard_is_told_and_of_a_forged_one_nothing() {
    let (mut bench, mut socket) = Bench::joined();
    let heard = |bench: &Bench| -> Vec<Reception> {
        let told = bench.happenings.iter().filter_map(|happening| match happening {
            Happening::Received { reception, .. } => Some(*reception),
            _ => None,
        });
        told.collect()
    };
    bench.clear();
    let report = socket.report(bench.minute(), false, [None; 4]);
    let signal = Signal { snr_db: Some(-3), level: Some(Level(61)) };
    let mut forged = report.clone();
    *forged.last_mut().expect("a frame") ^= 1;
    bench.hear_with(&forged, signal);
    assert_eq!(heard(&bench), []);
    bench.hear_with(&report, signal);
    assert_eq!(heard(&bench), [Reception { snr_db: Some(-3), level_dbuv: Some(61), hops: None }]);
}

#[test]
fn why_the_relay_moved_is_told() {
    let (mut bench, mut socket) = Bench::joined();
    for (why, cause) in [
        (Why::Button, Cause::Button),
        (Why::OverCurrent, Cause::Trip),
        (Why::OverTemperature, Cause::Trip),
        (Why::Command, Cause::Command),
        (Why::Other, Cause::Unknown),
    ] {
        bench.clear();
        socket.relay = !socket.relay;
        socket.flags.cause = why;
        let report = socket.report(bench.minute(), true, [None; 4]);
        bench.hear(&report);
        assert_eq!(bench.relays(), [(socket.relay, cause)]);
        assert_eq!(bench.of_kind(Kind::Ack).len(), 1);
    }
    socket.flags.locked_out = true;
    for _ in 0..2 {
        let report = socket.report(bench.minute(), false, [None; 4]);
        bench.hear(&report);
    }
    assert_eq!(bench.noticed("over_current"), 1);
}

// [PLG-6.1-5]
#[test]
fn a_missing_minute_is_filled_from_the_next_report_once() {
    let (mut bench, mut socket) = Bench::joined();
    let mut samples = vec![socket.energy];
    let mut tell = |bench: &mut Bench, socket: &mut Socket, heard: bool| {
        bench.wait(MINUTE);
        bench.clear();
        socket.energy += 20;
        let before = [1, 2, 3, 4].map(|back: usize| samples.len().checked_sub(back).map(|at| samples[at]));
        let report = socket.report(bench.minute(), false, before);
        samples.push(socket.energy);
        if heard {
            bench.hear(&report);
        }
    };
    tell(&mut bench, &mut socket, true);
    assert_eq!(bench.late(), [(1, 12_345_600)], "the first minute after joining");
    tell(&mut bench, &mut socket, true);
    assert_eq!((energy(&bench), bench.late()), (vec![12_349_600], vec![]), "nothing is missing");
    tell(&mut bench, &mut socket, false);
    tell(&mut bench, &mut socket, false);
    tell(&mut bench, &mut socket, true);
    assert_eq!(energy(&bench), [12_355_600]);
    assert_eq!(bench.late(), [(2, 12_351_600), (1, 12_353_600)], "oldest first");
    tell(&mut bench, &mut socket, true);
    assert_eq!(bench.late(), []);
}

#[test]
fn minutes_before_a_socket_joined_are_not_missed() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    bench.join(&mut socket, Some(LABEL));
    bench.clear();
    bench.wait(MINUTE);
    let before = [Some(123_456), Some(123_000), Some(122_900), Some(122_800)];
    let report = socket.report(bench.minute(), false, before);
    bench.hear(&report);
    assert_eq!((bench.late(), bench.readings().len()), (vec![], 1));
}

#[test]
fn a_total_goes_on_over_the_end_of_its_register_and_through_a_restart() {
    let (mut bench, mut socket) = Bench::joined();
    for value in [0xFFFF_FFF0, 5] {
        socket.energy = value;
        let report = socket.report(bench.minute(), false, [None; 4]);
        bench.hear(&report);
    }
    let over = (0xFFFF_FFFF_i64 + 5) * 100;
    assert_eq!(energy(&bench), [0xFFFF_FFF0_i64 * 100, over]);
    let record = bench.records.last().unwrap().clone();
    let mut again = Bench::silent(Options::default());
    again.now = bench.now;
    again.line = Plugline::new(Options::default(), Box::new(Counting(9)));
    again.line.restore(&record);
    again.line.attach(&target());
    again.open();
    again.hello(StartReason::Asked);
    socket.energy = 6;
    let report = socket.report(again.minute(), false, [None; 4]);
    again.hear(&report);
    assert_eq!(energy(&again), [over + 100]);
}

// [PLG-1.1-5], [PLG-3.6-1], [PLG-5.3-2]
#[test]
fn forged_replayed_cut_and_future_frames_are_counted_and_nothing_comes_of_them() {
    let (mut bench, mut socket) = Bench::joined();
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    for _ in 0..70 {
        let report = socket.report(bench.minute(), false, [None; 4]);
        bench.hear(&report);
    }
    bench.clear();
    let genuine = socket.report(bench.minute(), true, [None; 4]);
    for at in 6..genuine.len() {
        let mut forged = genuine.clone();
        forged[at] ^= 0x40;
        bench.hear(&forged);
    }
    assert_eq!(bench.counted("forged"), genuine.len() - 6);
    bench.hear(&report);
    assert_eq!(bench.counted("replayed"), 1);
    for end in 0..genuine.len() {
        bench.hear(&genuine[..end]);
    }
    let mut future = genuine.clone();
    future[0] = 0x80 | future[0] & 0x3F;
    bench.hear(&future);
    assert_eq!(bench.counted("version"), 1);
    let mut experiment = genuine.clone();
    experiment[0] = 0x7C;
    bench.hear(&experiment);
    assert_eq!(bench.counted("kind"), 1);
    assert!(bench.counted("length") > 10);
    assert!(bench.nothing_came_of_it() && bench.sent.is_empty());
    bench.hear(&genuine);
    assert_eq!((bench.readings().len(), bench.of_kind(Kind::Ack).len()), (1, 1));
}

// [PLG-5.5-1], [PLG-6.5-2]
#[test]
fn a_repeated_report_is_acknowledged_again_with_the_same_octets_and_told_once() {
    let (mut bench, mut socket) = Bench::joined();
    let report = socket.report(bench.minute(), true, [None; 4]);
    for _ in 0..3 {
        bench.hear(&report);
        bench.wait(ms(300));
    }
    let acks = bench.of_kind(Kind::Ack);
    assert_eq!((acks.len(), bench.readings().len()), (3, 1));
    assert!(acks.iter().all(|ack| ack.pdu == acks[0].pdu));
    assert!(acks.iter().all(|ack| ack.not_after - ack.not_before == 15_000), "between 5 and 20 ms");
}

#[test]
fn an_overtaken_report_is_no_news() {
    let (mut bench, mut socket) = Bench::joined();
    let first = socket.report(bench.minute(), false, [None; 4]);
    socket.relay = false;
    let second = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&second);
    bench.hear(&first);
    assert_eq!((bench.relays(), bench.readings().len()), (vec![(false, Cause::PowerOn)], 1));
}

#[test]
fn a_report_of_an_old_minute_does_not_become_the_present() {
    let (mut bench, mut socket) = Bench::joined();
    bench.wait(4 * MINUTE);
    bench.clear();
    socket.relay = false;
    let old = socket.report(bench.minute().wrapping_sub(20), false, [None; 4]);
    bench.hear(&old);
    assert_eq!((bench.relays(), bench.readings()), (vec![], vec![]));
    assert_eq!(bench.late(), [(20, 12_345_600)]);
}

// [PLG-4.1-1], [PLG-4.1-2], [PLG-4.2-6]
#[test]
fn beacons_come_twice_a_superframe_and_say_whose_report_arrived() {
    let (mut bench, mut socket) = Bench::joined();
    let report = socket.report(bench.minute(), false, [None; 4]);
    let heard_in = bench.line.superframe(bench.us()).0;
    bench.hear(&report);
    bench.wait(3 * MINUTE);
    let place = socket.place();
    let group = Channel::group(&place.grant.group_key, place.identity.network);
    let slot = place.grant.slot.expect("it has one");
    let mut counters = Vec::new();
    for sent in bench.of_kind(Kind::Beacon) {
        let frame = Frame::parse(&sent.pdu).unwrap();
        let mut clear = [0; 128];
        let beacon = Beacon::parse(group.open(&frame, &mut clear).expect("its own key")).unwrap();
        counters.push(frame.counter().unwrap());
        let end = sent.not_before + u64::from(LineRate::REFERENCE.airtime_us(sent.pdu.len() + 2));
        let (number, into) = bench.line.superframe(end);
        // From its offset on, and a millisecond at most behind it.
        let offset = u64::from(beacon.offset_ms) * 1_000;
        assert!((offset..offset + 1_000).contains(&into), "{into}");
        assert_eq!(number as u8, beacon.minute);
        assert!(sent.not_after - sent.not_before == 1_000 && beacon.plan.fits());
        assert_eq!(beacon.received.get(slot), number == heard_in + 1, "{number}");
    }
    assert!((5..=7).contains(&counters.len()), "{counters:?}");
    assert!(counters.windows(2).all(|pair| pair[0] < pair[1]));
}

// [PLG-4.1-2]
#[test]
fn a_beacon_that_found_the_line_busy_is_made_anew() {
    let (mut bench, _) = Bench::joined();
    bench.confirms = false;
    while bench.of_kind(Kind::Beacon).is_empty() {
        bench.wait(ms(50));
    }
    let first = bench.of_kind(Kind::Beacon).remove(0);
    bench.wait(ms(260));
    bench.confirm(first.number, TxResult::Late, 0);
    bench.wait(ms(10));
    let second = bench.of_kind(Kind::Beacon).pop().unwrap();
    assert_ne!(first.pdu[6..10], second.pdu[6..10], "it has a counter of its own");
    assert_eq!(second.not_before - first.not_before, 25_000);
    // A port that is slow costs tries, not the BEACON.
    bench.wait(ms(60));
    bench.confirm(second.number, TxResult::Late, 0);
    bench.wait(ms(10));
    let third = bench.of_kind(Kind::Beacon).pop().unwrap();
    assert_ne!(second.pdu, third.pdu);
    assert_eq!((third.not_before - second.not_before) % 25_000, 0);
    assert!(third.not_before >= bench.us(), "in time for the modem");
}

// [PLG-5.6-7]
#[test]
fn no_two_frames_under_the_group_key_have_one_counter_not_even_after_a_restart() {
    let (mut bench, _) = Bench::joined();
    bench.wait(40 * MINUTE);
    let record = bench.records.last().unwrap().clone();
    bench.wait(10 * MINUTE);
    let mut again = Bench::silent(Options::default());
    again.now = bench.now;
    again.line = Plugline::new(Options::default(), Box::new(Counting(9)));
    again.line.restore(&record);
    again.line.attach(&target());
    again.open();
    again.hello(StartReason::Asked);
    again.wait(10 * MINUTE);
    let group = |bench: &Bench| {
        let sealed = bench.sent.iter().filter(|sent| matches!(sent.kind(), Kind::Beacon | Kind::Bulk));
        sealed.map(|sent| Frame::parse(&sent.pdu).unwrap().counter().unwrap()).collect::<Vec<_>>()
    };
    let (before, after) = (group(&bench), group(&again));
    assert!(before.len() >= 90 && after.len() >= 18, "{} {}", before.len(), after.len());
    let all = [before, after].concat();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
}

// [PLG-5.6-5]
#[test]
fn a_socket_that_wants_to_know_the_group_counter_is_told() {
    let (mut bench, mut socket) = Bench::joined();
    socket.flags.sync = true;
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    bench.wait(ms(500));
    let command = bench.of_kind(Kind::Command).remove(0);
    let (_, command) = socket.command(&command.pdu);
    assert_eq!(command.reference, socket.up);
    let used = bench.line.network.as_ref().unwrap().group.used;
    assert_eq!(command.ask, Ask::Sync { group_counter: used });
}

#[test]
fn a_socket_whose_plug_was_pulled_is_asked_and_then_offline_and_back_with_its_next_report() {
    let (mut bench, mut socket) = Bench::joined();
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    bench.clear();
    bench.wait(3 * MINUTE);
    assert!(bench.of_kind(Kind::Command).is_empty());
    bench.wait(20 * SECOND);
    assert_eq!(bench.of_kind(Kind::Command).len(), 3);
    let silent =
        |bench: &Bench| bench.happenings.iter().filter(|h| matches!(h, Happening::Silent { .. })).count();
    assert_eq!(silent(&bench), 1);
    bench.wait(10 * MINUTE);
    assert_eq!((silent(&bench), bench.of_kind(Kind::Command).len()), (1, 3), "and then left alone");
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    assert_eq!(bench.readings().len(), 1);
}

#[test]
fn somebody_with_the_name_of_this_network_is_told_of() {
    let (mut bench, socket) = Bench::joined();
    let network = socket.place().identity.network;
    let beacon = |key: &Key| {
        let mut room = [0; MAX_PDU];
        let channel = Channel::group(key, network);
        channel.seal(FrameOptions::default(), 5, &Beacon::default(), &mut room).unwrap().to_vec()
    };
    bench.hear(&beacon(&Key::new([1; 16])));
    assert_eq!((bench.noticed("network_clash"), bench.noticed("second_gateway")), (1, 0));
    bench.hear(&beacon(&socket.place().grant.group_key));
    assert_eq!(bench.noticed("second_gateway"), 1);
    let unknown = Header::new(Kind::Ack, network, ShortAddress(77), FrameOptions::default()).octets();
    bench.hear(&[&unknown[..], &[0; 5]].concat());
    assert_eq!(bench.counted("not_for_us"), 1);
}

// [PLG-3.6-6]
#[test]
fn a_frame_of_a_socket_that_nobody_knows_is_unknown_and_not_forged_and_a_person_is_told_once() {
    let (mut bench, mut socket) = Bench::joined();
    let mut report = socket.report(bench.minute(), true, [None; 4]);
    report[5] ^= 0x40;
    for _ in 0..3 {
        bench.hear(&report);
    }
    assert_eq!((bench.counted("unknown"), bench.counted("forged")), (3, 0));
    assert_eq!(bench.noticed("unknown_socket"), 1);
    assert!(bench.sent.is_empty() && bench.nothing_came_of_it());
}

// [PLG-3.6-7]
#[test]
fn what_means_nothing_in_this_version_is_counted_as_ignored_and_not_answered() {
    let (mut bench, socket) = Bench::joined();
    let place = socket.place().identity;
    for (kind, short, len) in [(Kind::ResumeUp, place.short, 16), (Kind::Bulk, ShortAddress(0), 30)] {
        let header = Header::new(kind, place.network, short, FrameOptions::default()).octets();
        bench.hear(&[&header[..], &vec![0; len]].concat());
    }
    assert_eq!((bench.counted("ignored"), bench.happenings.len()), (2, 2));
    assert!(bench.sent.is_empty());
}

/// A minute in which the socket's REPORT comes, or does not; it answers what it is told. Gives what it was told.
fn minute_of(bench: &mut Bench, socket: &mut Socket, comes: bool) -> Vec<Ask> {
    let start = bench.minute();
    let (mut told, mut last) = (Vec::new(), 0);
    bench.clear();
    if comes {
        let report = socket.report(start, false, [None; 4]);
        bench.hear(&report);
    }
    while bench.minute() == start {
        bench.wait(ms(200));
        for sent in bench.of_kind(Kind::Command) {
            let (counter, command) = socket.command(&sent.pdu);
            let answer = match command.ask {
                Ask::Read => socket.response(counter, Ended::Done, true),
                _ => socket.answer(counter, Ended::Done),
            };
            bench.hear(&answer);
            if std::mem::replace(&mut last, counter) != counter {
                told.push(command.ask);
            }
        }
        bench.clear();
    }
    told
}

#[test]
fn a_socket_that_answers_and_whose_reports_never_come_is_given_another_slot_before_a_minute_is_lost() {
    let (mut bench, mut socket) = Bench::joined();
    let bad = socket.place().grant.slot;
    for _ in 0..3 {
        assert_eq!(minute_of(&mut bench, &mut socket, true), []);
    }
    let told: Vec<Ask> = (0..5).flat_map(|_| minute_of(&mut bench, &mut socket, false)).collect();
    let [Ask::Read, Ask::Slot { slot }, rest @ ..] = &told[..] else { panic!("{told:?}") };
    assert!(slot.is_some() && *slot != bad && rest.iter().all(|ask| *ask == Ask::Read), "{told:?}");
    let own = &bench.line.member_of(EUI).unwrap().own;
    assert_eq!((own.slot, own.told_slot), (*slot, *slot));
    // Nobody else is sent where somebody could not be heard, and it is not moved at once again.
    assert_ne!(bench.line.slot_for(OTHER), bad);
    let told: Vec<Ask> = (0..14).flat_map(|_| minute_of(&mut bench, &mut socket, false)).collect();
    assert!(!told.is_empty() && told.iter().all(|ask| *ask == Ask::Read), "{told:?}");
}

#[test]
fn a_socket_that_most_often_finds_its_slot_taken_is_moved_and_one_that_is_silent_is_not() {
    let (mut bench, mut socket) = Bench::joined();
    let told: Vec<Ask> =
        (0..10).flat_map(|minute| minute_of(&mut bench, &mut socket, minute % 2 == 0)).collect();
    assert_eq!(told, [], "every other one is not enough");
    let told: Vec<Ask> =
        (0..12).flat_map(|minute| minute_of(&mut bench, &mut socket, minute % 4 == 0)).collect();
    assert_eq!(told.iter().filter(|ask| matches!(ask, Ask::Slot { .. })).count(), 1, "{told:?}");

    let (mut bench, _) = Bench::joined();
    let slot = bench.line.member_of(EUI).unwrap().own.slot;
    bench.wait(30 * MINUTE);
    assert_eq!(bench.line.member_of(EUI).unwrap().own.slot, slot, "its plug was pulled");
}
