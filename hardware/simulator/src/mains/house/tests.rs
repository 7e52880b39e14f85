//! A house that nobody has taken into a network yet.

use plugline_protocol::frame::{Frame, Kind, without_crc};
use plugline_protocol::hostlink::{Deframer, MAX_ENCODED, Message, encode};
use plugline_protocol::label::Label;
use plugline_protocol::messages::JoinUp;
use plugline_socket::{Led, Membership};

use super::*;
use crate::scenario::{BLOCK, HOUSEHOLD, NOISY};

const MINUTE_US: u64 = 60_000_000;

fn house(text: &str, seed: u64) -> House {
    House::new(&Scenario::parse(text).unwrap().with_seed(seed))
}

fn loads(appliances: &str) -> House {
    let text = format!("name = \"loads\"\nsockets = 1\nothers = [\"nothing\"]\n[[socket]]\n{appliances}\n");
    House::new(&Scenario::parse(&text).unwrap())
}

fn kinds(house: &House, from: Node) -> Vec<Kind> {
    let frames = house.overheard().filter(|frame| frame.from == from);
    frames.map(|frame| Frame::parse(without_crc(&frame.bytes).unwrap()).unwrap().kind()).collect()
}

#[test]
fn every_socket_asks_to_be_let_in_and_the_modem_tells_its_host() {
    let mut house = house(HOUSEHOLD, 1);
    house.run_until(2 * MINUTE_US);
    for station in house.stations() {
        assert!(kinds(&house, station.node()).contains(&Kind::JoinUp), "{}", station.name());
        assert_eq!(station.membership(), Some(Membership::Unjoined));
        assert_eq!(station.led(), Some(Led::Searching));
    }
    let mut deframer = Deframer::new();
    let mut asked = std::collections::BTreeSet::new();
    while let Some((_, bytes)) = house.read() {
        for byte in bytes {
            let Some(Ok(packet)) = deframer.push(byte) else { continue };
            let Ok(Message::Receive(receive)) = Message::parse(&packet) else { continue };
            asked.insert(JoinUp::parse(&Frame::parse(receive.pdu).unwrap()).unwrap().eui);
        }
    }
    let all = house.stations().iter().map(Station::eui).collect();
    assert_eq!(asked, all);
}

#[test]
fn labels_name_the_sockets_and_no_two_are_alike_in_this_house_or_the_next() {
    let (one, other) = (house(BLOCK, 1), house(BLOCK, 2));
    let mut seen = std::collections::BTreeSet::new();
    for station in one.stations().iter().chain(other.stations()) {
        assert_eq!(Label::parse(&station.label()).unwrap().eui, station.eui());
        assert!(seen.insert(station.eui().0) && seen.len() <= 500);
    }
}

#[test]
fn a_pulled_socket_is_silent_and_asks_again_when_it_is_put_back() {
    let mut house = house(HOUSEHOLD, 1);
    house.run_until(2 * MINUTE_US);
    assert!(house.pull(3) && !house.pull(99) && !house.pull(0));
    let before = kinds(&house, 3).len();
    house.run_until(6 * MINUTE_US);
    assert_eq!(kinds(&house, 3).len(), before);
    assert_eq!(house.station(3).unwrap().membership(), None);
    assert!(house.plug(3));
    house.run_until(9 * MINUTE_US);
    assert!(kinds(&house, 3).len() > before);
}

#[test]
fn a_button_moves_the_relay_and_what_flows_is_counted_to_the_tenth_of_a_watt_hour() {
    let mut house = loads("name = \"Heater\"\nappliance = \"constant\"\npower_w = 900");
    house.run_until(10_000_000);
    assert_eq!(house.station(1).unwrap().power_mw(10_000_000), 0);
    assert!(house.press(1));
    house.run_until(10_200_000);
    let moves: Vec<_> = house.moves().copied().collect();
    assert_eq!(moves, [Move { at_us: 10_200_000, socket: 1, on: true, at_start: false }]);
    house.run_until(10_200_000 + 40 * MINUTE_US);
    let station = house.station(1).unwrap();
    assert_eq!(station.power_mw(house.now_us()), 900_000);
    let (import, export) = station.registers_100mwh().unwrap();
    assert_eq!((import / 10, export), (599, 0), "600 Wh, but for the last second");
    let [total_uwh, 0] = station.total_uwh() else { panic!() };
    assert!((599_700_000..=600_000_000).contains(&total_uwh), "{total_uwh}");
}

#[test]
fn an_overload_trips_and_the_light_says_so() {
    let mut house = loads("name = \"Welder\"\nappliance = \"constant\"\npower_w = 4600");
    house.press(1);
    house.run_until(10_000_000);
    let moves: Vec<_> = house.moves().map(|moved| moved.on).collect();
    assert_eq!(moves, [true, false]);
    assert_eq!(house.station(1).unwrap().led(), Some(Led::LockedOut));
}

#[test]
fn what_is_fed_back_is_counted_in_the_other_register() {
    let mut house = loads("name = \"Panel\"\nappliance = \"constant\"\npower_w = -300");
    house.press(1);
    house.run_until(20 * MINUTE_US);
    let (import, export) = house.station(1).unwrap().registers_100mwh().unwrap();
    assert!((import, (990..=1000).contains(&export)) == (0, true), "{import} {export}");
}

