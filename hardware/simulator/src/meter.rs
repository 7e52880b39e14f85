//! One meter: what it measures, what it counts, its relay, and its answer to a request.
//!
//! Energy is the exact sum of power over virtual time. Frames that reach it are already sound ([`crate::bus`]); when
//! an answer leaves, and what the wire does to it, is not its business.

use std::time::Duration;

use crate::appliance::{Appliance, Kind};
use crate::dlt645::{
    self, Action, Address, Error, Password, RelayCommand, Request, View, control, is_broadcast,
};
use crate::figures::Figures;
use crate::random::{mix, wave};

/// Nanoseconds times milliwatts in one milliwatt-hour.
const MW_NS_PER_MWH: u64 = 3_600_000_000_000;
/// How long a relay takes to move; meters in the field show the new state within one to three seconds.
const RELAY_DELAY: Duration = Duration::from_millis(300);
/// Bits of status word 3, from captures: 0050 open by command, 0000 closed.
const STATUS_OPEN: u16 = 1 << 4;
const STATUS_TOLD_TO_OPEN: u16 = 1 << 6;

/// How a meter's relay closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// "Allow" and "close" both close it at once.
    Remote,
    /// "Allow" and "close" only permit; a person closes it by the button.
    ByHand,
}

/// A reading in parts that has been begun.
#[derive(Clone, Debug)]
struct Chain {
    identifier: [u8; 4],
    data: Vec<u8>,
}

/// One simulated meter. Built with `with_…`, then put on a [`crate::Bus`].
#[derive(Clone, Debug)]
pub struct Meter {
    name: String,
    address: Address,
    number: Address,
    seed: u64,
    password: Password,
    closing: Closing,
    appliance: Appliance,
    pinned: Option<Figures>,
    mains_mv: i64,
    reply_delay: Option<Duration>,
    relay_delay: Duration,
    preamble: usize,
    clock_ahead_ms: i64,
    at: Duration,
    forward: Register,
    reverse: Register,
    relay: Relay,
    chain: Option<Chain>,
    replies: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Register {
    mwh: u64,
    rest_mw_ns: u64,
}

impl Register {
    fn add(&mut self, power_mw: u64, time: Duration) {
        // A step is at most a second: 10⁹ ns at 10⁹ mW still fit.
        let nanos = u64::from(time.subsec_nanos()) + time.as_secs() * 1_000_000_000;
        self.rest_mw_ns += power_mw * nanos;
        self.mwh += self.rest_mw_ns / MW_NS_PER_MWH;
        self.rest_mw_ns %= MW_NS_PER_MWH;
    }
}

#[derive(Clone, Copy, Debug)]
struct Relay {
    closed: bool,
    /// The last command allowed it to be closed.
    allowed: bool,
    /// It is on its way to `closed` = the second, and arrives at the first.
    moving: Option<(Duration, bool)>,
}

impl Meter {
    /// A closed meter with nothing plugged in, the factory's password and no energy counted. The seed decides its
    /// delays and how its voltage wanders.
    #[must_use]
    pub fn new(address: Address, seed: u64) -> Self {
        Self {
            name: address.to_string(),
            address,
            number: address,
            seed,
            password: Password::default(),
            closing: Closing::Remote,
            appliance: Appliance::new(Kind::Nothing, seed),
            pinned: None,
            mains_mv: 230_000,
            reply_delay: None,
            relay_delay: RELAY_DELAY,
            preamble: 0,
            clock_ahead_ms: 0,
            at: Duration::ZERO,
            forward: Register::default(),
            reverse: Register::default(),
            relay: Relay { closed: true, allowed: true, moving: None },
            chain: None,
            replies: 0,
        }
    }

    /// A name for people; it is not on the wire.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// What is plugged in.
    #[must_use]
    pub fn with_appliance(self, kind: Kind) -> Self {
        Self { appliance: Appliance::new(kind, self.seed), ..self }
    }

    /// The password that its relay wants.
    #[must_use]
    pub fn with_password(self, password: Password) -> Self {
        Self { password, ..self }
    }

    /// How its relay closes.
    #[must_use]
    pub fn with_closing(self, closing: Closing) -> Self {
        Self { closing, ..self }
    }

    /// Imported energy counted so far, in mWh.
    #[must_use]
    pub fn with_energy_mwh(mut self, energy_mwh: u64) -> Self {
        self.forward = Register { mwh: energy_mwh, rest_mw_ns: 0 };
        self
    }

    /// Exported energy counted so far, in mWh.
    #[must_use]
    pub fn with_export_mwh(mut self, energy_mwh: u64) -> Self {
        self.reverse = Register { mwh: energy_mwh, rest_mw_ns: 0 };
        self
    }

