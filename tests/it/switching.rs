//! Commands and their outcomes, in virtual time.

use std::time::Duration;

use plugline::hub::command::{Action, State};
use plugline::hub::feed::Body;
use plugline::hub::{Refused, Request, Wish};
use plugline::line::{Cause, Outcome};
use plugline_simulator::{Address, Closing, Fault, Meter, Password, demo_house};

use crate::house::{House, MINUTE, id};

const KETTLE: &str = "dlt645_000000004711";
const FRIDGE: &str = "dlt645_000000004712";
const TTL: Duration = Duration::from_secs(30);

fn settled(house: &House, id: &plugline::device::CommandId) -> State {
    let command = &house.commands[id];
    assert!(command.state.settled(), "{command:?}");
    command.state
}

fn warm(seed: u64) -> House {
    let mut house = House::new(seed, demo_house(seed));
    house.run_for(Duration::from_secs(10));
    house
}

fn kettle_with(change: impl Fn(Meter) -> Meter) -> Vec<Meter> {
    demo_house(1).into_iter().take(1).map(change).collect()
}

#[test]
fn a_switch_is_confirmed_by_the_meters_own_status_and_by_nothing_else() {
    let mut house = warm(1);
    let command = house.switch(KETTLE, false);
    house.run_until(TTL, "settles", |house| house.commands[&command].state.settled());
    assert_eq!(settled(&house, &command), State::Confirmed);
    assert_eq!(house.device(KETTLE).relay, Some(false));
    assert!(!house.bus.meters()[0].relay_closed());
    assert_eq!(house.heard(0x1C), 1, "one relay request");
    let states: Vec<State> = house
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Command(of) if of.id == command => Some(of.state),
            _ => None,
        })
        .collect();
    let life = [State::Accepted, State::Queued, State::Sent, State::Acknowledged, State::Confirmed];
    assert_eq!(states, life);
    let by_command = Body::Relay { on: false, cause: Cause::Command };
    assert!(house.events.iter().any(|event| event.body == by_command));
}

#[test]
fn commands_overtake_polls() {
    let mut house = warm(2);
    let command = house.switch(KETTLE, false);
    house.run_until(Duration::from_secs(2), "sent", |house| house.commands[&command].state >= State::Sent);
}

#[test]
fn a_mute_meter_fails_the_command_as_unknown_and_only_once() {
    let mut house = warm(3);
    house.bus.set_fault(Fault::Mute(Address::parse("000000004711").unwrap()));
    let command = house.switch(KETTLE, false);
    house.run_until(MINUTE, "settles", |house| house.commands[&command].state.settled());
    assert_eq!(settled(&house, &command), State::Failed);
    assert_eq!(house.commands[&command].outcome, Some(Outcome::Unknown));
    assert_eq!(house.device(KETTLE).relay, Some(true), "nothing is shown that the line did not say");
    house.run_for(2 * MINUTE);
}

#[test]
fn a_reply_that_got_lost_does_not_make_a_lie_of_the_outcome() {
    let mut house = warm(4);
    house.bus.set_fault_times(Fault::LoseReplies(Address::parse("000000004711").unwrap()), 1);
    let command = house.switch(KETTLE, false);
    house.run_until(MINUTE, "settles", |house| house.commands[&command].state.settled());
    assert_eq!(settled(&house, &command), State::Confirmed);
    assert!(!house.bus.meters()[0].relay_closed());
}

#[test]
fn a_wrong_password_is_refused_by_name_and_nothing_changes() {
    let other = Password { level: 2, wire: [1, 2, 3] };
    let mut house = House::new(5, kettle_with(|meter| meter.with_password(other)));
    house.run_for(Duration::from_secs(5));
    let command = house.switch(KETTLE, false);
    house.run_until(MINUTE, "settles", |house| house.commands[&command].state.settled());
    let failed = &house.commands[&command];
    assert_eq!((failed.state, failed.outcome), (State::Failed, Some(Outcome::NotApplied)));
    assert_eq!(&*failed.error.as_ref().unwrap().code, "password");
    assert!(house.bus.meters()[0].relay_closed());
}

#[test]
fn a_meter_that_closes_by_hand_says_so_and_its_button_is_seen() {
    use plugline::line::dlt645::{Closing as Close, DeviceOptions, Options};
    let meters = kettle_with(|meter| meter.with_closing(Closing::ByHand));
    let device = DeviceOptions { closing: Close::Hand, ..DeviceOptions::default() };
    let options = Options { baud: 9600, device, ..Options::default() };
    let mut house = House::with(6, meters, options, Default::default(), Vec::new());
    house.run_for(Duration::from_secs(5));
    let off = house.switch(KETTLE, false);
    house.run_until(TTL, "off", |house| house.commands[&off].state.settled());
    assert_eq!(settled(&house, &off), State::Confirmed);
    let on = house.switch(KETTLE, true);
    house.run_until(TTL, "settles", |house| house.commands[&on].state.settled());
    let failed = &house.commands[&on];
    assert_eq!((failed.state, failed.outcome), (State::Failed, Some(Outcome::NotApplied)));
    assert_eq!(&*failed.error.as_ref().unwrap().code, "awaits_button");
    assert!(house.bus.meters_mut()[0].press_button());
    house.run_until(MINUTE, "the press is seen", |house| house.device(KETTLE).relay == Some(true));
}

#[test]
fn a_newer_switch_takes_the_place_of_one_that_still_waits() {
    let mut house = warm(7);
    let running = house.switch(KETTLE, false);
    let waiting = house.switch(FRIDGE, false);
    let newer = house.switch(FRIDGE, true);
    assert_eq!(house.commands[&waiting].state, State::Superseded);
    house.run_for(MINUTE);
    assert_eq!(settled(&house, &running), State::Confirmed);
    assert_eq!(settled(&house, &newer), State::Confirmed);
    assert_eq!(house.heard(0x1C), 2, "the superseded one was never sent");
}

