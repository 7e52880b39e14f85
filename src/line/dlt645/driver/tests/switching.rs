//! How a switch ends: done, not done, unknown; with the bytes of captures.

use super::*;

#[test]
fn a_meter_is_switched_with_the_very_bytes_of_the_captures() {
    // 02 000000 | operator 00000000 | 1A, 1C, 1B | 00 | 99-12-30 00:00:00, each byte plus 33.
    let request = |n1: u8, check: u8| {
        let mut bytes = vec![0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x1C, 0x10, 0x35];
        bytes.extend([0x33; 7]);
        bytes.extend([n1, 0x33, 0x33, 0x33, 0x33, 0x63, 0x45, 0xCC, check, 0x16]);
        bytes
    };
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written[0].1, request(0x4D, 0x7B));
    assert_eq!(bench.switch(true), Progress::Done);
    assert_eq!(bench.written[0].1, request(0x4F, 0x7D));
    let mut bench = Bench::new(hand(), vec![meter(KETTLE).with_relay(false)]);
    bench.switch(true);
    assert_eq!(bench.written[0].1, request(0x4E, 0x7C));
}

#[test]
fn the_captured_trip_of_151230011061_is_made_from_its_options() {
    let mut options = Options::default();
    options.device.password = Password::parse("020637").unwrap();
    options.device.operator = Operator::parse("00000001").unwrap();
    options.wake_ups = 0;
    let mut bench = Bench::new(options, Vec::new());
    bench.line.attach(&target("151230011061"));
    bench.start(Operation::Switch { target: target("151230011061"), on: false });
    let capture = [
        0x68, 0x61, 0x10, 0x01, 0x30, 0x12, 0x15, 0x68, 0x1C, 0x10, 0x35, 0x6A, 0x39, 0x35, 0x34, 0x33, 0x33,
        0x33, 0x4D, 0x33, 0x33, 0x33, 0x33, 0x63, 0x45, 0xCC, 0x2C, 0x16,
    ];
    assert_eq!(bench.written[0].1, capture);
}

#[test]
fn a_switch_is_done_when_the_meter_shows_its_relay() {
    let mut bench = Bench::with_kettle();
    let begun = bench.now;
    assert_eq!(bench.switch(false), Progress::Done);
    assert!(!bench.kettle_closed());
    let steps: Vec<_> = bench.happenings.iter().filter(|h| !matches!(h, Happening::Modem { .. })).collect();
    let progress = |progress| Happening::Progress { ticket: Ticket(1), progress };
    let wanted = [
        progress(Progress::Sent { attempt: 1 }),
        heard(KETTLE),
        progress(Progress::Acknowledged),
        relay(false, Cause::Command),
        progress(Progress::Done),
    ];
    assert_eq!(steps, wanted.iter().collect::<Vec<_>>());
    assert_eq!(bench.written.len(), 2);
    let took = bench.now - begun;
    assert!(took >= SECOND && took < 2 * SECOND, "{took:?}");
}

#[test]
fn a_slow_relay_is_looked_at_three_times() {
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE).with_relay_delay(5 * SECOND)]);
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written.len(), 4);
    assert!(bench.saw(&relay(true, Cause::Poll)) && bench.saw(&relay(false, Cause::Command)));
}

#[test]
fn a_relay_that_stays_open_after_the_meter_agreed_is_not_closed() {
    let stuck = meter(KETTLE).with_relay(false).with_relay_delay(600 * SECOND);
    let mut bench = Bench::new(Options::default(), vec![stuck]);
    assert_eq!(brief(bench.switch(true)), ("not_shown", Outcome::NotApplied, false));
}

