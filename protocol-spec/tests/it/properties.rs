//! What holds for any bytes and any values: the claims of `fuzz/`, on its seeds and on random inputs, and round trips.

use plugline_protocol::frame::{Frame, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::hostlink::{Deframer, MAX_ENCODED, Message, Transmit, encode};
use plugline_protocol::label::Label;
use plugline_protocol::messages::{
    Answer, Ask, Beacon, Command, Extensions, Form, History, Outcome, PowerOn, Report, Response, SlotBits,
    SlotPlan,
};
use plugline_protocol::reading::{Cause, Flags, Reading};
use plugline_protocol::security::{Channel, Key, ReplayWindow, ShortKey, Verdict};
use plugline_protocol::{Eui64, Identity};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{WHO, group_key, keys};

#[expect(unreachable_pub, reason = "the file is a crate of its own for the fuzzer")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

fn replay(target: &str, claim: fn(&[u8])) {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(seed.unwrap().path()).unwrap();
        claim(&input);
        for cut in 0..input.len().min(200) {
            claim(&input[..cut]);
            let mut hit = input.clone();
            hit[cut] ^= 1 << (cut % 8);
            claim(&hit);
        }
        seen += 1;
    }
    assert!(seen > 10, "{target}: the seeds are gone");
}

// [PLG-1.1-6]
#[test]
fn the_claims_hold_for_the_seeds_their_prefixes_and_their_damaged_copies() {
    replay("frame", fuzz::frame);
    replay("payload", fuzz::payload);
    replay("open", fuzz::open);
    replay("label", fuzz::label);
}

// [PLG-9.1-2]
#[test]
fn the_claims_hold_for_the_seeds_of_the_host_link() {
    replay("host_link", fuzz::host_link);
}

fn flags() -> impl Strategy<Value = Flags> {
    let cause = prop::sample::select(vec![
        Cause::PowerOn,
        Cause::Command,
        Cause::Button,
        Cause::OverCurrent,
        Cause::OverTemperature,
        Cause::Other,
    ]);
    (any::<[bool; 9]>(), cause).prop_map(|(bits, cause)| {
        let [relay_on, booted, energy_reset, export, free_running, locked_out, hot, button, sync] = bits;
        Flags {
            relay_on,
            cause,
            booted,
            energy_reset,
            export,
            free_running,
            locked_out,
            hot,
            button,
            sync,
            more: false,
        }
    })
}

prop_compose! {
    fn reading()(
        flags in flags(),
        voltage_10mv in any::<Option<u16>>(),
        current_ma in any::<Option<u16>>(),
        power_10mw in any::<Option<i32>>(),
        energy_100mwh in any::<Option<u32>>(),
        temperature_c in any::<Option<i8>>(),
    ) -> Reading {
        Reading { flags, voltage_10mv, current_ma, power_10mw, energy_100mwh, temperature_c }.clamped()
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    let power_on = prop::sample::select(vec![PowerOn::Off, PowerOn::On, PowerOn::Last]);
    prop_oneof![
        any::<bool>().prop_map(|on| Ask::Switch { on }),
        Just(Ask::Read),
        (1..=60u8).prop_map(|minutes| Ask::Interval { minutes }),
        any::<u16>().prop_map(|limit_ma| Ask::OverCurrent { limit_ma }),
        power_on.prop_map(Ask::PowerOn),
        any::<u8>().prop_map(|seconds| Ask::Identify { seconds }),
        prop::option::of(0..640u16).prop_map(|slot| Ask::Slot { slot }),
        any::<u32>().prop_map(|group_counter| Ask::Sync { group_counter }),
        Just(Ask::Reboot),
        Just(Ask::Leave),
        any::<([u8; 16], u32)>()
            .prop_map(|(key, group_counter)| Ask::GroupKey { key: Key::new(key), group_counter }),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), any::<bool>(), 0..16u8).prop_map(|(ack_request, relay_ok, hops)| Options {
        ack_request,
        relay_ok,
        hops,
    })
}

fn tlvs() -> impl Strategy<Value = Vec<u8>> {
    vec((any::<u8>(), vec(any::<u8>(), 0..8)), 0..5).prop_map(|list| {
        list.into_iter().flat_map(|(kind, value)| [vec![kind, value.len() as u8], value].concat()).collect()
    })
}

