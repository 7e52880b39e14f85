//! The text of a backup: the registry's sealed values and the configuration, a line each. Pure; passphrases are not
//! its business. Spec: `protocol-spec/backup.md`.
//!
//! ```text
//! plugline-backup 1
//! # …
//! made 2026-11-21T10:00:00.000Z
//! version 0.1.0 (455ff59)
//! gateway gw_aaaaaaaaaa
//! devices dlt645_000000004711 BASE64…
//! configuration BASE64…
//! end 1a2b3c4d
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Unreadable, crc32c, unseal};

/// What every backup begins with; the number is that of its form.
const WORD: &str = "plugline-backup";
const FORM: &str = "1";

const WARNING: &str = "# Whoever has this text can switch the sockets in it. Keep it like a key.";

/// Columns of base64 that stands in a block.
const COLUMNS: usize = 76;

/// A value of the registry, as it is sealed on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which part of the registry: `devices`.
    pub room: String,
    /// Its name in it, without spaces.
    pub key: String,
    /// The sealed value.
    pub value: Vec<u8>,
    /// Where it stands in the text that it was read from, from 1.
    pub line: usize,
}

/// Everything that a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// When it was made, RFC 3339.
    pub made: String,
    /// By which version of the program.
    pub version: String,
    /// Of which gateway.
    pub gateway: String,
    /// The registry.
    pub entries: Vec<Entry>,
    /// The text of the configuration file.
    pub configuration: Option<String>,
}

/// Why a text is not taken for a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is something else.
    #[error("line 1: this is no backup of a Plugline gateway; one begins with `{WORD} {FORM}`")]
    Foreign,
    /// A later version wrote it.
    #[error("line 1: the backup has form {got}, this version reads {FORM}; use a newer version")]
    Newer {
        /// Its form.
        got: String,
    },
    /// Its end is missing.
    #[error("line {line}: the text ends before `end`; it was cut off")]
    Truncated {
        /// Where it ends.
        line: usize,
    },
    /// It is not what was written.
    #[error(
        "line {line}: the checksum of the text is {got:08x}, wanted {wanted:08x}; it was changed or damaged"
    )]
    Checksum {
        /// Where the checksum stands.
        line: usize,
        /// Of the text as it is.
        got: u32,
        /// As noted.
        wanted: u32,
    },
    /// A line is wrong.
    #[error("line {line}: {text}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// It is sealed, and none was given.
    #[error("the backup is sealed with a passphrase; give it")]
    NeedsPassphrase,
    /// It is sealed with another one.
    #[error("the passphrase is not the one that it was sealed with")]
    WrongPassphrase,
}

/// A framed text: its lines between first and `end`, each with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<'t>(Vec<(usize, &'t str)>);

impl<'t> Lines<'t> {
    /// Takes the frame off.
    ///
    /// # Errors
    /// [`Refused`] when it is no backup, of a later form, cut off or damaged.
    pub fn of(text: &'t str) -> Result<Self, Refused> {
        let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
        let first = lines.first().and_then(|first| first.strip_prefix(WORD)).map(str::trim);
        match first.ok_or(Refused::Foreign)? {
            FORM => {}
            other if other.parse::<u32>().is_ok() => return Err(Refused::Newer { got: other.to_owned() }),
            _ => return Err(Refused::Foreign),
        }
        let last = lines.iter().rposition(|line| !line.trim().is_empty()).unwrap_or(0);
        let noted = lines[last].strip_prefix("end ").ok_or(Refused::Truncated { line: last + 1 })?;
        let bad = || Refused::Line { line: last + 1, text: format!("`{noted}` is no checksum") };
        let wanted = u32::from_str_radix(noted.trim(), 16).map_err(|_| bad())?;
        let inside = &lines[1..last.max(1)];
        let numbered: Vec<(usize, &str)> = (2..)
            .zip(inside.iter().copied())
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .collect();
        // A value that is damaged is named before the whole is.
        let lines = Self(numbered);
        lines.check_values()?;
        match checksum(inside) {
            got if got == wanted => Ok(lines),
            got => Err(Refused::Checksum { line: last + 1, got, wanted }),
        }
    }

    fn check_values(&self) -> Result<(), Refused> {
        let values = self.0.iter().filter_map(|(line, text)| Some((*line, entry(*line, text)?)));
        for (line, entry) in values {
            let Entry { room, key, value, .. } = entry?;
            unseal(&value).map_err(|error: Unreadable| Refused::Line {
                line,
                text: format!("{room}/{key}: {error}"),
            })?;
        }
        Ok(())
    }

    /// The words of the first line, when it says `sealed`, and the bytes behind it.
    #[must_use]
    pub fn sealed(&self) -> Option<(&'t str, Vec<u8>)> {
        let ((_, first), rest) = self.0.split_first()?;
        let words = first.strip_prefix("sealed ")?;
        let block: String = rest.iter().map(|(_, line)| line.trim()).collect();
        Some((words, STANDARD.decode(block).unwrap_or_default()))
    }

    /// What the lines say.
    ///
    /// # Errors
    /// [`Refused`] for a line that is none of a backup, or misses.
    pub fn backup(&self) -> Result<Backup, Refused> {
        let mut backup = Backup::default();
        for (line, text) in &self.0 {
            let wrong = |text: String| Refused::Line { line: *line, text };
            if let Some(entry) = entry(*line, text) {
                backup.entries.push(entry?);
                continue;
            }
            let (key, value) = text.split_once(' ').unwrap_or((text, ""));
            let value = value.trim();
            match key {
                "made" => value.clone_into(&mut backup.made),
                "version" => value.clone_into(&mut backup.version),
                "gateway" => value.clone_into(&mut backup.gateway),
                "configuration" => {
                    let text = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    backup.configuration =
                        Some(text.ok_or_else(|| wrong("the configuration is no text in base64".into()))?);
                }
                other => return Err(wrong(format!("`{}` is not a line of a backup", other.escape_debug()))),
            }
        }
        let missing = [("made", &backup.made), ("version", &backup.version), ("gateway", &backup.gateway)];
        match missing.iter().find(|(_, value)| value.is_empty()) {
            Some((key, _)) => Err(Refused::Line { line: 2, text: format!("`{key}` is missing") }),
            None => Ok(backup),
        }
    }
}

