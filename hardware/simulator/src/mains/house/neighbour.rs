//! The house next door: frames of another network, sealed with keys that nobody here has. It answers nobody; that there
//! is somebody else on the wiring is all that it is for.

use plugline_protocol::frame::{MAX_FRAME, MAX_PDU, Options, with_crc};
use plugline_protocol::messages::{Beacon, Extensions, Report, SlotPlan};
use plugline_protocol::reading::{Flags, Reading};
use plugline_protocol::security::{Channel, Key};
use plugline_protocol::timing::{IDLE_LISTEN_US, SUPERFRAME_MS};
use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};

use crate::mains::line::Line;
use crate::mains::wiring::Node;
use crate::random::mix;

const SUPERFRAME_US: u64 = SUPERFRAME_MS as u64 * 1_000;
const PLAN: SlotPlan = SlotPlan { first_ms: 600, pitch_ms: 200, slots: 100 };
/// A frame that does not find the line free within this is given up.
const PATIENCE_US: u64 = 60_000;

/// A network that is not ours.
#[derive(Debug)]
pub(crate) struct Neighbour {
    network: NetworkId,
    group: Key,
    up: Key,
    sockets: u16,
    minute: u64,
    start_us: u64,
    /// 0 is the beacon, then the sockets.
    turn: u16,
    look_us: u64,
    until_us: u64,
    counter: u32,
    energy: u32,
}

impl Neighbour {
    pub(crate) fn new(network: u16, sockets: u16, seed: u64, now_us: u64) -> Self {
        let seed = mix(seed, 0x6e65_6967 ^ u64::from(network) << 32);
        let key = |n| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&mix(seed, n).to_be_bytes());
            octets[8..].copy_from_slice(&mix(seed, n + 1).to_be_bytes());
            Key::new(octets)
        };
        // Its minutes are not ours.
        let start_us = now_us + mix(seed, 9) % 10_000_000;
        let counter = u32::from(u16::from_be_bytes([key(1).octets()[0], key(1).octets()[1]]));
        let mut neighbour = Self {
            network: NetworkId(network),
            group: key(3),
            up: key(5),
            sockets: sockets.min(PLAN.slots),
            minute: 0,
            start_us,
            turn: 0,
            look_us: 0,
            until_us: 0,
            counter,
            energy: 10_000,
        };
        neighbour.aim();
        neighbour
    }

    pub(crate) fn wake_us(&self) -> u64 {
        self.look_us
    }

    /// Its next frame, if the line lets it.
    pub(crate) fn handle_timeout(&mut self, street: Node, now_us: u64, line: &mut Line) {
        let heard_us =
            line.busy_until_us(street, now_us).or(line.idle_since_us(street, now_us)).unwrap_or(now_us);
        let free_us = heard_us + u64::from(IDLE_LISTEN_US);
        if free_us > now_us && free_us <= self.until_us {
            self.look_us = free_us;
            return;
        }
        if free_us <= now_us
            && let Some(frame) = self.frame()
        {
            // Whoever else speaks from the street is in the way: then it is not sent.
            line.transmit(street, &frame, now_us).ok();
        }
        self.next_turn();
    }

    fn next_turn(&mut self) {
        self.turn += 1;
        if self.turn > self.sockets {
            (self.turn, self.minute) = (0, self.minute + 1);
            self.start_us += SUPERFRAME_US;
            self.energy += 3;
        }
        self.aim();
    }

    fn aim(&mut self) {
        let offset_ms = self.turn.checked_sub(1).and_then(|slot| PLAN.start_ms(slot)).unwrap_or(0);
        self.look_us = self.start_us + u64::from(offset_ms) * 1_000;
        self.until_us = self.look_us + PATIENCE_US;
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        self.counter += 1;
        let minute = (self.minute & 0xFF) as u8;
        let mut room = [0; MAX_PDU];
        let pdu = if self.turn == 0 {
            let beacon = Beacon { minute, offset_ms: 250, plan: PLAN, ..Beacon::default() };
            Channel::group(&self.group, self.network).seal(
                Options::default(),
                self.counter,
                &beacon,
                &mut room,
            )
        } else {
            let [n0, n1] = self.turn.to_be_bytes();
            let eui = Eui64([0x02, 0xA0, 0xFF, 0, 0xFE, 0, n0, n1]);
            let identity = Identity { eui, network: self.network, short: ShortAddress(self.turn) };
            let reading = Reading {
                flags: Flags { relay_on: true, ..Flags::default() },
                energy_100mwh: Some(self.energy),
                ..Reading::default()
            };
            let report =
                Report { minute, reading, history: Default::default(), extensions: Extensions::NONE };
            Channel::up(&self.up, &identity).seal(Options::default(), self.counter, &report, &mut room)
        };
        let mut frame = [0; MAX_FRAME];
        with_crc(pdu.ok()?, &mut frame).ok().map(<[u8]>::to_vec)
    }
}
