//! A lost port, deadlines, and what is refused without a word on the wire.

use super::*;

#[test]
fn a_port_lost_in_mid_operation_ends_it_and_forgets_half_a_frame() {
    let mut bench = Bench::without_meters();
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.hear(&POWER_OF_KETTLE[..9]);
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("port_lost", Outcome::Unknown, false));
    assert!(!bench.line.ready() && bench.line.poll_timeout().is_none());
    bench.line.handle_port(true, bench.clock());
    bench.drain();
    bench.happenings.clear();
    bench.hear(&POWER_OF_KETTLE);
    let again = [Happening::Modem { answers: true }, reading(KETTLE, Quantity::Power, 251_200)];
    assert_eq!(bench.happenings, again);
}

#[test]
fn a_port_lost_before_anything_was_written_applied_nothing() {
    let mut bench = Bench::without_meters();
    bench.hear(&POWER_OF_KETTLE);
    let ticket = bench.start(Operation::Switch { target: target(KETTLE), on: false });
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert!(bench.written.is_empty());
    assert_eq!(brief(bench.end_of(ticket).unwrap()), ("port_lost", Outcome::NotApplied, false));
}

#[test]
fn an_operation_ends_at_its_deadline() {
    let mut bench = Bench::without_meters();
    let deadline = Moment(bench.now + SECOND / 2);
    let switch = Operation::Switch { target: target(KETTLE), on: false };
    bench.line.start(switch.clone(), Ticket(9), deadline, bench.clock());
    bench.wait(SECOND / 2);
    assert_eq!(brief(bench.end_of(Ticket(9)).unwrap()), ("no_answer", Outcome::Unknown, true));
    assert!(bench.line.ready());
    let past = Moment(bench.now);
    bench.line.start(switch, Ticket(10), past, bench.clock());
    bench.drain();
    assert_eq!(brief(bench.end_of(Ticket(10)).unwrap()), ("too_late", Outcome::NotApplied, false));
    assert_eq!(bench.written.len(), 1);
}

#[test]
fn what_the_line_does_not_have_is_refused_without_a_word_on_the_wire() {
    let mut options = Options::default();
    options.devices.insert(KETTLE.into(), DeviceOptions { relay: false, ..DeviceOptions::default() });
    let mut bench = Bench::new(options, Vec::new());
    assert_eq!(bench.line.attach(&target(KETTLE)).abilities, Abilities::default());
    assert!(bench.line.attach(&target(FRIDGE)).abilities.relay, "others have one");
    let refused = brief(bench.switch(true));
    assert_eq!(refused, ("unsupported", Outcome::NotApplied, false));
    let nobody = Operation::Read { target: target("000000000001") };
    assert_eq!(brief(bench.run(nobody)), ("not_attached", Outcome::NotApplied, false));
    let beyond = Operation::Poll { target: target(FRIDGE), item: 99 };
    assert_eq!(brief(bench.run(beyond)), ("unsupported", Outcome::NotApplied, false));
    assert!(bench.written.is_empty());
}

#[test]
fn an_address_is_up_to_twelve_digits_of_one_meter() {
    let line = Dlt645::new(Options::default());
    assert_eq!(&*line.canonical_address("4711").unwrap(), KETTLE);
    assert_eq!(&*line.canonical_address("151230011061").unwrap(), "151230011061");
    for bad in
        ["", "1234567890123", "47x1", "aaaaaaaaaaaa", "aa4711", " 4711", "-1", "四七一一", "999999999999"]
    {
        let error = line.canonical_address(bad).unwrap_err();
        assert_eq!(error.given, bad);
    }
    let shown = line.canonical_address("47x1").unwrap_err().to_string();
    assert_eq!(shown, "address `47x1`: a meter's address has 1 to 12 decimal digits");
    assert!(!one(Address::BROADCAST) && !one(Address::ANY));
}

#[test]
fn the_port_is_opened_as_meters_leave_the_factory() {
    let settings = Dlt645::new(Options::default()).serial_settings();
    assert_eq!(settings, SerialSettings { baud: 2400, parity: Parity::Even });
}