#[test]
fn a_meter_that_closes_by_hand_waits_for_its_button() {
    let by_hand = meter(KETTLE).with_closing(sim::Closing::ByHand).with_relay(false);
    let mut bench = Bench::new(hand(), vec![by_hand]);
    let failure = failed(bench.switch(true));
    assert_eq!(
        (failure.code, failure.outcome, failure.silent),
        ("awaits_button", Outcome::NotApplied, false)
    );
    assert_eq!(failure.detail, "the meter allows closing; press its button");
    bench.poll("relay");
    assert!(bench.saw(&relay(false, Cause::Poll)));
    assert!(bench.bus.meter_mut(sim_address(KETTLE)).unwrap().press_button());
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Button)), "{:?}", bench.happenings);
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_button_that_was_not_allowed_from_here_is_seen_as_a_poll() {
    let mut bench = Bench::new(hand(), vec![meter(KETTLE)]);
    bench.poll("relay");
    assert!(bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_wrong_password_is_tried_once_and_names_the_way_out() {
    let password = sim::Password { level: 2, wire: [1, 2, 3] };
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE).with_password(password)]);
    let failure = failed(bench.switch(false));
    assert_eq!((failure.code, failure.outcome, failure.silent), ("password", Outcome::NotApplied, false));
    assert!(failure.detail.contains("password_file"), "{}", failure.detail);
    assert_eq!(bench.written.len(), 1);
    assert!(bench.kettle_closed() && bench.saw(&heard(KETTLE)));
}

#[test]
fn a_switch_whose_answers_are_lost_is_seen_in_the_relay() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault_times(Fault::LoseReplies(sim_address(KETTLE)), 3);
    assert_eq!(bench.switch(false), Progress::Done);
    assert!(bench.saw(&relay(false, Cause::Command)));
    assert_eq!(bench.written.len(), 4);
}

#[test]
fn a_switch_that_never_reached_the_meter_is_surely_not_done() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault_times(Fault::Mute(sim_address(KETTLE)), 3);
    assert_eq!(brief(bench.switch(false)), ("no_answer", Outcome::NotApplied, false));
    assert!(bench.kettle_closed() && bench.saw(&relay(true, Cause::Poll)));
}

#[test]
fn a_switch_into_silence_ends_unknown() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::LoseReplies(sim_address(KETTLE)));
    assert_eq!(brief(bench.switch(false)), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 4, "three tries and one look");
    assert!(!bench.kettle_closed(), "which is why it is unknown");
}

#[test]
fn a_meter_that_falls_silent_after_it_agreed_leaves_the_switch_unknown() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::Delay(Duration::ZERO));
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    while !bench.saw(&Happening::Progress { ticket, progress: Progress::Acknowledged }) {
        assert!(bench.step(bench.now + SECOND));
    }
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    bench.wait(20 * SECOND);
    let end = bench.end_of(ticket).unwrap();
    assert_eq!(brief(end), ("unconfirmed", Outcome::Unknown, false));
}

#[test]
fn a_meter_without_status_word_3_cannot_confirm() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.hear(&frame(KETTLE, 0x9C, &[]));
    bench.wait(SECOND + SECOND / 10);
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    let failure = failed(bench.end_of(ticket).unwrap());
    assert_eq!((failure.code, failure.outcome), ("unconfirmed", Outcome::Unknown));
    assert!(failure.detail.contains("no_such_data"), "{}", failure.detail);
}

#[test]
fn a_dated_switch_fails_without_a_clock_and_carries_a_date_with_one() {
    let mut options = Options::default();
    options.device.expiring = Expiring::Dated;
    let mut bench = Bench::new(options, vec![meter(KETTLE)]);
    bench.synchronised = false;
    assert_eq!(brief(bench.switch(false)), ("clock_unknown", Outcome::NotApplied, false));
    assert!(bench.written.is_empty());
    bench.synchronised = true;
    assert_eq!(bench.switch(false), Progress::Done);
    // One day after 2026-11-21 04:00: 33 added to DD MM YY.
    let date = &bench.written[0].1[27..30];
    assert_eq!(date, [0x22 + 0x33, 0x11 + 0x33, 0x26 + 0x33]);
}