    /// The relay's position at the start; an open one counts as opened by a command.
    #[must_use]
    pub fn with_relay(mut self, closed: bool) -> Self {
        self.set_relay(closed);
        self
    }

    /// Fixed figures in place of an appliance.
    #[must_use]
    pub fn with_figures(self, figures: Figures) -> Self {
        Self { pinned: Some(figures), ..self }
    }

    /// The number on its plate, where it differs from the address.
    #[must_use]
    pub fn with_number(self, number: Address) -> Self {
        Self { number, ..self }
    }

    /// Voltage that it wanders around, in mV; 230 V otherwise.
    #[must_use]
    pub fn with_mains_mv(self, mains_mv: i64) -> Self {
        Self { mains_mv, ..self }
    }

    /// Time between request and reply; otherwise 20 … 60 ms, different each time.
    #[must_use]
    pub fn with_reply_delay(self, delay: Duration) -> Self {
        Self { reply_delay: Some(delay), ..self }
    }

    /// Time that the relay takes to move; 300 ms otherwise.
    #[must_use]
    pub fn with_relay_delay(self, delay: Duration) -> Self {
        Self { relay_delay: delay, ..self }
    }

    /// Wake-up bytes before each reply; none otherwise.
    #[must_use]
    pub fn with_preamble(self, bytes: usize) -> Self {
        Self { preamble: bytes, ..self }
    }

    /// How far its clock is ahead of UTC, in ms: a time zone, or a clock that was set badly.
    #[must_use]
    pub fn with_clock_ahead_ms(self, ahead_ms: i64) -> Self {
        Self { clock_ahead_ms: ahead_ms, ..self }
    }

    /// Its name for people; the address if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that it answers to.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Imported energy in mWh; only rises.
    #[must_use]
    pub fn energy_mwh(&self) -> u64 {
        self.forward.mwh
    }

    /// Exported energy in mWh; only rises.
    #[must_use]
    pub fn export_mwh(&self) -> u64 {
        self.reverse.mwh
    }

    /// Does current flow? The contact itself, not the command.
    #[must_use]
    pub fn relay_closed(&self) -> bool {
        self.relay.closed
    }

    /// What its display shows now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let second = self.at.as_secs();
        let pinned = self.pinned.unwrap_or_else(|| self.measured(second));
        if self.relay.closed {
            return pinned;
        }
        Figures {
            power_mw: 0,
            current_ma: 0,
            reactive_mvar: 0,
            apparent_mva: 0,
            power_factor_milli: 1000,
            ..pinned
        }
    }

    /// Changes the fixed figures; `None` goes back to the appliance.
    pub fn set_figures(&mut self, figures: Option<Figures>) {
        self.pinned = figures;
    }

    /// Moves the contact at once, as a protection or a hand does, together with the memory of the last command.
    pub fn set_relay(&mut self, closed: bool) {
        self.relay = Relay { closed, allowed: closed, moving: None };
    }

    /// A person presses the button: an open relay closes if the last command allowed it. Returns whether it closes.
    pub fn press_button(&mut self) -> bool {
        let closes = !self.relay.closed && self.relay.allowed;
        if closes {
            self.relay.closed = true;
            self.relay.moving = None;
        }
        closes
    }

    /// Counts energy and moves the relay up to `now`; an earlier moment changes nothing.
    pub fn advance(&mut self, now: Duration) {
        self.settle();
        while self.at < now {
            let mut until = now.min(Duration::from_secs(self.at.as_secs() + 1));
            if let Some((due, _)) = self.relay.moving {
                until = until.min(due);
            }
            self.count(until - self.at);
            self.at = until;
            self.settle();
        }
    }

    /// Lets the relay arrive where it is moving to, when it is time.
    fn settle(&mut self) {
        if let Some((_, closed)) = self.relay.moving.filter(|(due, _)| *due <= self.at) {
            self.relay = Relay { closed, moving: None, ..self.relay };
        }
    }

    fn count(&mut self, time: Duration) {
        let power_mw = match (self.relay.closed, self.pinned) {
            (false, _) => 0,
            (true, Some(figures)) => figures.power_mw,
            (true, None) => self.appliance.draw(self.at).power_mw,
        };
        let register = if power_mw < 0 { &mut self.reverse } else { &mut self.forward };
        register.add(power_mw.unsigned_abs(), time);
    }

    fn measured(&self, second: u64) -> Figures {
        let voltage_mv = self.mains_mv + wave(self.seed, second, 60, self.mains_mv / 100);
        let draw = self.appliance.draw(self.at);
        let apparent_mva = draw.power_mw.abs() * 1000 / i64::from(draw.power_factor_milli.max(1));
        let (s, p) = (apparent_mva.unsigned_abs(), draw.power_mw.unsigned_abs());
        let sign = if draw.power_mw < 0 { -1 } else { 1 };
        Figures {
            voltage_mv,
            current_ma: sign * apparent_mva * 1000 / voltage_mv.max(1),
            power_mw: draw.power_mw,
            reactive_mvar: (s * s).saturating_sub(p * p).isqrt().cast_signed(),
            apparent_mva,
            power_factor_milli: sign * i64::from(draw.power_factor_milli),
            frequency_mhz: 50_000 + wave(!self.seed, second, 30, 30),
        }
    }