/// The value of the registry in a line of three words; `None` for other lines.
fn entry(line: usize, text: &str) -> Option<Result<Entry, Refused>> {
    let mut words = text.split(' ');
    let (room, key, value, None) = (words.next()?, words.next()?, words.next()?, words.next()) else {
        return None;
    };
    if matches!(room, "version" | "sealed") {
        return None;
    }
    let wrong = |_| Refused::Line { line, text: format!("{room}/{key} is no base64") };
    let value = STANDARD.decode(value).map_err(wrong);
    Some(value.map(|value| Entry { room: room.to_owned(), key: key.to_owned(), value, line }))
}

fn checksum(lines: &[&str]) -> u32 {
    let whole: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    crc32c(whole.as_bytes())
}

/// Puts the frame around lines.
#[must_use]
pub fn framed(lines: &str) -> String {
    let inside = format!("{WARNING}\n{lines}");
    let sum = checksum(&inside.lines().collect::<Vec<_>>());
    format!("{WORD} {FORM}\n{inside}end {sum:08x}\n")
}

/// Sealed bytes as lines, behind the words that say how they were sealed.
#[must_use]
pub fn sealed_lines(words: &str, bytes: &[u8]) -> String {
    let block = STANDARD.encode(bytes);
    let mut lines = format!("sealed {words}\n");
    for piece in block.as_bytes().chunks(COLUMNS) {
        lines.push_str(&String::from_utf8_lossy(piece));
        lines.push('\n');
    }
    lines
}

impl Backup {
    /// As lines, without their frame.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = format!("made {}\nversion {}\ngateway {}\n", self.made, self.version, self.gateway);
        for Entry { room, key, value, .. } in &self.entries {
            lines.push_str(&format!("{room} {key} {}\n", STANDARD.encode(value)));
        }
        if let Some(text) = &self.configuration {
            lines.push_str(&format!("configuration {}\n", STANDARD.encode(text)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::seal;
    use super::*;

    fn sample() -> Backup {
        let entry = |room: &str, key: &str, line| Entry {
            room: room.into(),
            key: key.into(),
            value: seal(format!("{{\"{key}\":1}}").as_bytes()),
            line,
        };
        Backup {
            made: "2026-11-21T10:00:00.000Z".into(),
            version: "0.1.0 (455ff59)".into(),
            gateway: "gw_aaaaaaaaaa".into(),
            entries: vec![entry("devices", "dlt645_1", 6), entry("meta", "meta", 7)],
            configuration: Some("# ours\n[http]\n".into()),
        }
    }

    fn read(text: &str) -> Result<Backup, Refused> {
        Lines::of(text)?.backup()
    }

    #[test]
    fn a_backup_comes_back_also_with_other_line_ends() {
        let text = framed(&sample().lines());
        assert_eq!(read(&text), Ok(sample()));
        assert_eq!(read(&text.replace('\n', "\r\n")), Ok(sample()));
        assert_eq!(read(&format!("{text}\n\n")), Ok(sample()));
    }

    #[test]
    fn every_cut_is_refused() {
        let text = framed(&sample().lines());
        for end in 0..text.len() - 1 {
            let refused = read(&text[..end]).expect_err("it was cut");
            assert!(refused.to_string().starts_with("line "), "{end}: {refused}");
        }
    }

    #[test]
    fn what_is_foreign_newer_or_damaged_is_refused_by_name_with_its_line() {
        let text = framed(&sample().lines());
        assert_eq!(read("{\"registry\":1}"), Err(Refused::Foreign));
        assert_eq!(read(""), Err(Refused::Foreign));
        assert_eq!(read(&text.replacen("backup 1", "backup 2", 1)), Err(Refused::Newer { got: "2".into() }));
        let value = STANDARD.encode(&sample().entries[0].value);
        let mut other = sample().entries[0].value.clone();
        other[8] ^= 1;
        let refused = read(&text.replace(&value, &STANDARD.encode(&other))).expect_err("damaged").to_string();
        assert!(refused.starts_with("line 6: devices/dlt645_1: its checksum"), "{refused}");
        let refused = read(&text.replace("gw_a", "gw_b")).expect_err("changed").to_string();
        assert!(refused.starts_with("line 9: the checksum of the text"), "{refused}");
        other[0] = 9;
        let newer = seal(b"{}").to_vec();
        let with = framed(&sample().lines().replace(&value, &STANDARD.encode([&[9], &newer[1..]].concat())));
        assert!(read(&with).expect_err("its schema").to_string().starts_with("line 6: devices/dlt645_1"));
        let odd = framed(&format!("{}surprise x\n", sample().lines()));
        assert!(read(&odd).expect_err("no such line").to_string().contains("`surprise`"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_flipped_byte_is_taken(at in 0_usize..2000, with in any::<u8>(), noise in ".{0,200}") {
            let _ = read(&noise);
            let mut bytes = framed(&sample().lines()).into_bytes();
            let at = at % bytes.len();
            let before = bytes[at];
            bytes[at] = with;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(backup) = read(&text)
            {
                // What is taken says the same: a digit of the checksum in capitals, a space more at its end.
                prop_assert_eq!(backup, sample(), "{} became {}", before, with);
            }
        }
    }
}
