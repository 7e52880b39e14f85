//! Groups and commands to them, in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plugline::device::{CommandId, Device, DeviceId};
use plugline::hub::command::{Action, Command, Idempotency, State};
use plugline::hub::feed::{Body, Change};
use plugline::hub::groups::{GROUPS_MAX, MEMBERS_MAX};
use plugline::hub::{Given, NewCommand, Refused, Request, Wish};
use plugline::line::{Cause, Outcome};
use plugline_simulator::{Address, Fault, Kind, Meter, demo_house};

use crate::house::{House, MINUTE, id};

const KETTLE: &str = "dlt645_000000004711";
const FRIDGE: &str = "dlt645_000000004712";
const DESK: &str = "dlt645_000000004713";
const ALL: [&str; 3] = [KETTLE, FRIDGE, DESK];
const GROUP: &str = "group_all";
const TTL: Duration = Duration::from_secs(30);
const OFF: Wish = Wish::Do(Action::Switch { on: false });
const ON: Wish = Wish::Do(Action::Switch { on: true });

fn ids(members: &[&str]) -> Vec<DeviceId> {
    members.iter().map(|member| id(member)).collect()
}

fn device(answer: Result<Given, Refused>) -> Result<Arc<Device>, Refused> {
    answer.map(|given| match given {
        Given::Device(device) => device,
        other => panic!("a device was asked for, not {other:?}"),
    })
}

fn add(house: &mut House, name: &str, members: &[&str]) -> Result<Arc<Device>, Refused> {
    device(house.ask(Request::AddGroup { name: name.into(), members: ids(members) }))
}

fn change(house: &mut House, name: Option<&str>, members: Option<&[&str]>) -> Result<Arc<Device>, Refused> {
    let (name, members) = (name.map(Into::into), members.map(ids));
    device(house.ask(Request::ChangeGroup { group: id(GROUP), name, members }))
}

/// A house that was heard, with its three meters in a group.
fn grouped(seed: u64) -> House {
    let mut house = House::new(seed, demo_house(seed));
    house.run_for(Duration::from_secs(10));
    add(&mut house, "All", &ALL).unwrap();
    house
}

/// Parts of a command as people last saw them.
fn ends(house: &House, whole: &CommandId) -> Vec<(State, State)> {
    let parts = &house.commands[whole].parts;
    parts.iter().map(|part| (part.state, house.commands[&part.command].state)).collect()
}

fn settle(house: &mut House, command: &CommandId) -> Arc<Command> {
    house.run_until(3 * MINUTE, "settles", |house| house.commands[command].state.settled());
    Arc::clone(&house.commands[command])
}

fn groups_of(house: &House, of: &str) -> Vec<String> {
    house.device(of).groups.iter().map(ToString::to_string).collect()
}

