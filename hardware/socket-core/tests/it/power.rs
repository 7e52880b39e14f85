//! Power that goes and comes back.

use std::collections::BTreeSet;

use plugline_protocol::messages::{Ask, Form, PowerOn};
use plugline_protocol::reading::Cause;
use plugline_socket::{Board, Sample, Start};

use crate::bench::{Bench, Gateway, MINUTE, SECOND, factory};
use crate::testing::Flash;

// [PLG-5.5-3]
#[test]
fn after_each_power_cut_the_counter_goes_on_beyond_its_ceiling() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    for _ in 0..5 {
        let before = gateway.heard;
        bench = bench.cut_power();
        gateway.welcome(&mut bench);
        assert!(gateway.heard > before + 16 && gateway.heard <= before + 2 * (1024 + 16));
    }
}

// [PLG-5.5-3]
#[test]
fn a_ceiling_is_stored_before_a_counter_above_the_last_one_is_used() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let mut counters = BTreeSet::new();
    for _ in 0..3 {
        for _ in 0..2_000 {
            let sent = gateway.ask(&mut bench, Ask::Read).expect("it is answered");
            let (counter, _) = gateway.open(&sent);
            assert!(counters.insert(counter), "{counter} twice");
        }
        bench = bench.cut_power();
        gateway.welcome(&mut bench);
        assert!(counters.insert(gateway.heard), "{} twice", gateway.heard);
    }
}

#[test]
fn a_command_recorded_before_a_power_cut_is_of_no_use_after_it() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let heard = gateway.command(Ask::Identify { seconds: 0 });
    let jammed = gateway.command(Ask::Switch { on: true });
    bench.hear(&heard);
    let mut bench = bench.cut_power();
    bench.hear(&jammed);
    bench.hear(&heard);
    gateway.welcome(&mut bench);
    bench.hear(&jammed);
    assert!(!bench.socket.relay_on());
}

// [PLG-6.2-2]
#[test]
fn energy_that_was_told_never_falls_over_power_cuts_at_any_moment() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let (mut told, mut payload) = (0, Vec::new());
    for round in 0..40 {
        bench.power_mw = 2_000_000;
        bench.run_for(round * 7 * SECOND);
        let sent = gateway.ask(&mut bench, Ask::Read).expect("it is answered");
        let Form::Reading(reading) = gateway.response(&sent, &mut payload).form else { panic!("no reading") };
        let energy = reading.energy_100mwh.expect("it measures");
        assert!(energy >= told, "{energy} after {told}");
        told = energy;
        bench = bench.cut_power();
        gateway.welcome(&mut bench);
    }
    assert!(told > 2_000_000 / 3_600 * 7 * 20 * 39 / 100 / 2, "most of it is kept: {told}");
}

// [PLG-6.2-2]
#[test]
fn at_most_a_minute_of_energy_is_lost_and_nothing_when_the_supply_gives_notice() {
    let mut bench = Bench::new();
    bench.power_mw = 3_600_000;
    bench.run_for(10 * MINUTE + 30 * SECOND);
    let (before, _) = bench.socket.energy_100mwh();
    let mut bench = bench.cut_power();
    let (after, _) = bench.socket.energy_100mwh();
    assert!(before - after <= 600 && after < before, "{before} {after}");
    bench.power_mw = 3_600_000;
    bench.run_for(30 * SECOND);
    let before = bench.socket.energy_100mwh();
    bench.socket.handle_power_failing(bench.now_us);
    assert_eq!(bench.cut_power().socket.energy_100mwh(), before);
}

