//! Data identifiers and their formats: which bytes a meter shows under which number.
//!
//! Identifiers are written as the standard prints them (DI3 DI2 DI1 DI0); on the wire the lowest byte comes first.

use super::Address;
use crate::civil::{Civil, weekday};
use crate::figures::Figures;

/// Everything that a meter can be asked for, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) address: Address,
    pub(crate) number: Address,
    pub(crate) forward_mwh: u64,
    pub(crate) reverse_mwh: u64,
    pub(crate) figures: Figures,
    /// Bit 4 relay open, bit 6 last command was to open.
    pub(crate) status_3: u16,
    /// The meter's own clock, seconds since 1970.
    pub(crate) clock: i64,
}

/// Wire filling of a phase that the meter does not have, before the offset.
const ABSENT: u8 = 0xff;

/// The data of an identifier (as on the wire, without offset), or `None` if this meter has no such data.
pub(crate) fn data_of(identifier: [u8; 4], view: &View) -> Option<Vec<u8>> {
    let figures = &view.figures;
    let voltage = || unsigned(rounded(figures.voltage_mv, 100), 2);
    let current = || signed(figures.current_ma, 3);
    let power = || signed(rounded(figures.power_mw, 100), 3);
    let factor = || signed(figures.power_factor_milli, 2);
    let data = match u32::from_le_bytes(identifier) {
        0x0000_0000 => combined(view),
        0x0000_ff00 => tariffs(combined(view)),
        0x0001_0000 => energy(view.forward_mwh),
        0x0001_ff00 => tariffs(energy(view.forward_mwh)),
        0x0002_0000 => energy(view.reverse_mwh),
        0x0002_ff00 => tariffs(energy(view.reverse_mwh)),
        0x0201_0100 => voltage(),
        0x0201_ff00 => single_phase(voltage()),
        0x0202_0100 => current(),
        0x0202_ff00 => single_phase(current()),
        0x0203_0000 | 0x0203_0100 => power(),
        0x0203_ff00 => [power(), single_phase(power())].concat(),
        0x0204_0000 => signed(rounded(figures.reactive_mvar, 100), 3),
        0x0205_0000 => signed(rounded(figures.apparent_mva, 100), 3),
        0x0206_0000 | 0x0206_0100 => factor(),
        0x0206_ff00 => [factor(), single_phase(factor())].concat(),
        0x0280_0002 => unsigned(rounded(figures.frequency_mhz, 10), 2),
        0x0400_0101 => date(view.clock),
        0x0400_0102 => time(view.clock),
        0x0400_0401 => view.address.wire().to_vec(),
        0x0400_0402 => view.number.wire().to_vec(),
        0x0400_0501 => vec![0, 0],
        0x0400_0503 => view.status_3.to_le_bytes().to_vec(),
        _ => return None,
    };
    Some(data)
}

/// XXXXXX.XX kWh. A register shows whole hundredths and starts again at zero after the last digit.
fn energy(mwh: u64) -> Vec<u8> {
    bcd(mwh / 10_000, 4)
}

/// Imported less exported energy, signed; some meters are set to add the two.
fn combined(view: &View) -> Vec<u8> {
    let hundredths = |mwh: u64| i64::try_from(mwh / 10_000).unwrap_or(i64::MAX);
    signed(hundredths(view.forward_mwh) - hundredths(view.reverse_mwh), 4)
}

/// A total, and four tariffs of which only the first is in use.
fn tariffs(total: Vec<u8>) -> Vec<u8> {
    let mut block = total.repeat(2);
    block.resize(total.len() * 5, 0);
    block
}

/// Phase A, and two phases that do not exist.
fn single_phase(mut phase_a: Vec<u8>) -> Vec<u8> {
    phase_a.resize(phase_a.len() * 3, ABSENT);
    phase_a
}

fn date(clock: i64) -> Vec<u8> {
    let civil = Civil::from_unix(clock);
    [weekday(clock), civil.day, civil.month, civil.year % 100]
        .into_iter()
        .flat_map(|n| unsigned(n, 1))
        .collect()
}

fn time(clock: i64) -> Vec<u8> {
    let civil = Civil::from_unix(clock);
    [civil.second, civil.minute, civil.hour].into_iter().flat_map(|n| unsigned(n, 1)).collect()
}

fn rounded(value: i64, unit: i64) -> i64 {
    let half = unit / 2 * value.signum();
    (value + half) / unit
}

/// BCD digits, lowest byte first; digits that do not fit are lost, as in a counter.
fn bcd(mut value: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes);
    for _ in 0..bytes {
        let pair = u8::try_from(value % 100).expect("a remainder of 100 fits a byte");
        out.push(((pair / 10) << 4) | (pair % 10));
        value /= 100;
    }
    out
}

fn unsigned(value: i64, bytes: usize) -> Vec<u8> {
    bcd(value.max(0).unsigned_abs(), bytes)
}

/// As [`bcd`], the top bit being the sign. What is too large for the remaining digits is shown as their largest.
fn signed(value: i64, bytes: usize) -> Vec<u8> {
    let digits = u32::try_from(bytes * 2).expect("a handful of bytes");
    let largest = 8 * 10_u64.pow(digits - 1) - 1;
    let mut out = bcd(value.unsigned_abs().min(largest), bytes);
    if value < 0 {
        out[bytes - 1] |= 0x80;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_bit_is_the_sign() {
        assert_eq!(signed(-1000, 2), [0x00, 0x90], "a captured power factor of -1.000");
        assert_eq!(signed(-2512, 3), [0x12, 0x25, 0x80]);
        assert_eq!(signed(999_999, 3), [0x99, 0x99, 0x79]);
    }

    #[test]
    fn a_register_starts_again_after_its_last_digit() {
        assert_eq!(energy(999_999_990_000), [0x99, 0x99, 0x99, 0x99]);
        assert_eq!(energy(1_000_000_000_000), [0, 0, 0, 0]);
    }

    #[test]
    fn phases_that_do_not_exist_are_marked() {
        assert_eq!(single_phase(vec![0x01, 0x10]), [0x01, 0x10, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn values_are_rounded_away_from_zero_at_the_half() {
        assert_eq!(
            (rounded(251_249, 100), rounded(251_250, 100), rounded(-251_250, 100)),
            (2512, 2513, -2513)
        );
    }

    #[test]
    fn the_clock_shows_date_and_weekday() {
        // 2024-02-29 23:59:58, a Thursday.
        assert_eq!(date(1_709_251_198), [0x04, 0x29, 0x02, 0x24]);
        assert_eq!(time(1_709_251_198), [0x58, 0x59, 0x23]);
    }
}
