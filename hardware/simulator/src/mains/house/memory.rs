//! What of a house outlives its program: the flash of each socket, as text.
//!
//! A line for each page that holds something, `EUI page hex`, up to the last octet that is not erased.

use std::fmt::Write as _;

use plugline_protocol::Eui64;
use plugline_socket::Board as _;

use super::flash::Flash;

/// What a line of saved text should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMemory {
    /// Number of the line, from 1.
    pub line: usize,
}

impl std::fmt::Display for BadMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: wanted `EUI page hex` of a socket's memory", self.line)
    }
}

impl std::error::Error for BadMemory {}

/// The flash of some sockets.
#[derive(Clone, Debug, Default)]
pub struct Memory(Vec<(Eui64, Flash)>);

impl Memory {
    pub(super) fn of<'a>(sockets: impl Iterator<Item = (Eui64, &'a Flash)>) -> Self {
        Self(sockets.map(|(eui, flash)| (eui, flash.clone())).collect())
    }

    pub(super) fn flash(&self, eui: Eui64) -> Option<&Flash> {
        self.0.iter().find(|(known, _)| *known == eui).map(|(_, flash)| flash)
    }

    /// The text form.
    #[must_use]
    pub fn save(&self) -> String {
        let mut text = String::new();
        for (eui, flash) in &self.0 {
            for (page, octets) in flash.pages().enumerate() {
                let Some(last) = octets.iter().rposition(|octet| *octet != 0xFF) else { continue };
                let mut line = |part: std::fmt::Arguments<'_>| {
                    let written = text.write_fmt(part);
                    debug_assert!(written.is_ok(), "writing to a string does not fail");
                };
                line(format_args!("{eui} {page} "));
                octets[..=last].iter().for_each(|octet| line(format_args!("{octet:02X}")));
                line(format_args!("\n"));
            }
        }
        text
    }

    /// Reads the text form; empty lines are skipped.
    ///
    /// # Errors
    /// [`BadMemory`] names the first line that is not one of [`Memory::save`].
    pub fn load(text: &str) -> Result<Self, BadMemory> {
        let mut memory = Self::default();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            memory.take(line).ok_or(BadMemory { line: n + 1 })?;
        }
        Ok(memory)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut parts = line.split_whitespace();
        let eui = Eui64(u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes());
        let page: usize = parts.next()?.parse().ok().filter(|page| *page < Flash::PAGES)?;
        let hex = parts.next().filter(|hex| hex.is_ascii() && hex.len().is_multiple_of(2))?;
        let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
        let octets = (0..hex.len()).step_by(2).map(octet).collect::<Option<Vec<u8>>>()?;
        if octets.len() > Flash::PAGE_LEN || parts.next().is_some() {
            return None;
        }
        if self.flash(eui).is_none() {
            self.0.push((eui, Flash::new()));
        }
        let (_, flash) = self.0.iter_mut().find(|(known, _)| *known == eui)?;
        flash.put(page, &octets);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_is_named() {
        let good = "02A0B1FFFE001234 3 00FF12\n";
        assert!(Memory::load(good).is_ok());
        for bad in
            ["x 3 00", "02A0B1FFFE001234 14 00", "02A0B1FFFE001234 3 0", "02A0B1FFFE001234 3 é0", "1 1 00 00"]
        {
            assert_eq!(Memory::load(&format!("\n{good}{bad}")).unwrap_err(), BadMemory { line: 3 }, "{bad}");
        }
    }

    #[test]
    fn what_was_saved_is_loaded_to_the_octet() {
        let mut flash = Flash::new();
        flash.put(2, &[1, 0xFF, 3]);
        flash.put(13, &[9; Flash::PAGE_LEN]);
        let eui = Eui64([2; 8]);
        let text = Memory::of([(eui, &flash)].into_iter()).save();
        let back = Memory::load(&text).unwrap();
        assert!(back.flash(eui).unwrap().pages().eq(flash.pages()));
        assert_eq!(text.lines().count(), 2);
    }
}
