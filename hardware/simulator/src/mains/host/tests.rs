//! The serial line between a host that the tests play and a modem on a wire with one other node.

use super::*;
use crate::mains::modem::{ModemSetup, Sulk, SulkKind};
use crate::mains::noise::Noise;
use crate::mains::wiring::{LEVEL, Phase, Wiring};
use crate::mains::{FRAME_BYTES_MAX, Setup};

/// What a test keeps of a message from the modem.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Hello(Hello),
    Confirm(u8, Confirm),
    Received { number: u8, end_us: u64, pdu: Vec<u8> },
    Status(u8, Status),
}

struct Bench {
    host: Host,
    line: Line,
    deframer: Deframer,
    now_us: u64,
    told: Vec<Told>,
    junk: usize,
    heard: Vec<Delivery>,
}

impl Bench {
    fn new(setup: ModemSetup) -> Self {
        let phy = Phy::default();
        let wiring = Wiring::new(&[Phase::L1; 2], &LEVEL, 1);
        let line = Line::new(Setup { phy, wiring, noise: Noise::quiet(), loss_ppm: 0, seed: 1 });
        Self {
            host: Host::new(Modem::new(setup), &phy),
            line,
            deframer: Deframer::new(),
            now_us: 0,
            told: Vec::new(),
            junk: 0,
            heard: Vec::new(),
        }
    }

    /// Up, HELLO read and forgotten.
    fn up(setup: ModemSetup) -> Self {
        let mut bench = Self::new(setup);
        bench.run_until(1_000_000);
        bench.told.clear();
        bench
    }

    fn run_until(&mut self, end_us: u64) {
        loop {
            let output = self.host.output_due_us();
            let next =
                [self.line.poll_timeout(), self.host.poll_timeout(), output].into_iter().flatten().min();
            let Some(next_us) = next.filter(|next_us| *next_us <= end_us) else { break };
            self.step(next_us);
        }
        self.step(end_us);
    }

    fn step(&mut self, at_us: u64) {
        self.now_us = self.now_us.max(at_us);
        self.line.handle_timeout(self.now_us);
        while let Some(delivery) = self.line.poll_delivery() {
            self.host.handle_delivery(&delivery);
            self.heard.push(delivery);
        }
        self.host.handle_timeout(self.now_us, &mut self.line);
        while let Some((_, bytes)) = self.host.poll_output(self.now_us) {
            for byte in bytes {
                match self.deframer.push(byte) {
                    None => {}
                    Some(Err(_)) => self.junk += 1,
                    Some(Ok(packet)) => self.told.push(match Message::parse(&packet).unwrap() {
                        Message::Hello(hello) => Told::Hello(hello),
                        Message::Confirm(confirm) => Told::Confirm(packet.seq, confirm),
                        Message::Status(status) => Told::Status(packet.seq, status),
                        Message::Receive(Receive { end_us, pdu, .. }) => {
                            Told::Received { number: packet.seq, end_us, pdu: pdu.to_vec() }
                        }
                        other => panic!("a modem does not say {other:?}"),
                    }),
                }
            }
        }
    }

    fn say(&mut self, number: u8, message: &Message<'_>) {
        let mut room = [0; MAX_ENCODED];
        let bytes = encode(number, message, &mut room).unwrap().to_vec();
        self.host.handle_bytes(&bytes, self.now_us);
    }

    fn send(&mut self, number: u8, window: (u64, u64), pdu: &[u8]) {
        let (not_before_us, not_after_us) = window;
        self.say(number, &Message::Transmit(Transmit { not_before_us, not_after_us, pdu }));
    }

    fn results(&self) -> Vec<(u8, TxResult)> {
        let result = |told: &Told| match told {
            Told::Confirm(number, confirm) => Some((*number, confirm.result)),
            _ => None,
        };
        self.told.iter().filter_map(result).collect()
    }

    fn hellos(&self) -> Vec<(u32, StartReason)> {
        let hello = |told: &Told| match told {
            Told::Hello(hello) => Some((hello.boot, hello.reason)),
            _ => None,
        };
        self.told.iter().filter_map(hello).collect()
    }
}

const WHENEVER: (u64, u64) = (0, u64::MAX);

// [PLG-9.5-1]
#[test]
fn power_brings_a_hello_that_says_what_line_it_is_whatever_garbage_stands_before_it() {
    for seed in 1..20 {
        let mut bench = Bench::new(ModemSetup { seed, ..ModemSetup::default() });
        bench.run_until(1_000_000);
        let [Told::Hello(hello)] = &bench.told[..] else { panic!("{:?}", bench.told) };
        assert_eq!((hello.version, hello.kind, hello.reason), (1, ModemKind::Simulated, StartReason::Power));
        assert_eq!(hello.rate, LineRate::REFERENCE);
        assert_eq!((hello.max_pdu, hello.queue, hello.own_check), (126, 4, false));
        assert_eq!(hello.clock_us, 300_000, "its clock runs since power came");
    }
}

