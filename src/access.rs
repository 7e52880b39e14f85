//! Who may do what: scopes, device reach, tokens and the sessions and tickets made from them, the list of who changed
//! what. Pure: time and randomness are arguments. Spec: `protocol-spec/http.md`, Who asks.
//!
//! A secret's way: text → [`TokenText::parse`] (form and checksum, without any look-up) → its [`Digest`] →
//! [`Book::find`] → a [`Principal`]. Nothing but the digest is ever kept.

use std::fmt;
use std::sync::Arc;

use crate::device::{DeviceId, SessionId, TokenId};

mod audit;
mod book;
mod digest;
pub mod ticket;
mod token;

pub use audit::{AUDIT_MAX, Noted};
pub use book::{Book, Change, ROTATED_LIVES_MS, SESSION_IDLE_MS, Session, Token};
pub use digest::Digest;
pub use token::{BadToken, Kind, RANDOM_BYTES, TokenText};

/// What a caller may do. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See devices, events, lines and readings.
    Read,
    /// Command devices.
    Switch,
    /// Change the registry, groups and joining; record lines.
    Manage,
    /// Tokens, audit, configuration, backup and erasing.
    Admin,
}

impl Scope {
    /// All, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Switch, Self::Manage, Self::Admin];

    /// The word of the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Switch => "switch",
            Self::Manage => "manage",
            Self::Admin => "admin",
        }
    }

    /// A scope by its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == word)
    }
}

/// Who asks for something, as the audit list and a command's `requested_by` name him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Somebody on the gateway's own machine, without a token.
    Local,
    /// The command line, with the token of this run.
    Cli,
    /// A client of the broker.
    Mqtt,
    /// The gateway itself.
    Gateway,
    /// The holder of a token, or of a session that was opened with it.
    Token {
        /// Its id.
        id: TokenId,
        /// Its name then.
        name: Arc<str>,
    },
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Cli => f.write_str("cli"),
            Self::Mqtt => f.write_str("mqtt"),
            Self::Gateway => f.write_str("gateway"),
            Self::Token { name, .. } => write!(f, "token:{name}"),
        }
    }
}

/// What a caller's right rests on; when it is gone, so is the right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// That no token is asked for here.
    Local,
    /// The token of this run.
    Run,
    /// A token.
    Token(TokenId),
    /// A session.
    Session(SessionId),
}

/// Which devices a caller sees and commands; `None`: all. A group counts with its members.
pub type Reach = Option<Arc<[DeviceId]>>;

/// Who asks, and what he may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What his right rests on.
    pub grant: Grant,
    /// Who he is.
    pub by: By,
    /// What he may do.
    pub scope: Scope,
    /// With which devices.
    pub reach: Reach,
    /// When his right ends, milliseconds since 1970 UTC, if it does by itself.
    pub ends_unix_ms: Option<i64>,
}

impl Principal {
    /// Somebody on the gateway's own machine where no token is asked for.
    #[must_use]
    pub fn local() -> Self {
        Self { grant: Grant::Local, by: By::Local, scope: Scope::Admin, reach: None, ends_unix_ms: None }
    }

    /// The command line with the token of this run.
    #[must_use]
    pub fn cli() -> Self {
        Self { grant: Grant::Run, by: By::Cli, ..Self::local() }
    }

    /// Somebody who sees no device: what a stranger is.
    #[must_use]
    pub fn stranger() -> Self {
        Self { scope: Scope::Read, reach: Some(Arc::from([])), ..Self::local() }
    }

    /// He may do this.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        scope <= self.scope
    }

    /// All his scopes, the smallest first.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(|scope| self.may(*scope))
    }

    /// He may see and command this device. `members` tells whom a group has; of other devices nobody.
    pub fn reaches(&self, device: &DeviceId, members: impl Fn(&DeviceId) -> Vec<DeviceId>) -> bool {
        match &self.reach {
            None => true,
            Some(devices) => {
                devices.contains(device) || devices.iter().any(|group| members(group).contains(device))
            }
        }
    }
}

#[cfg(test)]
mod tests;
