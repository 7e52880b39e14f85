//! A meter asked over a bus, byte for byte against public captures.

use super::*;
use crate::bus::Bus;

/// 2026-01-01 00:00:00 UTC.
const NOW_MS: i64 = 1_767_225_600_000;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn address(digits: &str) -> Address {
    Address::parse(digits).unwrap()
}

/// A frame to `meter` with data as understood, offset and sum added.
fn frame(meter: Address, control: u8, data: &[u8]) -> Vec<u8> {
    dlt645::reply(meter, control, data)
}

fn exchange(bus: &mut Bus, request: &[u8], now: Duration) -> Option<Vec<u8>> {
    bus.handle_bytes(request, now, NOW_MS);
    let due = bus.poll_timeout()?;
    bus.poll_output(due).map(|output| output.bytes)
}

fn assert_answers(meter: Meter, pairs: &[(&str, &str)]) {
    let mut bus = Bus::new(1, vec![meter]);
    for (request, reply) in pairs {
        let got = exchange(&mut bus, &hex(request), Duration::ZERO);
        assert_eq!(got, Some(hex(reply)), "{request}");
    }
}

fn shown() -> Figures {
    Figures {
        voltage_mv: 100_100,
        current_ma: 4_999,
        power_mw: 251_200,
        reactive_mvar: 433_100,
        apparent_mva: 500_600,
        power_factor_milli: 501,
        frequency_mhz: 50_000,
    }
}

#[test]
fn reads_are_answered_as_the_captured_meter_did() {
    // Source: public Java test "WuSong 2017-05-02".
    let meter = Meter::new(address("000000000161"), 1).with_figures(shown()).with_energy_mwh(260_000);
    let ask = "68 61 01 00 00 00 00 68 11 04";
    let reply = "68 61 01 00 00 00 00 68 91";
    let pair = |a: &str, b: &str| (format!("{ask} {a} 16"), format!("{reply} {b} 16"));
    let pairs = [
        pair("33 33 34 33 14", "08 33 33 34 33 59 33 33 33 8A"),
        pair("33 34 34 35 17", "06 33 34 34 35 34 43 10"),
        pair("33 34 35 35 18", "07 33 34 35 35 CC 7C 33 16"),
        pair("33 33 36 35 18", "07 33 33 36 35 45 58 33 6B"),
        pair("33 33 37 35 19", "07 33 33 37 35 64 76 33 A9"),
        pair("33 33 38 35 1A", "07 33 33 38 35 39 83 33 8C"),
        pair("33 33 39 35 1B", "06 33 33 39 35 34 38 09"),
    ];
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_answers(meter, &pairs);
}

#[test]
fn a_live_voltage_and_a_plate_number_are_answered_as_captured() {
    // Sources: hootrhino/rhilex test; captures in a 376.1 gateway script.
    let live =
        Meter::new(address("100023669245"), 1).with_figures(Figures { voltage_mv: 223_300, ..shown() });
    assert_answers(
        live,
        &[(
            "68 45 92 66 23 00 10 68 11 04 33 34 34 35 25 16",
            "68 45 92 66 23 00 10 68 91 06 33 34 34 35 66 55 62 16",
        )],
    );
    let plate = Meter::new(address("002241020208"), 1);
    assert_answers(
        plate,
        &[(
            "68 08 02 02 41 22 00 68 11 04 35 37 33 37 2A 16",
            "68 08 02 02 41 22 00 68 91 0A 35 37 33 37 3B 35 35 74 55 33 51 16",
        )],
    );
}

