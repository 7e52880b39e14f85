//! Scenario files: those that come with the program do what they say, and a wrong one is told where.

use super::*;

/// The share of frames of 43 bytes that do not reach the modem whole, each socket sending in turn for so many rounds.
fn loss(scenario: &Scenario, rounds: u64) -> f64 {
    let mut line = scenario.line();
    let sockets = scenario.sockets().len();
    let slot_us = line.setup().phy.airtime_us(43) + 8_000;
    let mut arrived = 0;
    for n in 0..rounds * sockets as u64 {
        let node = 1 + usize::try_from(n).unwrap() % sockets;
        // Past the zero crossings: a shift moves frames over the half-cycle.
        let at_us = n * slot_us + n % 7 * 1_000;
        line.handle_timeout(at_us);
        line.transmit(node, &[0x5a; 43], at_us).unwrap();
        arrived +=
            std::iter::from_fn(|| line.poll_delivery()).filter(|d| d.node == 0 && d.truth.intact).count();
    }
    line.handle_timeout(u64::MAX / 2);
    arrived += std::iter::from_fn(|| line.poll_delivery()).filter(|d| d.node == 0 && d.truth.intact).count();
    1.0 - arrived as f64 / (rounds * sockets as u64) as f64
}

fn hidden(scenario: &Scenario) -> f64 {
    let line = scenario.line();
    let phy = line.setup().phy;
    f64::from(line.setup().wiring.hidden_ppm(phy.transmit_cdbuv - phy.sensitivity_cdbuv)) / 1e6
}

#[test]
fn the_household_is_a_good_line_and_the_noisy_one_a_bad_one_that_still_works() {
    for seed in 1..4 {
        let quiet = loss(&Scenario::parse(HOUSEHOLD).unwrap().with_seed(seed), 60);
        assert!((0.01..0.05).contains(&quiet), "household, seed {seed}: {quiet}");
        let noisy = loss(&Scenario::parse(NOISY).unwrap().with_seed(seed), 60);
        assert!((0.10..0.35).contains(&noisy), "noisy, seed {seed}: {noisy}");
    }
}

#[test]
fn the_block_reaches_its_modem_though_many_pairs_are_hidden() {
    let block = Scenario::parse(BLOCK).unwrap();
    assert_eq!(block.sockets().len(), 250);
    let lost = loss(&block, 2);
    assert!((0.04..0.15).contains(&lost), "{lost}");
    assert!((0.10..0.40).contains(&hidden(&block)), "{}", hidden(&block));
}

#[test]
fn a_house_has_its_named_sockets_first_and_then_the_others_dealt_round() {
    let house = Scenario::parse(HOUSEHOLD).unwrap();
    let sockets = house.sockets();
    let names: Vec<&str> = sockets.iter().map(|socket| socket.name.as_str()).collect();
    assert_eq!(
        names[..7],
        ["Kettle", "Fridge", "Washing machine", "Balcony panel", "Television", "Charger 6", "Lamp 7"]
    );
    assert_eq!(sockets[3].appliance.kind(), Kind::Panel { peak_mw: 600_000 });
    assert_eq!(sockets[3].phase, Phase::L1, "as its table says");
    assert_eq!((sockets[4].phase, sockets[19].node), (Phase::L2, 20));
    assert_eq!(house.start_of_day_s(), 36_000);
}

#[test]
fn seed_number_and_troubles_can_be_changed_from_outside() {
    let house = Scenario::parse(HOUSEHOLD).unwrap();
    assert_eq!(house.clone().with_sockets(250).sockets().len(), 250);
    assert_eq!(house.clone().with_sockets(2).sockets()[1].name, "Fridge");
    assert_eq!(house.clone().with_sockets(0).sockets().len(), 1);
    let wiring = |house: &Scenario| house.line().setup().wiring.clone();
    assert_eq!(wiring(&house), wiring(&house.clone()));
    assert_ne!(wiring(&house), wiring(&house.clone().with_seed(2)));
    let troubled = house.clone().with_troubles_of(&Scenario::parse(NOISY).unwrap());
    assert!(hidden(&troubled) > hidden(&house) + 0.1);
    assert_eq!(troubled.sockets(), house.sockets());
}

fn reason(text: &str) -> String {
    Scenario::parse(text).unwrap_err().to_string()
}

#[test]
fn a_wrong_file_is_told_with_line_column_and_reason() {
    for (text, wanted) in [
        ("name = 'x'\nloss_percent = 120\n", "line 2, column 16: loss_percent: got 120, wanted 0 … 100"),
        (
            "name = 'x'\nsockets = 1001\n",
            "line 2, column 11: sockets: got 1001, wanted 1 … 1000, 0 have a table",
        ),
        (
            "name = 'x'\nstart = '25:00'\n",
            "line 2, column 9: start: got \"25:00\", wanted a time of day like \"07:30\"",
        ),
        (
            "name = 'x'\nothers = ['panel']\n",
            "line 2, column 11: others: Panel needs a power, so it wants a [[socket]] of its own",
        ),
        (
            "name = 'x'\n[[socket]]\nappliance = 'panel'\n",
            "line 3, column 13: appliance: a Panel wants peak_w beside it",
        ),
        (
            "name = 'x'\n[[socket]]\nappliance = 'kettle'\npower_w = 3\n",
            "line 4, column 11: power_w: this appliance has none",
        ),
        ("name = 'x'\n[wiring]\nphases = []\n", "line 3, column 10: phases: got none, wanted L1, L2 or L3"),
        (
            "name = 'x'\n[[modem.sulk]]\nat_s = 5\nkind = 'hang'\n",
            "line 4, column 8: kind: this one wants for_ms beside it",
        ),
        (
            "name = 'x'\n[[noise.impulses]]\nmean_gap_ms = 0\nmean_width_us = 60\nlevel_dbuv = 60\n",
            "line 3, column 15: mean_gap_ms: got 0, wanted 0.1 … 10000000",
        ),
    ] {
        assert_eq!(reason(text), wanted);
    }
}

#[test]
fn misspelt_words_and_broken_toml_are_told_with_their_place_too() {
    for (text, place, word) in [
        ("name = 'x'\nsokets = 3\n", "line 2, column 1:", "sokets"),
        ("name = 'x'\n[[socket]]\nappliance = 'toaster'\n", "line 3, column 13:", "toaster"),
        ("name = 'ü'\nloss_percent = 'much'\n", "line 2, column 16:", "much"),
        ("name = 'x'\nloss_percent = \n", "line 2, column 16:", ""),
        ("name = 'x'\nseed = -1\n", "line 2, column 8:", "-1"),
        ("seed = 1\n", "line 1, column 1:", "name"),
    ] {
        let got = reason(text);
        assert!(got.starts_with(place) && got.contains(word) && !got.contains('\n'), "{text:?}: {got}");
    }
}

#[test]
fn sulks_stand_in_the_file() {
    let text = "name = 'x'\n[[modem.sulk]]\nat_s = 60\nkind = 'reset'\n[[modem.sulk]]\nat_s = 30\nkind = 'busy'\nfor_ms = 500\n";
    let mut modem = Scenario::parse(text).unwrap().modem();
    let mut line = Scenario::parse(text).unwrap().line();
    assert_eq!(modem.poll_timeout(), Some(300_000), "its boot");
    modem.handle_timeout(300_000, &mut line);
    assert_eq!(modem.poll_timeout(), Some(30_000_000));
    modem.handle_timeout(30_000_000, &mut line);
    assert_eq!(modem.poll_timeout(), Some(60_000_000));
}
