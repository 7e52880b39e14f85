//! The text of tokens: `plgu_` or `plga_`, 30 random characters, and 6 of a checksum over what stands before. The
//! checksum tells a mistyped or invented token without looking anything up, and tells scanners for leaked secrets
//! which texts are ours: `plg[uas]_[0-9A-Za-z]{36}`.

use std::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

use super::Digest;

/// Bytes of randomness that a token is made of: 192 bits into 178, so no character is more likely than another.
pub const RANDOM_BYTES: usize = 24;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: usize = 5;
const RANDOM: usize = 30;
const CHECK: usize = 6;

// A token is short and rarely read: no table.
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// What a token is for; its first letters say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token without the scope `admin`.
    User,
    /// A token with the scope `admin`.
    Admin,
    /// The value of a session's cookie.
    Session,
}

impl Kind {
    const ALL: [Self; 3] = [Self::User, Self::Admin, Self::Session];

    /// `plgu_`, `plga_`, `plgs_`.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::User => "plgu_",
            Self::Admin => "plga_",
            Self::Session => "plgs_",
        }
    }
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Another prefix, length or alphabet.
    #[error("it is no token: wanted `plgu_` or `plga_` and 36 letters and digits")]
    Form,
    /// The last six characters do not fit the others.
    #[error("its checksum is wrong: a character is missing or was changed")]
    Checksum,
}

/// A well-formed token. Whether it is anybody's is the [`super::Book`]'s to say. It is a secret: it has no `Display`
/// and its `Debug` tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    kind: Kind,
    text: String,
}

impl TokenText {
    /// A token made of randomness.
    #[must_use]
    pub fn mint(kind: Kind, mut random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = kind.prefix().to_owned();
        text.extend((0..RANDOM).map(|_| digit(divide(&mut random))));
        let check = checksum(&text);
        text.push_str(&check);
        Self { kind, text }
    }

    /// Checks form and checksum.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let kind =
            Kind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix())).ok_or(BadToken::Form)?;
        let rest = &text.as_bytes()[PREFIX..];
        if rest.len() != RANDOM + CHECK || !rest.iter().all(u8::is_ascii_alphanumeric) {
            return Err(BadToken::Form);
        }
        let (before, check) = text.split_at(PREFIX + RANDOM);
        if checksum(before) != check {
            return Err(BadToken::Checksum);
        }
        Ok(Self { kind, text: text.to_owned() })
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }

    /// The secret itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.kind.prefix())
    }
}

/// Divides a large number, highest byte first, by 62; gives what is left over.
fn divide(number: &mut [u8]) -> usize {
    number.iter_mut().fold(0, |rest, byte| {
        let whole = (rest << 8) | usize::from(*byte);
        *byte =
            u8::try_from(whole / ALPHABET.len()).expect("the rest is below 62, so the quotient is a byte");
        whole % ALPHABET.len()
    })
}

fn digit(value: usize) -> char {
    char::from(ALPHABET[value % ALPHABET.len()])
}

/// CRC-32 (as of Ethernet and zip), in six characters, the highest first: 62⁶ is more than 2³².
fn checksum(text: &str) -> String {
    let mut number = CRC.checksum(text.as_bytes()).to_be_bytes();
    let mut digits: Vec<char> = (0..CHECK).map(|_| digit(divide(&mut number))).collect();
    digits.reverse();
    digits.into_iter().collect()
}
