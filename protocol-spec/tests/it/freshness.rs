//! Counters over power cuts, and what an attacker with a recorder cannot do. `security.md` §5.5 and §5.6.

use plugline_protocol::frame::{Frame, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::messages::{Ask, Command};
use plugline_protocol::security::{
    BOOT_JUMP, Channel, CommandGate, Counters, GroupGate, STORE_EVERY, Verdict,
};

use crate::world::{WHO, keys};

// [PLG-5.2-4]
#[test]
fn a_counter_is_never_used_twice_however_often_the_power_fails() {
    let mut stored = 0;
    let mut last = 0;
    for frames in [0, 1, 5, 1023, 1024, 1025, 3000] {
        let mut counters = if stored == 0 { Counters::new() } else { Counters::restored(stored).unwrap() };
        stored = counters.ceiling();
        for _ in 0..frames {
            let counter = counters.take().unwrap_or_else(|| {
                stored = counters.raise().unwrap();
                counters.take().unwrap()
            });
            assert!(counter > last && counter <= stored, "{counter} after {last}, ceiling {stored}");
            last = counter;
        }
    }
    assert_eq!(Counters::new().take(), Some(1));
}

#[test]
fn a_start_puts_the_counter_beyond_anything_that_was_stored() {
    let mut counters = Counters::restored(STORE_EVERY).unwrap();
    assert_eq!(counters.sent(), STORE_EVERY + BOOT_JUMP);
    assert_eq!(counters.take(), Some(STORE_EVERY + BOOT_JUMP + 1));
}

// [PLG-5.5-4]
#[test]
fn a_counter_that_is_used_up_does_not_wrap() {
    assert_eq!(Counters::restored(u32::MAX - 10), None);
    let mut counters = Counters::restored(u32::MAX - STORE_EVERY - BOOT_JUMP).unwrap();
    let mut last = 0;
    while let Some(counter) = counters.take() {
        assert!(counter > last);
        last = counter;
    }
    assert_eq!(last, u32::MAX);
    assert_eq!(counters.raise(), None);
}

// [PLG-5.6-1]
#[test]
fn a_recorded_command_switches_nothing_after_a_power_cut() {
    let down = Channel::down(&keys().down, &WHO);
    let mut recorded = Vec::new();
    let mut counters = Counters::new();
    for counter in 1..=100 {
        let reference = counters.take().unwrap();
        let mut out = [0; MAX_PDU];
        let command = Command { reference, ask: Ask::Switch { on: true } };
        recorded.push(down.seal(Options::default(), counter, &command, &mut out).unwrap().to_vec());
    }
    let after = Counters::restored(counters.ceiling()).unwrap();
    let mut gate = CommandGate::new();
    for pdu in &recorded {
        let frame = Frame::parse(pdu).unwrap();
        let mut clear = [0; MAX_PAYLOAD];
        let command = Command::parse(down.open(&frame, &mut clear).unwrap()).unwrap();
        let counter = frame.counter().unwrap();
        let verdict = gate.judge(counter, frame.tag(), Some(command.reference), after.sent());
        assert_eq!(verdict, Verdict::Stale, "counter {counter}");
        assert!(!gate.is_repeat(counter, frame.tag()));
    }
}

// [PLG-5.6-1]
#[test]
fn no_number_of_power_cuts_brings_a_reference_round_again() {
    let mut counters = Counters::new();
    let reference = counters.take().unwrap();
    for _ in 0..200_000 {
        counters = Counters::restored(counters.ceiling()).unwrap();
        let verdict = CommandGate::new().judge(1, &[0; 8], Some(reference), counters.sent());
        assert_eq!(verdict, Verdict::Stale, "at {}", counters.sent());
    }
    assert!(counters.sent() > 200_000_000);
}

// [PLG-5.6-6]
#[test]
fn a_sync_moves_the_group_counter_both_ways() {
    let mut gate = GroupGate::from_floor(10);
    assert_eq!(gate.judge(4000), Verdict::Fresh, "moved by a forger who holds the group key");
    gate.sync(10);
    assert_eq!(gate.judge(11), Verdict::Fresh);
    assert_eq!(gate.judge(11 + 4097), Verdict::TooFar);
    gate.sync(11 + 4096);
    assert_eq!(gate.judge(11 + 4097), Verdict::Fresh);
}

#[test]
fn a_command_too_short_for_a_reference_is_stale() {
    let mut gate = CommandGate::new();
    assert_eq!(gate.judge(1, &[0; 8], None, 0), Verdict::Stale);
}