/// Seals with one channel, opens with another of the same keys, and hands on the payload.
fn carried<P: plugline_protocol::messages::Payload>(
    channel: fn() -> Channel,
    options: Options,
    counter: u32,
    message: &P,
    look: impl FnOnce(&[u8]),
) {
    let mut out = [0; MAX_PDU];
    let pdu = channel().seal(options, counter, message, &mut out).unwrap();
    let frame = Frame::parse(pdu).unwrap();
    assert_eq!((frame.counter(), frame.header().relay_ok), (Some(counter), options.relay_ok));
    let mut clear = [0; MAX_PAYLOAD];
    look(channel().open(&frame, &mut clear).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    // [PLG-1.1-6]
    #[test]
    fn no_bytes_break_a_reader(bytes in vec(any::<u8>(), 0..200)) {
        fuzz::frame(&bytes);
        fuzz::payload(&bytes);
        fuzz::open(&bytes);
        fuzz::host_link(&bytes);
        fuzz::label(&bytes);
    }

    #[test]
    fn frames_with_a_good_first_octet_break_no_reader(kind in 0..16u8, low in 0..4u8, rest in vec(any::<u8>(), 0..130)) {
        let bytes = [&[0x40 | kind << 2 | low], rest.as_slice()].concat();
        fuzz::frame(&bytes);
        fuzz::open(&bytes);
    }

    // [PLG-6.1-1]
    #[test]
    fn any_report_arrives_as_it_was_sent(
        minute in any::<u8>(),
        reading in reading(),
        now in any::<u32>(),
        steps in vec(prop::option::of(0..5000u32), 4),
        tlvs in tlvs(),
        (options, counter) in (options(), 1..=u32::MAX),
    ) {
        let mut sample = now;
        let before = [0, 1, 2, 3].map(|at: usize| {
            sample = sample.saturating_sub(steps[at]?);
            Some(sample)
        });
        let extensions = Extensions::parse(&tlvs).unwrap();
        let report = Report { minute, reading, history: History::from_samples(now, before), extensions };
        carried(|| Channel::up(&keys().up, &WHO), options, counter, &report, |payload| {
            let read = Report::parse(payload).unwrap();
            let more = !tlvs.is_empty();
            let flags = Flags { more, ..reading.flags };
            assert_eq!(read, Report { reading: Reading { flags, ..reading }, ..report });
            for (known, sample) in read.history.samples(now).iter().zip(before) {
                assert!(known.is_none() || *known == sample);
            }
        });
    }

    #[test]
    fn any_command_arrives_as_it_was_sent(reference in any::<u32>(), ask in ask(), options in options(), counter in 1..=u32::MAX) {
        let command = Command { reference, ask };
        carried(|| Channel::down(&keys().down, &WHO), options, counter, &command, |payload| {
            assert_eq!(Command::parse(payload).as_ref(), Ok(&command));
        });
    }

    #[test]
    fn any_response_arrives_as_it_was_sent(command_low in any::<u16>(), outcome in 0..6u8, reading in prop::option::of(reading())) {
        let form = reading.map_or(Form::Empty, Form::Reading);
        let response = Response { command_low, outcome: Outcome::of(outcome), form };
        carried(|| Channel::up(&keys().up, &WHO), Options::default(), 9, &response, |payload| {
            assert_eq!(Response::parse(payload), Ok(response));
        });
    }

    #[test]
    fn any_beacon_arrives_as_it_was_sent(
        minute in any::<u8>(),
        offset_ms in 0..60_000u16,
        unix_time_s in prop::option::of(1..=u32::MAX),
        (slots, pitch_ms) in (0..=300u16, 1..=187u16),
        bits in vec(any::<u8>(), 40),
    ) {
        let plan = SlotPlan { first_ms: 100, pitch_ms, slots };
        let received = SlotBits(&bits[..plan.bitmap_len()]);
        let beacon = Beacon { minute, offset_ms, unix_time_s, plan, received, extensions: Extensions::NONE };
        carried(|| Channel::group(&group_key(), WHO.network), Options::default(), 9, &beacon, |payload| {
            assert_eq!(Beacon::parse(payload), Ok(beacon));
        });
    }

    // [PLG-5.4-1]
    #[test]
    fn a_short_frame_is_about_its_own_counter_only(counter in any::<u32>(), other in any::<u32>(), status in any::<u8>()) {
        let short = ShortKey::new(&keys().ack, &WHO);
        let (mut a, mut b) = ([0; MAX_PDU], [0; MAX_PDU]);
        let ack = Frame::parse(short.ack(Options::default(), counter, &mut a).unwrap()).unwrap();
        prop_assert!(short.is_ack(&ack, counter));
        prop_assert_eq!(short.is_ack(&ack, other), other == counter);
        let told = Answer::of(status);
        let answer = Frame::parse(short.answer(Options::default(), counter, told, &mut b).unwrap()).unwrap();
        prop_assert_eq!(short.open_answer(&answer, counter), Ok(told));
        prop_assert_eq!(short.open_answer(&answer, other).is_ok(), other == counter);
        prop_assert!(!short.is_ack(&answer, counter) && short.open_answer(&ack, counter).is_err());
    }

    // [PLG-5.3-2]
    #[test]
    fn no_bit_of_a_sealed_frame_but_those_of_hop_can_be_changed(bit in 0..(39 * 8usize), reading in reading()) {
        let mut out = [0; MAX_PDU];
        let up = Channel::up(&keys().up, &WHO);
        let mut pdu = up.seal(Options::default(), 77, &Report { reading, ..Report::default() }, &mut out).unwrap().to_vec();
        pdu[bit / 8] ^= 1 << (bit % 8);
        let mut clear = [0; MAX_PAYLOAD];
        let opened = Frame::parse(&pdu).is_ok_and(|frame| up.open(&frame, &mut clear).is_ok());
        prop_assert_eq!(opened, bit / 8 == 1);
    }

    // [PLG-5.5-1]
    #[test]
    fn no_counter_is_fresh_twice(counters in vec(1..300u32, 1..400)) {
        let mut window = ReplayWindow::new();
        let mut seen = std::collections::BTreeSet::new();
        for counter in counters {
            let newest = window.newest();
            match window.judge(counter) {
                Verdict::Fresh => prop_assert!(seen.insert(counter)),
                Verdict::Repeat => prop_assert!(seen.contains(&counter)),
                Verdict::Replayed => prop_assert!(newest - counter >= 64),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    // [PLG-9.1-2] [PLG-9.1-3]
    #[test]
    fn no_garbage_costs_a_packet_that_starts_with_a_zero_of_its_own(
        garbage in vec(any::<u8>(), 0..400),
        pdu in vec(any::<u8>(), 0..126),
        seq in any::<u8>(),
    ) {
        let message = Message::Transmit(Transmit { not_before_us: 1, not_after_us: 2, pdu: &pdu });
        let mut out = [0; MAX_ENCODED];
        let wire = encode(seq, &message, &mut out).unwrap();
        prop_assert!(wire[0] == 0 && wire[wire.len() - 1] == 0 && wire[1..wire.len() - 1].iter().all(|byte| *byte != 0));
        let mut deframer = Deframer::new();
        for byte in &garbage {
            deframer.push(*byte);
        }
        let mut found = 0;
        for byte in wire.iter().chain(wire) {
            if let Some(Ok(packet)) = deframer.push(*byte) {
                found += usize::from(packet.seq == seq && Message::parse(&packet) == Ok(message));
            }
        }
        prop_assert_eq!(found, 2);
    }

    // [PLG-7.1-3]
    #[test]
    fn any_label_is_read_as_it_is_printed_and_no_single_mistake_passes(eui in any::<[u8; 8]>(), key in any::<[u8; 16]>(), at in 5..53usize, to in 0..32usize) {
        let label = Label { eui: Eui64(eui), install_key: Key::new(key) };
        let mut text = String::new();
        label.print(&mut text).unwrap();
        prop_assert_eq!(text.len(), plugline_protocol::label::LABEL_LEN);
        prop_assert!(Label::parse(&text).is_ok_and(|read| read == label));
        let letter = char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[to]);
        let mut wrong: Vec<char> = text.chars().collect();
        if wrong[at] != letter && wrong[at] != ':' {
            wrong[at] = letter;
            let wrong: String = wrong.into_iter().collect();
            prop_assert!(Label::parse(&wrong).is_err(), "{}", wrong);
        }
    }

    // [PLG-5.3-4]
    #[test]
    fn the_frame_of_one_socket_is_not_opened_as_another_ones(eui in any::<[u8; 8]>()) {
        let other = Identity { eui: Eui64(eui), ..WHO };
        let mut out = [0; MAX_PDU];
        let pdu = Channel::up(&keys().up, &other).seal(Options::default(), 1, &Report::default(), &mut out).unwrap();
        let frame = Frame::parse(pdu).unwrap();
        let opened = Channel::up(&keys().up, &WHO).open(&frame, &mut [0; MAX_PAYLOAD]).is_ok();
        prop_assert_eq!(opened, other == WHO);
    }
}
