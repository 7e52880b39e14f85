//! Questions: their bytes, their time, silence, errors, long answers, and meters that name themselves.

use super::*;

#[test]
fn a_meter_is_asked_with_the_very_bytes_of_the_standard() {
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.poll("power"), Progress::Done);
    let ask = [
        0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x11, 0x04, 0x33, 0x33, 0x36, 0x35, 0x0E,
    ];
    assert_eq!(bench.written[0].1, [&ask[..], &[0x16]].concat());
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 118_300)));
    assert_eq!(
        bench.happenings[0],
        Happening::Progress { ticket: Ticket(1), progress: Progress::Sent { attempt: 1 } }
    );
}

#[test]
fn noise_without_end_does_not_hold_the_line_for_ever() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    for _ in 0..120 {
        bench.wait(SECOND / 10);
        bench.hear(&[0x68, 0, 0, 0, 0, 0, 0, 0x68, 0x91, 0xC8]);
    }
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 3);
}

#[test]
fn a_meter_that_never_answers_is_asked_three_times() {
    let mut bench = Bench::without_meters();
    let begun = bench.now;
    assert_eq!(brief(bench.poll("power")), ("no_answer", Outcome::Unknown, true));
    assert_eq!(bench.written.len(), 3);
    assert!((3 * SECOND..4 * SECOND).contains(&(bench.now - begun)));
    let told = bench.happenings.iter().filter(|h| matches!(h, Happening::Progress { .. })).count();
    assert_eq!(told, 4, "three times sent, once failed");
}

#[test]
fn a_carrier_is_given_the_time_that_it_needs() {
    let options = Options { medium: Medium::Narrowband, ..Options::default() };
    let mut bench = Bench::new(options, vec![meter(KETTLE).with_reply_delay(8 * SECOND)]);
    assert_eq!(bench.poll("power"), Progress::Done);
    assert_eq!(bench.written.len(), 1);
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    assert_eq!(brief(bench.switch(true)), ("no_answer", Outcome::Unknown, true), "within its deadline");
}

#[test]
fn nobody_answers_only_when_every_meter_is_silent() {
    let mut bench = Bench::new(Options::default(), vec![meter(KETTLE), meter(FRIDGE)]);
    bench.bus.set_fault(Fault::Mute(sim_address(KETTLE)));
    let modem = |answers| Happening::Modem { answers };
    for _ in 0..4 {
        bench.poll("power");
        assert!(!bench.saw(&modem(false)), "the fridge was not asked yet");
    }
    bench.run(bench.poll_of(FRIDGE, "power"));
    assert!(bench.saw(&modem(true)));
    bench.bus.set_fault(Fault::Mute(sim_address(FRIDGE)));
    bench.poll("power");
    bench.run(bench.poll_of(FRIDGE, "power"));
    assert!(!bench.saw(&modem(false)), "two are a coincidence");
    bench.poll("power");
    assert!(bench.saw(&modem(false)));
    bench.bus.clear_faults();
    bench.poll("power");
    assert!(bench.saw(&modem(true)));
}

#[test]
fn a_reading_that_the_meter_does_not_have_is_unsupported_and_it_counts_as_heard() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "frequency"));
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("unsupported", Outcome::NotApplied, false));
    assert!(bench.saw(&heard(KETTLE)));
    bench.happenings.clear();
    bench.wait(SECOND);
    let ticket = bench.start(bench.poll_of(KETTLE, "frequency"));
    bench.hear(&frame(KETTLE, 0xD1, &[4]));
    let failure = failed(bench.end_of(ticket).unwrap());
    assert_eq!((failure.code, failure.silent), ("refused", false));
    assert_eq!(failure.detail, "the meter refused frequency of 000000004711: not_authorised (04)");
}

