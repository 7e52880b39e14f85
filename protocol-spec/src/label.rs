//! What is printed on a socket: its EUI and install key, with check characters. `join.md` §7.1.
//!
//! ```text
//! PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y6
//!      EUI, 16 hex      install key, 26 base32      CRC-16/X-25 of both, 4 base32
//! ```
//! Base32 is Crockford's: `0123456789ABCDEFGHJKMNPQRSTVWXYZ`, read with `O` as 0 and `I`, `L` as 1. Letters may be
//! small; spaces and hyphens are for the eye.

use core::fmt;

use crate::Eui64;
use crate::frame::crc;
use crate::security::Key;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &[u8; 4] = b"PLG1";
const EUI_CHARS: usize = 16;
const KEY_CHARS: usize = 26;
const CHECK_CHARS: usize = 4;

/// Characters of a label without spaces: `PLG1`, EUI, key, check, three colons.
pub const LABEL_LEN: usize = 4 + EUI_CHARS + KEY_CHARS + CHECK_CHARS + 3;

/// A socket's name and its install key.
#[derive(Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub eui: Eui64,
    /// The key that proves that somebody holds the label.
    pub install_key: Key,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label").field("eui", &self.eui).finish_non_exhaustive()
    }
}

/// Why a text is not a label. Positions count the characters of the text from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelError {
    /// It does not start with `PLG1:`.
    Prefix,
    /// A character that does not belong there.
    Character {
        /// Where.
        at: usize,
    },
    /// Too few or too many characters between the colons.
    Length {
        /// `EUI`, `key` or `check`.
        part: &'static str,
        /// How many.
        got: usize,
        /// How many it takes.
        want: usize,
    },
    /// All characters are good, and do not belong together: one was mistyped.
    Check,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("a label starts with PLG1:"),
            Self::Character { at } => write!(f, "character {} does not belong in a label", at + 1),
            Self::Length { part, got, want } => write!(f, "{part} has {got} characters, want {want}"),
            Self::Check => f.write_str("the check characters do not fit: something was mistyped"),
        }
    }
}

impl core::error::Error for LabelError {}

impl Label {
    /// Reads a label as it was scanned or typed.
    ///
    /// # Errors
    /// [`LabelError`], with the place where there is one.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let mut parts = Parts { chars: text.char_indices(), ended: false };
        let mut prefix = [0; 4];
        let good = parts.read(&mut prefix, "prefix", |c| Some(c as u8)).is_ok();
        if !good || &prefix != PREFIX || parts.ended {
            return Err(LabelError::Prefix);
        }
        let (mut eui, mut key, mut check) = ([0; EUI_CHARS], [0; KEY_CHARS], [0; CHECK_CHARS]);
        parts.read(&mut eui, "EUI", |c| c.to_digit(16).map(|digit| digit as u8))?;
        parts.read(&mut key, "key", base32)?;
        parts.read(&mut check, "check", base32)?;
        if let Some((at, _)) = parts.chars.find(|(_, c)| !is_spacing(*c)) {
            return Err(LabelError::Character { at });
        }
        let mut octets = [0; 24];
        for (octet, digits) in octets.iter_mut().zip(eui.chunks(2)) {
            *octet = digits.iter().fold(0, |octet, digit| octet << 4 | digit);
        }
        let number = key.iter().fold(0u128, |number, digit| number << 5 | u128::from(*digit));
        // 26 characters are 130 bits: the key, then two zero bits.
        let (top, low) = (key[0] >> 3, key[KEY_CHARS - 1] & 3);
        let number = number >> 2 | u128::from(top) << 126;
        octets[8..].copy_from_slice(&number.to_be_bytes());
        if low != 0 || check != check_of(&octets) {
            return Err(LabelError::Check);
        }
        let (eui, key) = octets.split_at(8);
        let (eui, key) = (eui.try_into(), key.try_into());
        match (eui, key) {
            (Ok(eui), Ok(key)) => Ok(Self { eui: Eui64(eui), install_key: Key::new(key) }),
            _ => Err(LabelError::Check),
        }
    }

    /// Writes the label as it is printed. The install key is in it: this is no line for a log.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut octets = [0; 24];
        octets[..8].copy_from_slice(&self.eui.0);
        octets[8..].copy_from_slice(self.install_key.octets());
        write!(out, "PLG1:{}:", self.eui)?;
        let key = u128::from_be_bytes(*self.install_key.octets());
        for place in 0..KEY_CHARS {
            // 25 characters of five bits, then three bits and two zeros.
            let digit = if place + 1 == KEY_CHARS { key << 2 } else { key >> (123 - 5 * place) };
            out.write_char(char::from(ALPHABET[(digit & 31) as usize]))?;
        }
        out.write_char(':')?;
        check_of(&octets)
            .iter()
            .try_for_each(|digit| out.write_char(char::from(ALPHABET[usize::from(*digit)])))
    }
}

fn check_of(octets: &[u8; 24]) -> [u8; CHECK_CHARS] {
    let sum = crc(octets);
    [15, 10, 5, 0].map(|shift| (u32::from(sum) >> shift & 31) as u8)
}

fn is_spacing(c: char) -> bool {
    matches!(c, ' ' | '-')
}

fn base32(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|letter| char::from(*letter) == c).map(|at| at as u8)
}

/// The parts of a text between its colons.
struct Parts<'a> {
    chars: core::str::CharIndices<'a>,
    ended: bool,
}

impl Parts<'_> {
    /// Fills `digits` with the characters up to the next colon or the end.
    fn read(
        &mut self,
        digits: &mut [u8],
        part: &'static str,
        digit: impl Fn(char) -> Option<u8>,
    ) -> Result<(), LabelError> {
        let want = digits.len();
        let mut got = 0;
        self.ended = true;
        for (at, c) in self.chars.by_ref() {
            if c == ':' {
                self.ended = false;
                break;
            }
            if is_spacing(c) {
                continue;
            }
            let c = if part == "prefix" { c.to_ascii_uppercase() } else { c };
            let value = digit(c).filter(|_| c.is_ascii()).ok_or(LabelError::Character { at })?;
            if let Some(place) = digits.get_mut(got) {
                *place = value;
            }
            got += 1;
        }
        if got == want { Ok(()) } else { Err(LabelError::Length { part, got, want }) }
    }
}
