//! When this socket speaks: answers at once, scheduled REPORTs at their slot, everything else by listening.
//! Spec: protocol-spec/timing.md §4.2 – §4.4. Knows no contents but the octets of four frames.

use plugline_protocol::frame::{CRC_LEN, crc};
use plugline_protocol::timing::{
    BACKOFF_FIRST_UNITS, BACKOFF_MAX_UNITS, BACKOFF_UNIT_MS, IDLE_LISTEN_US, LineRate, SLOT_FRAME_MAX,
    TURNAROUND_MAX_US, TURNAROUND_MIN_US,
};
use plugline_protocol::wire::Full;

use crate::random::Random;
use crate::time::{Alarm, ms};

/// A frame is handed out this much ahead of a slot, so that a slow loop is still in time.
pub(crate) const LEAD_US: u64 = 5_000;
/// A slot is begun within this, or skipped.
const SLOT_LATE_US: u64 = 1_000;
/// A start by listening may be this late; the line is listened to until then.
const LISTEN_LATE_US: u64 = 5_000;
/// A start that nobody confirmed within this time did not happen.
const CONFIRM_US: u64 = 1_500_000;
/// After a frame that somebody will answer the line belongs to the answer.
const HELD_US: u64 = 25_000;

/// Octets of a frame, CRC included.
const ROOM: usize = SLOT_FRAME_MAX;

/// A frame for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Its octets; with CRC unless the bearer has a check of its own.
    pub frame: &'a [u8],
    /// The first octet starts at this time …
    pub not_before_us: u64,
    /// … and not later than this; else the frame is thrown away.
    pub not_after_us: u64,
    /// Start only if nobody was heard for 4 ms before.
    pub listen: bool,
}

/// How a [`Transmit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmitted {
    /// Its last octet was on the line at this time.
    Sent {
        /// In µs of the socket's clock.
        ended_us: u64,
    },
    /// Somebody else spoke.
    Busy,
    /// The time was over before it could start.
    Late,
}

/// Which of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// ANSWER or RESPONSE; kept, because the same question gets the same octets.
    Answer,
    /// RESPONSE `stale`; not kept.
    Stale,
    /// The scheduled REPORT.
    Slot,
    /// JOIN-UP, or a REPORT with ACK-REQUEST.
    Listen,
}

#[derive(Clone, Debug)]
struct Frame {
    octets: [u8; ROOM],
    len: usize,
}

impl Frame {
    const EMPTY: Self = Self { octets: [0; ROOM], len: 0 };

    fn append_crc(&mut self) {
        if let Some((pdu, rest)) =
            self.octets.split_at_mut_checked(self.len).filter(|(pdu, _)| !pdu.is_empty())
            && let Some(check) = rest.first_chunk_mut::<CRC_LEN>()
        {
            *check = crc(pdu).to_le_bytes();
            self.len += CRC_LEN;
        }
    }
}

/// Contention of the listening lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contend {
    Off,
    /// Until the line is idle, and not before the moment.
    Wait,
    /// The drawn wait is over at the moment.
    Count,
}

