//! The heartbeat of the network: BEACON twice a superframe, with the time, the slots, and whose REPORT arrived.

use std::time::Duration;

use plugline_protocol::frame::{MAX_PDU, Options};
use plugline_protocol::hostlink::{Confirm, TxResult};
use plugline_protocol::messages::{Beacon, Extensions, SlotBits, SlotPlan};
use plugline_protocol::security::Channel;
use plugline_protocol::timing::BEACON_REPEAT_MS;

use super::super::clock::ModemClock;
use super::super::kept::Network;
use super::super::slots::{BEACON_STEP_MS, BEACON_TRIES};
use super::Plugline;
use crate::device::{Moment, Now};

/// A BEACON is with the modem this long before its time.
const LEAD: Duration = Duration::from_millis(250);
/// One that is made anew is with the modem this long after it was written: at 115,200 baud, and a little.
const PORT_US: u64 = 12_000;
/// It starts no later than this after its time, so that the clocks that follow it stay within the guard.
const JITTER_US: u64 = 1_000;
const HALVES: u64 = 2;

/// Whose REPORT arrived in a slot, in this superframe and the one before.
#[derive(Debug, Default)]
pub(super) struct Received {
    number: u64,
    now: Vec<u8>,
    before: Vec<u8>,
}

impl Received {
    fn turn(&mut self, number: u64) {
        if number > self.number {
            let kept = std::mem::take(&mut self.now);
            self.before = if number == self.number + 1 { kept } else { Vec::new() };
            self.number = number;
        }
    }

    pub(super) fn mark(&mut self, number: u64, slot: u16) {
        self.turn(number);
        if number == self.number {
            let len = self.now.len().max(usize::from(slot / 8) + 1);
            self.now.resize(len, 0);
            SlotBits::set(&mut self.now, slot);
        }
    }

    /// The bits of the superframe before `number`.
    pub(super) fn before(&mut self, number: u64) -> &[u8] {
        match number.checked_sub(1) {
            Some(before) if before == self.number => &self.now,
            _ => {
                self.turn(number);
                &self.before
            }
        }
    }
}

/// A REPORT arrived in this slot.
pub(super) fn is_set(bits: &[u8], slot: u16) -> bool {
    SlotBits(bits).get(slot)
}

/// The next BEACON.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// Superframe times two, plus one for the second half.
    next: Option<u64>,
    tries: u8,
    request: Option<u8>,
    /// The modem's clock when the superframes were last laid on it.
    pub(super) clock: Option<ModemClock>,
    sealer: Option<Channel>,
}

impl Beat {
    /// Seals with the network's present key.
    pub(super) fn rekey(&mut self, network: &Network) {
        self.sealer = Some(Channel::group(&network.group_key, network.id));
    }
}

impl Plugline {
    /// From the next half of a superframe on.
    pub(super) fn start_beats(&mut self, now: Moment) {
        let Some(frames) = self.frames else { return };
        let (number, into_us) = frames.at(self.host.clock.at(now));
        let half = into_us / 1_000 / u64::from(BEACON_REPEAT_MS);
        self.beat =
            Beat { next: Some(number * HALVES + half + 1), clock: Some(self.host.clock), ..Beat::default() };
        if let Some(network) = &self.network {
            self.beat.rekey(network);
        }
    }

    /// When the next BEACON goes to the modem.
    pub(super) fn beat_due(&self) -> Option<Moment> {
        let next = self.beat.next.filter(|_| self.beats())?;
        let at = self.host.clock.moment(self.beacon_start(next)?);
        Some(Moment(at.0.saturating_sub(LEAD)))
    }

    fn beats(&self) -> bool {
        self.host.up() && self.beat.request.is_none() && !self.members.is_empty()
    }

    fn beacon_start(&self, half: u64) -> Option<u64> {
        let tried = u64::from(BEACON_STEP_MS) * u64::from(self.beat.tries);
        let into_ms = half % HALVES * u64::from(BEACON_REPEAT_MS) + tried;
        Some(self.frames?.start_of(half / HALVES).wrapping_add(into_ms * 1_000))
    }