#[test]
fn registers_never_fall_whenever_and_however_often_power_goes() {
    let mut house = loads("name = \"Heater\"\nappliance = \"constant\"\npower_w = 2000");
    house.press(1);
    house.run_until(300_000);
    let (mut now_us, mut last) = (300_000, 0);
    for n in 0..300u64 {
        now_us += 700_000 + n * 313_131 % 7_000_000;
        house.run_until(now_us);
        let before = house.station(1).unwrap().registers_100mwh().unwrap().0;
        assert!(before >= last, "{before} after {last}");
        house.cut();
        assert_eq!(house.station(1).unwrap().power_mw(now_us), 0);
        house.run_until(now_us + 50_000);
        house.restore();
        let after = house.station(1).unwrap().registers_100mwh().unwrap().0;
        // The rest of the supply may not last for the last seconds: what was not stored was not told either.
        assert!(after <= before && before - after < 60, "cut {n}: {before}, then {after}");
        last = after;
    }
    let total_uwh = house.station(1).unwrap().total_uwh()[0];
    assert!(u64::from(last) * 100_000 <= total_uwh, "nothing is made up");
    assert!(house.moves().filter(|moved| !moved.at_start).count() == 1, "the relay stays as it was");
}

#[test]
fn the_house_next_door_is_heard_and_is_another_network() {
    let mut house = house(HOUSEHOLD, 1);
    house.add_neighbour(0x4A17, 5);
    house.run_until(5 * MINUTE_US);
    assert!(house.stations().iter().all(|station| station.membership() == Some(Membership::Unjoined)));
    let mut deframer = Deframer::new();
    let mut heard = Vec::new();
    while let Some((_, bytes)) = house.read() {
        for byte in bytes {
            let Some(Ok(packet)) = deframer.push(byte) else { continue };
            let Ok(Message::Receive(receive)) = Message::parse(&packet) else { continue };
            heard.extend(Frame::parse(receive.pdu).map(|frame| (frame.network().0, frame.kind())));
        }
    }
    let of = |kind| heard.iter().filter(|frame| **frame == (0x4A17, kind)).count();
    assert!(of(Kind::Beacon) >= 3 && of(Kind::Report) >= 15, "{} {}", of(Kind::Beacon), of(Kind::Report));
}

#[test]
fn injected_bytes_reach_the_sockets_and_are_counted_there() {
    let mut house = house(HOUSEHOLD, 1);
    // More than once: whoever speaks at the time hears nothing.
    for second in 1..=5 {
        house.run_until(second * 1_000_000);
        let end_us = house.inject(&[0xFF; 20], second * 1_000_000 + 500_000).unwrap();
        house.run_until(end_us + 10_000);
    }
    let wrong = house.stations().iter().filter(|station| station.counts().crc > 0).count();
    assert!(wrong >= 15, "{wrong} of 20 heard it");
}

/// All that the street hears in three minutes, with the host writing now and then.
fn story(seed: u64) -> Vec<Overheard> {
    let mut house = house(NOISY, seed);
    let mut room = [0; MAX_ENCODED];
    let ask = encode(1, &Message::StatusAsk, &mut room).unwrap();
    for second in 1..=180 {
        house.run_until(second * 1_000_000);
        house.write(ask);
        if second == 60 {
            house.pull(4);
        }
    }
    house.overheard().cloned().collect()
}

#[test]
fn the_same_seed_tells_the_same_story() {
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
    assert!(story(5).len() > 20);
}

#[test]
fn a_house_that_is_looked_at_rarely_does_the_same_as_one_that_is_looked_at_often() {
    let (mut often, mut rarely) = (house(HOUSEHOLD, 3), house(HOUSEHOLD, 3));
    (1..=12_000).for_each(|n| often.run_until(n * 10_007));
    rarely.run_until(12_000 * 10_007);
    assert!(often.overheard().eq(rarely.overheard()));
    assert_eq!(often.next_us(), rarely.next_us());
}

#[test]
fn a_house_that_is_saved_goes_on_with_its_relays_and_registers() {
    let scenario = Scenario::parse(HOUSEHOLD).unwrap();
    let mut house = House::new(&scenario);
    house.press(1);
    house.press(2);
    house.run_until(30 * MINUTE_US);
    let before = house.station(1).unwrap().registers_100mwh().unwrap();
    assert!(before.0 > 100, "{before:?}");
    let memory = Memory::load(&house.memory().save()).unwrap();
    let mut again = House::with_memory(&scenario, &memory);
    again.run_until(1_000_000);
    let on: Vec<bool> = again.stations().iter().map(Station::relay_on).collect();
    assert_eq!(on.iter().filter(|on| **on).count(), 2);
    let after = again.station(1).unwrap().registers_100mwh().unwrap();
    assert!(
        after.0 <= before.0 && before.0 - after.0 < 400,
        "{before:?} {after:?}: less than a minute is lost"
    );
}