/// The frames and the line as far as it was heard.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    frames: [Frame; 4],
    /// The frame that is answered ended at this time.
    asked: Option<(Lane, u64)>,
    slot: Alarm,
    contend: Contend,
    /// Of the contention.
    moment_us: u64,
    window: u32,
    /// The frame that the bearer has, and until when it may tell how that ended.
    on_air: Option<Lane>,
    confirm: Alarm,
    busy: bool,
    /// Nobody was heard after this.
    quiet_us: u64,
    held_us: u64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            frames: [Frame::EMPTY; 4],
            asked: None,
            slot: Alarm::OFF,
            contend: Contend::Off,
            moment_us: 0,
            window: BACKOFF_FIRST_UNITS,
            on_air: None,
            confirm: Alarm::OFF,
            busy: false,
            quiet_us: 0,
            held_us: 0,
        }
    }

    /// Fills the frame of a lane; `with_crc` where the bearer has no check of its own. `false` when it has no room.
    pub(crate) fn fill(
        &mut self,
        lane: Lane,
        with_crc: bool,
        make: impl FnOnce(&mut [u8]) -> Result<&[u8], Full>,
    ) -> bool {
        let frame = &mut self.frames[lane as usize];
        let (room, _) = frame.octets.split_at_mut(ROOM - CRC_LEN);
        frame.len = make(room).map_or(0, <[u8]>::len);
        if with_crc {
            frame.append_crc();
        }
        frame.len > 0
    }

    /// The answer goes out in the time after `asked_us` that belongs to it.
    pub(crate) fn answer(&mut self, lane: Lane, asked_us: u64) {
        self.asked = Some((lane, asked_us));
    }

    /// The scheduled REPORT goes out at its slot.
    pub(crate) fn at_slot(&mut self, slot: Alarm) {
        self.slot = slot;
    }

    /// The frame of the listening lane goes out as soon as the line lets it. `again`: it was tried before.
    pub(crate) fn contend(&mut self, from_us: u64, again: bool) {
        self.window = if again { (self.window * 2).min(BACKOFF_MAX_UNITS) } else { BACKOFF_FIRST_UNITS };
        (self.contend, self.moment_us) = (Contend::Wait, from_us);
    }

    /// The frame of the listening lane is not to be sent any more.
    pub(crate) fn stop_listening(&mut self) {
        self.contend = Contend::Off;
    }

    /// Nothing unasked is to be sent any more.
    pub(crate) fn stop_unasked(&mut self) {
        self.slot = Alarm::OFF;
        self.stop_listening();
    }

    /// Nothing unasked is to be sent before this.
    pub(crate) fn hold(&mut self, until_us: u64) {
        self.slot.take_if_due(until_us);
        if self.contend != Contend::Off {
            (self.contend, self.moment_us) = (Contend::Wait, until_us);
        }
    }

    /// The bearer has the frame of this lane.
    pub(crate) fn is_on_air(&self, lane: Lane) -> bool {
        self.on_air == Some(lane)
    }

    /// The carrier came or went.
    pub(crate) fn carrier(&mut self, busy: bool, now_us: u64) {
        self.busy = busy;
        self.heard(now_us, false);
    }

    /// A frame ended; `held`: somebody else will answer it. Not inlined: it is called from everywhere.
    #[inline(never)]
    pub(crate) fn heard(&mut self, ended_us: u64, held: bool) {
        self.quiet_us = self.quiet_us.max(ended_us);
        if held {
            self.held_us = ended_us + HELD_US;
        }
    }

    fn idle_from_us(&self) -> u64 {
        (self.quiet_us + u64::from(IDLE_LISTEN_US)).max(self.held_us)
    }

    /// Time goes on: what was not confirmed is over, waits are drawn.
    pub(crate) fn settle(&mut self, now_us: u64, random: &mut Random) {
        if self.confirm.is_due(now_us) {
            // Nobody will tell any more.
            self.transmitted(Transmitted::Late, now_us);
        }
        let idle = !self.busy && now_us >= self.idle_from_us();
        if self.contend == Contend::Off || now_us < self.moment_us {
            return;
        }
        if self.contend == Contend::Count && !idle && !self.busy {
            self.contend(now_us, true);
        } else if self.contend == Contend::Wait && idle {
            let units = 1 + random.up_to(self.window - 1);
            (self.contend, self.moment_us) = (Contend::Count, now_us + ms(units * BACKOFF_UNIT_MS));
        }
    }

    /// The frame to be sent now, if there is one and none is on its way.
    pub(crate) fn poll(&mut self, now_us: u64) -> Option<Transmit<'_>> {
        if self.on_air.is_some() {
            return None;
        }
        let (lane, not_before_us, not_after_us) = self.due(now_us)?;
        self.on_air = Some(lane);
        self.confirm = Alarm::at(not_after_us + CONFIRM_US);
        let Frame { octets, len } = &self.frames[lane as usize];
        let frame = octets.get(..*len).unwrap_or_default();
        Some(Transmit {
            frame,
            not_before_us,
            not_after_us,
            listen: matches!(lane, Lane::Slot | Lane::Listen),
        })
    }

    fn due(&mut self, now_us: u64) -> Option<(Lane, u64, u64)> {
        if let Some((lane, asked_us)) = self.asked.take() {
            let late_us = asked_us + u64::from(TURNAROUND_MAX_US);
            if now_us <= late_us {
                return Some((lane, asked_us + u64::from(TURNAROUND_MIN_US), late_us));
            }
        }
        let slot_us = self.slot.us();
        if self.slot.take_if_due(now_us + LEAD_US) && now_us <= slot_us + SLOT_LATE_US {
            return Some((Lane::Slot, slot_us, slot_us + SLOT_LATE_US));
        }
        if self.contend == Contend::Count && !self.busy && now_us >= self.moment_us {
            self.contend = Contend::Off;
            return Some((Lane::Listen, now_us, now_us + LISTEN_LATE_US));
        }
        None
    }

    /// How the frame on its way ended; gives its lane if it was sent.
    pub(crate) fn transmitted(&mut self, how: Transmitted, now_us: u64) -> Option<Lane> {
        let lane = self.on_air.take()?;
        self.confirm = Alarm::OFF;
        match how {
            Transmitted::Sent { ended_us } => {
                self.heard(ended_us.min(now_us), false);
                return Some(lane);
            }
            Transmitted::Busy => self.heard(now_us, false),
            Transmitted::Late => {}
        }
        if lane == Lane::Listen {
            self.contend(now_us, true);
        }
        None
    }

    /// When [`Self::settle`] or [`Self::poll`] has something to do.
    pub(crate) fn alarm(&self) -> Alarm {
        if self.on_air.is_some() {
            return self.confirm;
        }
        let slot =
            if self.slot.is_set() { Alarm::at(self.slot.us().saturating_sub(LEAD_US)) } else { Alarm::OFF };
        let listen = match self.contend {
            _ if self.busy => Alarm::OFF,
            Contend::Off => Alarm::OFF,
            Contend::Wait => Alarm::at(self.moment_us.max(self.idle_from_us())),
            Contend::Count => Alarm::at(self.moment_us),
        };
        let asked = self.asked.map_or(Alarm::OFF, |(_, asked_us)| Alarm::at(asked_us));
        asked.min(slot).min(listen)
    }
}

