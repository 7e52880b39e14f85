//! Sealing a backup with a passphrase: Argon2id makes the key, XChaCha20-Poly1305 seals. The only place that knows
//! them.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use crate::record::backup::{Lines, Refused, framed, sealed_lines};

const SALT: usize = 16;
const NONCE: usize = 24;

/// Random bytes that sealing takes.
pub const RANDOM: usize = SALT + NONCE;

/// How hard a guess is made: memory in KiB, passes, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// RFC 9106's second recommendation with one lane: 64 MiB, which every box has for a second.
pub const EFFORT: Effort = Effort { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

/// What a text may ask of us at most: a damaged or hostile one must not eat the box.
const EFFORT_MAX: Effort = Effort { memory_kib: 1 << 20, passes: 16, lanes: 16 };

/// Seals the lines of a backup, framed.
///
/// # Errors
/// [`Refused::WrongPassphrase`] when it is longer than 4 GiB.
pub fn seal(lines: &str, passphrase: &str, effort: Effort, random: &[u8; RANDOM]) -> Result<String, Refused> {
    let (salt, nonce) = random.split_at(SALT);
    let Effort { memory_kib, passes, lanes } = effort;
    let words = format!(
        "argon2id {memory_kib} {passes} {lanes} {} {}",
        STANDARD.encode(salt),
        STANDARD.encode(nonce)
    );
    let payload = Payload { msg: lines.as_bytes(), aad: words.as_bytes() };
    let nonce = XNonce::try_from(nonce).map_err(|_| Refused::WrongPassphrase)?;
    let sealed =
        cipher(passphrase, effort, salt)?.encrypt(&nonce, payload).map_err(|_| Refused::WrongPassphrase)?;
    Ok(framed(&sealed_lines(&words, &sealed)))
}

/// The lines of a backup as they were before sealing, framed; of one that is not sealed, the text itself.
///
/// # Errors
/// [`Refused`].
pub fn open(text: &str, passphrase: Option<&str>) -> Result<String, Refused> {
    let lines = Lines::of(text)?;
    let Some((words, sealed)) = lines.sealed() else { return Ok(text.to_owned()) };
    let passphrase = passphrase.ok_or(Refused::NeedsPassphrase)?;
    let wrong = |what: &str| Refused::Line { line: 3, text: format!("`sealed` {what}") };
    let (effort, salt, nonce) =
        parameters(words).ok_or_else(|| wrong("wants argon2id, three numbers, salt and nonce"))?;
    let Effort { memory_kib, passes, lanes } = EFFORT_MAX;
    if effort.memory_kib > memory_kib || effort.passes > passes || effort.lanes > lanes {
        return Err(wrong("asks for more memory or time than any backup takes"));
    }
    let nonce = XNonce::try_from(&nonce[..]).map_err(|_| wrong("has a nonce of another length"))?;
    let payload = Payload { msg: &sealed, aad: words.as_bytes() };
    let opened =
        cipher(passphrase, effort, &salt)?.decrypt(&nonce, payload).map_err(|_| Refused::WrongPassphrase)?;
    let opened = String::from_utf8(opened).map_err(|_| Refused::WrongPassphrase)?;
    Ok(framed(&opened))
}

fn parameters(words: &str) -> Option<(Effort, Vec<u8>, Vec<u8>)> {
    let words: Vec<&str> = words.split(' ').collect();
    let ["argon2id", memory, passes, lanes, salt, nonce] = words[..] else { return None };
    let effort =
        Effort { memory_kib: memory.parse().ok()?, passes: passes.parse().ok()?, lanes: lanes.parse().ok()? };
    Some((effort, STANDARD.decode(salt).ok()?, STANDARD.decode(nonce).ok()?))
}

fn cipher(passphrase: &str, effort: Effort, salt: &[u8]) -> Result<XChaCha20Poly1305, Refused> {
    let wrong = |error: argon2::Error| Refused::Line { line: 3, text: format!("`sealed`: {error}") };
    let params = Params::new(effort.memory_kib, effort.passes, effort.lanes, Some(32)).map_err(wrong)?;
    let mut key = Key::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(wrong)?;
    Ok(XChaCha20Poly1305::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Effort = Effort { memory_kib: 8, passes: 1, lanes: 1 };
    const LINES: &str = "made x\nversion y\ngateway z\nconfiguration aGVsbG8=\n";

    fn sealed() -> String {
        seal(LINES, "correct horse", CHEAP, &[7; RANDOM]).expect("it can be sealed")
    }

    #[test]
    fn what_was_sealed_comes_back_with_the_passphrase_alone() {
        let text = sealed();
        assert!(!text.contains("aGVsbG8"), "{text}");
        assert_eq!(open(&text, Some("correct horse")).as_deref(), Ok(framed(LINES).as_str()));
        assert_eq!(open(&text, Some("correct hors")), Err(Refused::WrongPassphrase));
        assert_eq!(open(&text, None), Err(Refused::NeedsPassphrase));
        assert_eq!(open(&framed(LINES), None).as_deref(), Ok(framed(LINES).as_str()));
    }

    #[test]
    fn one_that_asks_for_too_much_or_says_nothing_is_refused() {
        let text = sealed();
        let resealed = |from: &str, to: &str| {
            let lines: Vec<&str> = text.lines().collect();
            let inside: String = lines[2..lines.len() - 1].iter().map(|line| format!("{line}\n")).collect();
            framed(&inside.replacen(from, to, 1))
        };
        for (from, to) in [
            ("argon2id 8 ", "argon2id 4000000 "),
            ("argon2id 8 1 1 ", "argon2id 8 1 "),
            ("argon2id", "scrypt"),
        ] {
            let refused = open(&resealed(from, to), Some("correct horse")).expect_err(to).to_string();
            assert!(refused.starts_with("line 3: `sealed`"), "{refused}");
        }
        assert_eq!(
            open(&resealed("argon2id 8 1", "argon2id 8 2"), Some("correct horse")),
            Err(Refused::WrongPassphrase)
        );
    }
}
