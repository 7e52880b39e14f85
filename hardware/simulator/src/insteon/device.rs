//! One device on the mains: relays or a meter, a link database of its own, and its answer to a message.
//!
//! When the answer leaves, and what the mains do to it, is not its business.

use std::time::Duration;

use super::energy::Counter;
use super::links::Links;
use super::message::{Id, Message, with_sum};
use crate::appliance::{Appliance, Kind};

/// A device stays in linking mode for this long.
pub(crate) const LINKING_TIME: Duration = Duration::from_secs(240);
/// Slots of a device's link database, unless told otherwise; real ones have some hundred.
const SLOTS: usize = 64;
/// A read of this many records reads on to the end of the list.
const ALL_RECORDS: u8 = 0;
/// Where a device's database begins, at the top of its memory; records go down from here, eight bytes each.
const DATABASE_TOP: u16 = 0x0FFF;

/// What a device can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// 2635-222: one outlet.
    OnOff,
    /// 2663-222: two outlets with a relay each, under one id; groups 1 (top) and 2 (bottom).
    DualOutlet,
    /// 2423A1: measures power and energy, switches nothing.
    EnergyMeter,
}

/// Which generation of messages a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Standard messages only.
    I1,
    /// Extended messages, no checksum.
    I2,
    /// Extended messages with a checksum; talks to those it is linked with only.
    I2cs,
}

/// Why a device refuses.
pub(crate) mod reason {
    pub(crate) const NOT_LINKED: u8 = 0xFF;
    pub(crate) const BAD_SUM: u8 = 0xFD;
    pub(crate) const PRE_NAK: u8 = 0xFC;
    pub(crate) const ILLEGAL: u8 = 0xFB;
}

/// What an answer sets off beyond itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The device waits to be linked, or unlinked, in this group.
    Linking(u8),
    /// It says what it is, to everybody.
    Announce,
}

/// A device's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// An ACK, else a NAK.
    pub(crate) ack: bool,
    pub(crate) cmd1: u8,
    pub(crate) cmd2: u8,
    /// D1 … D14 of extended messages that follow under the same commands.
    pub(crate) data: Vec<[u8; 14]>,
    pub(crate) effect: Option<Effect>,
}

impl Answer {
    fn ack(cmd1: u8, cmd2: u8) -> Option<Self> {
        Some(Self { ack: true, cmd1, cmd2, data: Vec::new(), effect: None })
    }

    pub(crate) fn nak(cmd1: u8, cmd2: u8) -> Option<Self> {
        Some(Self { ack: false, cmd1, cmd2, data: Vec::new(), effect: None })
    }
}

/// One simulated device. Built with `with_…`, then put on a [`super::Plm`].
#[derive(Clone, Debug)]
pub struct Device {
    id: Id,
    names: [String; 2],
    model: Model,
    engine: Engine,
    product: [u8; 3],
    links: Links,
    /// Counts changes of the database; it stands in the reply to a status request.
    delta: u8,
    distances: [u8; 2],
    mains: bool,
    relays: [bool; 2],
    counter: Option<Counter>,
    pub(crate) linking: Option<(u8, Duration)>,
}

impl Device {
    /// A device fresh from its box: i2CS (a meter: i2), linked with nobody, relays open, one repeat away.
    #[must_use]
    pub fn new(id: Id, model: Model) -> Self {
        let (product, engine) = match model {
            Model::OnOff => ([0x02, 0x37, 0x46], Engine::I2cs),
            Model::DualOutlet => ([0x02, 0x39, 0x46], Engine::I2cs),
            Model::EnergyMeter => ([0x09, 0x07, 0x40], Engine::I2),
        };
        let [_, seed @ ..] = id.0;
        let seed = u16::from_be_bytes(seed).into();
        Self {
            id,
            names: [id.to_string(), id.to_string()],
            model,
            engine,
            product,
            links: Links::new(SLOTS),
            delta: 0,
            distances: [1, 1],
            mains: true,
            relays: [false; 2],
            counter: (model == Model::EnergyMeter).then(|| Counter::new(Kind::Nothing, seed)),
            linking: None,
        }
    }

    /// Names for people; the second is that of a dual outlet's bottom half. They are not on the wire.
    #[must_use]
    pub fn with_names(mut self, top: &str, bottom: &str) -> Self {
        self.names = [top.to_owned(), bottom.to_owned()];
        self
    }

    /// The generation of its messages.
    #[must_use]
    pub fn with_engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// Category, subcategory and firmware.
    #[must_use]
    pub fn with_product(self, product: [u8; 3]) -> Self {
        Self { product, ..self }
    }

    /// Its link database.
    #[must_use]
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// How often its database has changed, as far as a status reply tells.
    #[must_use]
    pub fn with_delta(self, delta: u8) -> Self {
        Self { delta, ..self }
    }