#[test]
fn a_command_that_waits_for_an_absent_line_expires_unsent() {
    let mut house = warm(8);
    house.unplug();
    let command = house.switch(KETTLE, false);
    house.run_for(Duration::from_secs(29));
    assert_eq!(house.commands[&command].state, State::Queued);
    house.run_for(Duration::from_secs(3));
    assert_eq!(house.commands[&command].state, State::Expired);
    house.plug();
    house.run_for(MINUTE);
    assert_eq!(house.heard(0x1C), 0);
    assert!(house.bus.meters()[0].relay_closed());
}

#[test]
fn a_queued_command_can_be_taken_back_and_a_sent_one_cannot() {
    let mut house = warm(9);
    let running = house.switch(KETTLE, false);
    let waiting = house.switch(FRIDGE, false);
    assert!(house.ask(Request::Cancel(waiting.clone())).is_ok());
    assert_eq!(house.commands[&waiting].state, State::Cancelled);
    assert_eq!(house.ask(Request::Cancel(running.clone())), Err(Refused::NotQueued(running)));
    house.run_for(MINUTE);
    assert_eq!(house.heard(0x1C), 1);
}

#[test]
fn the_queue_of_a_device_is_bounded_and_says_so() {
    let mut house = warm(10);
    house.unplug();
    for _ in 0..50 {
        house.command(KETTLE, Wish::Do(Action::Read), TTL).unwrap();
    }
    let refused = house.command(KETTLE, Wish::Do(Action::Read), TTL);
    assert_eq!(refused, Err(Refused::QueueFull { device: id(KETTLE), limit: 50 }));
}

#[test]
fn toggle_is_made_absolute_when_accepted_and_refused_while_the_state_is_not_known() {
    let mut house = House::new(11, demo_house(11));
    assert_eq!(house.command(KETTLE, Wish::Toggle, TTL), Err(Refused::StateUnknown(id(KETTLE))));
    house.run_for(Duration::from_secs(10));
    let command = house.command(KETTLE, Wish::Toggle, TTL).unwrap();
    assert_eq!(house.commands[&command].action, Action::Switch { on: false });
}

#[test]
fn an_unknown_device_is_refused_and_nothing_is_kept() {
    let mut house = warm(12);
    let writes = house.disk.len();
    assert_eq!(
        house.command("dlt645_000000000001", Wish::Toggle, TTL),
        Err(Refused::UnknownDevice(id("dlt645_000000000001")))
    );
    assert_eq!(house.disk.len(), writes);
}

#[test]
fn read_asks_for_everything_now() {
    let mut house = warm(13);
    house.run_for(Duration::from_secs(5));
    let before = house.readings_of(KETTLE);
    let command = house.command(KETTLE, Wish::Do(Action::Read), TTL).unwrap();
    house.run_until(TTL, "settles", |house| house.commands[&command].state.settled());
    assert_eq!(settled(&house, &command), State::Confirmed);
    assert!(house.readings_of(KETTLE) >= before + 6);
}

/// Runs a life with several commands, then starts again from the disk as it stood after each single write.
#[test]
fn after_a_crash_at_any_write_every_command_settles_once_and_none_is_sent_again() {
    let mut house = warm(14);
    house.switch(KETTLE, false);
    house.switch(FRIDGE, false);
    house.switch(FRIDGE, true);
    house.run_for(MINUTE);
    assert!(house.disk.len() > 12, "{} writes", house.disk.len());
    let options = || plugline::line::dlt645::Options { baud: 9600, ..Default::default() };
    for disk in house.disk.clone() {
        let started = disk.started();
        let mut again = House::with(15, demo_house(14), options(), disk, Vec::new());
        let open = again.commands.values().filter(|command| !command.state.settled()).count();
        again.run_for(MINUTE);
        assert!(again.commands.values().all(|command| command.state.settled()));
        assert!(again.heard(0x1C) <= open, "only what was never started is sent");
        for id in started {
            let command = &again.commands[&id];
            assert_eq!(
                (command.state, command.outcome),
                (State::Failed, Some(Outcome::Unknown)),
                "{command:?}"
            );
        }
    }
}

/// An hour of faults, commands and pulled cables from seeds; the bench's standing checks are the assertion, and
/// every command settles.
#[test]
fn an_hour_of_trouble_settles_every_command_and_shows_nothing_that_is_not_so() {
    for seed in 0..4_u64 {
        let mut house = House::new(seed, demo_house(seed));
        let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        for _ in 0..120 {
            match roll(8) {
                0 => house.bus.set_fault(Fault::BitFlip { percent: 20 }),
                1 => house.bus.set_fault(Fault::Garbage),
                2 => house.bus.set_fault(Fault::Mute(Address::parse("000000004712").unwrap())),
                3 => house.bus.set_fault(Fault::Delay(Duration::from_millis(900))),
                4 => {
                    house.unplug();
                    house.run_for(Duration::from_secs(roll(20)));
                    house.plug();
                }
                _ => house.bus.clear_faults(),
            }
            let device = [KETTLE, FRIDGE, "dlt645_000000004713"][usize::try_from(roll(3)).unwrap()];
            house.switch(device, roll(2) == 0);
            house.run_for(Duration::from_secs(roll(60)));
        }
        house.bus.clear_faults();
        house.run_for(3 * MINUTE);
        let open: Vec<_> = house.commands.values().filter(|command| !command.state.settled()).collect();
        assert!(open.is_empty(), "seed {seed}: {open:?}");
        assert!(house.commands.len() == 120, "seed {seed}");
    }
}
