//! What a socket tells of itself while its gateway is heard.

use plugline_protocol::frame::{Frame, Kind};
use plugline_protocol::messages::{Ask, Beacon, Extensions, Report, SlotBits, extension};
use plugline_protocol::reading::Cause;
use plugline_protocol::timing::REPORT_TRIES;
use plugline_socket::Sample;

use crate::bench::{Bench, Gateway, MINUTE, SECOND, Sent};

/// One superframe that begins now: a BEACON after 200 ms, and then everything up to the next one.
fn superframe(gateway: &mut Gateway, bench: &mut Bench, arrived: bool) -> Vec<Sent> {
    let first = bench.sent.len();
    let end_us = bench.now_us + MINUTE;
    bench.run_for(200_000);
    let mut received = [0; 8];
    if arrived {
        SlotBits::set(&mut received, Gateway::SLOT);
    }
    gateway.begin_superframe(bench, &received);
    bench.run_for(end_us - bench.now_us);
    bench.sent[first..].to_vec()
}

fn slot_us(gateway: &Gateway, start_us: u64) -> u64 {
    gateway.slot_us(start_us + 200_000)
}

fn report(gateway: &mut Gateway, frames: &[Sent]) -> Report<'static> {
    let [only] = frames else { panic!("{} frames", frames.len()) };
    gateway.report(only)
}

// [PLG-4.2-3] [PLG-4.2-5]
#[test]
fn a_report_starts_in_its_slot_of_every_superframe() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    for _ in 0..5 {
        let start_us = bench.now_us;
        let frames = superframe(&mut gateway, &mut bench, true);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].start_us.abs_diff(slot_us(&gateway, start_us)) <= 1_000 && frames[0].listen);
        let report = report(&mut gateway, &frames);
        assert_eq!((report.minute, report.reading.flags.free_running), (gateway.minute, false));
        assert!(!Frame::parse(&frames[0].pdu).expect("a frame").header().ack_request);
    }
}

// [PLG-4.2-3]
#[test]
fn a_slot_that_somebody_else_has_taken_is_skipped_and_not_made_up_for() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, false);
    bench.busy = true;
    assert!(superframe(&mut gateway, &mut bench, false).is_empty());
    bench.busy = false;
    let frames = superframe(&mut gateway, &mut bench, false);
    assert_eq!(report(&mut gateway, &frames).minute, gateway.minute);
}

// [PLG-4.2-5]
#[test]
fn an_interval_of_three_reports_in_every_third_superframe() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    assert!(gateway.ask(&mut bench, Ask::Interval { minutes: 3 }).is_some());
    bench.pass_over();
    let counts: Vec<usize> = (0..12).map(|_| superframe(&mut gateway, &mut bench, false).len()).collect();
    assert_eq!(counts, [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]);
}

// [PLG-4.2-7]
#[test]
fn without_a_slot_in_the_plan_reports_go_out_by_listening() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    gateway.plan.slots = Gateway::SLOT;
    let mut reports = 0;
    for _ in 0..10 {
        for sent in superframe(&mut gateway, &mut bench, false) {
            let told = gateway.report(&sent);
            assert!(Frame::parse(&sent.pdu).expect("a frame").header().ack_request);
            assert!(!told.reading.flags.free_running && told.minute == gateway.minute);
            let ack = gateway.ack(&sent);
            bench.hear(&ack);
            reports += 1;
        }
    }
    assert!(reports >= 8, "{reports}");
    gateway.plan.slots = 60;
    superframe(&mut gateway, &mut bench, false);
    let start_us = bench.now_us;
    let frames = superframe(&mut gateway, &mut bench, false);
    assert!(frames.iter().any(|sent| sent.start_us == slot_us(&gateway, start_us)), "the slot is back");
}

// [PLG-6.2-4]
#[test]
fn four_lost_minutes_are_told_by_the_fifth_report_as_they_would_have_been() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let mut samples = Vec::new();
    for minute in 0..12 {
        bench.power_mw = 100_000 * (minute + 1);
        let frames = superframe(&mut gateway, &mut bench, true);
        let told = report(&mut gateway, &frames);
        let now = told.reading.energy_100mwh.expect("it measures");
        for (before, sample) in told.history.samples(now).iter().zip(samples.iter().rev()) {
            assert_eq!(before.as_ref(), Some(sample));
        }
        samples.push(now);
    }
    assert!(samples.is_sorted() && samples[11] > 1_000, "{samples:?}");
}