// [PLG-9.4-1] [PLG-9.4-4]
#[test]
fn a_frame_is_queued_sent_and_heard_with_its_crc_and_its_times_are_those_of_the_line() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(7, (1_200_000, 1_201_000), &[9; 30]);
    bench.run_until(2_000_000);
    assert_eq!(bench.results(), [(7, TxResult::Queued), (7, TxResult::Sent)]);
    let Some(Told::Confirm(7, confirm)) = bench.told.last() else { panic!("{:?}", bench.told) };
    assert_eq!((confirm.airtime_us, confirm.end_us), (140_000, 1_340_000));
    assert_eq!(bench.heard[0].bytes.len(), 32);
    assert_eq!(bench.heard[0].end_us, 1_340_000);
}

#[test]
fn a_frame_from_the_wire_is_told_without_its_crc_and_after_the_bytes_had_time_to_pass() {
    let mut bench = Bench::up(ModemSetup::default());
    let mut frame = [0; 40];
    let frame = plugline_protocol::frame::with_crc(&[5; 20], &mut frame).unwrap();
    let end_us = bench.line.transmit(1, frame, 1_100_000).unwrap();
    bench.run_until(end_us + 2_000);
    assert_eq!(bench.told, [], "38 bytes take 3.3 ms");
    bench.run_until(end_us + 4_000);
    assert!(
        matches!(&bench.told[..], [Told::Received { end_us: at_us, pdu, .. }] if *at_us == end_us && pdu[..] == [5; 20])
    );
}

// [PLG-9.3-2]
#[test]
fn a_request_that_comes_again_under_its_number_is_confirmed_again_and_sent_once() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(7, WHENEVER, &[9; 30]);
    bench.run_until(1_050_000);
    bench.send(7, WHENEVER, &[9; 30]);
    bench.run_until(1_900_000);
    bench.send(7, WHENEVER, &[9; 30]);
    bench.run_until(3_000_000);
    let results = [TxResult::Queued, TxResult::Queued, TxResult::Sent, TxResult::Sent];
    assert_eq!(bench.results(), results.map(|result| (7, result)));
    assert_eq!((bench.heard.len(), bench.host.stats().repeats), (1, 2));
}

// [PLG-9.3-2]
#[test]
fn sixteen_ended_requests_are_remembered_and_one_that_waits_is_never_forgotten() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(200, (60_000_000, 60_001_000), &[9; 30]);
    for number in 1..=17 {
        bench.send(number, WHENEVER, &[number; 10]);
        bench.run_until(bench.now_us + 200_000);
    }
    bench.told.clear();
    for number in [2, 17, 1] {
        bench.send(number, WHENEVER, &[number; 10]);
        bench.run_until(bench.now_us + 200_000);
    }
    let expected = [(2, TxResult::Sent), (17, TxResult::Sent), (1, TxResult::Queued), (1, TxResult::Sent)];
    assert_eq!(bench.results(), expected, "the seventeenth before the last is a new one");
    bench.run_until(61_000_000);
    assert_eq!(bench.results()[4..], [(200, TxResult::Sent)]);
}

// [PLG-9.3-1] [PLG-9.3-4]
#[test]
fn answers_bear_the_number_of_the_question_and_all_else_is_counted_from_0_round_to_0() {
    let mut bench = Bench::new(ModemSetup::default());
    bench.run_until(1_000_000);
    let mut numbers = Vec::new();
    let mut room = [0; 40];
    let frame = plugline_protocol::frame::with_crc(&[5; 2], &mut room).unwrap().to_vec();
    for round in 0..258_u64 {
        bench.line.transmit(1, &frame, bench.now_us).unwrap();
        if round == 100 {
            bench.say(77, &Message::StatusAsk);
            bench.say(78, &Message::Reset { version: LINK_VERSION });
        }
        bench.run_until(bench.now_us + 100_000);
        for told in bench.told.drain(..) {
            match told {
                Told::Hello(_) => numbers.push(None),
                Told::Received { number, .. } => numbers.push(Some(number)),
                Told::Status(number, _) => assert_eq!(number, 77),
                Told::Confirm(..) => panic!("nothing was asked for"),
            }
        }
    }
    assert_eq!((numbers.len(), numbers[0]), (260, None));
    let hellos = numbers.iter().filter(|number| number.is_none()).count();
    let right = numbers.iter().enumerate().filter(|(at, number)| **number == Some(*at as u8)).count();
    assert_eq!((hellos, right), (2, 258), "a HELLO takes a number too");
}