#[test]
fn the_relay_is_switched_and_reported_as_the_captured_meter_did() {
    // Source: captures in a 376.1 gateway script.
    let allow = "68 61 10 01 30 12 15 68 1C 10 35 6A 39 35 34 33 33 33 4E 33 33 33 33 63 45 CC 2D 16";
    let trip = "68 61 10 01 30 12 15 68 1C 10 35 6A 39 35 34 33 33 33 4D 33 33 33 33 63 45 CC 2C 16";
    let done = "68 61 10 01 30 12 15 68 9C 00 35 16";
    let status = "68 61 10 01 30 12 15 68 11 04 36 38 33 37 86 16";
    let open = "68 61 10 01 30 12 15 68 91 06 36 38 33 37 83 33 BE 16";
    let closed = "68 61 10 01 30 12 15 68 91 06 36 38 33 37 33 33 6E 16";
    let meter = Meter::new(address("151230011061"), 1)
        .with_password(Password { level: 2, wire: [0x37, 0x06, 0x02] })
        .with_relay_delay(Duration::ZERO)
        .with_energy_mwh(6_780_000);
    assert_answers(
        meter,
        &[
            (
                "68 61 10 01 30 12 15 68 11 04 33 33 34 33 7B 16",
                "68 61 10 01 30 12 15 68 91 08 33 33 34 33 AB 39 33 33 49 16",
            ),
            (status, closed),
            (trip, done),
            (status, open),
            (allow, done),
            (status, closed),
        ],
    );
}

#[test]
fn the_address_is_told_to_who_asks_for_any() {
    let mut bus = Bus::new(1, vec![Meter::new(address("151230011061"), 1)]);
    // Source of the request: fdxxw/rs-dlt645, src/frame.rs.
    let reply = exchange(&mut bus, &hex("FE FE FE FE 68 AA AA AA AA AA AA 68 13 00 DF 16"), Duration::ZERO);
    assert_eq!(reply, Some(hex("68 61 10 01 30 12 15 68 93 06 94 43 34 63 45 48 2D 16")));
}

#[test]
fn a_short_address_is_answered_with_the_full_one() {
    let meter = address("000000004711");
    let mut bus = Bus::new(1, vec![Meter::new(meter, 1)]);
    let mut request = frame(meter, 0x11, &[3, 5, 0, 4]);
    request[3..7].fill(0xaa);
    let at = request.len() - 2;
    request[at] = request[..at].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    assert_eq!(exchange(&mut bus, &request, Duration::ZERO), Some(frame(meter, 0x91, &[3, 5, 0, 4, 0, 0])));
}

#[test]
fn a_broadcast_is_not_answered() {
    let mut bus = Bus::new(1, vec![Meter::new(address("000000004711"), 1)]);
    let everyone = address("999999999999");
    assert_eq!(exchange(&mut bus, &frame(everyone, 0x08, &[0, 0, 0, 1, 1, 0x26]), Duration::ZERO), None);
    assert_eq!(bus.requests().count(), 1);
}

#[test]
fn what_a_meter_does_not_have_is_refused() {
    let meter = address("000000004711");
    let mut bus = Bus::new(1, vec![Meter::new(meter, 1)]);
    let mut ask = |control, data: &[u8]| exchange(&mut bus, &frame(meter, control, data), Duration::ZERO);
    assert_eq!(ask(0x11, &[0, 2, 1, 2]), Some(frame(meter, 0xd1, &[2])), "voltage of phase B");
    assert_eq!(ask(0x12, &[0, 0xff, 1, 0, 1]), Some(frame(meter, 0xd2, &[2])), "nothing was begun");
    assert_eq!(ask(0x14, &[1, 1, 0, 4]), Some(frame(meter, 0xd4, &[1])));
}

