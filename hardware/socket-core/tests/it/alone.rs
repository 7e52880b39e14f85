//! A joined socket whose gateway is not heard.

use plugline_protocol::frame::{Frame, Kind};

use crate::bench::{Bench, Gateway, MINUTE, SECOND};

fn lost() -> (Gateway, Bench) {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    gateway.begin_superframe(&mut bench, &[]);
    bench.run_for(3 * MINUTE);
    bench.pass_over();
    (gateway, bench)
}

// [PLG-4.3-2]
#[test]
fn three_minutes_without_a_beacon_end_the_slots() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    gateway.begin_superframe(&mut bench, &[]);
    let heard_us = bench.now_us;
    bench.pass_over();
    bench.run_for(7 * MINUTE);
    for sent in bench.sent.split_off(bench.sent.len().min(4)) {
        let told = gateway.report(&sent).reading.flags;
        let lost = sent.start_us >= heard_us + 3 * MINUTE;
        let header = *Frame::parse(&sent.pdu).expect("a frame").header();
        assert_eq!((told.free_running, header.ack_request), (lost, lost), "at {} s", sent.start_us / SECOND);
    }
}

// [PLG-4.3-2]
#[test]
fn then_reports_come_every_60_seconds_give_or_take_20_percent() {
    let (mut gateway, mut bench) = lost();
    let mut starts = Vec::new();
    while starts.len() < 60 {
        let sent = bench.next_frame(2 * MINUTE).expect("it reports");
        starts.push(sent.start_us);
        gateway.report(&sent);
        let ack = gateway.ack(&sent);
        bench.hear(&ack);
    }
    let gaps: Vec<u64> = starts.windows(2).map(|two| (two[1] - two[0]) / SECOND).collect();
    assert!(gaps[1..].iter().all(|gap| (47..=72).contains(gap)), "{gaps:?}");
    assert!(gaps[1..].iter().any(|gap| *gap < 54) && gaps.iter().any(|gap| *gap > 66), "{gaps:?}");
}

// [PLG-4.3-2]
#[test]
fn the_minute_goes_on_by_its_own_clock_and_the_next_beacon_brings_the_slot_back() {
    let (mut gateway, mut bench) = lost();
    bench.run_for(5 * MINUTE);
    bench.pass_over();
    bench.press(50_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    assert_eq!(gateway.report(&sent).minute, gateway.minute + 8);
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    gateway.minute += 20;
    bench.pass_over();
    gateway.begin_superframe(&mut bench, &[]);
    let slot_us = gateway.slot_us(bench.now_us);
    let sent = bench.next_frame(10 * SECOND).expect("its slot is near");
    assert_eq!(sent.start_us, slot_us);
    let told = gateway.report(&sent);
    assert_eq!((told.minute, told.reading.flags.free_running), (gateway.minute, false));
    assert_eq!(told.history.deltas(), [None; 4], "minutes of another count are not told");
}

// [PLG-4.3-2] [PLG-4.3-3]
#[test]
fn nobody_who_answers_is_asked_five_times_each_time_and_more_and_more_seldom() {
    let (mut gateway, mut bench) = lost();
    let first = bench.sent.len();
    bench.run_for(120 * MINUTE);
    let mut rounds: Vec<u64> = Vec::new();
    for sent in &bench.sent[first..] {
        assert_eq!(sent.kind(), Kind::Report);
        if rounds.last().is_none_or(|last| sent.start_us - last > 20 * SECOND) {
            rounds.push(sent.start_us);
        }
    }
    assert_eq!(bench.sent.len() - first, 5 * rounds.len());
    let gaps: Vec<u64> = rounds.windows(2).map(|two| (two[1] - two[0]) / SECOND).collect();
    for (gap, minutes) in gaps.iter().zip([1, 2, 4, 8, 16, 16, 16, 16]) {
        assert!((47 * minutes..=73 * minutes).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 7, "{gaps:?}");
    // Whoever answers hears from it each minute again.
    bench.pass_over();
    let sent = bench.next_frame(20 * MINUTE).expect("it reports");
    gateway.report(&sent);
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    assert!(bench.next_frame(20 * MINUTE).is_some(), "this one was planned before");
    let ack = gateway.ack(bench.sent.last().expect("it was just sent"));
    bench.hear(&ack);
    assert!(bench.next_frame(73 * SECOND).is_some());
}

#[test]
fn a_line_that_is_never_free_is_not_spoken_on() {
    let (_, mut bench) = lost();
    bench.busy = true;
    let sent = bench.sent.len();
    bench.run_for(10 * MINUTE);
    assert_eq!(bench.sent.len(), sent);
    bench.busy = false;
    assert!(bench.next_frame(2 * SECOND).is_some(), "it waits for its turn all the time");
}

#[test]
fn a_neighbour_s_network_is_foreign() {
    let (mut gateway, mut bench) = lost();
    gateway.who.network = plugline_protocol::NetworkId(0x1111);
    let foreign = bench.socket.counts().foreign;
    gateway.begin_superframe(&mut bench, &[]);
    let pdu = gateway.command(plugline_protocol::messages::Ask::Switch { on: true });
    bench.hear(&pdu);
    assert_eq!((bench.socket.counts().foreign, bench.socket.relay_on()), (foreign + 2, false));
}
