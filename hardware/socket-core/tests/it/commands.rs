//! What a gateway may ask, and what nobody else may.

use plugline_protocol::frame::{Frame, Header, Kind, MAX_PAYLOAD, Options};
use plugline_protocol::messages::{Ask, Form, Outcome, PowerOn};
use plugline_protocol::reading::Cause;
use plugline_protocol::security::Key;
use plugline_protocol::{NetworkId, ShortAddress};
use plugline_socket::{Led, Output, Sample};

use crate::bench::{Gateway, MINUTE, SECOND};

// [PLG-6.3-1] [PLG-6.5-1] [PLG-4.4-1]
#[test]
fn a_switch_is_done_and_answered_5_to_20_ms_later_with_the_relay_as_it_is() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    for on in [true, true, false] {
        bench.run_for(SECOND);
        let asked_us = bench.now_us;
        let sent = gateway.ask(&mut bench, Ask::Switch { on }).expect("it is answered");
        assert!((5_000..=20_000).contains(&(sent.start_us - asked_us)) && !sent.listen);
        assert_eq!(sent.kind(), Kind::Answer);
        let answer = gateway.answer(&sent);
        assert_eq!((answer.outcome, answer.relay_on, bench.relay), (Outcome::Done, on, Some(on)));
    }
}

#[test]
fn the_relay_moves_before_the_answer_says_so() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let pdu = gateway.command(Ask::Switch { on: true });
    let mut room = [0; 128];
    let octets = plugline_protocol::frame::with_crc(&pdu, &mut room).expect("it fits").to_vec();
    bench.socket.handle_frame(&octets, bench.now_us, bench.now_us);
    assert_eq!(bench.socket.poll_output(), Some(Output::Relay { on: true }));
    assert_eq!(bench.socket.poll_output(), Some(Output::Led(Led::On)));
    assert!(matches!(bench.socket.poll_output(), Some(Output::Transmit(_))));
}

// [PLG-6.3-1] [PLG-5.3-3]
#[test]
fn a_repeated_command_is_answered_with_the_same_octets_and_not_done_again() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let on = gateway.command(Ask::Switch { on: true });
    bench.hear(&on);
    let first = bench.next_frame(SECOND).expect("it is answered");
    bench.press(100_000);
    assert!(!bench.socket.relay_on(), "somebody pressed the button");
    bench.pass_over();
    for _ in 0..7 {
        bench.hear(&on);
        assert_eq!(bench.next_frame(SECOND).expect("it is answered again").pdu, first.pdu);
        assert!(!bench.socket.relay_on());
    }
    assert_eq!(bench.socket.counts().repeated, 7);
}

// [PLG-6.3-1] [PLG-6.4-1]
#[test]
fn read_is_answered_by_a_reading_under_a_counter_of_its_own() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    bench.meter(&Sample { power_10mw: Some(-1), temperature_c: Some(31), ..Sample::default() });
    let before = gateway.heard;
    let sent = gateway.ask(&mut bench, Ask::Read).expect("it is answered");
    let mut payload = Vec::new();
    let response = gateway.response(&sent, &mut payload);
    assert_eq!((response.command_low, response.outcome), (gateway.down_counter as u16, Outcome::Done));
    let Form::Reading(reading) = response.form else { panic!("{:?}", response.form) };
    assert_eq!((reading.power_10mw, reading.temperature_c, reading.current_ma), (Some(-1), Some(31), None));
    assert_eq!(gateway.heard, before + 1);
    let repeat = gateway.command_with(gateway.down_counter, before, Ask::Read);
    bench.hear(&repeat);
    assert_eq!(bench.next_frame(SECOND).expect("it is answered again").pdu, sent.pdu);
}