#[test]
fn blocks_hold_one_phase_and_one_tariff() {
    let meter = address("000000004711");
    let built = Meter::new(meter, 1).with_figures(shown()).with_energy_mwh(260_000);
    let mut bus = Bus::new(1, vec![built]);
    let mut ask = |di: [u8; 4]| exchange(&mut bus, &frame(meter, 0x11, &di), Duration::ZERO).unwrap();
    let total = [0x26, 0, 0, 0, 0x26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(ask([0, 0xff, 1, 0]), frame(meter, 0x91, &[&[0, 0xff, 1, 0], total.as_slice()].concat()));
    let volts = [0, 0xff, 1, 2, 0x01, 0x10, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(ask([0, 0xff, 1, 2]), frame(meter, 0x91, &volts));
    assert_eq!(ask([0, 0xff, 3, 2]).len(), 12 + 4 + 12);
}

fn relay_command(meter: Address, password: [u8; 4], action: u8, expiry: [u8; 6]) -> Vec<u8> {
    let head = [password.as_slice(), &[0; 4], &[action, 0], &expiry].concat();
    frame(meter, 0x1c, &head)
}

const FACTORY: [u8; 4] = [2, 0, 0, 0];
/// 2026-01-01 00:00:01, one second after `NOW_MS`.
const SOON: [u8; 6] = [1, 0, 0, 1, 1, 0x26];

struct Bench {
    bus: Bus,
    meter: Address,
}

impl Bench {
    fn new(build: impl FnOnce(Meter) -> Meter) -> Self {
        let meter = address("000000004711");
        Self { bus: Bus::new(1, vec![build(Meter::new(meter, 1))]), meter }
    }

    fn command(&mut self, password: [u8; 4], action: u8, expiry: [u8; 6]) -> Vec<u8> {
        let command = relay_command(self.meter, password, action, expiry);
        let now = self.bus.now();
        exchange(&mut self.bus, &command, now).unwrap()
    }

    fn status(&mut self) -> u8 {
        let now = self.bus.now();
        exchange(&mut self.bus, &frame(self.meter, 0x11, &[3, 5, 0, 4]), now).unwrap()[14].wrapping_sub(0x33)
    }

    fn later(&mut self, time: Duration) {
        let now = self.bus.now() + time;
        self.bus.advance(now);
    }

    fn accepted(&self) -> Vec<u8> {
        frame(self.meter, 0x9c, &[])
    }
}

#[test]
fn a_relay_moves_a_moment_after_the_reply() {
    let mut bench = Bench::new(|meter| meter);
    assert_eq!(bench.command(FACTORY, 0x1a, SOON), bench.accepted());
    assert_eq!(bench.status(), 0x40, "told to open, still closed");
    bench.later(Duration::from_secs(1));
    assert_eq!(bench.status(), 0x50);
    bench.command(FACTORY, 0x1c, SOON);
    bench.later(Duration::from_secs(1));
    assert_eq!(bench.status(), 0x00);
}

#[test]
fn a_command_calls_back_a_relay_on_its_way() {
    let mut bench = Bench::new(|meter| meter);
    bench.command(FACTORY, 0x1a, SOON);
    bench.command(FACTORY, 0x1c, SOON);
    bench.later(Duration::from_secs(1));
    assert_eq!(bench.status(), 0x00);
    assert!(bench.bus.meters()[0].relay_closed());
}

#[test]
fn a_meter_closed_by_hand_waits_for_the_button() {
    let mut bench = Bench::new(|meter| meter.with_closing(Closing::ByHand).with_relay(false));
    assert!(!bench.bus.meters_mut()[0].press_button(), "not allowed yet");
    for action in [0x1b, 0x1c] {
        assert_eq!(bench.command(FACTORY, action, SOON), bench.accepted());
        bench.later(Duration::from_secs(5));
        assert_eq!(bench.status(), 0x10, "allowed, still open");
    }
    assert!(bench.bus.meters_mut()[0].press_button());
    assert_eq!(bench.status(), 0x00);
}

#[test]
fn a_wrong_password_is_refused_and_moves_nothing() {
    let mut bench = Bench::new(|meter| meter);
    for password in [[2, 0, 0, 1], [4, 0, 0, 0], [0x98, 0, 0, 0]] {
        assert_eq!(bench.command(password, 0x1a, SOON), frame(bench.meter, 0xdc, &[4]));
    }
    bench.later(Duration::from_secs(5));
    assert_eq!(bench.status(), 0x00);
}

#[test]
fn an_expired_command_is_refused_and_zeros_never_expire() {
    let mut bench = Bench::new(|meter| meter.with_relay_delay(Duration::ZERO));
    let midnight = [0, 0, 0, 1, 1, 0x26];
    assert_eq!(bench.command(FACTORY, 0x1a, midnight), frame(bench.meter, 0xdc, &[1]));
    assert_eq!(bench.status(), 0x00);
    assert_eq!(bench.command(FACTORY, 0x1a, [0; 6]), bench.accepted());
    assert_eq!(bench.status(), 0x50);
    assert_eq!(bench.command(FACTORY, 0x1c, [0, 0, 0, 0x30, 0x12, 0x99]), bench.accepted());
}

#[test]
fn a_clock_that_is_ahead_expires_commands_early() {
    let mut bench = Bench::new(|meter| meter.with_clock_ahead_ms(60_000));
    assert_eq!(bench.command(FACTORY, 0x1a, SOON), frame(bench.meter, 0xdc, &[1]));
}

#[test]
fn energy_is_the_exact_sum_in_any_steps() {
    let constant = Kind::Constant { power_mw: 1_234_567, power_factor_milli: 1000 };
    let count = |step: Duration| {
        let mut meter = Meter::new(address("000000004711"), 1).with_appliance(constant);
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(3600) {
            now += step;
            meter.advance(now);
        }
        meter.energy_mwh()
    };
    assert_eq!(count(Duration::from_secs(3600)), 1_234_567);
    assert_eq!(count(Duration::from_millis(12)), 1_234_567);
}

#[test]
fn energy_only_rises_and_rests_while_the_relay_is_open() {
    let mut meter = Meter::new(address("000000004711"), 3).with_appliance(Kind::Fridge);
    let mut before = meter.energy_mwh();
    for second in 0..7200_u64 {
        if second % 600 == 0 {
            meter.set_relay(second % 1200 == 0);
        }
        meter.advance(Duration::from_secs(second + 1));
        let after = meter.energy_mwh();
        assert!(after >= before);
        assert!(meter.relay_closed() || after == before, "second {second}");
        before = after;
    }
    assert!(before > 20_000, "an hour of fridge: {before} mWh");
}

#[test]
fn what_is_fed_back_is_counted_apart() {
    let solar = Kind::Constant { power_mw: -400_000, power_factor_milli: 1000 };
    let mut bench = Bench::new(|meter| meter.with_appliance(solar));
    bench.later(Duration::from_secs(3600));
    let meter = &bench.bus.meters()[0];
    assert_eq!((meter.energy_mwh(), meter.export_mwh()), (0, 400_000));
    let now = bench.bus.now();
    let power = exchange(&mut bench.bus, &frame(bench.meter, 0x11, &[0, 0, 3, 2]), now);
    assert_eq!(power, Some(frame(bench.meter, 0x91, &[0, 0, 3, 2, 0x00, 0x40, 0x80])));
}

#[test]
fn an_open_relay_shows_voltage_and_no_power() {
    let meter = Meter::new(address("000000004711"), 1).with_appliance(Kind::LedLamp).with_relay(false);
    let figures = meter.figures();
    assert_eq!((figures.power_mw, figures.current_ma), (0, 0));
    assert!((227_000..=233_000).contains(&figures.voltage_mv));
}

#[test]
fn voltage_current_power_and_factor_agree() {
    let mut meter = Meter::new(address("000000004711"), 9).with_appliance(Kind::Desk);
    for second in (0..3600).step_by(60) {
        meter.advance(Duration::from_secs(second));
        let figures = meter.figures();
        let product = figures.voltage_mv * figures.current_ma / 1000 * figures.power_factor_milli / 1000;
        assert!((product - figures.power_mw).abs() < 500, "{figures:?}");
        assert!((49_970..=50_030).contains(&figures.frequency_mhz));
    }
}