/// How long after a REPORT its acknowledgement may take: the turnaround, and a COMMAND SYNC on the line.
pub(crate) fn ack_wait_us(rate: LineRate) -> u64 {
    /// COMMAND SYNC with CRC; an ACK is shorter.
    const LONGEST: u32 = 29;
    /// The gateway's modem and this socket's own way.
    const SLACK_US: u32 = 10_000;
    // `LineRate::airtime_us` is for any length and divides 64 bits, which costs a small chip 500 octets.
    let bits = (LONGEST + u32::from(rate.overhead)) * 8;
    let airtime_us = (bits * 1_000_000) / rate.bit_per_s.max(1);
    u64::from(TURNAROUND_MAX_US + SLACK_US) + u64::from(airtime_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn contending() -> (Outbox, Random) {
        let mut outbox = Outbox::new();
        assert!(outbox.fill(Lane::Listen, true, |out| {
            out[..3].copy_from_slice(&[1, 2, 3]);
            Ok(&out[..3])
        }));
        outbox.contend(NOW, false);
        (outbox, Random::new([1, 2, 3, 4, 5, 6, 7, 8]))
    }

    /// Lets time go on from alarm to alarm until a frame comes; gives when.
    fn next_start(outbox: &mut Outbox, random: &mut Random) -> u64 {
        loop {
            let now_us = outbox.alarm().us();
            assert!(now_us < 1_000 * NOW, "nothing will ever be sent");
            outbox.settle(now_us, random);
            if let Some(transmit) = outbox.poll(now_us) {
                assert_eq!(transmit.not_before_us, now_us);
                return now_us;
            }
        }
    }

    // [PLG-3.4-1] [PLG-3.4-2]
    #[test]
    fn a_frame_has_its_crc_where_the_bearer_has_no_check() {
        let mut outbox = Outbox::new();
        for (with_crc, octets) in [(true, &b"123456789\x6e\x90"[..]), (false, b"123456789")] {
            let nine = |out: &mut [u8]| out[..9].copy_from_slice(b"123456789");
            assert!(outbox.fill(Lane::Answer, with_crc, |out| {
                nine(out);
                Ok(&out[..9])
            }));
            outbox.answer(Lane::Answer, NOW);
            let frame = outbox.poll(NOW).map(|transmit| transmit.frame.to_vec());
            assert_eq!(frame.as_deref(), Some(octets));
            outbox.transmitted(Transmitted::Late, NOW);
        }
    }

    // [PLG-4.4-1]
    #[test]
    fn an_answer_starts_5_to_20_ms_after_the_question_without_listening_or_not_at_all() {
        let (mut outbox, _) = contending();
        outbox.answer(Lane::Listen, NOW);
        let transmit = outbox.poll(NOW + 1).expect("an answer is due");
        assert_eq!((transmit.not_before_us, transmit.not_after_us), (NOW + 5_000, NOW + 20_000));
        outbox.transmitted(Transmitted::Sent { ended_us: NOW }, NOW);
        outbox.answer(Lane::Answer, NOW);
        assert_eq!(outbox.poll(NOW + 20_001).map(|transmit| transmit.listen), None);
    }

    // [PLG-4.3-1]
    #[test]
    fn a_start_waits_for_the_idle_line_and_a_whole_number_of_units() {
        let mut waits = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let (mut outbox, _) = contending();
            let mut random = Random::new([seed, 2, 3, 4, 5, 6, 7, 8]);
            outbox.heard(NOW + 3_000, false);
            waits.insert(next_start(&mut outbox, &mut random) - NOW - 3_000 - 4_000);
        }
        assert_eq!(waits.into_iter().collect::<std::vec::Vec<_>>(), [20_000, 40_000, 60_000, 80_000]);
    }

    // [PLG-4.3-1]
    #[test]
    fn the_window_doubles_up_to_64_units_while_the_line_is_taken() {
        let (mut outbox, mut random) = contending();
        let mut longest_us = 0;
        for _ in 0..500 {
            let before_us = next_start(&mut outbox, &mut random);
            outbox.transmitted(Transmitted::Busy, before_us);
            let after_us = next_start(&mut outbox, &mut random);
            outbox.transmitted(Transmitted::Busy, after_us);
            longest_us = longest_us.max(after_us - before_us);
        }
        assert!((1_100_000..=1_284_000).contains(&longest_us), "{longest_us}");
    }

    #[test]
    fn a_frame_that_somebody_will_answer_holds_the_line_for_its_answer() {
        let (mut outbox, mut random) = contending();
        outbox.heard(NOW, true);
        assert!(next_start(&mut outbox, &mut random) >= NOW + 25_000);
    }

    #[test]
    fn nothing_starts_while_somebody_is_heard_and_a_wait_begins_anew_behind_him() {
        let (mut outbox, mut random) = contending();
        outbox.carrier(true, NOW);
        outbox.settle(NOW + 500_000, &mut random);
        assert!(outbox.poll(NOW + 500_000).is_none() && !outbox.alarm().is_set());
        outbox.carrier(false, NOW + 600_000);
        assert!(next_start(&mut outbox, &mut random) >= NOW + 604_000);
    }

    // [PLG-4.2-3]
    #[test]
    fn a_slot_is_begun_within_a_millisecond_if_the_line_is_idle_or_skipped() {
        let mut outbox = Outbox::new();
        outbox.at_slot(Alarm::at(NOW));
        assert!(outbox.poll(NOW - LEAD_US - 1).is_none());
        let transmit = outbox.poll(NOW - LEAD_US).expect("the slot is near");
        assert_eq!(
            (transmit.not_before_us, transmit.not_after_us, transmit.listen),
            (NOW, NOW + 1_000, true)
        );
        assert_eq!(outbox.transmitted(Transmitted::Busy, NOW), None);
        assert!(outbox.poll(NOW + 500).is_none(), "a skipped slot is not made up for");
        outbox.at_slot(Alarm::at(NOW));
        assert!(outbox.poll(NOW + 1_001).is_none());
    }

    #[test]
    fn a_bearer_that_never_tells_does_not_silence_the_socket() {
        let (mut outbox, mut random) = contending();
        let first_us = next_start(&mut outbox, &mut random);
        assert!(outbox.poll(first_us).is_none());
        assert!(next_start(&mut outbox, &mut random) > first_us + CONFIRM_US);
    }

    #[test]
    fn an_acknowledgement_is_waited_for_as_long_as_a_sync_takes_on_the_line() {
        let rate = LineRate::REFERENCE;
        assert_eq!(ack_wait_us(rate), 30_000 + u64::from(rate.airtime_us(29)));
        assert!(ack_wait_us(LineRate { bit_per_s: 1, overhead: 255 }) > 0);
    }
}
