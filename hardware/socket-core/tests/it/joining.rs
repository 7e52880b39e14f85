//! How a socket comes into a network and goes out of it.

use plugline_protocol::frame::{Frame, Kind};
use plugline_protocol::messages::{Ask, JoinUp, Outcome};
use plugline_protocol::security::{Key, is_from_label};
use plugline_protocol::timing::POWER_UP_WAIT_MAX_MS;
use plugline_socket::{Led, Membership};

use crate::bench::{Bench, Gateway, MINUTE, SECOND, factory};

fn nonce(pdu: &[u8]) -> [u8; 8] {
    JoinUp::parse(&Frame::parse(pdu).expect("a frame")).expect("a JOIN-UP").nonce
}

fn gaps(sent: &[crate::bench::Sent]) -> Vec<u64> {
    sent.windows(2).map(|two| two[1].start_us - two[0].start_us).collect()
}

// [PLG-7.2-1] [PLG-4.3-4]
#[test]
fn an_unjoined_socket_asks_every_30_to_60_seconds_by_listening_and_later_half_as_often() {
    let mut bench = Bench::new();
    bench.run_for(60 * MINUTE);
    assert_eq!(bench.led, Some(Led::Searching));
    assert!(bench.sent.iter().all(|sent| sent.kind() == Kind::JoinUp && sent.listen));
    assert!(bench.sent[0].start_us <= u64::from(POWER_UP_WAIT_MAX_MS) * 1000 + SECOND);
    let (first, later) = bench.sent.split_at(13);
    let (first, later) = (gaps(first), gaps(later));
    assert!(first.iter().all(|gap| (29 * SECOND..=61 * SECOND).contains(gap)), "{first:?}");
    assert!(later.iter().all(|gap| (59 * SECOND..=121 * SECOND).contains(gap)), "{later:?}");
    assert!(first.iter().max() > first.iter().min() && later.len() > 20, "at random");
}

// [PLG-7.2-1]
#[test]
fn a_pressed_button_makes_it_ask_at_once_and_often_again() {
    let mut bench = Bench::new();
    bench.run_for(60 * MINUTE);
    bench.pass_over();
    bench.press(100_000);
    let pressed_us = bench.now_us;
    let first = bench.sent.len();
    bench.run_for(5 * MINUTE);
    assert!(bench.next_frame(SECOND).is_some_and(|sent| sent.start_us < pressed_us + SECOND));
    let gaps = gaps(&bench.sent[first..]);
    assert!(gaps.len() >= 4 && gaps.iter().all(|gap| *gap <= 61 * SECOND), "{gaps:?}");
}

// [PLG-4.3-4]
#[test]
fn after_power_comes_sockets_begin_at_different_times() {
    let mut starts: Vec<u64> = (0..40)
        .map(|seed| {
            let start = plugline_socket::Start::PowerOn;
            let mut bench = Bench::with(factory(), crate::testing::Flash::new(), start, seed);
            bench.next_frame(MINUTE).expect("it asks").start_us
        })
        .collect();
    starts.sort_unstable();
    assert!(starts[0] < 3 * SECOND && starts[39] > 25 * SECOND && starts[39] < 31 * SECOND, "{starts:?}");
}

#[test]
fn a_join_up_proves_that_it_comes_from_the_label() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let frame = Frame::parse(&up.pdu).expect("a frame");
    assert!(is_from_label(&factory().install_key, &frame));
    assert!(!is_from_label(&Key::new([8; 16]), &frame));
    let up = JoinUp::parse(&frame).expect("a JOIN-UP");
    assert_eq!((up.eui, up.hardware, up.capabilities), (factory().eui, 0x31, factory().capabilities));
}

// [PLG-7.2-2]
#[test]
fn an_attempt_keeps_its_octets_for_two_minutes_and_then_has_another_nonce() {
    let mut bench = Bench::new();
    bench.run_for(60 * MINUTE);
    let mut seen: Vec<([u8; 8], u64)> = Vec::new();
    for sent in &bench.sent {
        match seen.last() {
            Some((last, since_us)) if *last == nonce(&sent.pdu) => {
                assert!(sent.start_us - since_us <= 2 * MINUTE);
            }
            _ => {
                assert!(seen.iter().all(|(old, _)| *old != nonce(&sent.pdu)), "a nonce came back");
                seen.push((nonce(&sent.pdu), sent.start_us));
            }
        }
    }
    assert!(seen.len() > 20);
    let same = |two: &&[crate::bench::Sent]| nonce(&two[0].pdu) == nonce(&two[1].pdu);
    assert!(bench.sent.windows(2).filter(same).all(|two| two[0].pdu == two[1].pdu));
}

// [PLG-7.2-2] [PLG-7.3-1]
#[test]
fn a_join_down_for_an_attempt_that_is_over_is_not_taken() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (_, down) = Gateway::admit(&up, None);
    bench.run_for(2 * MINUTE);
    bench.hear(&down);
    assert_eq!(bench.socket.membership(), Membership::Unjoined);
}

// [PLG-7.3-1]
#[test]
fn a_forged_join_down_and_one_for_another_socket_are_not_taken() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (_, down) = Gateway::admit(&up, None);
    for octet in 2..down.len() {
        let mut forged = down.clone();
        forged[octet] ^= 1;
        bench.hear(&forged);
        assert_eq!(bench.socket.membership(), Membership::Unjoined, "octet {octet}");
    }
    assert!(bench.socket.counts().forged >= 38, "EUI apart: {:?}", bench.socket.counts());
    bench.hear(&down);
    assert!(matches!(bench.socket.membership(), Membership::Pending(..)));
}

