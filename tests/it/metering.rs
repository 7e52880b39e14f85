//! Readings and availability, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use plugline::device::{Measured, Moment, Now, Quantity, Reading};
use plugline::hub::feed::Body;
use plugline::hub::{Effect, Hub, Kept, Output};
use plugline::line::dlt645::Options;
use plugline_simulator::{Address, Fault, Kind, Meter, demo_house};

use crate::house::{House, MINUTE, id, setup};

const KETTLE: &str = "dlt645_000000004711";
const FRIDGE: &str = "dlt645_000000004712";

fn one_meter() -> Vec<Meter> {
    demo_house(1).into_iter().take(1).collect()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn known_devices_are_shown_at_once_whatever_the_disk_does() {
    let mut house = House::new(1, one_meter());
    house.run_for(Duration::from_secs(15));
    let mut kettle = house.device(KETTLE).clone();
    // As another configuration had it: that it changed waits for the disk, the device does not.
    kettle.measured = Arc::new([Measured { quantity: Quantity::Power, period: Some(MINUTE) }]);
    let mut hub = Hub::new(vec![setup(&one_meter(), Options::default())], "test", 1);
    let now = Now { mono: Moment(Duration::ZERO), unix_ms: 1_795_000_000_000, synchronised: true };
    hub.restore(Kept { devices: vec![Arc::new(kettle)], ..Kept::default() }, [], now);
    hub.begin(now);
    let mut outputs = std::iter::from_fn(|| hub.poll_output());
    let shown = outputs.find(|output| matches!(output.effect, Effect::ShowDevice(_)));
    let Some(Output { after: None, effect: Effect::ShowDevice(device) }) = shown else {
        panic!("it is held back: {shown:?}");
    };
    assert_eq!((device.id.as_str(), device.online), (KETTLE, None));
    assert_eq!(device.relay, Some(true));
}

#[test]
fn every_meter_gives_every_quantity_within_seconds() {
    let mut house = House::new(1, demo_house(1));
    house.run_for(Duration::from_secs(15));
    assert_eq!(house.devices.len(), 3);
    for device in house.devices.values() {
        assert_eq!(device.online, Some(true), "{}", device.id);
        assert_eq!(device.relay, Some(true), "{}", device.id);
        let reading = device.last_reading.expect("read").reading;
        for measured in device.measured.iter() {
            assert!(
                reading.get(measured.quantity).is_some(),
                "{} of {}",
                measured.quantity.row().name,
                device.id
            );
        }
    }
    assert!(house.malformed().is_empty(), "{:?}", house.malformed());
}

#[test]
fn a_full_line_tells_each_of_its_configured_meters_once() {
    let meters: Vec<Meter> = (1..=60).map(|n| Meter::new(address(&format!("{n:012}")), n)).collect();
    let house = House::new(1, meters);
    let told = house.events.iter().filter(|event| matches!(event.body, Body::Device { .. })).count();
    assert_eq!((house.devices.len(), told), (60, 60));
}

#[test]
fn published_figures_are_those_of_the_meter_to_the_last_digit() {
    let mut house = House::new(1, one_meter());
    house.run_for(MINUTE);
    let shown = house.device(KETTLE).last_reading.unwrap().reading;
    let total = house.bus.meters()[0].energy_mwh();
    let resolution_mwh = 10_000;
    let published = shown.get(Quantity::Energy).unwrap();
    assert!(
        published % resolution_mwh == 0 && published <= i64::try_from(total).unwrap(),
        "{published} of {total}"
    );
    assert!(shown.get(Quantity::Voltage).is_some_and(|mv| (200_000..260_000).contains(&mv) && mv % 100 == 0));
}

#[test]
fn a_meter_that_never_answers_goes_offline_and_the_others_are_still_read_in_time() {
    let mut house = House::new(2, demo_house(2));
    house.bus.set_fault(Fault::Mute(address("000000004711")));
    // The first question was answered before the meter fell silent.
    house.run_for(Duration::from_secs(1));
    let before = house.readings_of(KETTLE);
    house.run_for(5 * MINUTE);
    assert_eq!(house.device(KETTLE).online, Some(false));
    assert_eq!(house.readings_of(KETTLE), before);
    assert!(house.readings_of(FRIDGE) > 40, "{} readings of the fridge", house.readings_of(FRIDGE));
    house.bus.clear_faults();
    house.run_until(3 * MINUTE, "the kettle is back", |house| house.device(KETTLE).online == Some(true));
    house.run_until(MINUTE, "and read", |house| house.readings_of(KETTLE) > before);
}

#[test]
fn a_meter_that_answers_for_another_moves_nobodys_figures_but_its_own() {
    let mut house = House::new(3, demo_house(3));
    house.bus.set_fault(Fault::AnswerForAnother {
        asked: address("000000004711"),
        answers_as: address("000000009999"),
    });
    house.run_for(Duration::from_secs(1));
    let before = house.readings_of(KETTLE);
    house.run_for(3 * MINUTE);
    assert_eq!(house.readings_of(KETTLE), before);
    assert_eq!(house.device(KETTLE).online, Some(false));
    let told = house.events.iter().filter(|event| matches!(event.body, Body::Gateway(_)));
    let foreign = told.filter(|event| format!("{:?}", event.body).contains("000000009999")).count();
    assert_eq!(foreign, 1, "a foreign address is told once");
    assert!(house.malformed()["foreign"] > 1, "and counted each time");
}

#[test]
fn garbage_split_merged_and_flipped_frames_cost_no_later_reading() {
    let faults = [
        Fault::Garbage,
        Fault::Split { gap: Duration::from_millis(40) },
        Fault::Merge,
        Fault::DuplicateStart,
        Fault::BitFlip { percent: 30 },
    ];
    for (seed, fault) in (10..).zip(faults) {
        let mut house = House::new(seed, demo_house(seed));
        house.bus.set_fault(fault);
        house.run_for(2 * MINUTE);
        house.bus.clear_faults();
        let before = house.readings_of(FRIDGE);
        house.run_for(MINUTE);
        assert!(house.readings_of(FRIDGE) > before + 10, "after {fault:?}");
        assert_eq!(house.device(FRIDGE).online, Some(true), "after {fault:?}");
    }
}

#[test]
fn the_frame_behind_garbage_and_behind_a_wrong_checksum_is_read() {
    let mut house = House::new(4, one_meter());
    house.run_for(Duration::from_secs(5));
    let before = house.readings_of(KETTLE);
    // 223.3 V for 000000004711, once with a wrong sum, once behind noise.
    let mut frame = vec![0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x91, 6, 0x33, 0x34, 0x34, 0x35, 0x66, 0x55];
    let sum = frame.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend([sum ^ 1, 0x16]);
    house.inject(&frame);
    assert_eq!(house.readings_of(KETTLE), before);
    assert_eq!(house.malformed().get("checksum"), Some(&1), "{:?}", house.malformed());
    let last = frame.len() - 2;
    frame[last] = sum;
    house.inject(&[&[0x00, 0x68, 0x13], &frame[..]].concat());
    assert_eq!(house.readings_of(KETTLE), before + 1);
    let voltage = Reading::of(Quantity::Voltage, 223_300);
    assert!(house.events.iter().any(|event| event.body == Body::Reading(voltage)), "the figure is 223.3 V");
}

#[test]
fn a_total_that_falls_is_held_counted_and_told_and_never_published() {
    let meter = |energy_mwh| {
        Meter::new(address("000000004711"), 1).with_appliance(Kind::Nothing).with_energy_mwh(energy_mwh)
    };
    let mut house = House::new(5, vec![meter(5_000_000)]);
    house.run_for(2 * MINUTE);
    assert_eq!(house.totals(Some(&id(KETTLE))).last(), Some(&5_000_000));
    let published = house.totals(Some(&id(KETTLE))).len();
    house.bus.meters_mut()[0] = meter(1_000_000);
    house.run_for(5 * MINUTE);
    assert_eq!(house.totals(Some(&id(KETTLE))).len(), published);
    assert!(house.malformed()["energy_fell"] >= 2);
    let told = house.events.iter().filter(|event| matches!(event.body, Body::Notification(_))).count();
    assert_eq!(told, 1, "a person is told once");
    let shown = house.device(KETTLE).last_reading.unwrap().reading;
    assert_eq!(shown.get(Quantity::Energy), Some(5_000_000));
    house.bus.meters_mut()[0] = meter(5_010_000);
    house.run_for(2 * MINUTE);
    assert_eq!(house.totals(Some(&id(KETTLE))).last(), Some(&5_010_000));
}

#[test]
fn a_cable_pulled_for_half_a_minute_loses_nothing_after_its_return() {
    let mut house = House::new(6, demo_house(6));
    house.run_for(Duration::from_secs(20));
    house.unplug();
    assert!(house.devices.values().all(|device| device.online == Some(false)), "all are offline at once");
    let before = house.readings_of(FRIDGE);
    house.run_for(Duration::from_secs(30));
    assert_eq!(house.readings_of(FRIDGE), before);
    house.bus.clear_requests();
    house.plug();
    house.run_for(MINUTE);
    assert!(house.devices.values().all(|device| device.online == Some(true)));
    let after: usize =
        [KETTLE, FRIDGE, "dlt645_000000004713"].map(|device| house.readings_of(device)).iter().sum();
    assert!(after > before + 20, "{after} readings");
}

#[test]
fn an_old_power_leaves_the_last_reading_and_the_total_stays() {
    let mut house = House::new(7, one_meter());
    house.run_for(MINUTE);
    house.unplug();
    house.run_for(5 * MINUTE);
    let left = house.device(KETTLE).last_reading.expect("the total stays").reading;
    let names: Vec<&str> = left.iter().map(|(quantity, _)| quantity.row().name).collect();
    assert_eq!(names, ["energy"]);
}
