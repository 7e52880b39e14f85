//! Airtime, and the numbers of the superframe. `timing.md`. Constants and arithmetic; nothing here waits.

/// Length of a superframe. `timing.md` §4.1.
pub const SUPERFRAME_MS: u32 = 60_000;
/// The second BEACON of a superframe starts here.
pub const BEACON_REPEAT_MS: u32 = 30_000;
/// Each BEACON starts within this time after 0 or [`BEACON_REPEAT_MS`]; no slot lies in the second one's.
pub const BEACON_WINDOW_MS: u32 = 1_000;
/// Rest between one slot's last octet and the next slot's start: two crystals of 50 ppm over a minute (6 ms), and 2 ms
/// of jitter.
pub const SLOT_GUARD_MS: u32 = 8;
/// The worst crystal that the slots allow for.
pub const CLOCK_PPM_MAX: u32 = 50;
/// The line counts as idle when nobody was heard for this long.
pub const IDLE_LISTEN_US: u32 = 4_000;
/// After a COMMAND, a JOIN-UP or a REPORT with ACK-REQUEST between others the line counts as held for this long, so that the
/// answer finds it free.
pub const HOLD_US: u32 = 25_000;
/// A socket starts its answer at the earliest this long after the last octet of what it answers.
pub const TURNAROUND_MIN_US: u32 = 5_000;
/// And at the latest.
pub const TURNAROUND_MAX_US: u32 = 20_000;
/// A repeated COMMAND is shifted by 0 … this much, so that it meets the mains cycle elsewhere.
pub const RETRY_SHIFT_MAX_US: u32 = 10_000;
/// How often a COMMAND is sent, the first time included.
pub const COMMAND_TRIES: u8 = 8;
/// Without a BEACON for this long a socket leaves its slot and reports by listening (CSMA).
pub const BEACON_LOST_MS: u32 = 180_000;
/// A superframe's length in CSMA mode differs by up to this share, at random.
pub const CSMA_JITTER_PERCENT: u32 = 20;
/// After each of its REPORTs in a row that nobody acknowledged a socket in CSMA mode waits twice as long, up to this many
/// times: the sockets of a large house cannot all be heard each minute without slots.
pub const CSMA_DOUBLINGS_MAX: u8 = 4;
/// Unit of the back-off.
pub const BACKOFF_UNIT_MS: u32 = 20;
/// The first back-off is 1 … this many units, doubled at each try. The gateway waits for none: it comes first.
pub const BACKOFF_FIRST_UNITS: u32 = 4;
/// And no more than this.
pub const BACKOFF_MAX_UNITS: u32 = 64;
/// How often a REPORT that asks for an ACK is sent, the first time included.
pub const REPORT_TRIES: u8 = 5;
/// After power comes a socket waits 0 … this long before its first frame, so that a street does not speak at once.
pub const POWER_UP_WAIT_MAX_MS: u32 = 30_000;
/// An unjoined socket sends JOIN-UP at intervals from here …
pub const JOIN_INTERVAL_MIN_MS: u32 = 30_000;
/// … to here, at random.
pub const JOIN_INTERVAL_MAX_MS: u32 = 60_000;
/// After so many JOIN-UPs the intervals are longer …
pub const JOIN_EAGER: u8 = 12;
/// … by this factor: nobody asks it in now, and the line is others'.
pub const JOIN_SLOW_FACTOR: u32 = 2;
/// The nonce of one joining attempt is kept this long; JOIN-UP is repeated with it, byte for byte.
pub const JOIN_ATTEMPT_MS: u32 = 120_000;
/// A joined socket whose first REPORT was not acknowledged within this time is unjoined again.
pub const JOIN_COMMIT_MS: u32 = 300_000;
/// The longest silence that a BEACON may ask for.
pub const QUIET_MAX_S: u8 = 60;
/// The slot table has at most this many slots, so that their bitmap fits one BEACON.
pub const SLOTS_MAX: u16 = 640;
/// A scheduled REPORT is not longer than this on the line, CRC included; slots are made for it.
pub const SLOT_FRAME_MAX: usize = 44;

/// What a bearer adds to each frame, and how fast it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRate {
    /// Raw rate in bit/s, never 0.
    pub bit_per_s: u32,
    /// Octets of preamble, unique word, mode and length in front of each frame, counted at the raw rate.
    pub overhead: u8,
}

impl LineRate {
    /// The reference: ST7580 in its most robust mode (PNA), 2400 bit/s and 10 octets of physical layer.
    pub const REFERENCE: Self = Self { bit_per_s: 2400, overhead: 10 };

    /// How long a frame of `octets` (CRC included) holds the line, in µs, rounded up.
    #[must_use]
    pub const fn airtime_us(self, octets: usize) -> u32 {
        let bits = (octets as u64).saturating_add(self.overhead as u64).saturating_mul(8);
        let rate = if self.bit_per_s == 0 { 1 } else { self.bit_per_s };
        let us = bits.saturating_mul(1_000_000).div_ceil(rate as u64);
        if us > u32::MAX as u64 { u32::MAX } else { us as u32 }
    }

    /// The smallest distance of two slots, in ms.
    #[must_use]
    pub const fn slot_pitch_min_ms(self) -> u32 {
        self.airtime_us(SLOT_FRAME_MAX).div_ceil(1000) + SLOT_GUARD_MS
    }
}