// [PLG-7.4-1] [PLG-5.6-5]
#[test]
fn the_first_report_says_booted_and_sync_under_counter_1_and_its_ack_commits() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (mut gateway, down) = Gateway::admit(&up, Some(3));
    bench.hear(&down);
    let first = bench.next_frame(5 * SECOND).expect("it reports at once");
    let frame = Frame::parse(&first.pdu).expect("a frame");
    assert_eq!((frame.counter(), frame.header().ack_request), (Some(1), true));
    let flags = gateway.report(&first).reading.flags;
    assert!(flags.booted && flags.sync && flags.free_running);
    assert!(matches!(bench.socket.membership(), Membership::Pending(..)));
    let ack = gateway.ack(&first);
    bench.hear(&ack);
    assert_eq!(bench.socket.membership(), Membership::Joined(gateway.who.network, gateway.who.short));
    assert_eq!(bench.led, Some(Led::Off));
}

// [PLG-7.4-1]
#[test]
fn a_place_that_nobody_confirms_is_given_up_after_five_minutes() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (_, down) = Gateway::admit(&up, None);
    bench.hear(&down);
    bench.run_for(5 * MINUTE - SECOND);
    assert!(matches!(bench.socket.membership(), Membership::Pending(..)));
    let reports = bench.sent.iter().filter(|sent| sent.kind() == Kind::Report).count();
    assert!((25..=50).contains(&reports), "it tries all the time, and leaves room for others: {reports}");
    bench.run_for(2 * SECOND);
    assert_eq!(bench.socket.membership(), Membership::Unjoined);
    bench.pass_over();
    let asks = bench.next_frame(2 * MINUTE).expect("it asks again");
    assert!(asks.kind() == Kind::JoinUp && nonce(&asks.pdu) != nonce(&up.pdu));
}

// [PLG-7.4-1]
#[test]
fn a_beacon_s_bit_confirms_nothing_while_the_place_is_pending() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (mut gateway, down) = Gateway::admit(&up, Some(Gateway::SLOT));
    bench.hear(&down);
    for _ in 0..3 {
        gateway.begin_superframe(&mut bench, &[0xFF]);
        bench.run_for(MINUTE);
    }
    bench.pass_over();
    let sent = bench.next_frame(2 * MINUTE).expect("it reports");
    assert!(gateway.report(&sent).reading.flags.booted);
    assert!(matches!(bench.socket.membership(), Membership::Pending(..)));
}

// [PLG-7.4-1]
#[test]
fn a_pending_place_survives_a_power_cut_and_can_be_confirmed_after_it() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (mut gateway, down) = Gateway::admit(&up, None);
    bench.hear(&down);
    let mut bench = bench.cut_power();
    gateway.welcome(&mut bench);
    assert!(matches!(bench.socket.membership(), Membership::Joined(..)));
    assert!(gateway.heard > 1024, "beyond the stored ceiling");
}

// [PLG-7.3-1]
#[test]
fn a_joined_socket_ignores_join_down() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (mut gateway, down) = Gateway::admit(&up, None);
    bench.hear(&down);
    gateway.welcome(&mut bench);
    let ignored = bench.socket.counts().ignored;
    bench.hear(&down);
    assert_eq!(bench.socket.counts().ignored, ignored + 1);
    let answer = gateway.ask(&mut bench, Ask::Identify { seconds: 1 }).expect("its keys are as before");
    assert_eq!(gateway.answer(&answer).outcome, Outcome::Done);
}

// [PLG-7.4-4]
#[test]
fn leave_is_answered_also_when_it_is_repeated_and_then_forgets_everything() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let leave = gateway.command(Ask::Leave);
    let mut answers = Vec::new();
    for _ in 0..3 {
        bench.hear(&leave);
        answers.push(bench.next_frame(SECOND).expect("it is answered").pdu);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    bench.run_for(4 * SECOND);
    assert_eq!(bench.socket.membership(), Membership::Unjoined);
    assert_eq!(bench.cut_power().socket.membership(), Membership::Unjoined);
}

#[test]
fn a_power_cut_right_behind_leave_does_not_bring_the_keys_back() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::Leave).is_some());
    assert_eq!(bench.cut_power().socket.membership(), Membership::Unjoined);
}

// [PLG-7.4-4]
#[test]
fn a_button_held_for_ten_seconds_leaves_and_nine_do_nothing() {
    let (_, mut bench) = Gateway::with_joined_socket();
    let on = bench.socket.relay_on();
    bench.press(9 * SECOND);
    assert!(matches!(bench.socket.membership(), Membership::Joined(..)));
    bench.press(10 * SECOND + 1);
    assert_eq!((bench.socket.membership(), bench.socket.relay_on()), (Membership::Unjoined, on));
    assert_eq!(bench.cut_power().socket.membership(), Membership::Unjoined);
}

#[test]
fn a_socket_that_left_joins_again_with_keys_of_its_own() {
    let (old, mut bench) = Gateway::with_joined_socket();
    bench.press(11 * SECOND);
    let new = Gateway::join(&mut bench);
    assert!(new.keys != old.keys);
    assert!(matches!(bench.socket.membership(), Membership::Joined(..)));
}
