//! Tokens, sessions and the list of who changed what: made, changed and ended here, kept before they count. The hub
//! sees digests only; secrets are made and shown at the edges. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{By, Change, Digest, Grant, Noted, ROTATED_LIVES_MS, Reach, Scope, Session, Token};
use crate::device::{CommandId, Now, SessionId, TokenId};
use crate::hub::Hub;
use crate::hub::command::Action;
use crate::hub::effect::{Effect, Given, Output, Persisted, Record, Refused, Request, Wish};
use crate::hub::erase::Erase;
use crate::hub::manage::NAME_MAX;
use crate::hub::request::Accepted;

/// Tokens at once; a house gives one to each program and person.
const TOKENS_MAX: usize = 256;

/// Sessions at once; one more ends the one that was not used for the longest time.
const SESSIONS_MAX: usize = 256;

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its id, fresh.
    pub id: TokenId,
    /// Of its text.
    pub digest: Digest,
    /// What people call it, 1 … 64 characters.
    pub name: Arc<str>,
    /// What its holder may do.
    pub scope: Scope,
    /// With which devices.
    pub reach: Reach,
    /// How long it is good; `None`: for ever.
    pub lives: Option<Duration>,
}

/// What is asked about tokens and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRequest {
    /// Make a token.
    Mint(NewToken),
    /// Make another token that may do the same; the old one goes on for a day.
    Rotate {
        /// Which.
        token: TokenId,
        /// The new one's id.
        id: TokenId,
        /// Of its text.
        digest: Digest,
    },
    /// End a token and its sessions now.
    Revoke(TokenId),
    /// Open a session.
    OpenSession {
        /// Its id.
        id: SessionId,
        /// Of the cookie's value.
        digest: Digest,
        /// With which token.
        token: TokenId,
    },
    /// End a session.
    CloseSession(SessionId),
    /// An edge did something that a person asked for.
    Note {
        /// What: `config.change`.
        action: Arc<str>,
        /// To what.
        target: Option<Arc<str>>,
    },
}

impl Hub {
    pub(super) fn access(&mut self, request: AccessRequest, by: &By, now: Now) -> Accepted {
        match request {
            AccessRequest::Mint(new) => self.mint(new, by, now),
            AccessRequest::Rotate { token, id, digest } => self.rotate(&token, (id, digest), by, now),
            AccessRequest::Revoke(id) => {
                self.known_token(&id)?;
                let changes = self.end_token(&id);
                Ok((Some(self.write(changes)), Given::Nothing))
            }
            AccessRequest::OpenSession { id, digest, token } => self.open_session(id, digest, &token, now),
            AccessRequest::CloseSession(id) => {
                let open = self.book.session(&id).is_some();
                let ticket = open.then(|| self.write(vec![Change::SessionGone(id)]));
                Ok((ticket, Given::Nothing))
            }
            AccessRequest::Note { .. } => Ok((None, Given::Nothing)),
        }
    }

    fn mint(&mut self, new: NewToken, by: &By, now: Now) -> Accepted {
        let length = new.name.chars().count();
        if !(1..=NAME_MAX).contains(&length)
            || new.name.trim().is_empty()
            || new.name.chars().any(char::is_control)
        {
            return Err(Refused::BadName { max: NAME_MAX });
        }
        self.room_for_a_token()?;
        let lives_ms = new.lives.map(|lives| i64::try_from(lives.as_millis()).unwrap_or(i64::MAX));
        let token = Arc::new(Token {
            id: new.id,
            name: new.name,
            digest: new.digest,
            scope: new.scope,
            reach: new.reach,
            created_unix_ms: now.unix_ms,
            created_by: by.to_string().into(),
            expires_unix_ms: lives_ms.map(|lives| now.unix_ms.saturating_add(lives)),
            retires_unix_ms: None,
            last_used_unix_ms: None,
        });
        let ticket = self.write(vec![Change::Token(Arc::clone(&token))]);
        Ok((Some(ticket), Given::Token(token)))
    }

