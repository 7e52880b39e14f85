//! The stored forms of tokens, sessions and the list of who changed what. Secrets stand there as their digests. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Text, Unreadable, id, mirror, seal_json, unseal_json};
use crate::access::{By, Digest, Noted, Scope, Session, Token};
use crate::device::{CommandId, DeviceId, SessionId, TokenId};

mirror!(ScopeV1 = Scope { Read, Switch, Manage, Admin });

/// A token as a sealed value.
#[must_use]
pub fn seal_token(token: &Token) -> Vec<u8> {
    seal_json(&TokenV1::from(token))
}

/// A token from a sealed value.
///
/// # Errors
/// [`Unreadable`], as for all of these.
pub fn unseal_token(sealed: &[u8]) -> Result<Token, Unreadable> {
    unseal_json::<TokenV1<'_>>(sealed)?.token()
}

/// A session as a sealed value.
#[must_use]
pub fn seal_session(session: &Session) -> Vec<u8> {
    seal_json(&SessionV1 {
        id: session.id.as_str().into(),
        digest: session.digest.to_hex(),
        token: session.token.as_str().into(),
        created_unix_ms: session.created_unix_ms,
        last_used_unix_ms: session.last_used_unix_ms,
    })
}

/// A session from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_session(sealed: &[u8]) -> Result<Session, Unreadable> {
    let stored: SessionV1<'_> = unseal_json(sealed)?;
    Ok(Session {
        id: id("id", &stored.id, SessionId::parse)?,
        digest: id("digest", &stored.digest, Digest::from_hex)?,
        token: id("token", &stored.token, TokenId::parse)?,
        created_unix_ms: stored.created_unix_ms,
        last_used_unix_ms: stored.last_used_unix_ms,
    })
}

/// A change that somebody made, as a sealed value.
#[must_use]
pub fn seal_noted(noted: &Noted) -> Vec<u8> {
    seal_json(&NotedV1 {
        number: noted.number,
        unix_ms: noted.unix_ms,
        by: (&noted.by).into(),
        action: (&*noted.action).into(),
        target: noted.target.as_deref().map(Into::into),
        command: noted.command.as_ref().map(|command| command.as_str().into()),
    })
}

/// A change that somebody made, from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_noted(sealed: &[u8]) -> Result<Noted, Unreadable> {
    let stored: NotedV1<'_> = unseal_json(sealed)?;
    Ok(Noted {
        number: stored.number,
        unix_ms: stored.unix_ms,
        by: stored.by.by()?,
        action: (&*stored.action).into(),
        target: stored.target.as_deref().map(Into::into),
        command: stored.command.map(|command| id("command", &command, CommandId::parse)).transpose()?,
    })
}

#[derive(Serialize, Deserialize)]
pub(super) struct TokenV1<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Text<'a>,
    digest: String,
    scope: ScopeV1,
    devices: Option<Vec<Text<'a>>>,
    created_unix_ms: i64,
    created_by: Text<'a>,
    expires_unix_ms: Option<i64>,
    retires_unix_ms: Option<i64>,
    last_used_unix_ms: Option<i64>,
}

impl<'a> From<&'a Token> for TokenV1<'a> {
    fn from(token: &'a Token) -> Self {
        let devices = token.reach.as_ref();
        Self {
            id: token.id.as_str().into(),
            name: (&*token.name).into(),
            digest: token.digest.to_hex(),
            scope: token.scope.into(),
            devices: devices.map(|devices| devices.iter().map(|device| device.as_str().into()).collect()),
            created_unix_ms: token.created_unix_ms,
            created_by: (&*token.created_by).into(),
            expires_unix_ms: token.expires_unix_ms,
            retires_unix_ms: token.retires_unix_ms,
            last_used_unix_ms: token.last_used_unix_ms,
        }
    }
}

impl TokenV1<'_> {
    pub(super) fn token(self) -> Result<Token, Unreadable> {
        let devices = self.devices.map(|devices| {
            devices.iter().map(|device| id("devices", device, DeviceId::parse)).collect::<Result<Arc<_>, _>>()
        });
        Ok(Token {
            id: id("id", &self.id, TokenId::parse)?,
            name: (&*self.name).into(),
            digest: id("digest", &self.digest, Digest::from_hex)?,
            scope: self.scope.into(),
            reach: devices.transpose()?,
            created_unix_ms: self.created_unix_ms,
            created_by: (&*self.created_by).into(),
            expires_unix_ms: self.expires_unix_ms,
            retires_unix_ms: self.retires_unix_ms,
            last_used_unix_ms: self.last_used_unix_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct SessionV1<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    digest: String,
    token: Text<'a>,
    created_unix_ms: i64,
    last_used_unix_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct NotedV1<'a> {
    number: u64,
    unix_ms: i64,
    #[serde(borrow)]
    by: ByV1<'a>,
    action: Text<'a>,
    target: Option<Text<'a>>,
    command: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ByV1<'a> {
    Local,
    Cli,
    Mqtt,
    Gateway,
    Token {
        #[serde(borrow)]
        id: Text<'a>,
        name: Text<'a>,
    },
}

impl<'a> From<&'a By> for ByV1<'a> {
    fn from(by: &'a By) -> Self {
        match by {
            By::Local => Self::Local,
            By::Cli => Self::Cli,
            By::Mqtt => Self::Mqtt,
            By::Gateway => Self::Gateway,
            By::Token { id, name } => Self::Token { id: id.as_str().into(), name: (&**name).into() },
        }
    }
}

impl ByV1<'_> {
    fn by(self) -> Result<By, Unreadable> {
        Ok(match self {
            Self::Local => By::Local,
            Self::Cli => By::Cli,
            Self::Mqtt => By::Mqtt,
            Self::Gateway => By::Gateway,
            Self::Token { id: text, name } => {
                By::Token { id: id("by", &text, TokenId::parse)?, name: (&*name).into() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn what_is_kept_of_access_reads_back() {
        let token = samples::token("tok_a");
        assert_eq!(unseal_token(&seal_token(&token)), Ok(token.clone()));
        let session = samples::session("ses_a", "tok_a");
        assert_eq!(unseal_session(&seal_session(&session)), Ok(session));
        let holder = By::Token { id: token.id, name: token.name };
        for by in [By::Local, By::Cli, By::Mqtt, By::Gateway, holder] {
            let noted = Noted { by, ..samples::noted(7) };
            assert_eq!(unseal_noted(&seal_noted(&noted)), Ok(noted));
        }
    }

    /// A golden form: it changes only together with the schema number.
    #[test]
    fn the_stored_form_of_a_token_holds_its_digest_alone() {
        let sealed = seal_token(&samples::token("tok_a"));
        assert_eq!(
            String::from_utf8_lossy(&sealed[5..]),
            format!(
                r#"{{"id":"tok_a","name":"Tablet","digest":"{}","scope":"switch","devices":["dlt645_1"],"created_unix_ms":1795000000000,"created_by":"local","expires_unix_ms":null,"retires_unix_ms":null,"last_used_unix_ms":null}}"#,
                Digest::of("secret").to_hex()
            )
        );
    }

    #[test]
    fn a_damaged_token_does_not_read() {
        let mut sealed = seal_token(&samples::token("tok_a"));
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert!(matches!(unseal_token(&sealed), Err(Unreadable::Checksum { .. })));
    }
}
