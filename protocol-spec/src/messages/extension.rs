//! Extensions: type, length, value, at the end of REPORT and BEACON. Unknown types are skipped; 0xF0 … 0xFF
//! are for experiments. `messages.md` §6.7.

use crate::wire::{ParseError, Reader};

/// REPORT: mains frequency, u16, 10 mHz.
pub const FREQUENCY: u8 = 0x01;
/// REPORT: power factor, i16, 1/10000.
pub const POWER_FACTOR: u8 = 0x02;
/// REPORT: lowest and highest voltage since the last REPORT, two u16, 10 mV.
pub const VOLTAGE_RANGE: u8 = 0x03;
/// REPORT: starts since manufacture, u16.
pub const BOOTS: u8 = 0x04;
/// REPORT: signal-to-noise ratio of the last BEACON, i8, dB.
pub const BEACON_SNR: u8 = 0x05;
/// REPORT: firmware version, u32.
pub const FIRMWARE: u8 = 0x06;
/// BEACON: sockets send nothing unasked for this many seconds, u8, 1 … 60.
pub const QUIET: u8 = 0x41;

/// One extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// One of the constants of this module, or another.
    pub kind: u8,
    /// 0 … 255 octets.
    pub value: &'a [u8],
}

/// Well-formed extensions, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// None.
    pub const NONE: Self = Self(&[]);

    /// Checks that lengths add up.
    ///
    /// # Errors
    /// [`ParseError::Length`] when they do not.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(octets);
        while !reader.rest().is_empty() {
            next(&mut reader)?;
        }
        Ok(Self(octets))
    }

    /// As on the wire.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        self.0
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the first one of this type.
    #[must_use]
    pub fn get(self, kind: u8) -> Option<&'a [u8]> {
        self.into_iter().find(|extension| extension.kind == kind).map(|extension| extension.value)
    }
}

impl<'a> IntoIterator for Extensions<'a> {
    type Item = Extension<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter(Reader::new(self.0))
    }
}

/// Walks over [`Extensions`].
#[derive(Debug)]
pub struct Iter<'a>(Reader<'a>);

impl<'a> Iterator for Iter<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        next(&mut self.0).ok()
    }
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Extension<'a>, ParseError> {
    let kind = reader.u8("extension type")?;
    let len = reader.u8("extension length")?;
    Ok(Extension { kind, value: reader.bytes("extension value", len.into())? })
}
