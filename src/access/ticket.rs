//! Tickets: what a browser puts into a URL where it can set no header. A ticket is good for one path, for a quarter of
//! an hour, and only as long as the session or token that it was made for. None is kept: each carries its own end and
//! holder under a MAC with a key of this run.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Grant;
use crate::device::{SessionId, TokenId};

/// How long a ticket is good for, seconds.
pub const TICKET_S: i64 = 15 * 60;

/// First letters of a ticket.
pub const PREFIX: &str = "plgt_";

/// Makes and checks tickets of this run.
#[derive(Clone, Default)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A ticket for `path` that ends at `ends_unix_s`.
    #[must_use]
    pub fn ticket(&self, path: &str, holder: &Grant, ends_unix_s: i64) -> String {
        let holder = word(holder);
        let mut text = format!("{PREFIX}{ends_unix_s}.{holder}.");
        for byte in self.mac(path, &holder, ends_unix_s).finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whose ticket it is, if it is one for this path and not over.
    #[must_use]
    pub fn check(&self, text: &str, path: &str, unix_ms: i64) -> Option<Grant> {
        let mut parts = text.strip_prefix(PREFIX)?.split('.');
        let (ends, holder, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let ends_unix_s: i64 = ends.parse().ok()?;
        let mac = unhex(mac)?;
        self.mac(path, holder, ends_unix_s).verify_slice(&mac).ok()?;
        (parts.next().is_none() && unix_ms < ends_unix_s.saturating_mul(1000)).then(|| grant(holder))?
    }

    fn mac(&self, path: &str, holder: &str, ends_unix_s: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is taken");
        // The path last: it alone may hold any character.
        mac.update(format!("{PREFIX}{ends_unix_s}.{holder}.{path}").as_bytes());
        mac
    }
}

fn word(grant: &Grant) -> String {
    match grant {
        Grant::Local => "local".to_owned(),
        Grant::Run => "cli".to_owned(),
        Grant::Token(id) => id.to_string(),
        Grant::Session(id) => id.to_string(),
    }
}

fn grant(word: &str) -> Option<Grant> {
    match word {
        "local" => Some(Grant::Local),
        "cli" => Some(Grant::Run),
        _ if word.starts_with("tok_") => TokenId::parse(word).map(Grant::Token),
        _ if word.starts_with("ses_") => SessionId::parse(word).map(Grant::Session),
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let fits = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = fits.then(|| (0..text.len()).step_by(2))?;
    pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
