//! Devices added, renamed, replaced and removed, in virtual time: each done whole or refused by name.

use std::sync::Arc;
use std::time::Duration;

use plugline::device::{Device, LineName};
use plugline::hub::command::{Action, Idempotency, State};
use plugline::hub::{Given, NewCommand, Refused, Request, Wish};
use plugline_simulator::{Address, Bus, Kind, Meter, demo_house};

use crate::house::{House, MINUTE, id};

const KETTLE: &str = "dlt645_000000004711";
const FRIDGE: &str = "dlt645_000000004712";

fn line() -> LineName {
    LineName::parse("mains").unwrap()
}

fn meter(address: &str, energy_mwh: u64) -> Meter {
    let address = Address::parse(address).unwrap();
    Meter::new(address, 9).with_appliance(Kind::Nothing).with_energy_mwh(energy_mwh)
}

/// A house whose meters hang on the wire before the gateway knows them.
fn unconfigured(meters: Vec<Meter>) -> House {
    let mut house = House::new(1, Vec::new());
    house.bus = Bus::new(1, meters);
    house
}

fn add(house: &mut House, address: &str, name: Option<&str>) -> Result<Arc<Device>, Refused> {
    let request =
        Request::Add { line: line(), address: address.into(), channel: None, name: name.map(Into::into) };
    device(house.ask(request))
}

fn rename(house: &mut House, device_id: &str, name: &str) -> Result<Arc<Device>, Refused> {
    device(house.ask(Request::Change {
        device: id(device_id),
        name: Some(name.into()),
        options: Default::default(),
    }))
}

fn replace(house: &mut House, device_id: &str, address: &str) -> Result<Arc<Device>, Refused> {
    device(house.ask(Request::Replace { device: id(device_id), address: address.into() }))
}

fn device(answer: Result<Given, Refused>) -> Result<Arc<Device>, Refused> {
    answer.map(|given| match given {
        Given::Device(device) => device,
        other => panic!("a device was asked for, not {other:?}"),
    })
}

#[test]
fn a_device_added_by_command_is_asked_at_once_and_there_after_a_restart() {
    let mut house = unconfigured(vec![meter("000000004711", 0)]);
    let added = add(&mut house, "4711", Some("Kettle")).unwrap();
    assert_eq!((added.id.as_str(), &*added.name), (KETTLE, "Kettle"));
    house.run_until(MINUTE, "it answers", |house| house.device(KETTLE).online == Some(true));
    let disk = house.disk.last().unwrap().clone();
    let again = House::with(2, Vec::new(), Default::default(), disk, Vec::new());
    assert_eq!(&*again.device(KETTLE).name, "Kettle");
}

#[test]
fn what_is_wrong_with_a_new_device_is_refused_by_name_and_nothing_is_kept() {
    let mut house = unconfigured(vec![meter("000000004711", 0)]);
    add(&mut house, "4711", Some("Kettle")).unwrap();
    let writes = house.disk.len();
    assert_eq!(add(&mut house, "4711", None), Err(Refused::AddressTaken(id(KETTLE))));
    assert!(matches!(add(&mut house, "47x1", None), Err(Refused::BadAddress(_))));
    assert!(matches!(add(&mut house, "1234567890123", None), Err(Refused::BadAddress(_))));
    assert_eq!(add(&mut house, "1", Some("Kettle")), Err(Refused::NameTaken(id(KETTLE))));
    assert_eq!(add(&mut house, "1", Some(" ")), Err(Refused::BadName { max: 64 }));
    let elsewhere = Request::Add {
        line: LineName::parse("cellar").unwrap(),
        address: "1".into(),
        channel: None,
        name: None,
    };
    assert!(matches!(house.ask(elsewhere), Err(Refused::UnknownLine { known, .. }) if known == "mains"));
    assert_eq!((house.disk.len(), house.devices.len()), (writes, 1));
}

#[test]
fn a_name_in_use_is_refused_and_a_new_one_outlives_the_configurations_old_one() {
    let mut house = House::new(3, demo_house(3));
    assert_eq!(rename(&mut house, KETTLE, "Fridge"), Err(Refused::NameTaken(id(FRIDGE))));
    assert_eq!(&*house.device(KETTLE).name, "Kettle");
    rename(&mut house, KETTLE, "Tea").unwrap();
    assert_eq!(&*house.device(KETTLE).name, "Tea");
    let disk = house.disk.last().unwrap().clone();
    let again = House::with(3, demo_house(3), Default::default(), disk, Vec::new());
    assert_eq!(&*again.device(KETTLE).name, "Tea");
}

