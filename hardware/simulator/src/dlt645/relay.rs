//! The relay command (control 1C): who may switch, what, until when.
//!
//! ```text
//! PA P0 P1 P2  C0 C1 C2 C3  N1 N2  ss mm hh DD MM YY
//! ```
//!
//! It reads the command; what the relay does with it is the meter's business.

use super::Error;
use crate::civil::Civil;

/// Length of the command's data.
const LENGTH: usize = 16;

/// Password of a meter, with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Password {
    /// Level (PA); 02 is the usual one.
    pub level: u8,
    /// Six BCD digits in the order of the wire (P0 P1 P2), lowest byte first.
    pub wire: [u8; 3],
}

impl Default for Password {
    /// Level 02, digits 000000: how meters leave the factory.
    fn default() -> Self {
        Self { level: 2, wire: [0; 3] }
    }
}

/// What a relay command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// 1A: open.
    Trip,
    /// 1B: closing is allowed; many meters close at once, some wait for the button.
    Allow,
    /// 1C: close.
    Close,
}

/// A relay command with what guards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelayCommand {
    pub(crate) password: Password,
    pub(crate) action: Action,
    /// Seconds since 1970 on the meter's clock; `None` when all zero, which never expires.
    pub(crate) expires: Option<i64>,
}

impl RelayCommand {
    /// Reads a command's data, without offset.
    ///
    /// # Errors
    /// [`Error::Other`] for a wrong length, a time that is none, and an action that this meter does not know.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Error> {
        let data: &[u8; LENGTH] = data.try_into().map_err(|_| Error::Other)?;
        let action = match data[8] {
            0x1a => Action::Trip,
            0x1b => Action::Allow,
            0x1c => Action::Close,
            _ => return Err(Error::Other),
        };
        let expires = match &data[10..] {
            [0, 0, 0, 0, 0, 0] => None,
            time => Some(expiry(time).ok_or(Error::Other)?),
        };
        let password = Password { level: data[0], wire: [data[1], data[2], data[3]] };
        Ok(Self { password, action, expires })
    }
}

fn expiry(time: &[u8]) -> Option<i64> {
    let digits = |i: usize, range: std::ops::RangeInclusive<i64>| {
        let (high, low) = (time[i] >> 4, time[i] & 0x0f);
        let value = i64::from(high) * 10 + i64::from(low);
        (high < 10 && low < 10 && range.contains(&value)).then_some(value)
    };
    let civil = Civil {
        second: digits(0, 0..=59)?,
        minute: digits(1, 0..=59)?,
        hour: digits(2, 0..=23)?,
        day: digits(3, 1..=31)?,
        month: digits(4, 1..=12)?,
        year: 2000 + digits(5, 0..=99)?,
    };
    Some(civil.to_unix())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: [u8; 16] = [2, 0x37, 6, 2, 1, 0, 0, 0, 0x1a, 0, 0, 0, 0, 0x30, 0x12, 0x99];

    #[test]
    fn a_command_is_taken_apart() {
        let command = RelayCommand::parse(&TRIP).unwrap();
        assert_eq!(command.password, Password { level: 2, wire: [0x37, 6, 2] });
        assert_eq!(command.action, Action::Trip);
        assert_eq!(
            command.expires.map(Civil::from_unix).map(|c| (c.year, c.month, c.day)),
            Some((2099, 12, 30))
        );
    }

    #[test]
    fn a_time_of_zeros_never_expires() {
        let mut command = TRIP;
        command[10..].fill(0);
        assert_eq!(RelayCommand::parse(&command).unwrap().expires, None);
    }

    #[test]
    fn a_command_that_makes_no_sense_is_refused() {
        let spoil = |at: usize, byte: u8| {
            let mut command = TRIP;
            command[at] = byte;
            RelayCommand::parse(&command)
        };
        assert_eq!(spoil(8, 0x2a), Err(Error::Other));
        assert_eq!(spoil(13, 0x3a), Err(Error::Other));
        assert_eq!(spoil(14, 0x13), Err(Error::Other));
        assert_eq!(RelayCommand::parse(&TRIP[..15]), Err(Error::Other));
    }
}