    /// Repeats between it and the modem, 0 … 3.
    #[must_use]
    pub fn with_distance(self, hops: u8) -> Self {
        self.with_distances(hops, hops)
    }

    /// Repeats that its standard messages and its extended ones take, 0 … 3 each.
    #[must_use]
    pub fn with_distances(self, standard: u8, extended: u8) -> Self {
        Self { distances: [standard, extended], ..self }
    }

    /// What an energy meter measures; the seed decides the appliance's habits.
    #[must_use]
    pub fn with_appliance(mut self, kind: Kind, seed: u64) -> Self {
        if let Some(counter) = &mut self.counter {
            counter.set_appliance(Appliance::new(kind, seed));
        }
        self
    }

    /// Energy that a meter has counted so far, in mWh.
    #[must_use]
    pub fn with_energy_mwh(mut self, energy_mwh: u64) -> Self {
        if let Some(counter) = &mut self.counter {
            counter.set_energy_mwh(energy_mwh);
        }
        self
    }

    /// D4 … D6 of a meter's reply.
    #[must_use]
    pub fn with_undocumented(mut self, bytes: [u8; 3]) -> Self {
        if let Some(counter) = &mut self.counter {
            counter.set_undocumented(bytes);
        }
        self
    }

    /// Relays' positions: top or only, and bottom.
    #[must_use]
    pub fn with_relays(self, relays: [bool; 2]) -> Self {
        Self { relays, ..self }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The name for people of group 1 or 2.
    #[must_use]
    pub fn name(&self, group: u8) -> &str {
        &self.names[usize::from(group == 2)]
    }

    /// What it can do.
    #[must_use]
    pub fn model(&self) -> Model {
        self.model
    }

    /// Groups that switch something: one or two, none for a meter.
    #[must_use]
    pub fn outlets(&self) -> u8 {
        match self.model {
            Model::OnOff => 1,
            Model::DualOutlet => 2,
            Model::EnergyMeter => 0,
        }
    }

    /// Whether the relay of a group is closed; `None` where the device has no such outlet.
    #[must_use]
    pub fn is_on(&self, group: u8) -> Option<bool> {
        (1..=self.outlets()).contains(&group).then(|| self.relays[usize::from(group) - 1])
    }

    /// Energy that a meter has counted, in mWh.
    #[must_use]
    pub fn energy_mwh(&self) -> Option<u64> {
        self.counter.as_ref().map(Counter::energy_mwh)
    }

    /// Power that a meter sees now, in mW; negative when fed back.
    #[must_use]
    pub fn power_mw(&self) -> Option<i64> {
        self.counter.as_ref().map(Counter::power_mw)
    }

    /// Category, subcategory and firmware.
    #[must_use]
    pub fn product(&self) -> [u8; 3] {
        self.product
    }

    /// Its link database.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Its link database, to change it as a stranger would: the delta stays.
    pub fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Plugs it in or pulls it out. Relays come back as they were.
    pub fn set_mains(&mut self, mains: bool) {
        self.mains = mains;
        self.linking = None;
    }

    /// Moves a relay as some other controller would: nobody is told.
    pub fn set_relay(&mut self, group: u8, on: bool) {
        if self.is_on(group).is_some() {
            self.relays[usize::from(group) - 1] = on;
        }
    }

    /// Changes the generation of its messages.
    pub fn set_engine(&mut self, engine: Engine) {
        self.engine = engine;
    }

    /// Lets a meter continue from this count, in mWh, unless it has counted more.
    pub fn count_at_least(&mut self, energy_mwh: u64) {
        if let Some(counter) = self.counter.as_mut().filter(|counter| counter.energy_mwh() < energy_mwh) {
            counter.set_energy_mwh(energy_mwh);
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    pub(crate) fn has_mains(&self) -> bool {
        self.mains
    }

    pub(crate) fn distance(&self, extended: bool) -> u8 {
        self.distances[usize::from(extended)]
    }

    pub(crate) fn touched(&mut self) {
        self.delta = self.delta.wrapping_add(1);
    }

    pub(crate) fn advance(&mut self, now: Duration) {
        if let Some(counter) = &mut self.counter {
            counter.advance(now, self.mains);
        }
        self.linking = self.linking.filter(|(_, since)| now < *since + LINKING_TIME);
    }

    /// Obeys a group command, if it is linked to its sender; `false` if it is not there or not meant.
    pub(crate) fn obey_group(&mut self, from: Id, group: u8, cmd1: u8) -> bool {
        let Some(link) = self.links.obeys(from, group).filter(|_| self.mains) else { return false };
        let outlet = if link.data[2] == 2 { 2 } else { 1 };
        match cmd1 {
            0x11 | 0x12 => self.set_relay(outlet, link.data[0] != 0),
            0x13 | 0x14 => self.set_relay(outlet, false),
            _ => {}
        }
        true
    }

    /// The answer to a direct message, after doing what it says; `None` from a device that does not hear it.
    pub(crate) fn answer(&mut self, asked: &Message) -> Option<Answer> {
        if !self.mains || (asked.data.is_some() && self.engine == Engine::I1) {
            return None;
        }
        let (cmd1, cmd2) = (asked.cmd1, asked.cmd2);
        let labelled = matches!(cmd1, 0x09 | 0x0A) && asked.data.is_some();
        if self.engine == Engine::I2cs {
            if !asked.sum_fits() {
                return Answer::nak(cmd1, reason::BAD_SUM);
            }
            if !labelled && !self.links.knows(asked.from) {
                return Answer::nak(cmd1, reason::NOT_LINKED);
            }
        }
        match cmd1 {
            0x0D => Answer::ack(cmd1, self.engine as u8),
            0x0F => Answer::ack(cmd1, cmd2),
            // It beeps once.
            0x30 if self.counter.is_none() => Answer::ack(cmd1, asked.cmd2),
            0x1F => Answer::ack(cmd1, 0),
            0x10 => self.with_effect(asked, Effect::Announce),
            0x09 | 0x0A => self.with_effect(asked, Effect::Linking(cmd2)),
            0x2F => self.database(asked),
            0x11..=0x14 | 0x19 | 0x32 | 0x33 if self.counter.is_none() => self.switch(asked),
            0x19 => Answer::ack(self.delta, 0),
            0x80 | 0x82 => self.meter(asked),
            _ => Answer::nak(cmd1, reason::BAD_SUM),
        }
    }

    fn with_effect(&self, asked: &Message, effect: Effect) -> Option<Answer> {
        let answer = Answer::ack(asked.cmd1, asked.cmd2)?;
        Some(Answer { effect: Some(effect), ..answer })
    }

    fn switch(&mut self, asked: &Message) -> Option<Answer> {
        let (cmd1, cmd2) = (asked.cmd1, asked.cmd2);
        let outlet = match (cmd1, asked.data) {
            (0x32 | 0x33, _) => cmd2,
            (_, Some(data)) if data[0] > 1 => data[0],
            _ => 1,
        };
        if self.is_on(outlet).is_none() {
            return Answer::nak(cmd1, reason::ILLEGAL);
        }
        match (cmd1, cmd2) {
            (0x11 | 0x12 | 0x32, _) => self.set_relay(outlet, true),
            (0x13 | 0x14 | 0x33, _) => self.set_relay(outlet, false),
            (_, 0x01) if self.model == Model::DualOutlet => {
                let [top, bottom] = self.relays.map(u8::from);
                return Answer::ack(self.delta, bottom << 1 | top);
            }
            _ => return Answer::ack(self.delta, if self.relays[0] { 0xFF } else { 0x00 }),
        }
        Answer::ack(cmd1, cmd2)
    }

    fn meter(&mut self, asked: &Message) -> Option<Answer> {
        let Some(counter) = &mut self.counter else { return Answer::nak(asked.cmd1, reason::BAD_SUM) };
        let answer = Answer::ack(asked.cmd1, asked.cmd2)?;
        if asked.cmd1 == 0x80 {
            counter.reset();
            return Some(answer);
        }
        Some(Answer { data: vec![counter.payload()], ..answer })
    }

    /// Reads or writes the link database: D2 what, D3–D4 where, D5 how much.
    fn database(&mut self, asked: &Message) -> Option<Answer> {
        let nak = Answer::nak(asked.cmd1, reason::ILLEGAL);
        let Some([_, what, high, low, many, record @ .., _]) = asked.data else { return nak };
        let index = match u16::from_be_bytes([high, low]) {
            0 => 0,
            at if at <= DATABASE_TOP => usize::from((DATABASE_TOP - at) / 8),
            _ => return nak,
        };
        let answer = Answer::ack(asked.cmd1, asked.cmd2)?;
        match what {
            0x00 => Some(Answer { data: self.records(index, many), ..answer }),
            0x02 if self.links.write(index, super::Link::of_bytes(record)).is_ok() => {
                self.touched();
                Some(answer)
            }
            _ => nak,
        }
    }

    /// `many` records from `first` on, each in an extended message; for 0 up to the one that ends the list.
    fn records(&self, first: usize, many: u8) -> Vec<[u8; 14]> {
        let last = match many {
            ALL_RECORDS => self.links.slots().len().max(first),
            many => first + usize::from(many) - 1,
        };
        let data = |index: usize| {
            let at = DATABASE_TOP.saturating_sub(u16::try_from(index * 8).unwrap_or(u16::MAX)).to_be_bytes();
            let mut data = [0; 14];
            data[1] = 0x01;
            data[2..4].copy_from_slice(&at);
            data[5..13].copy_from_slice(&self.links.slot(index).bytes());
            with_sum(0x2F, 0x00, data)
        };
        (first..=last).map(data).collect()
    }
}