#[test]
fn a_late_error_reply_is_not_taken_for_the_answer_to_the_next_question() {
    let mut bench = Bench::without_meters();
    bench.poll("frequency");
    bench.wait(SECOND);
    bench.happenings.clear();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&frame(KETTLE, 0xD1, &[2]));
    assert_eq!(bench.end_of(ticket), None);
    bench.wait(SECOND / 10);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn reading_asks_for_everything_and_passes_over_what_the_meter_does_not_have() {
    let mut bench = Bench::with_kettle();
    assert_eq!(bench.run(Operation::Read { target: target(KETTLE) }), Progress::Done);
    assert_eq!(bench.written.len(), 7);
    for (quantity, value) in [
        (Quantity::Power, 118_300),
        (Quantity::Energy, 12_345_670_000),
        (Quantity::Voltage, 230_100),
        (Quantity::Current, 523),
        (Quantity::PowerFactor, 983),
        (Quantity::Frequency, 49_980),
    ] {
        assert!(bench.saw(&reading(KETTLE, quantity, value)), "{quantity:?}: {:?}", bench.happenings);
    }
    assert!(bench.saw(&relay(true, Cause::Poll)));
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Read { target: target(KETTLE) });
    bench.hear(&POWER_OF_KETTLE);
    for _ in 1..7 {
        bench.wait(SECOND / 10);
        assert_eq!(bench.end_of(ticket), None);
        bench.hear(&frame(KETTLE, 0xD1, &[2]));
    }
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_question_waits_until_the_answer_before_has_left_the_wire() {
    let mut bench = Bench::with_kettle();
    bench.run(Operation::Read { target: target(KETTLE) });
    let ends: Vec<_> = bench.written.iter().map(|(at, _)| *at).collect();
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= 2 * PAUSE), "20 ms each way: {ends:?}");
    bench.written.clear();
    let operation = bench.poll_of(KETTLE, "power");
    let begun = bench.now;
    bench.start(operation);
    assert!(bench.written.is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.written[0].0, begun + PAUSE);
}

#[test]
fn a_long_answer_is_fetched_in_parts() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::MoreData { chunk: 1 });
    assert_eq!(bench.poll("energy"), Progress::Done);
    assert_eq!(bench.written.len(), 4);
    assert!(bench.saw(&reading(KETTLE, Quantity::Energy, 12_345_670_000)));
    let readings = bench.happenings.iter().filter(|h| matches!(h, Happening::Reading { .. })).count();
    assert_eq!(readings, 1);
}

#[test]
fn a_lonely_meter_names_itself() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    bench.bus = Bus::new(3, vec![meter(KETTLE)]);
    assert!(bench.line.discovers());
    assert_eq!(bench.run(Operation::Discover), Progress::Done);
    let ask = [0xFE, 0xFE, 0xFE, 0xFE, 0x68, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0x68, 0x13, 0, 0xDF, 0x16];
    assert_eq!(bench.written[0].1, ask);
    assert!(bench.saw(&Happening::Joined { target: target(KETTLE) }));
}

#[test]
fn meters_that_answer_at_once_are_not_taken_for_silence() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    bench.bus = Bus::new(3, vec![meter(KETTLE), meter(FRIDGE), meter("123456789012")]);
    let failure = failed(bench.run(Operation::Discover));
    assert_eq!((failure.code, failure.silent), ("garbled", false));
    assert!(failure.detail.contains("several meters"), "{}", failure.detail);
    assert!(!bench.happenings.iter().any(|happening| matches!(happening, Happening::Joined { .. })));
}

#[test]
fn two_meters_that_answer_one_after_the_other_both_join() {
    let mut bench = Bench::new(Options::default(), Vec::new());
    let ticket = bench.start(Operation::Discover);
    for address in [KETTLE, FRIDGE] {
        bench.wait(SECOND / 10);
        let own = Address::parse(address).unwrap();
        bench.hear(&frame(address, 0x93, &own.0));
        assert!(bench.saw(&Happening::Joined { target: target(address) }));
    }
    bench.wait(SECOND);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}