// [PLG-5.3-5] [PLG-1.1-5]
#[test]
fn nothing_but_a_genuine_fresh_command_to_this_socket_moves_the_relay() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let on = gateway.command(Ask::Switch { on: true });
    for octet in 0..on.len() {
        if octet == 1 {
            continue; // HOP is in no tag
        }
        for bit in 0..8 {
            let mut forged = on.clone();
            forged[octet] ^= 1 << bit;
            let sent = bench.sent.len();
            bench.hear(&forged);
            bench.run_for(50_000);
            assert!(!bench.socket.relay_on() && bench.sent.len() == sent, "octet {octet}, bit {bit}");
        }
    }
    let other = {
        let mut other = Gateway::with_joined_socket().0;
        other.keys.down = Key::new([1; 16]);
        other.command_with(gateway.down_counter + 1, gateway.heard, Ask::Switch { on: true })
    };
    bench.hear(&other);
    assert!(!bench.socket.relay_on());
    bench.hear(&on);
    assert!(bench.socket.relay_on(), "the genuine one does");
}

// [PLG-3.6-1]
#[test]
fn what_is_dropped_is_counted_under_its_reason_and_not_answered() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let on = gateway.command(Ask::Switch { on: true });
    let before = *bench.socket.counts();
    let mut spoil = |octet: usize, bits: u8| {
        let mut spoiled = on.clone();
        spoiled[octet] ^= bits;
        bench.hear(&spoiled);
    };
    spoil(0, 0b1100_0000);
    spoil(0, 0b0011_0000);
    spoil(3, 1);
    spoil(12, 1);
    bench.hear(&on[..12]);
    bench.hear_octets(&on);
    bench.hear_octets(&[]);
    let counts = bench.socket.counts();
    let more = |now: u16, then: u16| now - then;
    assert_eq!(more(counts.version, before.version), 1);
    assert_eq!(more(counts.kind, before.kind), 1);
    assert_eq!(more(counts.foreign, before.foreign), 1);
    assert_eq!(more(counts.forged, before.forged), 1);
    assert_eq!(more(counts.length, before.length), 1);
    assert_eq!(more(counts.crc, before.crc), 2);
    let sent = bench.sent.len();
    bench.run_for(100_000);
    assert_eq!(bench.sent.len(), sent);
}

/// A frame with this kind and address and zeros behind its header, as many as its kind needs.
fn hollow(kind: Kind, network: NetworkId, short: ShortAddress) -> Vec<u8> {
    let behind = match kind {
        Kind::Answer => 6,
        Kind::Ack => 5,
        Kind::JoinUp => 28,
        Kind::JoinDown => 46,
        Kind::ResumeAsk | Kind::ResumeUp => 16,
        Kind::ResumeDown => 30,
        _ => 40,
    };
    let header = Header::new(kind, network, short, Options::default()).octets();
    [&header[..], &vec![0; behind]].concat()
}

// [PLG-3.6-5]
#[test]
fn frames_for_others_of_the_network_are_neither_obeyed_nor_faults() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let (network, own) = (gateway.who.network, gateway.who.short);
    let other = ShortAddress(own.0 + 1);
    let before = *bench.socket.counts();
    for kind in [Kind::Command, Kind::Ack, Kind::JoinDown, Kind::ResumeAsk, Kind::ResumeDown] {
        bench.hear(&hollow(kind, network, other));
    }
    for kind in [Kind::Report, Kind::Response, Kind::Answer, Kind::ResumeUp] {
        bench.hear(&hollow(kind, network, other));
        bench.hear(&hollow(kind, network, own));
    }
    bench.hear(&hollow(Kind::JoinUp, NetworkId(0xFFFF), ShortAddress(0xFFFF)));
    gateway.who.short = other;
    let on = gateway.command(Ask::Switch { on: true });
    bench.hear(&on);
    assert_eq!(*bench.socket.counts(), before);
    assert!(!bench.socket.relay_on());
    let sent = bench.sent.len();
    bench.run_for(100_000);
    assert_eq!(bench.sent.len(), sent);
}

