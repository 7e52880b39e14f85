//! The modem itself: there, gone, started anew.

use super::*;
use plugline_protocol::frame::Kind;

const RESET: u8 = 0x01;
const STATUS_REQ: u8 = 0x24;

fn modem(bench: &Bench) -> Vec<bool> {
    let told = bench.happenings.iter().filter_map(|happening| match happening {
        Happening::Modem { answers } => Some(*answers),
        _ => None,
    });
    told.collect()
}

fn steps(bench: &Bench, step: &'static str) -> usize {
    bench.happenings.iter().filter(|happening| **happening == Happening::Recovery { step }).count()
}

#[test]
fn the_modem_is_asked_to_begin_and_is_up_with_its_hello() {
    let mut bench = Bench::silent(Options::default());
    assert_eq!(bench.other, [(bench.now, RESET)]);
    assert!(!bench.line.ready());
    bench.hello(StartReason::Asked);
    assert_eq!(modem(&bench), [true]);
    assert!(bench.line.ready());
}

#[test]
fn a_silent_modem_is_asked_ever_later_and_its_port_opened_anew() {
    let mut bench = Bench::silent(Options::default());
    bench.wait(2 * SECOND);
    assert_eq!((modem(&bench), steps(&bench, "probe")), (vec![false], 1));
    bench.wait(600 * SECOND);
    let probes = steps(&bench, "probe");
    assert_eq!((bench.reopened, steps(&bench, "reopen")), (probes / 3, probes / 3));
    assert!((6..=14).contains(&probes), "{probes} in ten minutes");
    assert_eq!((bench.noticed("modem_silent"), modem(&bench)), (1, vec![false]));
    bench.hello(StartReason::Power);
    assert_eq!(modem(&bench), [false, true]);
}

#[test]
fn garbage_at_the_start_costs_no_hello() {
    let mut bench = Bench::silent(Options::default());
    bench.line.handle_bytes(&[0xFF, 0x13, 0, 0x37, 0x55, 0xAA, 0], bench.clock());
    bench.drain();
    bench.hello(StartReason::Power);
    assert!(bench.line.ready());
    let faults = bench.happenings.iter().filter(|h| matches!(h, Happening::Malformed { .. })).count();
    assert_eq!(faults, 2);
}

// [PLG-9.5-3]
#[test]
fn a_modem_of_another_version_is_not_used() {
    let mut bench = Bench::silent(Options::default());
    let hello = Hello {
        version: LINK_VERSION + 1,
        boot: 1,
        kind: ModemKind::Other,
        reason: StartReason::Asked,
        rate: LineRate::REFERENCE,
        own_check: false,
        no_slots: false,
        max_pdu: 126,
        queue: 4,
        clock_us: 0,
    };
    bench.said(0, &Message::Hello(hello));
    assert!(!bench.line.ready());
    assert_eq!(bench.noticed("modem_version"), 1);
}

// [PLG-9.5-4]
#[test]
fn a_quiet_modem_is_asked_how_it_is_and_reset_when_it_does_not_say() {
    let mut bench = Bench::new();
    bench.confirms = false;
    bench.clear();
    bench.wait(25 * SECOND);
    let kinds = |bench: &Bench| bench.other.iter().map(|(_, kind)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(&bench), [STATUS_REQ, STATUS_REQ]);
    bench.wait(17 * SECOND);
    assert_eq!(kinds(&bench), [STATUS_REQ, STATUS_REQ, STATUS_REQ, RESET]);
    assert_eq!(modem(&bench), [false]);
    bench.hello(StartReason::Asked);
    assert_eq!(modem(&bench), [false, true]);
}

// [PLG-9.3-3]
#[test]
fn a_request_without_a_confirm_is_repeated_under_its_number() {
    let (mut bench, _) = Bench::joined();
    bench.confirms = false;
    bench.switch(true);
    bench.wait(ms(350));
    let tries = bench.of_kind(Kind::Command);
    assert_eq!(tries.len(), 4);
    assert!(tries.iter().all(|sent| sent.number == tries[0].number && sent.pdu == tries[0].pdu));
    bench.confirm(tries[0].number, TxResult::Queued, 0);
    bench.wait(ms(300));
    assert_eq!(bench.of_kind(Kind::Command).len(), 4, "it waits");
    bench.wait(10 * SECOND);
    assert_eq!(bench.failed(), ("modem_reset", Outcome::Unknown, false));
}

// [PLG-9.5-2]
#[test]
fn a_modem_that_starts_anew_in_mid_command_fails_it_and_the_next_one_works() {
    let (mut bench, socket) = Bench::joined();
    let number = bench.line.superframe(bench.us());
    bench.switch(true);
    bench.wait(ms(20));
    bench.boot = 2;
    bench.hello(StartReason::Watchdog);
    assert_eq!(bench.noticed("modem_reset"), 1);
    let again = bench.line.superframe(bench.us());
    assert_eq!((again.0, (again.1 - number.1) / 1_000), (number.0, 20), "superframes go on");
    bench.wait(ms(20));
    bench.clear();
    if !bench.line.ready() {
        bench.wait(10 * SECOND);
        bench.clear();
    }
    bench.switch(false);
    let sent = bench.next_frame();
    let (counter, _) = socket.command(&sent.pdu);
    assert!(counter > 1);
}

