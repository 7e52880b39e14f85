//! The host's commands, found in its bytes by their lengths. What they mean is the modem's business.

use std::time::Duration;

const START: u8 = 0x02;
/// A pause longer than this inside a command makes the modem forget it.
const DEAD_MAN: Duration = Duration::from_millis(240);
/// The flags byte of 62, and its bit for fourteen more bytes.
const FLAGS_AT: usize = 5;
const EXTENDED_BIT: u8 = 0x10;

/// What came out of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A whole command, with its `02`.
    Command(Vec<u8>),
    /// `02` and a code that the modem does not have.
    Unknown(u8),
}

/// Bytes of a command that is not complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    partial: Vec<u8>,
    last_byte: Duration,
    /// Bytes that belonged to no command, those of forgotten commands included.
    pub(crate) junk_bytes: u64,
}

impl Ear {
    pub(crate) fn push(&mut self, bytes: &[u8], now: Duration, dead_man: bool) -> Vec<Told> {
        if dead_man && now.saturating_sub(self.last_byte) > DEAD_MAN {
            self.forget();
        }
        self.last_byte = now;
        bytes.iter().filter_map(|byte| self.byte(*byte)).collect()
    }

    pub(crate) fn forget(&mut self) {
        self.junk_bytes += self.partial.len() as u64;
        self.partial.clear();
    }

    fn byte(&mut self, byte: u8) -> Option<Told> {
        if self.partial.is_empty() && byte != START {
            self.junk_bytes += 1;
            return None;
        }
        self.partial.push(byte);
        let code = *self.partial.get(1)?;
        let Some(wanted) = length(code) else {
            self.forget();
            return Some(Told::Unknown(code));
        };
        let extended =
            code == 0x62 && self.partial.get(FLAGS_AT).is_some_and(|flags| flags & EXTENDED_BIT != 0);
        let wanted = if extended { wanted + 14 } else { wanted };
        (self.partial.len() >= wanted).then(|| Told::Command(std::mem::take(&mut self.partial)))
    }
}

/// Bytes of a command with its `02`; that of a standard message for 62.
fn length(code: u8) -> Option<usize> {
    Some(match code {
        0x60 | 0x65 | 0x67 | 0x69 | 0x6A | 0x6C..=0x6E | 0x72..=0x74 | 0x77 => 2,
        0x68 | 0x6B | 0x70 | 0x78 => 3,
        0x63 | 0x64 | 0x71 | 0x75 => 4,
        0x61 | 0x66 => 5,
        0x62 => 8,
        0x6F => 11,
        0x76 => 12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: [u8; 8] = [0x02, 0x62, 0, 0, 4, 0x0F, 0x11, 0xFF];

    #[test]
    fn a_pause_of_240_ms_is_heard_and_a_longer_one_forgets_the_command() {
        let ms = Duration::from_millis;
        for (pause, told) in [(240, 1), (241, 0)] {
            let mut ear = Ear::default();
            assert!(ear.push(&ON[..4], ms(1000), true).is_empty());
            assert_eq!(ear.push(&ON[4..], ms(1000 + pause), true).len(), told, "{pause} ms");
        }
        let mut ear = Ear::default();
        ear.push(&ON[..4], ms(0), false);
        assert_eq!(ear.push(&ON[4..], ms(9000), false).len(), 1, "switched off by the configuration");
    }

    #[test]
    fn commands_are_found_behind_junk_and_behind_each_other() {
        let mut ear = Ear::default();
        let bytes = [&[0x15, 0xFF][..], &ON, &[0x02, 0x60, 0x02, 0x40]].concat();
        let told = ear.push(&bytes, Duration::ZERO, true);
        let wanted = [Told::Command(ON.to_vec()), Told::Command(vec![0x02, 0x60]), Told::Unknown(0x40)];
        assert_eq!(told, wanted);
        assert_eq!(ear.junk_bytes, 4);
    }
}