// [PLG-3.6-7]
#[test]
fn what_means_nothing_to_this_version_or_just_now_is_ignored_and_counted_so() {
    let (gateway, mut bench) = Gateway::with_joined_socket();
    let (network, own) = (gateway.who.network, gateway.who.short);
    let before = *bench.socket.counts();
    for kind in [Kind::ResumeAsk, Kind::ResumeDown, Kind::JoinDown] {
        bench.hear(&hollow(kind, network, own));
    }
    bench.hear(&hollow(Kind::Bulk, network, ShortAddress(0)));
    let ignored = before.ignored + 4;
    assert_eq!(*bench.socket.counts(), plugline_socket::Counts { ignored, ..before });
    let mut bench = bench.cut_power();
    bench.hear(
        &gateway.beacon_with(gateway.group_counter + 1, &plugline_protocol::messages::Beacon::default()),
    );
    assert_eq!(bench.socket.counts().ignored, 1, "a BEACON before the first SYNC");
    let mut new = crate::bench::Bench::new();
    new.hear(&hollow(Kind::JoinDown, network, own));
    assert_eq!(new.socket.counts().ignored, 1, "it has not asked yet");
}

// [PLG-4.3-3]
#[test]
fn a_relay_that_a_command_moved_is_told_by_its_answer_alone() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    for on in [true, false] {
        assert!(gateway.ask(&mut bench, Ask::Switch { on }).is_some());
        bench.pass_over();
        assert!(bench.next_frame(5 * SECOND).is_none(), "no REPORT of its own");
    }
}

// [PLG-7.3-5]
#[test]
fn a_socket_that_joins_anew_is_as_from_the_factory() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let fresh = bench.socket.options();
    assert_eq!((fresh.interval_min, fresh.limit_ma, fresh.power_on), (1, 0, PowerOn::Last));
    for ask in [Ask::Interval { minutes: 5 }, Ask::OverCurrent { limit_ma: 400 }, Ask::PowerOn(PowerOn::On)] {
        assert!(gateway.ask(&mut bench, ask).is_some());
    }
    assert!(gateway.ask(&mut bench, Ask::Leave).is_some());
    bench.run_for(4 * SECOND);
    assert_eq!(bench.socket.options().limit_ma, 400, "without a network it goes on as it was");
    Gateway::join(&mut bench);
    assert_eq!(bench.socket.options(), fresh);
    assert_eq!(bench.cut_power().socket.options(), fresh);
}

#[test]
fn a_command_whose_reference_is_more_than_four_behind_is_stale() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    for _ in 0..6 {
        assert!(gateway.ask(&mut bench, Ask::Read).map(|sent| gateway.open(&sent)).is_some());
    }
    let own = gateway.heard;
    for (lag, outcome) in [(5, Outcome::Stale), (0, Outcome::Done), (3, Outcome::Done)] {
        gateway.down_counter += 1;
        let pdu = gateway.command_with(gateway.down_counter, own - lag, Ask::Switch { on: lag == 0 });
        bench.hear(&pdu);
        let sent = bench.next_frame(SECOND).expect("it is answered");
        if outcome == Outcome::Stale {
            let mut payload = Vec::new();
            assert_eq!(gateway.response(&sent, &mut payload).outcome, outcome);
            assert!(!bench.socket.relay_on());
        } else {
            assert_eq!(gateway.answer(&sent).outcome, outcome);
        }
    }
    let ahead = gateway.command_with(gateway.down_counter + 1, gateway.heard + 1, Ask::Switch { on: true });
    bench.hear(&ahead);
    assert!(!bench.socket.relay_on(), "a reference that was never sent");
}

// [PLG-5.6-3]
#[test]
fn no_more_than_four_stale_responses_go_out_in_any_minute() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    bench.pass_over();
    for number in 0..600 {
        let pdu = gateway.command_with(10 + number, gateway.heard + 50_000, Ask::Switch { on: true });
        bench.hear(&pdu);
        bench.run_for(SECOND / 2);
    }
    gateway.heard = 0;
    let stale: Vec<u64> =
        bench.sent.iter().filter(|sent| sent.kind() == Kind::Response).map(|sent| sent.start_us).collect();
    assert!(stale.len() >= 16, "{}", stale.len());
    assert!(stale.windows(5).all(|five| five[4] - five[0] >= MINUTE), "{stale:?}");
}