/// What must hold of every registry: the two lists say the same.
fn check_lists(house: &House) {
    let mut listed = BTreeSet::new();
    for group in house.devices.values() {
        for member in group.members.iter().flat_map(|members| members.iter()) {
            listed.insert((member.clone(), group.id.clone()));
        }
    }
    let named = house
        .devices
        .values()
        .flat_map(|device| device.groups.iter().map(|group| (device.id.clone(), group.clone())));
    assert_eq!(named.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn a_group_is_a_device_without_a_line_that_its_members_name() {
    let mut house = grouped(1);
    let group = house.device(GROUP).clone();
    assert_eq!((&*group.name, group.line, &*group.dialect), ("All", None, "group"));
    assert_eq!(group.members.as_deref(), Some(&ids(&ALL)[..]));
    assert_eq!((group.relay, group.online), (Some(true), Some(true)), "as its members are");
    check_lists(&house);
    assert_eq!(groups_of(&house, KETTLE), [GROUP]);
    change(&mut house, Some("Some"), Some(&[FRIDGE])).unwrap();
    let changed: Vec<&str> = house
        .events
        .iter()
        .rev()
        .map_while(|event| match &event.body {
            Body::Device { change: Change::Changed, device } => Some(device.id.as_str()),
            _ => None,
        })
        .take(3)
        .collect();
    assert_eq!(changed, [DESK, KETTLE, GROUP], "who left is told of, who stayed is not");
    assert_eq!((groups_of(&house, KETTLE), groups_of(&house, FRIDGE)), (vec![], vec![GROUP.to_owned()]));
    check_lists(&house);
    assert_eq!(house.ask(Request::RemoveGroup(id(GROUP))), Ok(Given::Nothing));
    assert!(groups_of(&house, FRIDGE).is_empty() && !house.devices.contains_key(&id(GROUP)));
    assert_eq!(house.ask(Request::RemoveGroup(id(GROUP))), Err(Refused::UnknownGroup(id(GROUP))));
    assert_eq!(house.ask(Request::RemoveGroup(id(KETTLE))), Err(Refused::UnknownGroup(id(KETTLE))));
}

#[test]
fn members_that_cannot_be_are_named_and_nothing_is_made() {
    let mut house = grouped(2);
    let writes = house.disk.len();
    let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("dlt645_{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (members, word) in [
        (&["dlt645_9"][..], "no device `dlt645_9`"),
        (&[KETTLE, GROUP], "groups hold no groups"),
        (&[KETTLE, FRIDGE, KETTLE], "`dlt645_000000004711` stands there twice"),
        (&many, "257 devices, wanted at most 256"),
    ] {
        let told = add(&mut house, "New", members).unwrap_err().to_string();
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(add(&mut house, "Kettle", &[KETTLE]), Err(Refused::NameTaken(id(KETTLE))));
    assert_eq!(add(&mut house, "All", &[KETTLE]), Err(Refused::NameTaken(id(GROUP))));
    assert_eq!(add(&mut house, " ", &[KETTLE]), Err(Refused::BadName { max: 64 }));
    let options = [("relay".into(), None)].into();
    let choose = Request::Change { device: id(GROUP), name: None, options };
    assert_eq!(house.ask(choose), Err(Refused::IsGroup(id(GROUP))));
    let replace = Request::Replace { device: id(GROUP), address: "1".into() };
    assert_eq!(house.ask(replace), Err(Refused::IsGroup(id(GROUP))));
    assert_eq!(house.disk.len(), writes);
    for n in 1..GROUPS_MAX {
        add(&mut house, &format!("Group {n}"), &[]).unwrap();
    }
    assert_eq!(add(&mut house, "New", &[]), Err(Refused::TooManyGroups { limit: GROUPS_MAX }));
}

#[test]
fn a_removed_member_leaves_its_groups_and_an_emptied_group_stays() {
    let mut house = House::new(3, Vec::new());
    house.bus = plugline_simulator::Bus::new(3, demo_house(3));
    for address in ["4711", "4712"] {
        let line = plugline::device::LineName::parse("mains").unwrap();
        house.ask(Request::Add { line, address: address.into(), channel: None, name: None }).unwrap();
    }
    house.run_for(Duration::from_secs(10));
    add(&mut house, "All", &[KETTLE, FRIDGE]).unwrap();
    house.ask(Request::Remove(id(KETTLE))).unwrap();
    assert_eq!(house.device(GROUP).members.as_deref(), Some(&ids(&[FRIDGE])[..]));
    house.ask(Request::Remove(id(FRIDGE))).unwrap();
    let empty = house.device(GROUP);
    assert_eq!((empty.members.as_deref(), empty.relay, empty.online), (Some(&[][..]), None, None));
    assert_eq!(house.command(GROUP, OFF, TTL), Err(Refused::EmptyGroup(id(GROUP))));
    assert_eq!(house.command(GROUP, Wish::Toggle, TTL), Err(Refused::StateUnknown(id(GROUP))));
    let again =
        House::with(3, Vec::new(), Default::default(), house.disk.last().unwrap().clone(), Vec::new());
    assert_eq!(again.device(GROUP).members.as_deref(), Some(&[][..]));
}

#[test]
fn a_replaced_member_stays_and_its_old_state_counts_no_longer() {
    let mut house = House::new(4, demo_house(4));
    house.run_for(Duration::from_secs(10));
    add(&mut house, "All", &[KETTLE]).unwrap();
    assert_eq!(house.device(GROUP).relay, Some(true));
    house.ask(Request::Replace { device: id(KETTLE), address: "9000".into() }).unwrap();
    assert_eq!((house.device(GROUP).relay, groups_of(&house, KETTLE)), (None, vec![GROUP.to_owned()]));
    check_lists(&house);
}

#[test]
fn a_command_to_a_group_is_confirmed_when_every_member_has_shown_it() {
    let mut house = grouped(5);
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    assert_eq!(house.device(GROUP).relay, Some(true), "nothing is shown that the line did not say");
    let ended = settle(&mut house, &whole);
    assert_eq!((ended.state, ended.outcome), (State::Confirmed, None));
    assert_eq!(ends(&house, &whole), [(State::Confirmed, State::Confirmed); 3]);
    assert_eq!(house.heard(0x1C), 3);
    assert!(house.bus.meters().iter().all(|meter| !meter.relay_closed()));
    let states: Vec<State> = house
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Command(of) if of.id == whole => Some(of.state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [State::Accepted, State::Queued, State::Sent, State::Confirmed]);
    let relays: Vec<(&str, bool, Cause)> = house
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Relay { on: false, cause } => Some((event.device.as_ref()?.as_str(), false, *cause)),
            _ => None,
        })
        .collect();
    let by_group = |device| (device, false, Cause::Group);
    assert_eq!(relays, [by_group(KETTLE), by_group(FRIDGE), by_group(DESK), by_group(GROUP)]);
    let part = &house.commands[&ended.parts[0].command];
    assert_eq!((part.part_of.as_ref(), &part.device), (Some(&whole), &id(KETTLE)));
}

#[test]
fn the_group_answers_while_any_member_does_and_says_why_not() {
    let mut house = grouped(6);
    house.unplug();
    assert_eq!(house.device(GROUP).online, Some(false));
    let told = house.events.iter().filter(|event| event.device == Some(id(GROUP)));
    let reasons: Vec<String> = told
        .filter_map(|event| match &event.body {
            Body::Online { online: false, reason } => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["no member answers"]);
    house.plug();
    house.run_until(MINUTE, "it is back", |house| house.device(GROUP).online == Some(true));
}

#[test]
fn toggle_turns_off_while_anything_is_on() {
    let mut house = grouped(7);
    let off = house.switch(KETTLE, false);
    settle(&mut house, &off);
    for (wanted, shown) in [(false, Some(false)), (true, Some(true))] {
        let whole = house.command(GROUP, Wish::Toggle, TTL).unwrap();
        assert_eq!(house.commands[&whole].action, Action::Switch { on: wanted });
        assert_eq!(settle(&mut house, &whole).state, State::Confirmed);
        assert_eq!(house.device(GROUP).relay, shown);
    }
}

#[test]
fn a_member_that_fails_is_named_and_the_others_are_switched() {
    let mut house = grouped(8);
    house.bus.set_fault(Fault::Mute(Address::parse("000000004712").unwrap()));
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    let ended = settle(&mut house, &whole);
    assert_eq!((ended.state, ended.outcome), (State::Failed, Some(Outcome::Unknown)));
    let states: Vec<State> = ended.parts.iter().map(|part| part.state).collect();
    assert_eq!(states, [State::Confirmed, State::Failed, State::Confirmed]);
    let error = ended.error.as_ref().unwrap();
    assert_eq!(&*error.code, "members_failed");
    assert!(error.detail.starts_with("1 of 3 members not confirmed: dlt645_000000004712 ("), "{error:?}");
    assert_eq!(house.device(GROUP).relay, Some(true), "the one that is silent was last seen on");
    house.run_for(MINUTE);
}

#[test]
fn a_command_to_one_member_takes_the_place_of_its_part_and_the_group_says_so() {
    let mut house = grouped(9);
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    let own = house.switch(DESK, true);
    let ended = settle(&mut house, &whole);
    let states: Vec<State> = ended.parts.iter().map(|part| part.state).collect();
    assert_eq!(states, [State::Confirmed, State::Confirmed, State::Superseded]);
    assert_eq!((ended.state, ended.outcome), (State::Failed, Some(Outcome::Unknown)));
    assert_eq!(settle(&mut house, &own).state, State::Confirmed);
    assert_eq!(house.device(DESK).relay, Some(true));
    let waiting = house.switch(FRIDGE, true);
    let own = house.switch(DESK, false);
    let newer = house.command(GROUP, OFF, TTL).unwrap();
    assert_eq!(house.commands[&own].state, State::Superseded, "and the other way round");
    settle(&mut house, &newer);
    assert!(house.commands[&waiting].state.settled());
}

#[test]
fn a_newer_command_to_the_group_takes_the_place_of_one_that_still_waits() {
    let mut house = grouped(10);
    house.unplug();
    let older = house.command(GROUP, OFF, TTL).unwrap();
    let newer = house.command(GROUP, ON, TTL).unwrap();
    assert_eq!(house.commands[&older].state, State::Superseded);
    assert_eq!(ends(&house, &older), [(State::Superseded, State::Superseded); 3]);
    house.plug();
    assert_eq!(settle(&mut house, &newer).state, State::Confirmed);
    assert!(house.bus.meters().iter().all(Meter::relay_closed), "the older one was never sent");
}

#[test]
fn a_group_is_taken_back_as_far_as_it_was_not_sent() {
    let mut house = grouped(11);
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    house.run_until(TTL, "the first is sent", |house| house.commands[&whole].state == State::Sent);
    assert!(house.ask(Request::Cancel(whole.clone())).is_ok());
    assert_eq!(house.ask(Request::Cancel(whole.clone())), Err(Refused::NotQueued(whole.clone())));
    let ended = settle(&mut house, &whole);
    let states: Vec<State> = ended.parts.iter().map(|part| part.state).collect();
    assert_eq!(states, [State::Confirmed, State::Cancelled, State::Cancelled]);
    house.run_for(MINUTE);
    assert_eq!(house.heard(0x1C), 1);
    house.unplug();
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    assert!(house.ask(Request::Cancel(whole.clone())).is_ok());
    assert_eq!(house.commands[&whole].state, State::Cancelled, "all of it");
}

#[test]
fn a_group_that_nobody_could_be_sent_expires_and_a_removed_one_sends_nothing_more() {
    let mut house = grouped(12);
    house.unplug();
    let whole = house.command(GROUP, OFF, Duration::from_secs(5)).unwrap();
    house.run_for(Duration::from_secs(10));
    assert_eq!(house.commands[&whole].state, State::Expired);
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    house.ask(Request::RemoveGroup(id(GROUP))).unwrap();
    let ended = &house.commands[&whole];
    assert_eq!((ended.state, ended.outcome), (State::Failed, Some(Outcome::NotApplied)));
    house.plug();
    house.run_for(MINUTE);
    assert_eq!(house.heard(0x1C), 0);
}

#[test]
fn a_member_that_takes_no_more_is_told_of_and_holds_up_nobody() {
    let mut house = grouped(13);
    house.unplug();
    for _ in 0..50 {
        house.command(FRIDGE, Wish::Do(Action::Read), TTL).unwrap();
    }
    let whole = house.command(GROUP, OFF, TTL).unwrap();
    let part = house.commands[&whole].parts[1].clone();
    assert_eq!((part.state, part.outcome), (State::Failed, Some(Outcome::NotApplied)));
    assert_eq!(&*part.error.unwrap().code, "queue_full");
    house.plug();
    let ended = settle(&mut house, &whole);
    let states: Vec<State> = ended.parts.iter().map(|part| part.state).collect();
    assert_eq!(states, [State::Confirmed, State::Failed, State::Confirmed]);
    house.unplug();
    for _ in 0..50 {
        house.command(GROUP, Wish::Do(Action::Read), TTL).unwrap();
    }
    let refused = house.command(GROUP, Wish::Do(Action::Read), TTL);
    assert_eq!(refused, Err(Refused::QueueFull { device: id(GROUP), limit: 50 }));
}

#[test]
fn a_repeated_key_gives_the_same_command_to_the_group() {
    let mut house = grouped(14);
    let request = || {
        Request::Command(NewCommand {
            device: id(GROUP),
            wish: OFF,
            ttl: TTL,
            requested_by: "test".into(),
            idempotency: Some(Idempotency { key: "one".into(), body: "off".into() }),
            reply_to: Default::default(),
        })
    };
    let Ok(Given::Command { command: first, replayed: false }) = house.ask(request()) else {
        panic!("a new command")
    };
    house.run_for(MINUTE);
    let Ok(Given::Command { command: again, replayed: true }) = house.ask(request()) else {
        panic!("the same command")
    };
    assert_eq!((&again.id, again.state, house.heard(0x1C)), (&first.id, State::Confirmed, 3));
}

/// Runs a life with groups and commands to them, then starts again from the disk as it stood after each single write.
#[test]
fn after_a_crash_at_any_write_groups_stand_and_every_command_settles_once() {
    let mut house = grouped(15);
    house.command(GROUP, OFF, TTL).unwrap();
    house.switch(DESK, true);
    house.run_for(Duration::from_secs(2));
    house.command(GROUP, ON, TTL).unwrap();
    change(&mut house, Some("Two"), Some(&[KETTLE, DESK])).unwrap();
    house.command(GROUP, OFF, TTL).unwrap();
    house.run_for(MINUTE);
    house.command(GROUP, ON, TTL).unwrap();
    house.ask(Request::RemoveGroup(id(GROUP))).unwrap();
    house.run_for(MINUTE);
    assert!(house.commands.values().all(|command| command.state.settled()));
    assert!(house.disk.len() > 40, "{} writes", house.disk.len());
    let options = || plugline::line::dlt645::Options { baud: 9600, ..Default::default() };
    let mut unlike = 0;
    for disk in house.disk.clone() {
        let started = disk.started();
        let mut again = House::with(15, demo_house(15), options(), disk, Vec::new());
        check_lists(&again);
        let waits = |command: &Command| !command.state.settled() && !command.is_whole();
        let open = again.commands.values().filter(|command| waits(command)).count();
        again.run_for(MINUTE);
        assert!(again.heard(0x1C) <= open, "only what was never started is sent");
        for command in again.commands.values() {
            assert!(command.state.settled(), "{command:?}");
            let whole = command.part_of.as_ref().map(|whole| &again.commands[whole]);
            let part = whole.map(|whole| whole.parts.iter().find(|part| part.command == command.id).unwrap());
            assert!(part.is_none_or(|part| part.state == command.state), "{command:?}");
        }
        for id in started {
            assert_eq!(again.commands[&id].outcome, Some(Outcome::Unknown));
            unlike += 1;
        }
    }
    assert!(unlike > 0, "no crash hit a command that was on its way");
}

/// Meters enough for the largest group.
fn large(count: usize) -> Vec<Meter> {
    let meter = |n: usize| Meter::new(Address::parse(&format!("{:012}", 1000 + n)).unwrap(), n as u64);
    (0..count).map(|n| meter(n).with_name(&format!("Lamp {n}")).with_appliance(Kind::Nothing)).collect()
}

#[test]
fn a_group_of_256_holds_up_neither_a_single_command_nor_a_second_group() {
    let mut house = House::new(16, large(MEMBERS_MAX));
    let lamps: Vec<String> = (0..MEMBERS_MAX).map(|n| format!("dlt645_{:012}", 1000 + n)).collect();
    let lamps: Vec<&str> = lamps.iter().map(String::as_str).collect();
    add(&mut house, "All", &lamps).unwrap();
    add(&mut house, "Few", &lamps[250..]).unwrap();
    let long = Duration::from_secs(3600);
    let whole = house.command(GROUP, ON, long).unwrap();
    house.run_for(Duration::from_secs(5));
    let others: Vec<CommandId> =
        (240..245).map(|n| house.command(lamps[n], Wish::Do(Action::Read), long).unwrap()).collect();
    let sent = |house: &House| {
        let parts = &house.commands[&whole].parts;
        parts.iter().filter(|part| house.commands[&part.command].state >= State::Sent).count()
    };
    let before = sent(&house);
    house.run_until(10 * MINUTE, "the single ones", |house| {
        others.iter().all(|other| house.commands[other].state.settled())
    });
    let between = sent(&house) - before;
    assert!(between <= others.len() + 2, "{between} of the group went before {} others", others.len());
    let few = house.command("group_few", OFF, long).unwrap();
    let before = sent(&house);
    settle(&mut house, &few);
    let between = sent(&house) - before;
    assert!(between <= 6 + 2, "{between} of the large group went before 6 of the small one");
    house.run_until(60 * MINUTE, "all of it", |house| house.commands[&whole].state.settled());
    let ended = &house.commands[&whole];
    let confirmed = ended.parts.iter().filter(|part| part.state == State::Confirmed).count();
    assert_eq!((ended.state, confirmed), (State::Failed, 250), "the six were switched by the other group");
}