    fn rotate(&mut self, old: &TokenId, (id, digest): (TokenId, Digest), by: &By, now: Now) -> Accepted {
        let old = self.known_token(old)?;
        if old.retires_unix_ms.is_some() {
            return Err(Refused::TokenRetires(old.id.clone()));
        }
        self.room_for_a_token()?;
        // A token that was to live for a month is followed by one that lives for a month.
        let lives_ms = old.expires_unix_ms.map(|expires| expires.saturating_sub(old.created_unix_ms));
        let fresh = Arc::new(Token {
            id,
            digest,
            created_unix_ms: now.unix_ms,
            created_by: by.to_string().into(),
            expires_unix_ms: lives_ms.map(|lives| now.unix_ms.saturating_add(lives)),
            last_used_unix_ms: None,
            ..(*old).clone()
        });
        let retires_unix_ms = Some(now.unix_ms.saturating_add(ROTATED_LIVES_MS));
        let old = Arc::new(Token { retires_unix_ms, ..(*old).clone() });
        let ticket = self.write(vec![Change::Token(old), Change::Token(Arc::clone(&fresh))]);
        Ok((Some(ticket), Given::Token(fresh)))
    }

    fn open_session(&mut self, id: SessionId, digest: Digest, token: &TokenId, now: Now) -> Accepted {
        let token = self.known_token(token)?.id.clone();
        let mut changes = Vec::new();
        if self.book.sessions().count() >= SESSIONS_MAX {
            let idlest = self.book.sessions().min_by_key(|session| session.last_used_unix_ms);
            changes.extend(idlest.map(|session| Change::SessionGone(session.id.clone())));
        }
        let (created_unix_ms, last_used_unix_ms) = (now.unix_ms, now.unix_ms);
        let session = Session { id, digest, token, created_unix_ms, last_used_unix_ms };
        changes.push(Change::Session(Arc::new(session)));
        Ok((Some(self.write(changes)), Given::Nothing))
    }

    fn known_token(&self, id: &TokenId) -> Result<Arc<Token>, Refused> {
        self.book.token(id).cloned().ok_or_else(|| Refused::UnknownToken(id.clone()))
    }

    fn room_for_a_token(&self) -> Result<(), Refused> {
        let full = self.book.tokens().count() >= TOKENS_MAX;
        if full { Err(Refused::TooManyTokens { limit: TOKENS_MAX }) } else { Ok(()) }
    }

    fn end_token(&self, id: &TokenId) -> Vec<Change> {
        let sessions = self.book.sessions_of(id).map(|session| Change::SessionGone(session.id.clone()));
        sessions.chain([Change::TokenGone(id.clone())]).collect()
    }

    /// Keeps changes, and lets them count once they are on disk.
    fn write(&mut self, changes: Vec<Change>) -> Persisted {
        for change in &changes {
            self.book.take(change.clone());
        }
        let ticket = self.persist(changes.iter().cloned().map(Record::Access).collect());
        for change in changes {
            self.outputs.push_back(Output { after: Some(ticket), effect: Effect::ShowAccess(change) });
        }
        ticket
    }

    /// Rights were used; at the next checkpoint this is kept.
    pub fn handle_uses(&mut self, uses: impl IntoIterator<Item = (Grant, i64)>) {
        for (grant, unix_ms) in uses {
            let change = match &grant {
                Grant::Token(id) => self.book.token(id).map(|token| {
                    let last_used_unix_ms = Some(unix_ms);
                    Change::Token(Arc::new(Token { last_used_unix_ms, ..Token::clone(token) }))
                }),
                Grant::Session(id) => self.book.session(id).map(|session| {
                    let last_used_unix_ms = unix_ms;
                    Change::Session(Arc::new(Session { last_used_unix_ms, ..Session::clone(session) }))
                }),
                Grant::Local | Grant::Run => None,
            };
            if let Some(change) = change {
                self.book.take(change.clone());
                self.used.insert(grant);
                self.effect(Effect::ShowAccess(change));
            }
        }
    }

    /// What was used since the last checkpoint, as records.
    pub(super) fn used_records(&mut self) -> Vec<Record> {
        let used = std::mem::take(&mut self.used).into_iter().filter_map(|grant| match grant {
            Grant::Token(id) => self.book.token(&id).cloned().map(Change::Token),
            Grant::Session(id) => self.book.session(&id).cloned().map(Change::Session),
            Grant::Local | Grant::Run => None,
        });
        used.map(Record::Access).collect()
    }

    /// Forgets tokens and sessions that are over.
    pub(super) fn end_rights(&mut self, now: Now) {
        let over = |grant: Grant| self.book.holder(&grant, now.unix_ms).is_none();
        let tokens = self.book.tokens().filter(|token| over(Grant::Token(token.id.clone())));
        let mut changes: Vec<Change> = tokens.flat_map(|token| self.end_token(&token.id)).collect();
        let sessions = self.book.sessions().filter(|session| over(Grant::Session(session.id.clone())));
        changes.extend(sessions.map(|session| Change::SessionGone(session.id.clone())));
        if !changes.is_empty() {
            self.write(changes);
        }
    }