// [PLG-9.4-2] [PLG-9.4-3]
#[test]
fn a_frame_with_a_moment_of_its_own_is_not_held_up_by_one_that_found_the_line_taken() {
    for seed in 0..20 {
        let mut bench = Bench::up(ModemSetup { seed, ..ModemSetup::default() });
        let end_us = bench.line.transmit(1, &[0; 40], 1_000_000).unwrap();
        bench.send(1, (1_050_000, u64::MAX), &[1; 10]);
        let slot_us = end_us + 5_000;
        bench.send(2, (slot_us, slot_us + 1_000), &[2; 10]);
        bench.run_until(3_000_000);
        let start_of = |octet: u8| {
            let own = bench.heard.iter().find(|delivery| delivery.bytes[0] == octet);
            own.map(|delivery| delivery.start_us).expect("it was sent")
        };
        let first_us = start_of(1);
        assert!((end_us + 4_000..=end_us + 14_000).contains(&first_us) || first_us > slot_us, "{first_us}");
        if first_us > slot_us {
            assert_eq!(start_of(2), slot_us, "seed {seed}");
        }
    }
}

// [PLG-9.4-6] [PLG-3.6-1]
#[test]
fn any_octets_are_carried_both_ways_whatever_version_they_are_of() {
    let mut bench = Bench::up(ModemSetup::default());
    let pdus: Vec<Vec<u8>> =
        (0..=255).step_by(17).map(|octet| vec![octet; 1 + usize::from(octet) / 3]).collect();
    for (number, pdu) in (0..).zip(&pdus) {
        bench.heard.clear();
        bench.told.clear();
        bench.send(number, WHENEVER, pdu);
        bench.run_until(bench.now_us + 1_000_000);
        assert_eq!(bench.results(), [(number, TxResult::Queued), (number, TxResult::Sent)]);
        assert_eq!(bench.heard[0].bytes[..pdu.len()], pdu[..]);
        let mut room = [0; 128];
        let frame = plugline_protocol::frame::with_crc(pdu, &mut room).unwrap().to_vec();
        bench.line.transmit(1, &frame, bench.now_us).unwrap();
        bench.run_until(bench.now_us + 1_000_000);
        assert!(matches!(bench.told.last(), Some(Told::Received { pdu: told, .. }) if told == pdu));
    }
}

// [PLG-9.4-4]
#[test]
fn times_of_sent_and_heard_frames_are_within_250_us_of_the_truth_by_the_modems_own_clock() {
    for clock_ppm in [-50, 0, 50] {
        let mut bench = Bench::up(ModemSetup { clock_ppm, ..ModemSetup::default() });
        bench.send(1, WHENEVER, &[9; 124]);
        bench.run_until(2_000_000);
        let mut room = [0; 128];
        let frame = plugline_protocol::frame::with_crc(&[7; 100], &mut room).unwrap().to_vec();
        bench.line.transmit(1, &frame, bench.now_us).unwrap();
        bench.run_until(3_000_000);
        let ends = bench.told.iter().filter_map(|told| match told {
            Told::Confirm(_, confirm) if confirm.result == TxResult::Sent => Some(confirm.end_us),
            Told::Received { end_us, .. } => Some(*end_us),
            _ => None,
        });
        let ends: Vec<u64> = ends.collect();
        assert_eq!((ends.len(), bench.heard.len()), (2, 2));
        for (told_us, heard) in ends.into_iter().zip(&bench.heard) {
            let true_us = bench.host.modem().clock_us(heard.end_us);
            assert!(told_us.abs_diff(true_us) <= 250, "{told_us} for {true_us} at {clock_ppm} ppm");
        }
    }
}

// [PLG-9.4-5]
#[test]
fn a_request_that_cannot_be_is_confirmed_as_bad_and_one_too_many_as_full() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(1, WHENEVER, &[]);
    bench.send(2, WHENEVER, &[1; 127]);
    bench.send(3, (9_000_000, 8_000_000), &[1; 10]);
    (10..15).for_each(|number| bench.send(number, (9_000_000, 9_100_000), &[1; 10]));
    bench.run_until(1_900_000);
    let bad = [1, 2, 3].map(|number| (number, TxResult::Bad));
    let kept = [10, 11, 12, 13].map(|number| (number, TxResult::Queued));
    assert_eq!(bench.results(), [&bad[..], &kept[..], &[(14, TxResult::Full)]].concat());
}

