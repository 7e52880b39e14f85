//! The two checks inside extended INSTEON messages: the i2CS sum and the CRC-16 of energy meters.
//!
//! The host link itself has no check, and a message does not say which of the two it carries, if any. Source: the
//! maker's i2CS notes (2012) for the sum; captures of the meter for the CRC.

/// The check that fits an extended message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// D14 is the two's complement of the sum of everything from cmd1 on.
    I2cs,
    /// D13 and D14 are the CRC-16.
    Crc16,
    /// Neither fits.
    None,
}

impl Sum {
    /// Which check fits; the sum is tried first.
    #[must_use]
    pub fn of(cmd1: u8, cmd2: u8, data: &[u8; 14]) -> Self {
        if data[13] == i2cs(cmd1, cmd2, data) {
            Self::I2cs
        } else if u16::from_be_bytes([data[12], data[13]]) == crc16(cmd1, cmd2, data) {
            Self::Crc16
        } else {
            Self::None
        }
    }

    /// The word in `decode`'s JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::I2cs => "i2cs",
            Self::Crc16 => "crc16",
            Self::None => "none",
        }
    }
}

/// The i2CS sum over cmd1, cmd2 and D1 … D13, as it should stand in D14.
#[must_use]
pub fn i2cs(cmd1: u8, cmd2: u8, data: &[u8; 14]) -> u8 {
    data[..13].iter().fold(cmd1.wrapping_add(cmd2), |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

/// The CRC-16 over cmd1, cmd2 and D1 … D12, as it should stand, big-endian, in D13 and D14.
#[must_use]
pub fn crc16(cmd1: u8, cmd2: u8, data: &[u8; 14]) -> u16 {
    [cmd1, cmd2].iter().chain(&data[..12]).fold(0, |crc, byte| step(crc, *byte))
}

/// One byte, least significant bit first, through a shift register that feeds back its bits 15, 14, 12 and 3.
/// The eight bits fed back are linear in register and byte, hence three tables.
fn step(crc: u16, byte: u8) -> u16 {
    let [high, low] = crc.to_be_bytes();
    let fed = FROM_HIGH[usize::from(high)] ^ FROM_LOW[usize::from(low)] ^ FROM_BYTE[usize::from(byte)];
    crc << 8 | u16::from(fed)
}

static FROM_HIGH: [u8; 256] = table(8, false);
static FROM_LOW: [u8; 256] = table(0, false);
static FROM_BYTE: [u8; 256] = table(0, true);

const fn table(shift: u32, of_byte: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0_u8;
    loop {
        let fed = if of_byte { bitwise(0, index) } else { bitwise((index as u16) << shift, 0) };
        table[index as usize] = fed.to_be_bytes()[1];
        if index == u8::MAX {
            return table;
        }
        index += 1;
    }
}

const fn bitwise(mut crc: u16, byte: u8) -> u16 {
    let mut bit = 0;
    while bit < 8 {
        let fed = (byte >> bit) as u16 ^ crc >> 15 ^ crc >> 14 ^ crc >> 12 ^ crc >> 3;
        crc = crc << 1 | fed & 1;
        bit += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Energy meter's reply, automategreen/home-controller test/Meter.js.
    const METER: [u8; 14] = [0, 2, 1, 0x0D, 0, 0x91, 0, 3, 0, 0, 0, 0x2A, 0x74, 0xD8];

    #[test]
    fn the_captured_meter_replies_have_their_crc() {
        assert_eq!(crc16(0x82, 0x00, &METER), 0x74D8);
        let other = [0, 2, 1, 0x10, 0, 0x81, 0, 2, 0, 0, 0, 0x6F, 0xA3, 0x45];
        assert_eq!(crc16(0x82, 0x00, &other), 0xA345);
    }

    #[test]
    fn the_tables_agree_with_the_register_bit_by_bit() {
        let mut crc = 0x1234_u16;
        for byte in 0..=255 {
            assert_eq!(step(crc, byte), bitwise(crc, byte), "{crc:04x} {byte:02x}");
            crc = crc.wrapping_mul(25_173).wrapping_add(13_849);
        }
    }

    #[test]
    fn what_fits_is_said_and_nothing_else() {
        assert_eq!(Sum::of(0x82, 0, &METER), Sum::Crc16);
        let mut linking = [0; 14];
        linking[13] = 0xF6;
        assert_eq!(Sum::of(0x09, 0x01, &linking), Sum::I2cs);
        linking[13] = 0xF5;
        assert_eq!(Sum::of(0x09, 0x01, &linking), Sum::None);
    }
}
