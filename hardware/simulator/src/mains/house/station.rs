//! One socket in the wall: the very state machine of the firmware, with a crystal, flash, a meter, a relay and an
//! appliance around it, and its radio on the line.
//!
//! Refuses to know what frames say, and who else is in the house. Times are µs of the line.

use std::time::Duration;

use plugline_protocol::Eui64;
use plugline_protocol::label::Label;
use plugline_protocol::messages::Capabilities;
use plugline_protocol::security::Key;
use plugline_protocol::timing::{IDLE_LISTEN_US, LineRate};
use plugline_socket::{
    Counts, Factory, Led, Limits, Membership, Output, Sample, Socket, Start, Transmit, Transmitted,
};

use super::flash::Flash;
use crate::appliance::{Appliance, Kind};
use crate::mains::line::{Delivery, Line};
use crate::mains::modem::clock::Clock;
use crate::mains::wiring::Node;
use crate::random::{mix, wave};
use crate::scenario;

/// The worst crystal of a socket, in parts in a million; the specification allows 50.
const CRYSTAL_PPM: u64 = 40;
/// How long a finger rests on a button.
const PRESS_US: u64 = 200_000;
/// Held so long the button means "leave the network", and a little more.
const HOLD_US: u64 = 10_500_000;
/// Octets of flash that the rest of the supply is good for when power goes: up to four records.
const LAST_OCTETS: u64 = 64;
/// Mains, in 10 mV.
const VOLTAGE_10MV: i64 = 23_000;
/// mW·µs in one µWh.
const MW_US_PER_UWH: u64 = 3_600_000;

/// A frame on its way to the line, times of the line.
#[derive(Clone, Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    until_us: u64,
    listen: bool,
    /// When the line is looked at.
    look_us: u64,
    /// When it is over, once it is on the line.
    ends_us: Option<u64>,
}

/// A relay that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// When, in µs.
    pub at_us: u64,
    /// Whose: its node.
    pub socket: Node,
    /// Closed now.
    pub on: bool,
    /// The first thing that the socket did after it got power.
    pub at_start: bool,
}

/// A socket in the wall.
#[derive(Debug)]
pub struct Station {
    node: Node,
    name: String,
    appliance: Appliance,
    factory: Factory,
    seed: u64,
    boots: u64,
    clock: Clock,
    ppm: i32,
    /// The state machine while it has power.
    core: Option<Socket<Flash>>,
    /// Its flash while it has none.
    asleep: Option<Flash>,
    outgoing: Option<Outgoing>,
    release_us: Option<u64>,
    wake_us: u64,
    relay_on: bool,
    /// The relay was set since power came.
    started: bool,
    led: Led,
    metered_us: u64,
    /// Energy not told to the state machine yet, import and export, in mW·µs.
    counted: [u64; 2],
    /// All energy through the relay, import and export, in mW·µs.
    total: [u128; 2],
}

/// What a socket is made of, beside the scenario's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    pub(crate) rate: LineRate,
    pub(crate) crc: bool,
    pub(crate) seed: u64,
}

