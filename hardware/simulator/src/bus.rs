//! Meters on one pair of wires: bytes in, bytes out with the moment at which they are due. No port, no clock.
//!
//! Requests reach every meter. Meters that answer the same request at once disturb each other, as on a real wire.
//! What may go wrong beyond that is in [`Fault`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::dlt645::{Address, Heard, Parser};
use crate::fault::{Fault, Piece, distort};
use crate::meter::Meter;
use crate::random::Random;

/// A silence longer than this ends a frame that is not complete (Tb of the standard).
const BYTE_GAP: Duration = Duration::from_millis(500);
/// Requests kept for tests and curious people; a demo that runs for weeks must not grow.
const MAX_RECORDED: usize = 4096;
/// Start, eight data, parity and stop bit.
const BITS_PER_BYTE: u64 = 11;

/// Bytes that leave the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// When they are complete at the host's end.
    pub due: Duration,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One request as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When its last byte came.
    pub at: Duration,
    /// Its bytes, wake-up bytes included.
    pub bytes: Vec<u8>,
    /// How many wake-up bytes stand in front.
    pub preamble: usize,
}

impl Recorded {
    /// The frame without wake-up bytes.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.preamble..]
    }
}

#[derive(Clone, Copy, Debug)]
struct Active {
    fault: Fault,
    /// How often it may still strike; `None` is for ever.
    left: Option<u32>,
}

/// Meters on one pair of wires.
#[derive(Clone, Debug)]
pub struct Bus {
    meters: Vec<Meter>,
    parser: Parser,
    faults: Vec<Active>,
    random: Random,
    /// What is on its way, by the moment it is due and the order in which it was made.
    outputs: BTreeMap<(Duration, u64), Vec<u8>>,
    made: u64,
    /// A reply held back by [`Fault::Merge`].
    held: Vec<u8>,
    recorded: VecDeque<Recorded>,
    last_byte: Duration,
    now: Duration,
    baud: Option<u32>,
}

impl Bus {
    /// A bus; the seed decides what its faults do.
    #[must_use]
    pub fn new(seed: u64, meters: Vec<Meter>) -> Self {
        Self {
            meters,
            parser: Parser::default(),
            faults: Vec::new(),
            random: Random::new(seed),
            outputs: BTreeMap::new(),
            made: 0,
            held: Vec::new(),
            recorded: VecDeque::new(),
            last_byte: Duration::ZERO,
            now: Duration::ZERO,
            baud: None,
        }
    }

    /// Lets replies take the time that their bytes need at this rate; otherwise they need none.
    #[must_use]
    pub fn with_baud(self, baud: u32) -> Self {
        Self { baud: Some(baud.max(1)), ..self }
    }

