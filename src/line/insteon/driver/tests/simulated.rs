//! The driver against a simulated modem with its devices, in virtual time. Standing checks hold after every step: each
//! operation ends once, a relay is shown only where it stood a moment ago, figures are the meter's, and what failed
//! as not done was not done.

use std::collections::{BTreeMap, VecDeque};

use plugline_simulator::insteon::{Device as Socket, Engine, Fault, Id, Model, NakForm, Plm, demo_insteon};

use super::*;

const LAMP: &str = "1a777b";
const RADIO: &str = "1a7810";
const SHELF: &str = "2c0d11";
/// How long a message may take from its device to the driver: the simulated lateness and the clean-up.
const ON_ITS_WAY: Duration = Duration::from_secs(6);
/// What the meter's counter cannot show, in mWh.
const COUNT_MWH: i64 = 304;

fn id(address: &str) -> Id {
    Id::parse(address).unwrap()
}

fn group(target: &Target) -> u8 {
    target.channel.unwrap_or(1)
}

struct Switched {
    target: Target,
    on: bool,
    before: Option<bool>,
    presses: usize,
}

struct Mains {
    line: Insteon,
    plm: Plm,
    now: Duration,
    tickets: u64,
    open: BTreeMap<Ticket, Option<Switched>>,
    ended: Vec<Progress>,
    happenings: Vec<Happening>,
    /// Where each relay stood, oldest first.
    stood: BTreeMap<(Id, u8), Vec<(Duration, bool)>>,
    counted: Vec<(Duration, i64)>,
    presses: usize,
    /// What was said last, for people who read a failure.
    log: VecDeque<String>,
}

impl Mains {
    fn new(plm: Plm) -> Self {
        let mut mains = Self {
            line: Insteon::new(Options::default()),
            plm,
            now: SECOND,
            tickets: 0,
            open: BTreeMap::new(),
            ended: Vec::new(),
            happenings: Vec::new(),
            stood: BTreeMap::new(),
            counted: Vec::new(),
            presses: 0,
            log: VecDeque::new(),
        };
        mains.plm.advance(mains.now);
        mains.line.handle_port(true, mains.clock());
        mains.step(mains.now);
        mains
    }

    /// The demo's shelf, attached, known and idle.
    fn demo(seed: u64) -> Self {
        let mut mains = Self::new(demo_insteon(seed));
        for (address, channel) in targets() {
            mains.line.attach(&target(address, channel));
        }
        mains.wait(30 * SECOND);
        for (address, channel) in targets() {
            mains.run(Operation::Read { target: target(address, channel) });
        }
        mains
    }

    fn clock(&self) -> Now {
        Now { mono: Moment(self.now), unix_ms: 0, synchronised: true }
    }

    fn said(&mut self, what: String) {
        self.log.truncate(30);
        self.log.push_front(what);
    }

    fn note(&mut self) {
        for device in self.plm.devices() {
            for group in 1..=device.outlets() {
                let stood = self.stood.entry((device.id(), group)).or_default();
                let on = device.is_on(group).unwrap();
                if stood.last().is_none_or(|(_, last)| *last != on) {
                    stood.push((self.now, on));
                }
            }
            if let Some(energy) = device.energy_mwh() {
                self.counted.push((self.now, i64::try_from(energy).unwrap()));
                self.counted.retain(|(at, _)| *at + ON_ITS_WAY >= self.now);
            }
        }
    }

    /// The relay stood so at some moment since `since`.
    fn stood(&self, target: &Target, on: bool, since: Duration) -> bool {
        let stood = &self.stood[&(id(&target.address), group(target))];
        let before = stood.iter().rev().find(|(at, _)| *at <= since);
        let during = stood.iter().filter(|(at, _)| *at > since);
        during.chain(before).any(|(_, was)| *was == on)
    }