#[test]
fn a_replaced_meter_keeps_id_name_and_total_and_its_configuration_still_means_it() {
    let mut meters = demo_house(4);
    meters.push(meter("000000009000", 1_000_000));
    let mut house = House::new(4, demo_house(4));
    house.bus = Bus::new(1, meters);
    house.run_for(2 * MINUTE);
    let before = *house.totals(Some(&id(KETTLE))).last().unwrap();
    let replaced = replace(&mut house, KETTLE, "9000").unwrap();
    assert_eq!((replaced.id.as_str(), &*replaced.name), (KETTLE, "Kettle"));
    assert_eq!((&*replaced.target.address, replaced.relay), ("000000009000", None));
    house.run_for(2 * MINUTE);
    assert_eq!(house.totals(Some(&id(KETTLE))).last(), Some(&before), "the new meter has counted nothing");
    let position = house.bus.meters().len() - 1;
    house.bus.meters_mut()[position] = meter("000000009000", 1_500_000);
    house.run_for(2 * MINUTE);
    assert_eq!(house.totals(Some(&id(KETTLE))).last(), Some(&(before + 500_000)));
    let disk = house.disk.last().unwrap().clone();
    let again = House::with(4, demo_house(4), Default::default(), disk, Vec::new());
    assert_eq!(again.devices.len(), 3, "the configuration's old address makes no second kettle");
    assert_eq!(&*again.device(KETTLE).target.address, "000000009000");
}

#[test]
fn a_replacement_that_sits_elsewhere_already_is_refused_and_nothing_moves() {
    let mut house = House::new(5, demo_house(5));
    assert_eq!(replace(&mut house, KETTLE, "4712"), Err(Refused::AddressTaken(id(FRIDGE))));
    assert!(matches!(replace(&mut house, KETTLE, "kettle"), Err(Refused::BadAddress(_))));
    assert_eq!(&*house.device(KETTLE).target.address, "000000004711");
}

#[test]
fn a_removed_device_is_gone_with_its_commands_and_one_of_the_configuration_is_not_removed() {
    let mut house = unconfigured(vec![meter("000000004711", 0)]);
    add(&mut house, "4711", None).unwrap();
    house.run_for(Duration::from_secs(10));
    house.unplug();
    let command = house.switch(KETTLE, false);
    assert_eq!(house.ask(Request::Remove(id(KETTLE))), Ok(Given::Nothing));
    assert!(house.devices.is_empty());
    assert_eq!(house.commands[&command].state, State::Failed);
    assert_eq!(house.ask(Request::Remove(id(KETTLE))), Err(Refused::UnknownDevice(id(KETTLE))));
    house.plug();
    house.run_for(MINUTE);
    let mut configured = House::new(6, demo_house(6));
    assert_eq!(configured.ask(Request::Remove(id(KETTLE))), Err(Refused::InConfiguration(id(KETTLE))));
}

#[test]
fn a_repeated_key_gives_the_same_command_and_another_body_is_refused() {
    let mut house = House::new(7, demo_house(7));
    house.run_for(Duration::from_secs(10));
    let request = |body: &str, on| {
        Request::Command(NewCommand {
            device: id(KETTLE),
            wish: Wish::Do(Action::Switch { on }),
            ttl: Duration::from_secs(30),
            requested_by: "test".into(),
            idempotency: Some(Idempotency { key: "one".into(), body: body.into() }),
            reply_to: Default::default(),
        })
    };
    let Ok(Given::Command { command: first, replayed: false }) = house.ask(request("off", false)) else {
        panic!("a new command")
    };
    house.run_for(MINUTE);
    let Ok(Given::Command { command: again, replayed: true }) = house.ask(request("off", false)) else {
        panic!("the same command")
    };
    assert_eq!((&again.id, again.state), (&first.id, State::Confirmed));
    assert_eq!(house.ask(request("on", true)), Err(Refused::KeyReused(id(KETTLE))));
    assert_eq!(house.heard(0x1C), 1);
}
