//! Anything at any time: octets, commands, presses, power cuts at any octet of a write. Whatever comes, the socket
//! does not panic, uses no counter twice, tells no energy that falls, and moves its relay only for those who may.

use std::collections::{BTreeMap, BTreeSet};

use plugline_protocol::frame::{Frame, Kind, MAX_PAYLOAD};
use plugline_protocol::messages::{Ask, Beacon, Form, PowerOn, Report, Response};
use plugline_protocol::security::Channel;
use plugline_socket::{Sample, Start, Transmitted};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bench::{Bench, Gateway, SECOND, factory};

#[derive(Clone, Debug)]
enum Act {
    Wait(u32),
    Octets(Vec<u8>),
    Spoiled { octet: usize, bits: u8 },
    Ask(u8),
    Replay(usize),
    Beacon { step: u16, minute: u8, offset_ms: u16 },
    Ack,
    Press(u32),
    Meter(Sample),
    Carrier(bool),
    Confirm(u8),
    CutPower { octets: Option<u16>, restart: bool },
    CutLater(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let sample =
        (any::<u32>(), 0..40_000_u16, -20_i8..100).prop_map(|(imported_uwh, current_ma, celsius)| Sample {
            imported_uwh,
            current_ma: Some(current_ma),
            temperature_c: Some(celsius),
            ..Sample::default()
        });
    prop_oneof![
        4 => (0..200_000_000_u32).prop_map(Act::Wait),
        2 => vec(any::<u8>(), 0..140).prop_map(Act::Octets),
        2 => (any::<usize>(), 1_u8..).prop_map(|(octet, bits)| Act::Spoiled { octet, bits }),
        4 => any::<u8>().prop_map(Act::Ask),
        2 => any::<usize>().prop_map(Act::Replay),
        2 => (any::<u16>(), any::<u8>(), 0..60_000_u16)
            .prop_map(|(step, minute, offset_ms)| Act::Beacon { step, minute, offset_ms }),
        2 => Just(Act::Ack),
        1 => (0..12_000_000_u32).prop_map(Act::Press),
        2 => sample.prop_map(Act::Meter),
        1 => any::<bool>().prop_map(Act::Carrier),
        1 => (0..3_u8).prop_map(Act::Confirm),
        1 => (0..900_u16).prop_map(Act::CutLater),
        2 => (proptest::option::of(0..600_u16), any::<bool>())
            .prop_map(|(octets, restart)| Act::CutPower { octets, restart }),
    ]
}

fn ask(number: u8) -> Ask {
    match number % 8 {
        0 => Ask::Switch { on: number & 8 != 0 },
        1 | 2 => Ask::Read,
        3 => Ask::Interval { minutes: number % 60 + 1 },
        4 => Ask::Slot { slot: Some(u16::from(number)) },
        5 => Ask::Sync { group_counter: number.into() },
        6 => Ask::Reboot,
        _ => Ask::PowerOn(PowerOn::Last),
    }
}

/// What must hold however it came about.
struct Watch {
    seen: usize,
    /// Counter and PDU of every secured frame.
    frames: Vec<(u32, Vec<u8>)>,
    counters: BTreeSet<u32>,
    /// What was told, by counter: an answer that is asked for again is older than a REPORT in between.
    energy: BTreeMap<u32, u32>,
}

impl Watch {
    fn look(&mut self, gateway: &mut Gateway, bench: &Bench) {
        for sent in &bench.sent[self.seen..] {
            let frame = Frame::parse(&sent.pdu).expect("a socket sends frames");
            let Some(counter) = frame.counter() else { continue };
            if self.frames.iter().any(|(_, pdu)| *pdu == sent.pdu) {
                continue;
            }
            let mut clear = [0; MAX_PAYLOAD];
            let up = Channel::up(&gateway.keys.up, &gateway.who);
            // After LEAVE by the button there is no network, and no other gateway here.
            let payload = up.open(&frame, &mut clear).expect("it is sealed for this gateway");
            assert!(self.counters.insert(counter), "counter {counter} is used for two messages");
            gateway.heard = gateway.heard.max(counter);
            let energy = match frame.kind() {
                Kind::Report => Report::parse(payload).expect("a REPORT").reading.energy_100mwh,
                _ => match Response::parse(payload).expect("a RESPONSE").form {
                    Form::Reading(reading) => reading.energy_100mwh,
                    _ => None,
                },
            };
            if let Some(energy) = energy {
                let before = self.energy.range(..counter).next_back().map_or(0, |(_, energy)| *energy);
                let after = self.energy.range(counter..).next().map_or(u32::MAX, |(_, energy)| *energy);
                assert!((before..=after).contains(&energy), "{energy} between {before} and {after}");
                self.energy.insert(counter, energy);
            }
            self.frames.push((counter, sent.pdu.clone()));
        }
        self.seen = bench.sent.len();
    }
}

/// The socket, its gateway, and whoever else is on the line.
struct Arena {
    gateway: Gateway,
    bench: Bench,
    watch: Watch,
    /// Every COMMAND that was ever sealed.
    said: Vec<Vec<u8>>,
}

impl Arena {
    fn new() -> Self {
        let (gateway, bench) = Gateway::with_joined_socket();
        let watch = Watch { seen: 0, frames: Vec::new(), counters: BTreeSet::new(), energy: BTreeMap::new() };
        Self { gateway, bench, watch, said: Vec::new() }
    }