    /// Bytes from the host, at `now` on the virtual clock; `unix_ms` is the wall clock that the meters' own clocks follow.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration, unix_ms: i64) {
        self.advance(now);
        if now.saturating_sub(self.last_byte) > BYTE_GAP {
            self.parser.forget();
        }
        self.last_byte = now;
        if self.strikes(|fault| fault == Fault::Echo).is_some() {
            self.emit(now, bytes.to_vec());
        }
        for heard in self.parser.push(bytes) {
            self.hear(heard, now, unix_ms);
        }
    }

    /// The next bytes due at or before `now`, in order.
    pub fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.advance(now);
        let first = self.outputs.first_entry().filter(|entry| entry.key().0 <= now)?;
        let due = first.key().0;
        Some(Output { due, bytes: first.remove() })
    }

    /// When the next bytes are due, if any are on their way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.outputs.first_key_value().map(|((due, _), _)| *due)
    }

    /// Lets every meter count up to `now`.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.meters.iter_mut().for_each(|meter| meter.advance(now));
    }

    /// The latest moment that the bus has seen.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets this go wrong until it is cleared. A fault that is already set is not set twice.
    pub fn set_fault(&mut self, fault: Fault) {
        self.clear_fault(fault);
        self.faults.push(Active { fault, left: None });
    }

    /// Lets this go wrong the next `times` times.
    pub fn set_fault_times(&mut self, fault: Fault, times: u32) {
        self.clear_fault(fault);
        self.faults.push(Active { fault, left: Some(times) });
    }

    /// Ends one fault.
    pub fn clear_fault(&mut self, fault: Fault) {
        self.faults.retain(|active| active.fault != fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The meters, in the order in which they were put on the wire.
    #[must_use]
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// The meters, to change them.
    pub fn meters_mut(&mut self) -> &mut [Meter] {
        &mut self.meters
    }

    /// One meter.
    #[must_use]
    pub fn meter(&self, address: Address) -> Option<&Meter> {
        self.meters.iter().find(|meter| meter.address() == address)
    }

    /// One meter, to change it.
    pub fn meter_mut(&mut self, address: Address) -> Option<&mut Meter> {
        self.meters.iter_mut().find(|meter| meter.address() == address)
    }

    /// Requests heard so far, oldest first; the last 4096.
    pub fn requests(&self) -> impl Iterator<Item = &Recorded> {
        self.recorded.iter()
    }

    /// Forgets the requests heard so far.
    pub fn clear_requests(&mut self) {
        self.recorded.clear();
    }

    /// Bytes from the host that belonged to no request.
    #[must_use]
    pub fn junk_bytes(&self) -> u64 {
        self.parser.junk_bytes
    }

    fn hear(&mut self, heard: Heard, now: Duration, unix_ms: i64) {
        let chunk = self.faults.iter().find_map(|active| match active.fault {
            Fault::MoreData { chunk } => Some(chunk),
            _ => None,
        });
        let mut replies = Vec::new();
        for index in 0..self.meters.len() {
            let address = self.meters[index].address();
            let meant = address.is_meant_by(heard.request.address);
            if meant && self.strikes(|fault| fault == Fault::Mute(address)).is_some() {
                continue;
            }
            let meter = &mut self.meters[index];
            if let Some(frame) = meter.answer(&heard.request, now, unix_ms, chunk) {
                let delay = meter.next_delay();
                replies.extend(self.sent_by(address, frame).map(|frame| (delay, frame)));
            }
        }
        if self.recorded.len() == MAX_RECORDED {
            self.recorded.pop_front();
        }
        self.recorded.push_back(Recorded { at: now, bytes: heard.bytes, preamble: heard.preamble });
        if let Some(reply) = collide(replies) {
            self.send(reply, now);
        }
    }

    /// A reply as it leaves its meter: perhaps lost, perhaps under another's address.
    fn sent_by(&mut self, meter: Address, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        if self.strikes(|fault| fault == Fault::LoseReplies(meter)).is_some() {
            return None;
        }
        let disguise =
            self.strikes(|fault| matches!(fault, Fault::AnswerForAnother { asked, .. } if asked == meter));
        if let Some(Fault::AnswerForAnother { answers_as, .. }) = disguise {
            readdress(&mut frame, answers_as);
        }
        Some(frame)
    }

    fn send(&mut self, reply: Piece, now: Duration) {
        let mut pieces = vec![reply];
        for index in 0..self.faults.len() {
            let Active { fault, left } = self.faults[index];
            if left == Some(0) {
                continue;
            }
            if let Some(changed) = distort(fault, &pieces, &mut self.random) {
                pieces = changed;
                self.faults[index].left = left.map(|left| left - 1);
            }
        }
        if self.held.is_empty() && self.strikes(|fault| fault == Fault::Merge).is_some() {
            self.held = pieces.into_iter().flat_map(|(_, bytes)| bytes).collect();
            return;
        }
        for (delay, bytes) in pieces {
            let bytes = [std::mem::take(&mut self.held), bytes].concat();
            let due = now + delay + self.airtime(bytes.len());
            self.emit(due, bytes);
        }
    }

    fn airtime(&self, bytes: usize) -> Duration {
        let bits = bytes as u64 * BITS_PER_BYTE;
        self.baud.map_or(Duration::ZERO, |baud| Duration::from_micros(bits * 1_000_000 / u64::from(baud)))
    }

    fn emit(&mut self, due: Duration, bytes: Vec<u8>) {
        self.outputs.insert((due, self.made), bytes);
        self.made += 1;
    }

    /// The first fault that `wanted` names and that may still strike; it is counted as having struck.
    fn strikes(&mut self, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        let active = self.faults.iter_mut().find(|active| wanted(active.fault) && active.left != Some(0))?;
        active.left = active.left.map(|left| left - 1);
        Some(active.fault)
    }
}

/// What is left of replies that are sent at the same time: a zero on a shared wire wins over a one.
fn collide(replies: Vec<Piece>) -> Option<Piece> {
    replies.into_iter().reduce(|(delay, mut sum), (other_delay, other)| {
        let longest = sum.len().max(other.len());
        sum.resize(longest, 0xff);
        sum.iter_mut().zip(&other).for_each(|(byte, other)| *byte &= other);
        (delay.min(other_delay), sum)
    })
}

/// Puts another address into a sound frame and makes its sum right again.
fn readdress(frame: &mut [u8], address: Address) {
    let start = frame.iter().position(|byte| *byte == 0x68).unwrap_or(0);
    frame[start + 1..start + 7].copy_from_slice(&address.wire());
    let sum_at = frame.len() - 2;
    frame[sum_at] = frame[start..sum_at].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
}

#[cfg(test)]
mod tests;