    fn check(&mut self, happening: &Happening) {
        let since = self.now.saturating_sub(ON_ITS_WAY);
        match happening {
            Happening::Relay { target, on, .. } => {
                assert!(
                    self.stood(target, *on, since),
                    "{target:?} {on} at {:?} was never so {:#?}",
                    self.now,
                    self.log
                );
            }
            Happening::Reading { reading, .. } => {
                let told = reading.get(Quantity::Energy).unwrap();
                let least = self.counted.first().unwrap().1 - COUNT_MWH;
                assert!((least..=self.counted.last().unwrap().1 + COUNT_MWH).contains(&told), "{told}");
            }
            Happening::Progress { ticket, progress: end @ (Progress::Done | Progress::Failed(_)) } => {
                let switched = self.open.remove(ticket).expect("it ends once");
                self.ended.push(end.clone());
                let Some(Switched { target, on, before, presses }) = switched else { return };
                match end {
                    Progress::Done => assert!(self.stood(&target, on, since), "{target:?} was never {on}"),
                    Progress::Failed(Failure { outcome: Outcome::NotApplied, .. })
                        if presses == self.presses =>
                    {
                        let stands = self.plm.device(id(&target.address)).unwrap().is_on(group(&target));
                        assert_eq!(stands, before, "{end:?}, and yet {target:?} moved {:#?}", self.log);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        self.note();
        while let Some(output) = self.line.poll_output() {
            match output {
                LineOutput::Write(bytes) => {
                    self.plm.handle_bytes(&bytes, self.now);
                    self.said(format!("{:?} > {bytes:02x?}", self.now));
                    self.note();
                }
                LineOutput::Happening(happening) => {
                    self.check(&happening);
                    if let Happening::Learned { target } = &happening {
                        self.line.attach(target);
                    }
                    self.happenings.push(happening);
                }
                LineOutput::Reopen(_) => self.line.handle_port(true, self.clock()),
                LineOutput::Persist(_) => {}
            }
        }
    }

    /// The next thing happens, if it happens until then.
    fn step(&mut self, until: Duration) -> bool {
        self.drain();
        let line = self.line.poll_timeout().map(|due| due.0);
        let next = line.into_iter().chain(self.plm.poll_timeout()).min().filter(|next| *next <= until);
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        while let Some(output) = self.plm.poll_output(self.now) {
            self.note();
            self.said(format!("{:?} < {:02x?}", self.now, output.bytes));
            self.line.handle_bytes(&output.bytes, self.clock());
            self.drain();
        }
        if self.line.poll_timeout().is_some_and(|due| due.0 <= self.now) {
            self.line.handle_timeout(self.clock());
        }
        self.drain();
        true
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
        self.plm.advance(until);
    }

    fn start(&mut self, operation: Operation) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let switched = match &operation {
            Operation::Switch { target, on } => Some(Switched {
                target: target.clone(),
                on: *on,
                before: self.plm.device(id(&target.address)).and_then(|device| device.is_on(group(target))),
                presses: self.presses,
            }),
            _ => None,
        };
        self.open.insert(ticket, switched);
        self.line.start(operation, ticket, Moment(self.now + 60 * SECOND), self.clock());
        self.drain();
    }

    /// Starts an operation once the line is ready and lets it come to its end; returns how.
    fn run(&mut self, operation: Operation) -> Progress {
        let until = self.now + 600 * SECOND;
        while !self.line.ready() {
            assert!(self.step(until), "the line never gets ready");
        }
        self.happenings.clear();
        self.start(operation);
        while !self.open.is_empty() {
            assert!(self.step(self.now + 70 * SECOND), "the operation never ends");
        }
        self.ended.pop().unwrap()
    }

    fn switch(&mut self, address: &str, channel: Option<u8>, on: bool) -> Progress {
        self.run(Operation::Switch { target: target(address, channel), on })
    }

    fn failed(&mut self, operation: Operation) -> Failure {
        match self.run(operation) {
            Progress::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn press(&mut self, address: &str, group: u8) {
        self.presses += 1;
        self.plm.press(id(address), group);
        self.note();
    }

    fn relays(&self) -> Vec<(Target, bool, Cause)> {
        let relays = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Relay { target, on, cause } => Some((target.clone(), *on, *cause)),
            _ => None,
        });
        relays.collect()
    }

    fn joined(&self) -> Vec<Target> {
        let joined = self.happenings.iter().filter_map(|happening| match happening {
            Happening::Joined { target } => Some(target.clone()),
            _ => None,
        });
        joined.collect()
    }
}

fn targets() -> [(&'static str, Option<u8>); 5] {
    [(LAMP, None), (RADIO, None), (SHELF, Some(1)), (SHELF, Some(2)), (METER, None)]
}

#[test]
fn every_relay_of_the_shelf_is_switched_by_itself() {
    let mut mains = Mains::demo(1);
    for (address, channel) in &targets()[..4] {
        for on in [true, false, true] {
            assert_eq!(mains.switch(address, *channel, on), Progress::Done, "{address} {channel:?}");
            assert_eq!(mains.relays(), [(target(address, *channel), on, Cause::Command)]);
        }
    }
    assert_eq!(mains.switch(SHELF, Some(1), false), Progress::Done);
    let shelf = mains.plm.device(id(SHELF)).unwrap();
    assert_eq!((shelf.is_on(1), shelf.is_on(2)), (Some(false), Some(true)));
}

#[test]
fn the_meter_is_told_by_itself_and_read() {
    let mut mains = Mains::demo(2);
    assert_eq!(mains.run(Operation::Read { target: target(METER, None) }), Progress::Done);
    assert!(mains.happenings.iter().any(|happening| matches!(happening, Happening::Reading { .. })));
    let profile = mains.line.attach(&target(METER, None));
    assert_eq!((profile.abilities.relay, profile.plan[0].name), (false, "meter"));
}

#[test]
fn a_press_is_told_once_with_its_button() {
    let mut mains = Mains::demo(3);
    for (address, channel) in &targets()[..4] {
        mains.wait(5 * SECOND);
        mains.happenings.clear();
        mains.press(address, channel.unwrap_or(1));
        mains.wait(5 * SECOND);
        let [(shown, on, cause)] = &mains.relays()[..] else { panic!("{:?}", mains.relays()) };
        assert_eq!((shown, *cause), (&target(address, *channel), Cause::Button));
        let stands = mains.plm.device(id(address)).unwrap().is_on(channel.unwrap_or(1));
        assert_eq!(Some(*on), stands);
    }
}

#[test]
fn devices_fresh_from_their_boxes_are_linked_by_their_labels() {
    let mut plm = demo_insteon(4);
    plm.unlink_all();
    let mut mains = Mains::new(plm);
    mains.wait(10 * SECOND);
    for (address, joined) in [
        (LAMP, vec![target(LAMP, None)]),
        (SHELF, vec![target(SHELF, Some(1)), target(SHELF, Some(2))]),
        (METER, vec![target(METER, None)]),
    ] {
        assert_eq!(mains.run(Operation::Link { target: target(address, None) }), Progress::Done);
        assert_eq!(mains.joined(), joined);
        for joined in joined {
            mains.line.attach(&joined);
        }
    }
    assert!(!mains.plm.is_linking());
    assert_eq!(mains.switch(SHELF, Some(2), true), Progress::Done);
    mains.happenings.clear();
    mains.press(SHELF, 2);
    mains.wait(5 * SECOND);
    assert_eq!(mains.relays(), [(target(SHELF, Some(2)), false, Cause::Button)]);
}

#[test]
fn old_devices_are_linked_too() {
    for engine in [Engine::I1, Engine::I2] {
        let lamp = Socket::new(id(LAMP), Model::OnOff).with_engine(engine);
        let mut mains = Mains::new(Plm::new(id("4a510c"), 1, vec![lamp]));
        mains.wait(10 * SECOND);
        assert_eq!(mains.run(Operation::Link { target: target(LAMP, None) }), Progress::Done, "{engine:?}");
        mains.line.attach(&target(LAMP, None));
        assert_eq!(mains.switch(LAMP, None, true), Progress::Done);
    }
}

#[test]
fn a_window_takes_the_device_whose_button_is_held() {
    let mut plm = demo_insteon(5);
    plm.unlink_all();
    let mut mains = Mains::new(plm);
    mains.wait(10 * SECOND);
    mains.start(Operation::Join { seconds: 30 });
    mains.wait(8 * SECOND);
    mains.plm.hold_set(id(SHELF), 1);
    mains.wait(40 * SECOND);
    assert_eq!(mains.ended, [Progress::Done]);
    assert_eq!(mains.joined(), [target(SHELF, Some(1)), target(SHELF, Some(2))]);
    assert!(!mains.plm.is_linking());
}

#[test]
fn a_full_link_database_is_named_and_nothing_is_left_half_done() {
    let mut plm = demo_insteon(6);
    plm.unlink_all();
    plm.links_mut().set_capacity(2);
    let mut mains = Mains::new(plm);
    mains.wait(10 * SECOND);
    let failure = mains.failed(Operation::Link { target: target(SHELF, Some(1)) });
    assert_eq!(
        (failure.code, failure.outcome),
        ("link_incomplete", Outcome::NotApplied),
        "{}",
        failure.detail
    );
    mains.wait(10 * SECOND);
    assert!(mains.joined().is_empty() && !mains.plm.is_linking());
}

#[test]
fn each_way_of_refusing_for_ever_ends_with_a_name_and_passes() {
    for form in [NakForm::Echoed, NakForm::Named, NakForm::Lone] {
        let mut mains = Mains::demo(7);
        mains.plm.set_fault(Fault::Nak(form));
        let failure = mains.failed(Operation::Switch { target: target(LAMP, None), on: false });
        assert_eq!((failure.code, failure.outcome), ("modem_busy", Outcome::NotApplied), "{form:?}");
        mains.wait(60 * SECOND);
        assert!(mains.happenings.contains(&Happening::Modem { answers: false }), "{form:?}");
        mains.plm.clear_faults();
        assert_eq!(mains.switch(LAMP, None, false), Progress::Done);
    }
}

#[test]
fn a_modem_that_resets_in_the_middle_of_its_links_is_read_again() {
    for forgets in [true, false] {
        let mut plm = demo_insteon(8);
        plm.set_fault_times(Fault::ResetInLinkRead { forgets }, 1);
        let mut mains = Mains::new(plm);
        mains.wait(120 * SECOND);
        let kept = &mains.line.kept;
        assert!(kept.whole, "{forgets}");
        assert_eq!(kept.links.len(), mains.plm.links().in_use().count(), "{forgets}");
        let told = |happening: &Happening| matches!(happening, Happening::Notice { code: "modem_reset", .. });
        assert_eq!(mains.happenings.iter().any(told), forgets);
    }
}

#[test]
fn a_link_database_with_holes_is_read_whole() {
    let mut plm = demo_insteon(9);
    assert!(plm.links_mut().remove(|link| link.id == id(RADIO)));
    let mut mains = Mains::new(plm);
    mains.wait(60 * SECOND);
    assert!(mains.line.kept.whole);
    assert_eq!(mains.line.kept.links.len(), mains.plm.links().in_use().count());
}

fn faults() -> Vec<Fault> {
    let (lamp, shelf) = (id(LAMP), id(SHELF));
    let mut faults = vec![
        Fault::Mute,
        Fault::EchoTwice,
        Fault::EchoLate(ms(300)),
        Fault::EchoLate(ms(900)),
        Fault::ResetInLinkRead { forgets: true },
        Fault::ResetInLinkRead { forgets: false },
        Fault::Split { gap: ms(100) },
        Fault::Split { gap: ms(300) },
        Fault::Cut { percent: 30 },
        Fault::Noise { percent: 40 },
        Fault::Repeat(ms(50)),
        Fault::Late(ms(1_500)),
        Fault::HopsVary,
        Fault::AnswerForAnother { asked: lamp, answers_as: id(RADIO) },
        Fault::AnswerForAnother { asked: shelf, answers_as: id("0a0b0c") },
        Fault::PreNak(lamp),
        Fault::EngineByTurns(shelf),
        Fault::BadCrc,
        Fault::Foreign { every: ms(700) },
        Fault::SecondHost { every: ms(3_000) },
    ];
    faults.extend([lamp, shelf].map(Fault::LoseReplies));
    faults.extend([0xFF, 0xFE, 0xFD, 0xFB, 0x01].map(|reason| Fault::Refuse { asked: shelf, reason }));
    faults.extend([NakForm::Echoed, NakForm::Named, NakForm::Lone].map(Fault::Nak));
    faults
}

/// A small generator of numbers (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

impl Mains {
    /// Something that people do.
    fn someone(&mut self, dice: &mut Dice) {
        let (address, channel) = targets()[dice.below(5)];
        let target = target(address, channel);
        match dice.below(12) {
            0 => self.press(address, group(&target)),
            1 if self.line.ready() => self.start(Operation::Join { seconds: 5 }),
            2 if self.line.ready() => self.start(Operation::Link { target }),
            3 if self.line.ready() => self.start(Operation::Identify { target, seconds: 4 }),
            4..=7 if self.line.ready() => self.start(Operation::Switch { target, on: dice.below(2) == 0 }),
            8..=10 if self.line.ready() => self.start(Operation::Read { target }),
            11 if dice.below(10) == 0 => {
                self.line.handle_port(false, self.clock());
                self.wait(SECOND);
                self.line.handle_port(true, self.clock());
            }
            _ => {}
        }
    }
}

#[test]
fn an_hour_of_trouble_ends_every_operation_once_and_shows_nothing_that_is_not_so() {
    let (mut done, mut codes) = (0, BTreeMap::<&str, usize>::new());
    for seed in 1..=6 {
        let mut mains = Mains::demo(seed);
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let faults = faults();
        let end = mains.now + 3600 * SECOND;
        while mains.now < end {
            if dice.below(8) == 0 && mains.open.is_empty() {
                mains.plm.clear_faults();
                let fault = faults[dice.below(faults.len())];
                mains.plm.set_fault(fault);
                mains.said(format!("{fault:?}"));
            }
            mains.someone(&mut dice);
            mains.wait(ms(200) + ms(20) * u32::try_from(dice.below(200)).unwrap());
            mains.happenings.clear();
        }
        mains.plm.clear_faults();
        mains.wait(400 * SECOND);
        assert!(mains.open.is_empty(), "seed {seed}: {:?}", mains.open.keys());
        assert!(!mains.plm.is_linking(), "seed {seed}");
        for end in mains.ended.drain(..) {
            match end {
                Progress::Failed(failure) => *codes.entry(failure.code).or_default() += 1,
                _ => done += 1,
            }
        }
        mains.plm.device_mut(id(SHELF)).unwrap().set_engine(Engine::I2cs);
        mains.plm.link_all();
        for (address, channel) in targets() {
            let read = mains.run(Operation::Read { target: target(address, channel) });
            assert_eq!(read, Progress::Done, "seed {seed}: {address} after all is well again");
        }
    }
    assert!(done > 500, "{done}");
    for code in ["no_answer", "modem_busy", "modem_silent", "port_lost", "no_load", "checksum", "no_device"] {
        assert!(codes.contains_key(code), "{code} is missing in {codes:?}");
    }
}
