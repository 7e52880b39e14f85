//! What the physical layer is: rates, levels and how long a frame lasts. Numbers only; nothing acts here.
//!
//! Levels are in hundredths of a dBµV (`_cdbuv`), ratios in hundredths of a dB (`_cdb`), so that a scenario means the
//! same on every machine.

/// A bearer. The default is a narrow-band modem in CENELEC band B (an ST7580 in its most robust mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phy {
    /// Bits a second on the wire, 1 or more; frame and overhead alike.
    pub bit_rate: u32,
    /// Preamble, unique word, mode and length, in bytes at the line's rate.
    pub overhead_bytes: u32,
    /// What a sender puts on the wire.
    pub transmit_cdbuv: i32,
    /// The weakest frame that a receiver finds.
    pub sensitivity_cdbuv: i32,
    /// The weakest signal that counts as a carrier.
    pub carrier_cdbuv: i32,
    /// From the start of a frame until its carrier is noticed, in µs.
    pub sense_delay_us: u64,
    /// How much stronger a frame must be than all that collides with it to survive.
    pub capture_cdb: i32,
    /// What coding gains over bare BPSK.
    pub coding_gain_cdb: i32,
    /// Wrong bits in the overhead above which a receiver does not find the frame.
    pub sync_errors_max: u32,
}

impl Default for Phy {
    /// 2400 bit/s, 10 bytes before the frame, 116 dBµV (EN 50065-1 class 116), 38 dBµV to be heard, 4 ms to notice a
    /// carrier, 6 dB capture.
    fn default() -> Self {
        Self {
            bit_rate: 2400,
            overhead_bytes: 10,
            transmit_cdbuv: 11_600,
            sensitivity_cdbuv: 3_800,
            carrier_cdbuv: 3_800,
            sense_delay_us: 4_000,
            capture_cdb: 600,
            coding_gain_cdb: 0,
            sync_errors_max: 3,
        }
    }
}

impl Phy {
    /// How long a frame of so many bytes holds the line, in µs, rounded up.
    #[must_use]
    pub fn airtime_us(&self, frame_bytes: usize) -> u64 {
        self.bit_at_us(self.overhead_bits() + frame_bytes as u64 * 8)
    }

    pub(crate) fn overhead_bits(&self) -> u64 {
        u64::from(self.overhead_bytes) * 8
    }

    /// When bit `n` begins, in µs after the start of its frame, rounded up.
    pub(crate) fn bit_at_us(&self, n: u64) -> u64 {
        (n * 1_000_000).div_ceil(u64::from(self.bit_rate.max(1)))
    }

    /// The bit that is on the wire so many µs after the start of its frame.
    pub(crate) fn bit_of(&self, since_us: u64) -> u64 {
        since_us * u64::from(self.bit_rate.max(1)) / 1_000_000
    }
}

/// Ratio of powers for hundredths of a dB.
pub(crate) fn power(cdb: i32) -> f64 {
    libm::pow(10.0, f64::from(cdb) / 1000.0)
}

/// Hundredths of a dB for a ratio of powers above 0.
pub(crate) fn cdb(power: f64) -> i32 {
    libm::round(libm::log10(power) * 1000.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_lasts_as_long_as_its_bits_and_the_overhead() {
        let phy = Phy::default();
        assert_eq!(phy.airtime_us(34), 146_667);
        assert_eq!(phy.airtime_us(12), 73_334);
        assert_eq!(Phy { bit_rate: 28_800, ..phy }.airtime_us(34), 12_223);
    }

    #[test]
    fn decibels_and_powers_are_each_others_inverse() {
        for level in [-3_000, -1, 0, 600, 11_600] {
            assert_eq!(cdb(power(level)), level);
        }
    }
}
