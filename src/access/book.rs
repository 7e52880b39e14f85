//! Tokens and sessions as they are kept, and what a secret or a right is worth at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AUDIT_MAX, By, Digest, Grant, Noted, Principal, Reach, Scope, TokenText};
use crate::device::{SessionId, TokenId};

/// A token that was rotated goes on working this long, so that its holders can be given the new one.
pub const ROTATED_LIVES_MS: i64 = 24 * 3600 * 1000;

/// A session that nobody uses ends after this time.
pub const SESSION_IDLE_MS: i64 = 30 * 24 * 3600 * 1000;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What people call it, 1 … 64 characters.
    pub name: Arc<str>,
    /// Of its text.
    pub digest: Digest,
    /// What its holder may do.
    pub scope: Scope,
    /// With which devices.
    pub reach: Reach,
    /// When it was made, milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// Who made it.
    pub created_by: Arc<str>,
    /// When it ends, milliseconds since 1970 UTC; `None`: never.
    pub expires_unix_ms: Option<i64>,
    /// It was rotated and ends then, milliseconds since 1970 UTC.
    pub retires_unix_ms: Option<i64>,
    /// The minute in which it was last used, milliseconds since 1970 UTC.
    pub last_used_unix_ms: Option<i64>,
}

impl Token {
    /// When it ends by itself, if it does.
    #[must_use]
    pub fn ends_unix_ms(&self) -> Option<i64> {
        self.expires_unix_ms.into_iter().chain(self.retires_unix_ms).min()
    }
}

/// A browser that was given a token once, and holds a cookie since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Of the cookie's value.
    pub digest: Digest,
    /// The token that it was opened with; it ends with it.
    pub token: TokenId,
    /// When it was opened, milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// The minute in which it was last used, milliseconds since 1970 UTC.
    pub last_used_unix_ms: i64,
}

/// What is new in a book; also what is written of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A token, new or changed.
    Token(Arc<Token>),
    /// A token is gone.
    TokenGone(TokenId),
    /// A session, new or changed.
    Session(Arc<Session>),
    /// A session is gone.
    SessionGone(SessionId),
    /// Somebody changed something.
    Noted(Arc<Noted>),
    /// An old entry is no longer kept.
    NotedGone(u64),
}

/// All tokens, sessions and changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    tokens: BTreeMap<TokenId, Arc<Token>>,
    sessions: BTreeMap<SessionId, Arc<Session>>,
    noted: BTreeMap<u64, Arc<Noted>>,
    /// By the first bytes of the digest.
    shelves: BTreeMap<u64, Vec<Grant>>,
    run: Option<Digest>,
}

impl Book {
    /// From now on this is the token of the run; it is kept nowhere else.
    pub fn set_run_token(&mut self, digest: Digest) {
        self.run = Some(digest);
    }

    /// Takes a change in.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::Token(token) => {
                self.shelve(token.digest, Grant::Token(token.id.clone()));
                self.tokens.insert(token.id.clone(), token);
            }
            Change::TokenGone(id) => {
                if let Some(token) = self.tokens.remove(&id) {
                    self.unshelve(token.digest, &Grant::Token(id));
                }
            }
            Change::Session(session) => {
                self.shelve(session.digest, Grant::Session(session.id.clone()));
                self.sessions.insert(session.id.clone(), session);
            }
            Change::SessionGone(id) => {
                if let Some(session) = self.sessions.remove(&id) {
                    self.unshelve(session.digest, &Grant::Session(id));
                }
            }
            Change::Noted(noted) => {
                self.noted.insert(noted.number, noted);
            }
            Change::NotedGone(number) => {
                self.noted.remove(&number);
            }
        }
    }

    fn shelve(&mut self, digest: Digest, grant: Grant) {
        let shelf = self.shelves.entry(digest.shelf()).or_default();
        if !shelf.contains(&grant) {
            shelf.push(grant);
        }
    }

    fn unshelve(&mut self, digest: Digest, grant: &Grant) {
        if let Some(shelf) = self.shelves.get_mut(&digest.shelf()) {
            shelf.retain(|kept| kept != grant);
            if shelf.is_empty() {
                self.shelves.remove(&digest.shelf());
            }
        }
    }

    /// Whose secret this is, if it is still good for something.
    #[must_use]
    pub fn find(&self, secret: &TokenText, unix_ms: i64) -> Option<Principal> {
        let digest = secret.digest();
        if self.run == Some(digest) {
            return Some(Principal::cli());
        }
        let same = |grant: &&Grant| match grant {
            Grant::Token(id) => self.tokens.get(id).is_some_and(|token| token.digest == digest),
            Grant::Session(id) => self.sessions.get(id).is_some_and(|session| session.digest == digest),
            Grant::Local | Grant::Run => false,
        };
        let grant = self.shelves.get(&digest.shelf())?.iter().find(same)?;
        self.holder(grant, unix_ms)
    }

    /// What somebody with this right may do now; `None` when it is revoked or over.
    #[must_use]
    pub fn holder(&self, grant: &Grant, unix_ms: i64) -> Option<Principal> {
        let (token, idle) = match grant {
            Grant::Local => return Some(Principal::local()),
            Grant::Run => return self.run.map(|_| Principal::cli()),
            Grant::Token(id) => (self.tokens.get(id)?, None),
            Grant::Session(id) => {
                let session = self.sessions.get(id)?;
                (self.tokens.get(&session.token)?, Some(session.last_used_unix_ms + SESSION_IDLE_MS))
            }
        };
        let ends_unix_ms = token.ends_unix_ms().into_iter().chain(idle).min();
        if ends_unix_ms.is_some_and(|ends| ends <= unix_ms) {
            return None;
        }
        Some(Principal {
            grant: grant.clone(),
            by: By::Token { id: token.id.clone(), name: Arc::clone(&token.name) },
            scope: token.scope,
            reach: token.reach.clone(),
            ends_unix_ms,
        })
    }

    /// When this right was last used, as far as the book knows.
    #[must_use]
    pub fn last_used_unix_ms(&self, grant: &Grant) -> Option<i64> {
        match grant {
            Grant::Token(id) => self.tokens.get(id)?.last_used_unix_ms,
            Grant::Session(id) => Some(self.sessions.get(id)?.last_used_unix_ms),
            Grant::Local | Grant::Run => None,
        }
    }

    /// A token.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(id)
    }

    /// All tokens, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.values()
    }

    /// A session.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(id)
    }

    /// All sessions, by id.
    pub fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// Sessions that end with a token.
    pub fn sessions_of(&self, token: &TokenId) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values().filter(move |session| session.token == *token)
    }

    /// Who changed what, the newest first.
    pub fn noted(&self) -> impl Iterator<Item = &Arc<Noted>> {
        self.noted.values().rev()
    }

    /// All that is kept, as changes of an empty book.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let tokens = self.tokens.values().cloned().map(Change::Token);
        let sessions = self.sessions.values().cloned().map(Change::Session);
        tokens.chain(sessions).chain(self.noted.values().cloned().map(Change::Noted))
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.noted.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    /// Entries that must go before another one fits.
    #[must_use]
    pub fn crowded_out(&self) -> Vec<u64> {
        let over = (self.noted.len() + 1).saturating_sub(AUDIT_MAX);
        self.noted.keys().take(over).copied().collect()
    }
}