// [PLG-9.4-1] [PLG-9.4-2]
#[test]
fn a_window_that_is_over_or_never_free_ends_late() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(1, (0, 900_000), &[1; 10]);
    bench.line.transmit(1, &[0; 200], 1_100_000).unwrap();
    bench.send(2, (1_200_000, 1_210_000), &[1; 10]);
    bench.run_until(1_500_000);
    assert_eq!(bench.results(), [(1, TxResult::Late), (2, TxResult::Queued), (2, TxResult::Late)]);
    assert!(bench.heard.iter().all(|delivery| delivery.truth.from != 0));
}

// [PLG-9.3-1] [PLG-9.3-5]
#[test]
fn a_request_that_waits_can_be_taken_back_and_one_that_was_sent_cannot() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.send(1, WHENEVER, &[1; 10]);
    bench.send(2, (5_000_000, 6_000_000), &[1; 10]);
    bench.run_until(2_000_000);
    bench.told.clear();
    for (number, which) in [(3, 1), (4, 2), (5, 77)] {
        bench.say(number, &Message::Cancel { number: which });
    }
    bench.run_until(7_000_000);
    let expected =
        [(3, TxResult::Sent), (2, TxResult::Cancelled), (4, TxResult::Cancelled), (5, TxResult::Bad)];
    assert_eq!(bench.results(), expected);
    assert_eq!(bench.heard.len(), 1);
}

// [PLG-9.5-1]
#[test]
fn a_reset_empties_the_queue_and_keeps_the_boot_number() {
    let mut bench = Bench::new(ModemSetup::default());
    bench.run_until(1_000_000);
    let boot = bench.hellos()[0].0;
    bench.send(1, (5_000_000, 6_000_000), &[1; 10]);
    bench.say(2, &Message::Reset { version: LINK_VERSION });
    bench.run_until(7_000_000);
    assert_eq!(bench.hellos(), [(boot, StartReason::Power), (boot, StartReason::Asked)]);
    assert_eq!(bench.results(), [(1, TxResult::Queued)]);
    assert!(bench.heard.is_empty());
}

// [PLG-9.5-2]
#[test]
fn a_modem_that_falls_over_in_mid_frame_says_hello_with_another_boot_number_and_the_frame_is_lost() {
    let sulks = vec![Sulk { at_us: 1_100_000, kind: SulkKind::Reset }];
    let mut bench = Bench::new(ModemSetup { sulks, ..ModemSetup::default() });
    bench.run_until(1_000_000);
    bench.send(1, WHENEVER, &[1; 60]);
    bench.run_until(3_000_000);
    let [(before, StartReason::Power), (after, StartReason::Fault)] = bench.hellos()[..] else {
        panic!("{:?}", bench.told)
    };
    assert_ne!(before, after);
    assert_eq!(bench.results(), [(1, TxResult::Queued)]);
    assert!(bench.heard.iter().all(|delivery| !delivery.truth.intact));
}

#[test]
fn a_modem_that_hangs_answers_nothing_until_it_is_reset() {
    let sulks = vec![Sulk { at_us: 1_100_000, kind: SulkKind::HangForGood }];
    let mut bench = Bench::new(ModemSetup { sulks, ..ModemSetup::default() });
    bench.run_until(1_200_000);
    bench.told.clear();
    bench.say(1, &Message::StatusAsk);
    bench.send(2, WHENEVER, &[1; 10]);
    bench.run_until(5_000_000);
    assert_eq!(bench.told, []);
    bench.say(3, &Message::Reset { version: LINK_VERSION });
    bench.run_until(6_000_000);
    assert!(matches!(bench.hellos()[..], [(_, StartReason::Watchdog)]));
}

// [PLG-9.1-2] [PLG-9.1-3]
#[test]
fn garbage_on_the_serial_line_costs_no_packet_and_is_counted() {
    let mut bench = Bench::up(ModemSetup::default());
    bench.host.handle_bytes(&[1, 2, 3, 0, 9, 9, 0, 0, 0x33], bench.now_us);
    bench.say(4, &Message::StatusAsk);
    bench.run_until(1_500_000);
    let [Told::Status(4, status)] = bench.told[..] else { panic!("{:?}", bench.told) };
    assert_eq!(status.link_errors, 3);
    assert!((1_000_000..1_010_000).contains(&status.clock_us), "{status:?}");
}

#[test]
fn a_frame_longer_than_any_packet_is_not_told() {
    let mut bench = Bench::up(ModemSetup::default());
    let mut frame = [0; FRAME_BYTES_MAX];
    let frame = plugline_protocol::frame::with_crc(&[5; 300], &mut frame).unwrap();
    bench.line.transmit(1, frame, 1_100_000).unwrap();
    bench.run_until(4_000_000);
    assert_eq!(bench.told, []);
}