    fn play(&mut self, act: Act) {
        let relay = self.bench.socket.relay_on();
        let may_move = match act {
            Act::Ask(_) | Act::Replay(_) | Act::Spoiled { .. } | Act::Octets(_) => self.hear(act),
            Act::Beacon { step, minute, offset_ms } => self.beacon(step, minute, offset_ms),
            Act::Ack => self.ack(),
            Act::CutPower { octets, restart } => self.cut_power(octets, restart),
            Act::CutLater(octets) => {
                self.bench.dies_with_board = true;
                self.bench.socket.board().cut_after(octets.into());
                false
            }
            Act::Wait(_) | Act::Press(_) | Act::Meter(_) | Act::Carrier(_) | Act::Confirm(_) => {
                self.happen(act)
            }
        };
        assert!(may_move || self.bench.socket.relay_on() == relay, "the relay moved for nobody");
        self.watch.look(&mut self.gateway, &self.bench);
        if self.bench.is_dead() {
            self.cut_power(None, false);
        }
    }

    /// Something on the line; gives whether the relay may move for it.
    fn hear(&mut self, act: Act) -> bool {
        match act {
            Act::Ask(number) => {
                let pdu = self.gateway.command(ask(number));
                self.bench.hear(&pdu);
                self.said.push(pdu);
                number % 8 == 0
            }
            // A COMMAND that was never heard is as good as new.
            Act::Replay(which) if !self.said.is_empty() => {
                self.bench.hear(&self.said[which % self.said.len()]);
                true
            }
            Act::Spoiled { octet, bits } => {
                let Some(mut pdu) = self.said.last().cloned() else { return false };
                let octet = octet % pdu.len();
                pdu[octet] ^= bits;
                self.bench.hear(&pdu);
                // HOP is in no tag: such a frame is the same frame.
                octet == 1
            }
            Act::Octets(octets) => {
                self.bench.hear_octets(&octets);
                false
            }
            _ => false,
        }
    }

    fn beacon(&mut self, step: u16, minute: u8, offset_ms: u16) -> bool {
        self.gateway.group_counter = self.gateway.group_counter.saturating_add(step.into());
        let plan = self.gateway.plan;
        let pdu = self.gateway.beacon(&Beacon { minute, offset_ms, plan, ..Beacon::default() });
        self.bench.hear(&pdu);
        false
    }

    fn ack(&mut self) -> bool {
        let last = self.bench.sent.iter().rev().find(|sent| sent.kind() == Kind::Report);
        if let Some(ack) = last.map(|sent| self.gateway.ack(sent)) {
            self.bench.hear(&ack);
        }
        false
    }

    /// Something around the socket.
    fn happen(&mut self, act: Act) -> bool {
        match act {
            Act::Wait(us) => self.bench.run_for(us.into()),
            Act::Press(us) => self.bench.press(u64::from(us).min(9 * SECOND)),
            Act::Meter(sample) => self.bench.meter(&sample),
            Act::Carrier(busy) => self.bench.carrier(busy),
            Act::Confirm(0) => self.bench.confirm(Transmitted::Busy),
            Act::Confirm(1) => self.bench.confirm(Transmitted::Late),
            _ => self.bench.confirm(Transmitted::Sent { ended_us: self.bench.now_us }),
        }
        true
    }

    /// Power goes; with `octets` it goes once more, in the middle of what the next start writes.
    fn cut_power(&mut self, octets: Option<u16>, restart: bool) -> bool {
        self.watch.look(&mut self.gateway, &self.bench);
        let start = if restart { Start::Restart } else { Start::PowerOn };
        let mut bench = std::mem::replace(&mut self.bench, Bench::new());
        if let Some(octets) = octets {
            let flash = bench.socket.into_board();
            flash.cut_after(octets.into());
            bench = Bench::with(factory(), flash, Start::PowerOn, octets.into());
        }
        self.bench = bench.restart(start);
        self.watch.seen = 0;
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_breaks_the_promises(acts in vec(act(), 1..60)) {
        let mut arena = Arena::new();
        acts.into_iter().for_each(|act| arena.play(act));
    }

    #[test]
    fn no_octets_and_no_times_make_an_unjoined_socket_panic(
        frames in vec((vec(any::<u8>(), 0..140), any::<u64>(), any::<u64>()), 0..40),
    ) {
        let mut bench = Bench::new();
        for (octets, received_us, now_us) in frames {
            bench.socket.handle_frame(&octets, received_us, now_us >> (now_us % 64));
            while bench.socket.poll_output().is_some() {}
            bench.socket.handle_timeout(bench.socket.poll_timeout());
        }
    }
}