#[test]
fn a_truncated_or_foreign_packet_is_counted() {
    let mut bench = Bench::new();
    bench.clear();
    bench.said(0, &Message::StatusAsk);
    assert_eq!(bench.counted("echo"), 1);
    bench.line.handle_bytes(&[0, 1, 2, 3, 0], bench.clock());
    bench.drain();
    assert_eq!(bench.happenings.len(), 2);
}

// [PLG-3.6-1]
#[test]
fn whatever_the_modem_says_nothing_breaks_and_nothing_comes_of_it() {
    use proptest::prelude::*;
    let frames =
        proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..130)), 1..20);
    let times = proptest::collection::vec((any::<u8>(), 0..7u8, any::<u64>()), 0..10);
    proptest!(ProptestConfig::with_cases(200), |(frames in frames, times in times, noise: Vec<u8>)| {
        let (mut bench, socket) = Bench::joined();
        bench.switch(true);
        bench.clear();
        let place = socket.place().identity;
        for (end_us, mut pdu) in frames {
            if let [fc, _, n0, n1, s0, s1, ..] = pdu.as_mut_slice() {
                // Near enough to be looked at.
                *fc = 0x40 | *fc & 0x3F;
                [*n0, *n1] = place.network.0.to_be_bytes();
                [*s0, *s1] = place.short.0.to_be_bytes();
            }
            bench.said(0, &Message::Receive(Receive { signal: Signal::default(), end_us, pdu: &pdu }));
        }
        for (number, result, end_us) in times {
            let result = [TxResult::Queued, TxResult::Sent, TxResult::Late, TxResult::Full, TxResult::Bad,
                TxResult::Cancelled, TxResult::Other][usize::from(result)];
            bench.confirm(number, result, end_us);
        }
        bench.line.handle_bytes(&noise, bench.clock());
        bench.drain();
        prop_assert!(bench.nothing_came_of_it());
        bench.wait(70 * SECOND);
    });
}

// [PLG-9.3-4]
#[test]
fn what_the_modem_said_and_nobody_heard_is_counted_by_the_gap_in_its_numbers() {
    let mut bench = Bench::new();
    bench.clear();
    let stranger = Header::new(Kind::Ack, NetworkId(7), ShortAddress(7), FrameOptions::default()).octets();
    let pdu = [&stranger[..], &[0; 5]].concat();
    for _ in 0..300 {
        bench.hear(&pdu);
    }
    assert_eq!(bench.counted("gap"), 0, "they go round");
    bench.unasked = bench.unasked.wrapping_add(3);
    bench.hear(&pdu);
    bench.hear(&pdu);
    assert_eq!(bench.counted("gap"), 1);
    bench.hello(StartReason::Asked);
    assert_eq!(bench.counted("gap"), 1);
    (bench.boot, bench.unasked) = (2, 0);
    bench.hello(StartReason::Power);
    bench.hear(&pdu);
    assert_eq!(bench.counted("gap"), 1, "a modem that started anew begins anew");
}

// [PLG-9.3-1]
#[test]
fn messages_are_numbered_from_0_round_and_none_bears_the_number_of_an_open_request() {
    let (mut host, mut out) = (Host::default(), Outputs::default());
    let now = Moment::default();
    let mut number = |keep: bool| {
        let number = host.send(&[1], (0, u64::MAX), now, &mut out).expect("there is room");
        if !keep {
            host.cancel(number, &mut out);
        }
        number
    };
    let numbers: Vec<u8> = (0..300).map(|_| number(false)).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| *number == at as u8));
    let open = number(true);
    assert!((0..600).all(|_| number(false) != open));
}

// [PLG-10.3-1]
#[test]
fn a_modem_that_keeps_no_slots_gets_none_announced_and_sockets_none_granted() {
    let mut bench = Bench::silent(Options::default());
    bench.no_slots = true;
    bench.hello(StartReason::Asked);
    let mut socket = Socket::new(EUI, install());
    bench.join(&mut socket, Some(LABEL));
    assert_eq!(socket.place().grant.slot, None);
    bench.clear();
    bench.wait(2 * MINUTE);
    let beacons = bench.of_kind(Kind::Beacon);
    assert!(beacons.len() >= 3);
    let place = socket.place();
    let group = Channel::group(&place.grant.group_key, place.identity.network);
    for sent in beacons {
        let frame = plugline_protocol::frame::Frame::parse(&sent.pdu).unwrap();
        let mut clear = [0; 128];
        assert_eq!(Beacon::parse(group.open(&frame, &mut clear).unwrap()).unwrap().plan.slots, 0);
    }
}