    /// Sends the next BEACON if its time has come.
    pub(super) fn beat(&mut self, now: Now) {
        if let (Some(_), true) = (self.frames, self.host.up()) {
            self.beat.clock = Some(self.host.clock);
        }
        if self.beat_due().is_none_or(|due| due > now.mono) {
            return;
        }
        let (Some(half), Some(start_us)) =
            (self.beat.next, self.beat.next.and_then(|half| self.beacon_start(half)))
        else {
            return;
        };
        let ahead = start_us.wrapping_add(JITTER_US).wrapping_sub(self.host.clock.at(now.mono)).cast_signed();
        if ahead < 0 {
            return self.next_beat(now.mono);
        }
        self.beat.request = self.send_beacon(half, start_us, now);
        if self.beat.request.is_none() {
            self.next_beat(now.mono);
        }
    }

    fn send_beacon(&mut self, half: u64, start_us: u64, now: Now) -> Option<u8> {
        let (number, plan) = (half / HALVES, self.schedule?.plan);
        let counter = self.network.as_mut()?.group.take();
        let Some(counter) = counter else {
            self.urgent = true;
            return None;
        };
        let airtime_us = self.airtime_us(beacon_len(plan));
        let since_us = start_us.wrapping_sub(self.frames?.start_of(number)) + airtime_us;
        let offset_ms = since_us.div_ceil(1_000);
        let beacon = Beacon {
            minute: number as u8,
            offset_ms: u16::try_from(offset_ms).ok()?,
            unix_time_s: now.synchronised.then(|| u32::try_from(now.unix_ms / 1_000).ok()).flatten(),
            plan,
            received: SlotBits(self.received.before(number)),
            extensions: Extensions::NONE,
        };
        let mut room = [0; MAX_PDU];
        let pdu = self.beat.sealer.as_ref()?.seal(Options::default(), counter, &beacon, &mut room).ok()?;
        // The superframe may have begun before the modem's clock did.
        let not_before =
            self.frames?.start_of(number).wrapping_add(offset_ms * 1_000).wrapping_sub(airtime_us);
        self.host.send(pdu, (not_before, not_before.wrapping_add(JITTER_US)), now.mono, &mut self.outputs)
    }

    fn next_beat(&mut self, now: Moment) {
        let us = self.host.clock.at(now);
        self.beat.tries = 0;
        self.beat.request = None;
        let (number, into_us) = self.superframe(us);
        let passed = number * HALVES + into_us / 1_000 / u64::from(BEACON_REPEAT_MS);
        self.beat.next = self.beat.next.map(|next| next.max(passed) + 1);
        self.judge_slots(now);
    }

    /// Goes on to the next try that the modem can still keep; `false` when this half has none left.
    fn try_beacon_again(&mut self, now: Moment) -> bool {
        let soonest = self.host.clock.at(now).wrapping_add(PORT_US);
        while self.beat.tries + 1 < BEACON_TRIES {
            self.beat.tries += 1;
            let start = self.beat.next.and_then(|half| self.beacon_start(half));
            if start.is_some_and(|start| start.wrapping_sub(soonest).cast_signed() >= 0) {
                return true;
            }
        }
        false
    }

    /// A request ended; `true` if it was a BEACON.
    pub(super) fn beacon_ended(&mut self, number: u8, confirm: &Confirm, now: Now) -> bool {
        if self.beat.request != Some(number) {
            return false;
        }
        self.beat.request = None;
        match confirm.result {
            TxResult::Late if self.try_beacon_again(now.mono) => {}
            TxResult::Sent => self.next_beat(now.mono),
            _ => {
                self.count("beacon_lost");
                self.next_beat(now.mono);
            }
        }
        true
    }
}

/// Octets of a BEACON without extensions and CRC.
fn beacon_len(plan: SlotPlan) -> usize {
    10 + 13 + plan.bitmap_len() + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_told_for_the_superframe_before_and_then_forgotten() {
        let mut received = Received::default();
        received.mark(100, 0);
        received.mark(100, 9);
        assert_eq!(received.before(101), [1, 2], "asked a little before the superframe ends");
        received.mark(101, 1);
        received.mark(100, 3);
        assert_eq!(received.before(101), [1, 2], "and in its middle");
        assert_eq!(received.before(102), [2]);
        assert!(received.before(104).is_empty());
    }
}
