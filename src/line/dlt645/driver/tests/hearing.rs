//! What comes in: replies asked for or not, of others, echoes, noise, halves.

use super::*;

#[test]
fn a_late_reply_of_another_meter_is_a_reading_and_settles_nothing() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&frame(FRIDGE, 0x91, &[0, 0, 3, 2, 0x10, 0, 0]));
    assert!(bench.saw(&reading(FRIDGE, Quantity::Power, 1_000)));
    bench.hear(&frame(KETTLE, 0x91, &[0, 1, 1, 2, 0x01, 0x23]));
    assert!(bench.saw(&reading(KETTLE, Quantity::Voltage, 230_100)));
    assert_eq!(bench.end_of(ticket), None);
    bench.hear(&POWER_OF_KETTLE);
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn another_meters_agreement_does_not_acknowledge_a_switch() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: true });
    bench.hear(&frame(FRIDGE, 0x9C, &[]));
    bench.hear(&frame(FRIDGE, 0xDC, &[4]));
    assert!(!bench.saw(&Happening::Progress { ticket, progress: Progress::Acknowledged }));
    assert_eq!(bench.end_of(ticket), None);
    assert!(bench.saw(&heard(FRIDGE)));
}

#[test]
fn a_meter_that_answers_under_anothers_address_counts_as_silent_and_the_other_as_foreign() {
    let mut bench = Bench::with_kettle();
    let (asked, answers_as) = (sim_address(KETTLE), sim_address("000000000099"));
    bench.bus.set_fault(Fault::AnswerForAnother { asked, answers_as });
    assert_eq!(brief(bench.poll("power")), ("no_answer", Outcome::Unknown, true));
    assert!(bench.saw(&Happening::Foreign { address: "000000000099".into() }));
    bench.bus.clear_faults();
    assert_eq!(bench.poll("power"), Progress::Done);
}

#[test]
fn an_unasked_reply_is_a_reading() {
    let mut bench = Bench::without_meters();
    bench.hear(&POWER_OF_KETTLE);
    bench.hear(&frame(KETTLE, 0x91, &[3, 5, 0, 4, 0x50, 0]));
    assert_eq!(
        bench.happenings,
        [
            Happening::Modem { answers: true },
            reading(KETTLE, Quantity::Power, 251_200),
            relay(false, Cause::Poll)
        ]
    );
}

#[test]
fn an_absent_phase_is_heard_and_is_no_figure() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "voltage"));
    bench.hear(&frame(KETTLE, 0x91, &[0, 1, 1, 2, 0xFF, 0xFF]));
    assert!(bench.saw(&heard(KETTLE)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert!(!bench.happenings.iter().any(|happening| matches!(happening, Happening::Reading { .. })));
}

#[test]
fn an_echo_of_our_own_words_is_counted_and_answers_nothing() {
    let mut bench = Bench::with_kettle();
    bench.bus.set_fault(Fault::Echo);
    assert_eq!(bench.poll("power"), Progress::Done);
    assert_eq!(bench.kinds(), ["echo"]);
    assert_eq!(bench.switch(false), Progress::Done);
    assert_eq!(bench.written.len(), 2);
}

#[test]
fn whatever_stands_around_a_reply_the_reply_is_read() {
    let gap = Duration::from_millis(80);
    let faults = [Fault::Garbage, Fault::Split { gap }, Fault::DuplicateStart, Fault::Repeat(gap)];
    for fault in faults {
        let mut bench = Bench::with_kettle();
        bench.bus.set_fault(fault);
        for name in ["power", "energy", "relay"] {
            assert_eq!(bench.poll(name), Progress::Done, "{fault:?}");
            bench.wait(SECOND);
        }
        assert!(bench.happenings.iter().all(|h| !matches!(h, Happening::Foreign { .. })), "{fault:?}");
    }
}

#[test]
fn a_reply_with_a_wrong_sum_is_counted_and_asked_for_again() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    let mut wrong = POWER_OF_KETTLE;
    wrong[14] ^= 1;
    bench.hear(&wrong);
    bench.wait(3 * SECOND / 2);
    assert_eq!(bench.kinds(), ["checksum"]);
    assert_eq!(bench.written.len(), 2);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_reply_that_breaks_off_is_counted_and_the_next_one_is_read() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&POWER_OF_KETTLE[..11]);
    bench.wait(BYTE_GAP);
    assert_eq!(bench.kinds(), ["truncated"]);
    bench.hear(&POWER_OF_KETTLE);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert_eq!(bench.kinds().len(), 1);
}

#[test]
fn replies_that_come_as_one_are_two_readings() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.hear(&[&frame(FRIDGE, 0x91, &[0, 0, 3, 2, 0x10, 0, 0])[..], &POWER_OF_KETTLE].concat());
    assert!(bench.saw(&reading(FRIDGE, Quantity::Power, 1_000)));
    assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
}

#[test]
fn a_reply_that_comes_in_just_as_time_is_over_is_not_talked_over() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(bench.poll_of(KETTLE, "power"));
    bench.wait(SECOND);
    bench.hear(&POWER_OF_KETTLE[..12]);
    bench.wait(SECOND / 5);
    assert_eq!(bench.written.len(), 1);
    bench.hear(&POWER_OF_KETTLE[12..]);
    assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    assert!(bench.kinds().is_empty());
}

proptest! {
    #[test]
    fn after_any_noise_the_next_good_reply_is_read(
        noise in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), 0_u64..700), 0..20)
    ) {
        let mut bench = Bench::without_meters();
        let first = bench.start(bench.poll_of(KETTLE, "power"));
        for (bytes, pause_ms) in noise {
            bench.hear(&bytes);
            bench.wait(Duration::from_millis(pause_ms));
        }
        bench.wait(10 * SECOND);
        prop_assert!(bench.end_of(first).is_some());
        prop_assert!(bench.line.ready());
        bench.happenings.clear();
        let ticket = bench.start(bench.poll_of(KETTLE, "power"));
        bench.hear(&POWER_OF_KETTLE);
        prop_assert!(bench.saw(&reading(KETTLE, Quantity::Power, 251_200)));
        prop_assert_eq!(bench.end_of(ticket), Some(Progress::Done));
    }
}