#[test]
fn a_stale_command_does_not_spoil_the_answer_that_is_kept() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let identify = gateway.command(Ask::Identify { seconds: 0 });
    bench.hear(&identify);
    let first = bench.next_frame(SECOND).expect("it is answered");
    let stale = gateway.command_with(gateway.down_counter + 1, gateway.heard + 9, Ask::Read);
    bench.hear(&stale);
    assert_eq!(bench.next_frame(SECOND).map(|sent| sent.kind()), Some(Kind::Response));
    bench.hear(&identify);
    assert_eq!(bench.next_frame(SECOND).expect("it is answered again").pdu, first.pdu);
}

#[test]
fn an_old_command_is_replayed_and_nothing_happens() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let on = gateway.command(Ask::Switch { on: true });
    bench.hear(&on);
    assert!(bench.next_frame(SECOND).is_some());
    assert!(gateway.ask(&mut bench, Ask::Switch { on: false }).is_some());
    bench.hear(&on);
    assert_eq!((bench.socket.relay_on(), bench.socket.counts().replayed), (false, 1));
}

#[test]
fn ops_that_nobody_knows_and_bad_arguments_are_answered_so() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let limit = gateway.ask(&mut bench, Ask::OverCurrent { limit_ma: 16_001 }).expect("it is answered");
    assert_eq!(gateway.answer(&limit).outcome, Outcome::Refused);
    let interval = gateway.ask(&mut bench, Ask::Interval { minutes: 61 }).expect("it is answered");
    assert_eq!(gateway.answer(&interval).outcome, Outcome::BadArgument);
    assert_eq!(bench.socket.options().interval_min, 1);
}

// [PLG-6.3-5]
#[test]
fn options_and_keys_survive_a_power_cut_right_behind_their_answer() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let group_key = Key::new([77; 16]);
    let asks = [
        Ask::Interval { minutes: 5 },
        Ask::OverCurrent { limit_ma: 10_000 },
        Ask::PowerOn(PowerOn::On),
        Ask::Slot { slot: Some(9) },
        Ask::GroupKey { key: group_key.clone(), group_counter: 500 },
    ];
    for ask in asks {
        let sent = gateway.ask(&mut bench, ask).expect("it is answered");
        assert_eq!(gateway.answer(&sent).outcome, Outcome::Done);
        bench = bench.cut_power();
        gateway.welcome(&mut bench);
    }
    let options = bench.socket.options();
    assert_eq!((options.interval_min, options.limit_ma, options.power_on), (5, 10_000, PowerOn::On));
    assert_eq!(bench.relay, Some(true));
    gateway.group_key = group_key;
    gateway.begin_superframe(&mut bench, &[]);
    bench.pass_over();
    bench.run_for(10 * SECOND);
    let start_ms = gateway.plan.start_ms(9).expect("the plan has it");
    let in_slot = bench.sent.iter().any(|sent| sent.start_us % MINUTE > 0 && sent.kind() == Kind::Report);
    assert!(in_slot && start_ms > 0, "the new key opens the BEACON, the new slot is used");
}

// [PLG-6.3-4] [PLG-6.8-1] [PLG-6.8-2]
#[test]
fn an_overload_trips_latches_and_is_told_at_once() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::Switch { on: true }).is_some());
    bench.meter(&Sample { current_ma: Some(40_000), ..Sample::default() });
    assert_eq!((bench.relay, bench.led), (Some(false), Some(Led::LockedOut)));
    let report = bench.next_frame(SECOND).expect("it is told");
    let flags = gateway.report(&report).reading.flags;
    assert_eq!((flags.relay_on, flags.cause, flags.locked_out), (false, Cause::OverCurrent, true));
    let ack = gateway.ack(&report);
    bench.hear(&ack);
    let on = gateway.ask(&mut bench, Ask::Switch { on: true }).expect("it is answered");
    assert_eq!(gateway.answer(&on).outcome, Outcome::Refused);
    bench = bench.cut_power();
    gateway.welcome(&mut bench);
    assert_eq!(bench.led, Some(Led::LockedOut), "a power cut does not end it");
    for on in [false, true] {
        let sent = gateway.ask(&mut bench, Ask::Switch { on }).expect("it is answered");
        assert_eq!(gateway.answer(&sent).outcome, Outcome::Done);
    }
    assert_eq!(bench.relay, Some(true));
}