    /// Time until the next reply.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.replies += 1;
        let seeded = Duration::from_millis(20 + mix(self.seed, self.replies) % 41);
        self.reply_delay.unwrap_or(seeded)
    }

    /// Hears a request at `now` (wall clock `unix_ms`): does what it says, and gives the reply, if there is one.
    /// Replies longer than `chunk` bytes of data are given in parts.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        now: Duration,
        unix_ms: i64,
        chunk: Option<usize>,
    ) -> Option<Vec<u8>> {
        self.advance(now);
        if is_broadcast(request.address) || !self.address.is_meant_by(request.address) {
            return None;
        }
        let clock = (unix_ms + self.clock_ahead_ms).div_euclid(1000);
        let frame = match request.control {
            control::READ => self.read(&request.data, clock, chunk),
            control::READ_FOLLOWING => self.read_following(&request.data, chunk),
            control::READ_ADDRESS => {
                Ok(dlt645::accepted(self.address, request.control, &self.address.wire()))
            }
            control::RELAY => self.obey(&request.data, clock),
            control::SET_TIME => return None,
            _ => Err(Error::Other),
        };
        let frame = frame.unwrap_or_else(|error| dlt645::refused(self.address, request.control, error));
        Some([vec![dlt645::PREAMBLE; self.preamble], frame].concat())
    }

    fn view(&self, clock: i64) -> View {
        let mut status_3 = 0;
        if !self.relay.closed {
            status_3 |= STATUS_OPEN;
        }
        if !self.relay.allowed {
            status_3 |= STATUS_TOLD_TO_OPEN;
        }
        View {
            address: self.address,
            number: self.number,
            forward_mwh: self.forward.mwh,
            reverse_mwh: self.reverse.mwh,
            figures: self.figures(),
            status_3,
            clock,
        }
    }

    fn read(&mut self, asked: &[u8], clock: i64, chunk: Option<usize>) -> Result<Vec<u8>, Error> {
        // A longer request asks for a load record, which this meter does not keep.
        let identifier: [u8; 4] = asked.try_into().map_err(|_| Error::NoData)?;
        let data = dlt645::data_of(identifier, &self.view(clock)).ok_or(Error::NoData)?;
        let end = chunk.unwrap_or(data.len()).clamp(1, data.len());
        let frame = dlt645::read(self.address, identifier, &data[..end], end < data.len());
        // The parts that follow come from this moment, not from a later one.
        self.chain = (end < data.len()).then_some(Chain { identifier, data });
        Ok(frame)
    }

    fn read_following(&mut self, asked: &[u8], chunk: Option<usize>) -> Result<Vec<u8>, Error> {
        let asked: [u8; 5] = asked.try_into().map_err(|_| Error::NoData)?;
        let [identifier @ .., part] = asked;
        let chain =
            self.chain.as_ref().filter(|chain| chain.identifier == identifier).ok_or(Error::NoData)?;
        let size = chunk.unwrap_or(chain.data.len()).max(1);
        let rest = chain.data.get(usize::from(part) * size..).filter(|rest| part > 0 && !rest.is_empty());
        let rest = rest.ok_or(Error::NoData)?;
        let piece = &rest[..size.min(rest.len())];
        Ok(dlt645::following(self.address, identifier, (part, piece), piece.len() < rest.len()))
    }

    fn obey(&mut self, data: &[u8], clock: i64) -> Result<Vec<u8>, Error> {
        let command = RelayCommand::parse(data)?;
        if command.password != self.password {
            return Err(Error::Password);
        }
        if command.expires.is_some_and(|expires| expires <= clock) {
            return Err(Error::Other);
        }
        self.relay.allowed = command.action != Action::Trip;
        let closes = match (command.action, self.closing) {
            (Action::Trip, _) => Some(false),
            (Action::Allow | Action::Close, Closing::Remote) => Some(true),
            (Action::Allow | Action::Close, Closing::ByHand) => None,
        };
        // A new command also calls back a relay that is still on its way.
        let moves_to = closes.filter(|closed| *closed != self.relay.closed);
        self.relay.moving = moves_to.map(|closed| (self.at + self.relay_delay, closed));
        self.settle();
        Ok(dlt645::accepted(self.address, control::RELAY, &[]))
    }
}

#[cfg(test)]
mod tests;
