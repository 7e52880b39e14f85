//! Anything at any time: octets, commands, presses, power cuts at any octet of a write. Whatever comes, the socket
//! does not panic, uses no counter twice, tells no energy that falls, and moves its relay only for those who may.

use std::collections::{BTreeMap, BTreeSet};

use plugline_protocol::frame::{Frame, Kind, MAX_PAYLOAD};
use plugline_protocol::messages::{Ask, Form, Report, Response};
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
        1 => any::<u8>().prop_map(Act::Confirm),
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
        _ => Ask::PowerOn(plugline_protocol::messages::PowerOn::Last),
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

fn play(acts: Vec<Act>) {
    let (mut gateway, mut bench) = Gateway::with_joined_socket();
    let mut watch = Watch { seen: 0, frames: Vec::new(), counters: BTreeSet::new(), energy: BTreeMap::new() };
    let mut said: Vec<Vec<u8>> = Vec::new();
    for act in acts {
        let (relay, mut may_move) = (bench.socket.relay_on(), false);
        match act {
            Act::Wait(us) => {
                bench.run_for(us.into());
                may_move = true;
            }
            Act::Octets(octets) => bench.hear_octets(&octets),
            Act::Spoiled { octet, bits } => {
                let Some(mut pdu) = said.last().cloned() else { continue };
                let octet = octet % pdu.len();
                pdu[octet] ^= bits;
                // HOP is in no tag: such a frame is the same frame.
                may_move = octet == 1;
                bench.hear(&pdu);
            }
            Act::Ask(number) => {
                let pdu = gateway.command(ask(number));
                bench.hear(&pdu);
                said.push(pdu);
                may_move = number % 8 == 0;
            }
            Act::Replay(which) => {
                if !said.is_empty() {
                    // A COMMAND that was never heard is as good as new.
                    bench.hear(&said[which % said.len()].clone());
                    may_move = true;
                }
            }
            Act::Beacon { step, minute, offset_ms } => {
                gateway.group_counter = gateway.group_counter.saturating_add(step.into());
                let plan = gateway.plan;
                let beacon =
                    plugline_protocol::messages::Beacon { minute, offset_ms, plan, ..Default::default() };
                let pdu = gateway.beacon(&beacon);
                bench.hear(&pdu);
            }
            Act::Ack => {
                if let Some(sent) = bench.sent.iter().rev().find(|sent| sent.kind() == Kind::Report) {
                    let ack = gateway.ack(sent);
                    bench.hear(&ack);
                }
            }
            Act::Press(us) => {
                bench.press(u64::from(us).min(9 * SECOND));
                may_move = true;
            }
            Act::Meter(sample) => {
                bench.meter(&sample);
                may_move = true;
            }
            Act::Carrier(busy) => bench.socket.handle_carrier(busy, bench.now_us),
            Act::Confirm(how) => {
                let how = match how % 3 {
                    0 => Transmitted::Busy,
                    1 => Transmitted::Late,
                    _ => Transmitted::Sent { ended_us: bench.now_us },
                };
                bench.confirm(how);
            }
            Act::CutPower { octets, restart } => {
                watch.look(&mut gateway, &bench);
                if let Some(octets) = octets {
                    // Power goes in the middle of whatever the next start writes.
                    let mut flash = bench.socket.into_board();
                    flash.cut_after(octets.into());
                    bench = Bench::with(factory(), flash, Start::PowerOn, octets.into());
                    watch.seen = 0;
                    watch.look(&mut gateway, &bench);
                }
                bench = bench.restart(if restart { Start::Restart } else { Start::PowerOn });
                watch.seen = 0;
                may_move = true;
            }
        }
        assert!(may_move || bench.socket.relay_on() == relay, "the relay moved for nobody");
        watch.look(&mut gateway, &bench);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_breaks_the_promises(acts in vec(act(), 1..60)) {
        play(acts);
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