// [PLG-6.8-1]
#[test]
fn an_own_limit_trips_below_the_hardware_s() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::OverCurrent { limit_ma: 400 }).is_some());
    assert!(gateway.ask(&mut bench, Ask::Switch { on: true }).is_some());
    bench.run_for(3 * SECOND);
    assert_eq!(bench.relay, Some(false), "the bench draws 500 mA");
}

#[test]
fn identify_shows_itself_for_its_time() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::Identify { seconds: 5 }).is_some());
    assert_eq!(bench.led, Some(Led::Identify));
    bench.run_for(6 * SECOND);
    assert_eq!(bench.led, Some(Led::Off));
    assert!(gateway.ask(&mut bench, Ask::Identify { seconds: 5 }).is_some());
    assert!(gateway.ask(&mut bench, Ask::Identify { seconds: 0 }).is_some());
    assert_eq!(bench.led, Some(Led::Off));
}

// [PLG-6.8-5]
#[test]
fn reboot_restarts_after_its_answer_and_leaves_the_relay_as_it_is() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::PowerOn(PowerOn::Off)).is_some());
    assert!(gateway.ask(&mut bench, Ask::Switch { on: true }).is_some());
    let sent = gateway.ask(&mut bench, Ask::Reboot).expect("it is answered");
    assert_eq!((gateway.answer(&sent).outcome, bench.restarts), (Outcome::Done, 0));
    bench.run_for(4 * SECOND);
    assert_eq!(bench.restarts, 1);
    let mut bench = bench.restart(plugline_socket::Start::Restart);
    assert_eq!(bench.relay, Some(true));
    gateway.welcome(&mut bench);
}

// [PLG-6.3-4]
#[test]
fn a_socket_without_a_relay_says_so() {
    let mut factory = crate::bench::factory();
    factory.capabilities.relay = false;
    let mut bench =
        crate::bench::Bench::with(factory, crate::testing::Flash::new(), plugline_socket::Start::PowerOn, 1);
    let mut gateway = Gateway::join(&mut bench);
    let sent = gateway.ask(&mut bench, Ask::Switch { on: true }).expect("it is answered");
    assert_eq!((gateway.answer(&sent).outcome, bench.relay), (Outcome::Unsupported, None));
}

// [PLG-5.6-8]
#[test]
fn a_beacon_moves_no_relay_whatever_its_payload() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let counters: Vec<u32> = (1..200).map(|step| gateway.group_counter + step).collect();
    for counter in counters {
        // What a member with the group key can make: any octets in the place of the plan and behind.
        let octets: Vec<u8> =
            (0..MAX_PAYLOAD.min(90)).map(|at| (counter as u8).wrapping_mul(at as u8)).collect();
        let plan = plugline_protocol::messages::SlotPlan { first_ms: 0, pitch_ms: 90, slots: 640 };
        let received = plugline_protocol::messages::SlotBits(&octets);
        let pdu = gateway.beacon_with(
            counter,
            &plugline_protocol::messages::Beacon { received, plan, ..Default::default() },
        );
        bench.hear(&pdu);
        assert!(!bench.socket.relay_on());
    }
    gateway.group_counter += 200;
    assert!(Frame::parse(&gateway.command(Ask::Read)).is_ok());
    let sent = gateway.ask(&mut bench, Ask::Switch { on: true }).expect("keys and counters are as before");
    assert_eq!(gateway.answer(&sent).outcome, Outcome::Done);
}