// [PLG-6.2-2]
#[test]
fn a_lost_register_says_so_until_it_is_acknowledged() {
    let (mut gateway, bench) = Gateway::with_joined_socket();
    let mut flash = bench.socket.into_board();
    (2..Flash::PAGES).for_each(|page| flash.erase(page));
    let mut bench = Bench::with(factory(), flash, Start::PowerOn, 9);
    let sent = bench.next_frame(MINUTE).expect("it reports its start");
    let flags = gateway.report(&sent).reading.flags;
    assert!(flags.energy_reset && flags.booted);
    let ack = gateway.ack(&sent);
    bench.hear(&ack);
    bench.pass_over();
    bench.press(100_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    let flags = gateway.report(&sent).reading.flags;
    assert!(!flags.energy_reset && !flags.booted);
}

#[test]
fn a_new_socket_has_lost_nothing() {
    let mut bench = Bench::new();
    let up = bench.next_frame(MINUTE).expect("it asks");
    let (mut gateway, down) = Gateway::admit(&up, None);
    bench.hear(&down);
    let sent = bench.next_frame(5 * SECOND).expect("it reports at once");
    assert!(!gateway.report(&sent).reading.flags.energy_reset);
}

// [PLG-6.8-5]
#[test]
fn the_relay_does_what_was_chosen_for_the_return_of_power() {
    for (power_on, was, want) in [
        (PowerOn::Off, true, false),
        (PowerOn::On, false, true),
        (PowerOn::Last, true, true),
        (PowerOn::Last, false, false),
    ] {
        let (mut gateway, mut bench) = Gateway::with_joined_socket();
        assert!(gateway.ask(&mut bench, Ask::PowerOn(power_on)).is_some());
        assert!(gateway.ask(&mut bench, Ask::Switch { on: was }).is_some());
        let mut bench = bench.cut_power();
        assert_eq!(bench.relay, Some(want), "{power_on:?} after {was}");
        let sent = bench.next_frame(MINUTE).expect("it reports its start");
        let flags = gateway.report(&sent).reading.flags;
        assert_eq!((flags.booted, flags.cause, flags.relay_on), (true, Cause::PowerOn, want));
    }
}

#[test]
fn a_start_is_told_until_it_is_acknowledged() {
    let (mut gateway, bench) = Gateway::with_joined_socket();
    let mut bench = bench.cut_power();
    bench.run_for(5 * MINUTE);
    bench.pass_over();
    bench.press(100_000);
    let sent = bench.next_frame(SECOND).expect("it is told at once");
    assert!(gateway.report(&sent).reading.flags.booted);
}

#[test]
fn memory_that_does_not_take_what_is_written_silences_the_socket_and_is_shown() {
    let (mut gateway, bench) = Gateway::with_joined_socket();
    let flash = bench.socket.into_board();
    flash.cut_after(0);
    let mut bench = Bench::with(factory(), flash, Start::PowerOn, 9);
    assert_eq!(bench.led, Some(plugline_socket::Led::Fault));
    bench.meter(&Sample { imported_uwh: 1_000_000, ..Sample::default() });
    bench.run_for(10 * MINUTE);
    assert!(gateway.ask(&mut bench, Ask::Read).is_none());
    assert!(bench.sent.is_empty(), "a counter could be used twice");
}

// [PLG-5.3-3]
#[test]
fn a_rotten_settings_record_does_not_bring_a_counter_back() {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    while gateway.heard < 1_500 {
        assert!(gateway.ask(&mut bench, Ask::Read).is_some());
    }
    let before = gateway.heard;
    let mut flash = bench.socket.into_board();
    flash.rot(2, plugline_socket::SETTINGS_LEN);
    let mut bench = Bench::with(factory(), flash, Start::PowerOn, 9);
    gateway.welcome(&mut bench);
    assert!(gateway.heard > before + 16, "{} after {before}", gateway.heard);
}

#[test]
fn a_worn_cell_costs_nothing() {
    let mut flash = Flash::new();
    flash.wear_out(0, 0);
    flash.wear_out(2, 20);
    let mut bench = Bench::with(factory(), flash, Start::PowerOn, 1);
    let mut gateway = Gateway::join(&mut bench);
    bench.power_mw = 3_600_000;
    bench.run_for(10 * MINUTE);
    let (before, _) = bench.socket.energy_100mwh();
    let mut bench = bench.cut_power();
    assert!(bench.socket.energy_100mwh().0 + 600 >= before);
    gateway.welcome(&mut bench);
}

// [PLG-5.3-3]
#[test]
fn a_torn_settings_record_does_not_bring_a_counter_back() {
    for octets in (0..300).step_by(7) {
        let (mut gateway, mut bench) = Gateway::with_joined_socket();
        for _ in 0..20 {
            assert!(gateway.ask(&mut bench, Ask::Read).map(|sent| gateway.open(&sent)).is_some());
        }
        let before = gateway.heard;
        let flash = bench.socket.into_board();
        flash.cut_after(octets);
        let bench = Bench::with(factory(), flash, Start::PowerOn, 9);
        let mut bench = bench.cut_power();
        gateway.welcome(&mut bench);
        assert!(gateway.heard > before + 16, "cut after {octets}");
    }
}