impl Station {
    /// A new socket, not plugged in yet.
    pub(crate) fn new(plan: &scenario::Socket, make: Make) -> Self {
        let seed = mix(make.seed, 0x736f_636b ^ (plan.node as u64) << 32);
        let [a, b, _, _, _, _, n0, n1] = mix(make.seed, 0x0065_7569).to_be_bytes();
        let node = u16::try_from(plan.node).unwrap_or(u16::MAX).to_be_bytes();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&mix(seed, 1).to_be_bytes());
        key[8..].copy_from_slice(&mix(seed, 2).to_be_bytes());
        let export =
            matches!(plan.appliance.kind(), Kind::Panel { .. } | Kind::Constant { power_mw: ..0, .. });
        let factory = Factory {
            // Locally administered; the middle octets differ by house.
            eui: Eui64([0x02, 0xA0, a ^ n0, b ^ n1, 0xFE, 0, node[0], node[1]]),
            install_key: Key::new(key),
            hardware: 1,
            capabilities: Capabilities {
                relay: true,
                meter: true,
                ring: true,
                export,
                ..Capabilities::default()
            },
            limits: Limits { current_ma: 16_000, temperature_c: 85 },
            rate: make.rate,
            crc: make.crc,
        };
        let off = mix(seed, 3) % (2 * CRYSTAL_PPM + 1);
        let ppm = i32::try_from(off).unwrap_or(0) - CRYSTAL_PPM as i32;
        Self {
            node: plan.node,
            name: plan.name.clone(),
            appliance: plan.appliance,
            factory,
            seed,
            boots: 0,
            clock: Clock::new(0, ppm),
            ppm,
            core: None,
            asleep: Some(Flash::new()),
            outgoing: None,
            release_us: None,
            wake_us: u64::MAX,
            relay_on: false,
            started: false,
            led: Led::Off,
            metered_us: 0,
            counted: [0; 2],
            total: [0; 2],
        }
    }

    /// Where it is on the line, from 1.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for machines.
    #[must_use]
    pub fn eui(&self) -> Eui64 {
        self.factory.eui
    }

    /// What is printed on it, to be scanned or typed. The install key is in it.
    #[must_use]
    pub fn label(&self) -> String {
        let label = Label { eui: self.factory.eui, install_key: self.factory.install_key.clone() };
        let mut text = String::new();
        let printed = label.print(&mut text);
        debug_assert!(printed.is_ok(), "writing to a string does not fail");
        text
    }

    /// What is plugged into it.
    #[must_use]
    pub fn appliance(&self) -> &Appliance {
        &self.appliance
    }

    /// It has power.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        self.core.is_some()
    }

    /// Whether it belongs to a network; `None` without power.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        self.core.as_ref().map(Socket::membership)
    }

    /// The relay is closed. It stays as it is without power.
    #[must_use]
    pub fn relay_on(&self) -> bool {
        self.relay_on
    }

    /// What its light shows; `None` without power.
    #[must_use]
    pub fn led(&self) -> Option<Led> {
        self.core.as_ref().map(|_| self.led)
    }

    /// What it dropped since power came.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.as_ref().map(|core| *core.counts()).unwrap_or_default()
    }

    /// The registers of imported and exported energy as the socket has them, in 0.1 Wh; `None` without power.
    #[must_use]
    pub fn registers_100mwh(&self) -> Option<(u32, u32)> {
        self.core.as_ref().map(Socket::energy_100mwh)
    }

    /// The energy that really went through the relay, imported and exported, in µWh.
    #[must_use]
    pub fn total_uwh(&self) -> [u64; 2] {
        self.total.map(|total| u64::try_from(total / u128::from(MW_US_PER_UWH)).unwrap_or(u64::MAX))
    }

    /// What flows at a moment, in mW; negative is fed back.
    #[must_use]
    pub fn power_mw(&self, at_us: u64) -> i64 {
        let flows = self.relay_on && self.is_plugged();
        if flows { self.appliance.draw(Duration::from_micros(at_us)).power_mw } else { 0 }
    }

    /// Its flash, with power or without.
    pub(crate) fn flash(&self) -> Option<&Flash> {
        self.core.as_ref().map(Socket::board).or(self.asleep.as_ref())
    }

    /// Its flash is this one; for a socket that was never plugged in.
    pub(crate) fn remember(&mut self, flash: Flash) {
        self.asleep = self.asleep.take().map(|_| flash);
    }

    pub(crate) fn factory(&self) -> &Factory {
        &self.factory
    }

    /// Another label, and flash as from the factory.
    pub(crate) fn relabel(&mut self, like: Factory, (now_us, line): (u64, &mut Line), moves: &mut Vec<Move>) {
        self.power_off(now_us, line);
        self.factory = like;
        self.asleep = Some(Flash::new());
        self.power_on(now_us, line, moves);
    }

    /// When it wants to be called next.
    pub(crate) fn wake_us(&self) -> u64 {
        self.wake_us
    }

    /// Plugs it in; nothing if it is.
    pub(crate) fn power_on(&mut self, now_us: u64, line: &mut Line, moves: &mut Vec<Move>) {
        let Some(flash) = self.asleep.take() else { return };
        flash.revives();
        line.set_power(self.node, true, now_us);
        self.start(flash, Start::PowerOn, now_us);
        self.obey(now_us, line, moves);
    }

    /// Pulls it; nothing if it is. The supply may not last for all that it would write.
    pub(crate) fn power_off(&mut self, now_us: u64, line: &mut Line) {
        let Some(mut core) = self.core.take() else { return };
        self.count_energy(now_us);
        let octets = mix(self.seed, 0x6f66_6600 + self.boots) % (2 * LAST_OCTETS);
        core.board().dies_after(usize::try_from(octets).unwrap_or(0));
        core.handle_power_failing(self.clock.shown_us(now_us));
        self.asleep = Some(core.into_board());
        line.set_power(self.node, false, now_us);
        (self.outgoing, self.release_us, self.wake_us) = (None, None, u64::MAX);
        // What was not counted into a register is lost with the converter's memory.
        self.counted = [0; 2];
    }

    /// Presses the button and lets it go a moment later; long enough, and the socket leaves its network.
    pub(crate) fn press(&mut self, long: bool, now_us: u64, line: &mut Line, moves: &mut Vec<Move>) {
        let Some(core) = &mut self.core else { return };
        core.handle_button(true, self.clock.shown_us(now_us));
        self.release_us = Some(now_us + if long { HOLD_US } else { PRESS_US });
        self.obey(now_us, line, moves);
    }

    /// A frame that came to its node, at the time of the delivery.
    pub(crate) fn handle_delivery(&mut self, delivery: &Delivery, line: &mut Line, moves: &mut Vec<Move>) {
        let Some(core) = &mut self.core else { return };
        let ended_us = self.clock.shown_us(delivery.end_us);
        core.handle_frame(&delivery.bytes, ended_us, ended_us);
        self.obey(delivery.end_us, line, moves);
    }

    /// The meter looks, once a second.
    pub(crate) fn measure(&mut self, now_us: u64, line: &mut Line, moves: &mut Vec<Move>) {
        if self.core.is_none() {
            return;
        }
        self.count_energy(now_us);
        let sample = self.sample(now_us);
        let Some(core) = &mut self.core else { return };
        core.handle_metering(&sample, self.clock.shown_us(now_us));
        self.obey(now_us, line, moves);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_us: u64, line: &mut Line, moves: &mut Vec<Move>) {
        let released = self.release_us.take_if(|release_us| *release_us <= now_us).is_some();
        self.send(now_us, line);
        let Some(core) = &mut self.core else { return };
        let shown_us = self.clock.shown_us(now_us);
        core.handle_timeout(shown_us);
        if released {
            core.handle_button(false, shown_us);
        }
        self.obey(now_us, line, moves);
    }

    fn start(&mut self, flash: Flash, start: Start, now_us: u64) {
        self.boots += 1;
        let entropy = [0, 1, 2, 3].map(|n| mix(self.seed, (self.boots << 8) + n).to_le_bytes());
        let entropy = entropy.map(|[a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d]));
        self.clock = Clock::new(now_us, self.ppm);
        self.outgoing = None;
        self.started = start == Start::Restart;
        self.metered_us = now_us;
        self.core = Some(Socket::new(self.factory.clone(), flash, start, entropy, 0));
    }

    /// Does what the state machine wants done, and notes when it is to be called again.
    fn obey(&mut self, now_us: u64, line: &mut Line, moves: &mut Vec<Move>) {
        let mut restart = false;
        while let Some(core) = &mut self.core {
            let Some(output) = core.poll_output() else { break };
            match output {
                Output::Led(led) => self.led = led,
                Output::Transmit(transmit) => {
                    self.outgoing = Some(Outgoing::of(&transmit, self.clock));
                    self.send(now_us, line);
                }
                Output::Relay { on } => self.switch(on, now_us, moves),
                Output::Restart => restart = true,
            }
            if std::mem::take(&mut restart)
                && let Some(core) = self.core.take()
            {
                line.abort(self.node, now_us);
                self.start(core.into_board(), Start::Restart, now_us);
            }
        }
        self.plan();
    }

    fn plan(&mut self) {
        let own = self.core.as_ref().map(|core| self.clock.line_us(core.poll_timeout()));
        let radio = self.outgoing.as_ref().map(|outgoing| outgoing.ends_us.unwrap_or(outgoing.look_us));
        self.wake_us = own.into_iter().chain(radio).chain(self.release_us).min().unwrap_or(u64::MAX);
    }

    fn switch(&mut self, on: bool, now_us: u64, moves: &mut Vec<Move>) {
        let at_start = !std::mem::replace(&mut self.started, true);
        if self.relay_on != on {
            self.count_energy(now_us);
            self.relay_on = on;
            moves.push(Move { at_us: now_us, socket: self.node, on, at_start });
        }
    }

    /// The radio: begins with the frame when it may, and tells how it ended.
    fn send(&mut self, now_us: u64, line: &mut Line) {
        let Some(outgoing) = &mut self.outgoing else { return };
        let how = match outgoing.ends_us {
            Some(ends_us) if ends_us <= now_us => {
                Transmitted::Sent { ended_us: self.clock.shown_us(ends_us) }
            }
            None if outgoing.look_us <= now_us => match outgoing.begin(self.node, now_us, line) {
                Some(how) => how,
                None => return,
            },
            _ => return,
        };
        self.outgoing = None;
        if let Some(core) = &mut self.core {
            core.handle_transmitted(how, self.clock.shown_us(now_us));
        }
    }

    fn count_energy(&mut self, now_us: u64) {
        let since_us = std::mem::replace(&mut self.metered_us, now_us);
        let power_mw = self.power_mw(since_us);
        let amount = power_mw.unsigned_abs() * now_us.saturating_sub(since_us);
        self.counted[usize::from(power_mw < 0)] += amount;
        self.total[usize::from(power_mw < 0)] += u128::from(amount);
    }

    fn sample(&mut self, now_us: u64) -> Sample {
        let second = now_us / 1_000_000;
        let draw = self.appliance.draw(Duration::from_micros(now_us));
        let power_mw = self.power_mw(now_us);
        let voltage_10mv =
            VOLTAGE_10MV + wave(self.seed, second, 40, 250) - power_mw.clamp(0, 4_000_000) / 20_000;
        let apparent_mva = power_mw.abs() * 1000 / i64::from(draw.power_factor_milli.max(1));
        let current_ma = apparent_mva * 100 / voltage_10mv.max(1);
        let heat_c = (current_ma / 1000) * (current_ma / 1000) / 12;
        let temperature_c = 24 + wave(self.seed, second, 900, 3) + heat_c;
        let [imported_uwh, exported_uwh] = [0, 1].map(|n| {
            let whole = self.counted[n] / MW_US_PER_UWH;
            self.counted[n] -= whole * MW_US_PER_UWH;
            u32::try_from(whole).unwrap_or(u32::MAX)
        });
        Sample {
            voltage_10mv: u16::try_from(voltage_10mv).ok(),
            current_ma: Some(u16::try_from(current_ma).unwrap_or(u16::MAX - 1)),
            power_10mw: i32::try_from(power_mw / 10).ok(),
            temperature_c: Some(i8::try_from(temperature_c).unwrap_or(i8::MAX)),
            imported_uwh,
            exported_uwh,
        }
    }
}

impl Outgoing {
    fn of(transmit: &Transmit<'_>, clock: Clock) -> Self {
        Self {
            bytes: transmit.frame.to_vec(),
            until_us: clock.line_us(transmit.not_after_us),
            listen: transmit.listen,
            look_us: clock.line_us(transmit.not_before_us),
            ends_us: None,
        }
    }

    /// Starts if the line lets it; tells how it ended if it did not start and will not.
    fn begin(&mut self, node: Node, now_us: u64, line: &mut Line) -> Option<Transmitted> {
        if now_us > self.until_us {
            return Some(Transmitted::Late);
        }
        if self.listen {
            let heard_us =
                line.busy_until_us(node, now_us).or(line.idle_since_us(node, now_us)).unwrap_or(now_us);
            let free_us = heard_us + u64::from(IDLE_LISTEN_US);
            if free_us > self.until_us {
                return Some(Transmitted::Busy);
            }
            if free_us > now_us {
                self.look_us = free_us;
                return None;
            }
        }
        match line.transmit(node, &self.bytes, now_us) {
            Ok(ends_us) => {
                self.ends_us = Some(ends_us);
                None
            }
            Err(_) => Some(Transmitted::Late),
        }
    }
}
