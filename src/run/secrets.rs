//! Secrets of a run: the token of the command line, the key of tickets, and the first token of all.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::CLI_FILE;
use crate::access::ticket::Key;
use crate::access::{By, Kind, RANDOM_BYTES, Scope, TokenText};
use crate::device::TokenId;
use crate::door::Door;
use crate::hub::{AccessRequest, Given, NewToken, Request};
use crate::source::{Access, Commands};

/// What the first token is called.
const FIRST_NAME: &str = "first";

/// Secrets that are good until the gateway ends.
pub(super) struct Secrets {
    /// For the command line on this machine.
    pub(super) cli: TokenText,
    /// For tickets.
    pub(super) tickets: Key,
}

impl Secrets {
    /// New ones.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { cli: TokenText::mint(Kind::Admin, random()?), tickets: Key(random()?) })
    }
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(bytes)
}

/// Makes a token with all rights where there is none: at the first start, and when the last one was removed.
pub(super) async fn first_token(door: &Door) -> Option<TokenText> {
    if door.book(|book| book.tokens().any(|token| token.scope == Scope::Admin)) {
        return None;
    }
    let random: [u8; RANDOM_BYTES] = random().ok()?;
    let secret = TokenText::mint(Kind::Admin, random);
    // Its digest is random enough for a name, and tells nothing.
    let id = format!("tok_{}", &secret.digest().to_hex()[..10]);
    let new = NewToken {
        id: TokenId::parse(&id).expect("tok_ and ten digits"),
        digest: secret.digest(),
        name: FIRST_NAME.into(),
        scope: Scope::Admin,
        reach: None,
        lives: None,
    };
    match door.ask(By::Gateway, Request::Access(AccessRequest::Mint(new))).await {
        Ok(Given::Token(_)) => Some(secret),
        _ => None,
    }
}

/// Writes where the gateway is and the command line's token, for the owner of the state folder alone.
pub(super) fn write_cli_file(state: &Path, url: &str, token: &TokenText) -> anyhow::Result<()> {
    let path = state.join(CLI_FILE);
    let written = || {
        // One that others could read is not written over but replaced.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        write!(file, "{url}\n{}\n", token.expose())
    };
    written().with_context(|| path.display().to_string())
}