// [PLG-4.3-3]
#[test]
fn a_pressed_button_is_told_at_once_five_times_in_the_same_octets_until_it_is_acknowledged() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, true);
    bench.pass_over();
    bench.press(100_000);
    let pressed_us = bench.now_us;
    let mut tries = Vec::new();
    while let Some(sent) = bench.next_frame(3 * SECOND) {
        let asks = Frame::parse(&sent.pdu).expect("a frame").header().ack_request;
        tries.extend(asks.then_some(sent));
    }
    assert_eq!(tries.len(), usize::from(REPORT_TRIES));
    assert!(tries[0].start_us - pressed_us < 100_000 && tries.iter().all(|sent| sent.pdu == tries[0].pdu));
    let flags = gateway.report(&tries[0]).reading.flags;
    assert!(flags.button && flags.relay_on && flags.cause == Cause::Button);

    bench.press(100_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    assert!(gateway.report(&sent).reading.flags.button);
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    assert!(bench.next_frame(5 * SECOND).is_none(), "acknowledged");
    let frames = superframe(&mut gateway, &mut bench, true);
    let told = gateway.report(frames.last().expect("the slot is used"));
    assert!(!told.reading.flags.button);
}

// [PLG-6.5-3]
#[test]
fn a_command_whose_reference_is_the_report_s_counter_is_an_acknowledgement() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    bench.pass_over();
    bench.press(100_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    gateway.report(&sent);
    assert!(gateway.ask(&mut bench, Ask::Identify { seconds: 0 }).is_some());
    assert!(bench.next_frame(5 * SECOND).is_none());
}

// [PLG-4.3-6]
#[test]
fn a_newer_event_takes_the_place_of_the_report_that_waits_and_tells_both() {
    let (mut gateway, bench) = Gateway::with_joined_socket();
    let mut bench = bench.cut_power();
    let start = bench.next_frame(MINUTE).expect("it reports its start");
    assert!(gateway.report(&start).reading.flags.booted);
    bench.press(100_000);
    bench.pass_over();
    let mut tries = Vec::new();
    while let Some(sent) = bench.next_frame(3 * SECOND) {
        assert_ne!(sent.pdu, start.pdu, "the older one is not sent again");
        tries.push(sent);
    }
    let flags = gateway.report(&tries[0]).reading.flags;
    assert!(flags.booted && flags.button);
    assert!(tries.len() >= usize::from(REPORT_TRIES) - 1, "{}", tries.len());
    assert!(tries.iter().all(|sent| sent.pdu == tries[0].pdu));
}

// [PLG-3.6-8]
#[test]
fn a_forged_ack_and_the_ack_of_another_report_acknowledge_nothing() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    bench.pass_over();
    bench.press(100_000);
    let old = bench.next_frame(SECOND).expect("it is told at once");
    bench.press(100_000);
    bench.pass_over();
    let new = bench.next_frame(SECOND).expect("it is told again");
    let (old, mut forged) = (gateway.ack(&old), gateway.ack(&new));
    forged[8] ^= 1;
    bench.hear(&old);
    bench.hear(&forged);
    assert_eq!(bench.socket.counts().forged, 1);
    assert_eq!(bench.next_frame(SECOND).map(|sent| sent.pdu), Some(new.pdu.clone()));
    gateway.report(&new);
}

#[test]
fn a_bit_in_the_beacon_acknowledges_what_every_report_of_that_superframe_told() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, false);
    bench.press(100_000);
    bench.run_for(30 * SECOND);
    superframe(&mut gateway, &mut bench, false);
    let told = |gateway: &mut Gateway, frames: &[Sent]| {
        gateway.report(frames.last().expect("the slot is used")).reading.flags.button
    };
    let frames = superframe(&mut gateway, &mut bench, false);
    assert!(told(&mut gateway, &frames), "nobody said that it arrived");
    let frames = superframe(&mut gateway, &mut bench, true);
    assert!(!told(&mut gateway, &frames), "it arrived");
}

// [PLG-4.3-5]
#[test]
fn quiet_silences_what_nobody_asked_for_and_nothing_else() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, true);
    bench.pass_over();
    gateway.minute += 1;
    let extensions = [extension::QUIET, 1, 200];
    let extensions = Extensions::parse(&extensions).expect("well-formed");
    let (minute, plan) = (gateway.minute, gateway.plan);
    let beacon = Beacon { minute, offset_ms: 200, plan, extensions, ..Beacon::default() };
    let pdu = gateway.beacon(&beacon);
    bench.hear(&pdu);
    let quiet_us = bench.now_us;
    bench.press(100_000);
    bench.run_for(10 * SECOND);
    assert!(gateway.ask(&mut bench, Ask::Read).is_some(), "an answer was asked for");
    let sent = bench.next_frame(2 * MINUTE).expect("it is told afterwards");
    assert!(sent.start_us >= quiet_us + MINUTE && sent.start_us < quiet_us + MINUTE + SECOND);
    assert!(gateway.report(&sent).reading.flags.button);
}