    /// Writes down who changed what, in the transaction that keeps the change: the last of the outputs from `since` on
    /// that keeps anything.
    pub(super) fn note(&mut self, since: usize, by: By, what: What, now: Now) {
        let number = self.book.next_number();
        let What { action, target, command } = what;
        let noted = Arc::new(Noted { number, unix_ms: now.unix_ms, by, action, target, command });
        let gone = self.book.crowded_out().into_iter().map(Change::NotedGone);
        let changes: Vec<Change> = gone.chain([Change::Noted(noted)]).collect();
        let keeping = self.outputs.range_mut(since..).rev().find_map(|output| match &mut output.effect {
            Effect::Persist(ticket, records) => Some((*ticket, records)),
            _ => None,
        });
        let Some((ticket, records)) = keeping else {
            self.write(changes);
            return;
        };
        records.extend(changes.iter().cloned().map(Record::Access));
        for change in changes {
            self.book.take(change.clone());
            self.outputs.push_back(Output { after: Some(ticket), effect: Effect::ShowAccess(change) });
        }
    }
}

/// What somebody changed.
#[derive(Clone, Debug)]
pub(super) struct What {
    action: Arc<str>,
    target: Option<Arc<str>>,
    command: Option<CommandId>,
}

impl What {
    /// What a request will have changed; `None` for what changes nothing.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let (action, target): (&str, Option<&str>) = match request {
            Request::Ping | Request::Quality { .. } => return None,
            Request::Command(new) => (verb(new.wish), Some(new.device.as_str())),
            Request::Cancel(command) => ("command.cancel", Some(command.as_str())),
            Request::Add { address, .. } => ("device.add", Some(address)),
            Request::Change { device, .. } => ("device.change", Some(device.as_str())),
            Request::Replace { device, .. } => ("device.replace", Some(device.as_str())),
            Request::Remove(device) => ("device.remove", Some(device.as_str())),
            Request::AddGroup { name, .. } => ("group.add", Some(name)),
            Request::ChangeGroup { group, .. } => ("group.change", Some(group.as_str())),
            Request::RemoveGroup(group) => ("group.remove", Some(group.as_str())),
            Request::Erase(Erase::Of(device)) => ("readings.erase", Some(device.as_str())),
            Request::Erase(Erase::Before(_)) => ("readings.erase", None),
            Request::OpenJoining { line, .. } => ("joining.open", line.as_ref().map(|line| line.as_str())),
            Request::CloseJoining { line } => ("joining.close", line.as_ref().map(|line| line.as_str())),
            Request::Access(request) => match request {
                AccessRequest::Mint(new) => ("token.add", Some(new.id.as_str())),
                AccessRequest::Rotate { token, .. } => ("token.rotate", Some(token.as_str())),
                AccessRequest::Revoke(token) => ("token.remove", Some(token.as_str())),
                AccessRequest::OpenSession { id, .. } => ("session.open", Some(id.as_str())),
                AccessRequest::CloseSession(id) => ("session.close", Some(id.as_str())),
                AccessRequest::Note { action, target } => (action, target.as_deref()),
            },
        };
        Some(Self { action: action.into(), target: target.map(Into::into), command: None })
    }

    /// With what only the answer tells; `None` when nothing was changed after all.
    pub(super) fn done(self, given: &Given) -> Option<Self> {
        match given {
            Given::Command { replayed: true, .. } => None,
            Given::Command { command, .. } => Some(Self { command: Some(command.id.clone()), ..self }),
            Given::Device(device) => Some(Self { target: Some(device.id.as_str().into()), ..self }),
            Given::Nothing | Given::Joining(..) | Given::Token(_) | Given::Quality(_) | Given::Erased(_) => {
                Some(self)
            }
        }
    }
}

fn verb(wish: Wish) -> &'static str {
    match wish {
        Wish::Do(Action::Switch { on: true }) => "command.switch_on",
        Wish::Do(Action::Switch { on: false }) => "command.switch_off",
        Wish::Do(Action::Read) => "command.read",
        Wish::Do(Action::Identify { .. }) => "command.identify",
        Wish::Toggle => "command.toggle",
    }
}

#[cfg(test)]
mod tests;