#[test]
fn a_group_counter_that_jumps_is_not_believed_and_a_sync_is_asked_for_once() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, true);
    bench.pass_over();
    let far = gateway.group_counter + 5_000;
    let (minute, plan) = (gateway.minute + 100, gateway.plan);
    for step in 0..3 {
        let pdu = gateway.beacon_with(far + step, &Beacon { minute, plan, ..Beacon::default() });
        bench.hear(&pdu);
    }
    let sent = bench.next_frame(SECOND).expect("it asks at once");
    let told = gateway.report(&sent);
    assert!(told.reading.flags.sync && told.minute != minute);
    assert_eq!(bench.socket.counts().too_far, 3);
    gateway.group_counter = far + 10;
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    let floor = Ask::Sync { group_counter: gateway.group_counter };
    assert!(gateway.ask(&mut bench, floor).is_some());
    let frames = superframe(&mut gateway, &mut bench, true);
    let told = report(&mut gateway, &frames);
    assert_eq!((told.minute, told.reading.flags.sync), (gateway.minute, false));
}

#[test]
fn a_beacon_that_was_heard_before_and_a_forged_one_change_nothing() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, true);
    let minute = bench_minute(&mut gateway, &mut bench);
    let old = gateway.beacon_with(gateway.group_counter, &Beacon { minute: 200, ..Beacon::default() });
    let mut forged =
        gateway.beacon_with(gateway.group_counter + 1, &Beacon { minute: 200, ..Beacon::default() });
    forged[20] ^= 1;
    bench.hear(&old);
    bench.hear(&forged);
    assert_eq!((bench.socket.counts().replayed, bench.socket.counts().forged), (1, 1));
    assert_eq!(bench_minute(&mut gateway, &mut bench), minute);
}

/// The minute that an event would be told with now.
fn bench_minute(gateway: &mut Gateway, bench: &mut Bench) -> u8 {
    bench.pass_over();
    bench.press(50_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    gateway.report(&sent).minute
}

// [PLG-5.6-2]
#[test]
fn from_a_start_until_a_sync_no_beacon_is_followed() {
    let (mut gateway, bench) = Gateway::with_joined_socket();
    let mut bench = bench.cut_power();
    bench.run_for(31 * SECOND);
    for _ in 0..3 {
        for sent in superframe(&mut gateway, &mut bench, true) {
            let told = gateway.report(&sent);
            assert!(told.reading.flags.free_running && told.reading.flags.sync);
            assert!(Frame::parse(&sent.pdu).expect("a frame").header().ack_request, "by listening");
        }
    }
    bench.pass_over();
    gateway.welcome(&mut bench);
    superframe(&mut gateway, &mut bench, true);
    let start_us = bench.now_us;
    let frames = superframe(&mut gateway, &mut bench, true);
    assert_eq!(frames.last().map(|sent| sent.start_us), Some(slot_us(&gateway, start_us)));
}

#[test]
fn a_crystal_that_is_50_ppm_off_keeps_its_slot_while_beacons_are_heard() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    superframe(&mut gateway, &mut bench, true);
    for _ in 0..5 {
        // The gateway's minute is 6 ms longer than the socket's.
        bench.run_for(6_000);
        let start_us = bench.now_us;
        let frames = superframe(&mut gateway, &mut bench, true);
        let told = frames.iter().filter(|sent| sent.kind() == Kind::Report).count();
        assert_eq!(told, 1);
        // It begins to know by how much: two seconds of the gateway are 0.2 ms more of its own.
        assert!(frames[0].start_us.abs_diff(slot_us(&gateway, start_us)) <= 250);
    }
}

#[test]
fn what_was_measured_is_told() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    bench.pass_over();
    bench.meter(&Sample {
        voltage_10mv: Some(23_041),
        current_ma: Some(523),
        power_10mw: Some(11_834),
        temperature_c: Some(34),
        imported_uwh: 1_234_567_890,
        exported_uwh: 5,
    });
    bench.press(100_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    let reading = gateway.report(&sent).reading;
    assert_eq!((reading.voltage_10mv, reading.current_ma), (Some(23_041), Some(523)));
    assert_eq!((reading.power_10mw, reading.temperature_c), (Some(11_834), Some(34)));
    assert_eq!(reading.energy_100mwh, Some(12_345));
}
