//! Forms of single values: of parameters, and of the members of bodies. Each says what the gateway takes, no more and
//! no less: a pattern stands where others are refused, bounds where they are not clamped.

use serde_json::{Value, json};

use super::problem::KINDS;

/// A name for people: not blank, no control characters.
const NAME: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
const LINE: &str = "^[a-z0-9_]{1,16}$";
const DEVICE: &str = "^[a-z0-9_]{1,48}$";
const CURSOR: &str = r"^[a-z0-9]{8}\.(0|[1-9][0-9]{0,18})$";
const START: &str = r"^(earliest|now|[a-z0-9]{8}\.(0|[1-9][0-9]{0,18}))$";
/// Of a page of readings: milliseconds since 1970, and the number of the event.
const PLACE: &str = r"^-?[0-9]{1,18}\.[0-9]{1,19}$";

/// Form of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A decimal number; clamped to its range, never refused for it.
    Number,
    /// `1` or `0`.
    Flag,
    /// Several names, by repeating the parameter or by commas.
    Names,
    /// A time, RFC 3339.
    Time,
    /// One of these words.
    Words(&'static [&'static str]),
    /// The name of a line.
    Line,
    /// The id of a device or group.
    Device,
    /// The id of a command.
    Command,
    /// The id of a token.
    Token,
    /// The name of a kind of problem.
    Problem,
    /// A file below a folder.
    File,
    /// From where events are read: a cursor, `earliest` or `now`.
    Start,
    /// The same, or nothing yet.
    Last,
    /// From where a page of readings goes on.
    Place,
    /// What tells a request from its repetition.
    Key,
    /// Any text.
    Text,
}

impl Form {
    /// Of what stands between braces in a path.
    pub(super) fn of_path(path: &str, name: &str) -> Self {
        match name {
            "line" => Self::Line,
            "name" => Self::Problem,
            "file" => Self::File,
            _ if path.starts_with("/v1/commands/") => Self::Command,
            _ if path.starts_with("/v1/tokens/") => Self::Token,
            _ => Self::Device,
        }
    }

    /// One that may stand in a line to copy.
    pub(super) fn example(self) -> Option<&'static str> {
        Some(match self {
            Self::Line => "insteon",
            Self::Device => "insteon_1a777b",
            Self::Command => "cmd_01kag7d3x8v5m2qj4w9z6t0ncb",
            Self::Token => "tok_a1b2c3d4e5",
            Self::Problem => "unknown-device",
            Self::File => "app.js",
            Self::Time => "2026-11-20T10:00:00Z",
            _ => return None,
        })
    }

    pub(super) fn schema(self) -> Value {
        match self {
            Self::Number => json!({ "type": "integer" }),
            Self::Flag => json!({ "enum": ["1", "0", "true", "false"] }),
            // A value is split at its commas; something must be left.
            Self::Names => {
                json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "[^,]" } })
            }
            Self::Time => time(),
            Self::Words(words) => one_of(words),
            Self::Line => line(),
            Self::Device => device(),
            Self::Command => command(),
            Self::Token => token(),
            Self::Problem => one_of(&KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>()),
            Self::File => json!({ "type": "string", "minLength": 1 }),
            Self::Start => start(),
            Self::Last => json!({ "anyOf": [start(), { "const": "" }] }),
            Self::Place => json!({ "type": "string", "pattern": PLACE }),
            Self::Key => json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
            Self::Text => text(),
        }
    }
}

/// Any text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text of a form.
fn shaped(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// A name for people.
pub(super) fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": NAME })
}

/// The name of a line.
pub(super) fn line() -> Value {
    shaped(LINE)
}

/// The id of a device or group.
pub(super) fn device() -> Value {
    shaped(DEVICE)
}

/// The id of a command.
pub(super) fn command() -> Value {
    shaped("^cmd_[0-9a-z]{26}$")
}

/// The id of a token.
pub(super) fn token() -> Value {
    shaped("^tok_[a-z0-9]{10}$")
}

/// The text of a token.
pub(super) fn secret() -> Value {
    shaped("^plg[ua]_[0-9A-Za-z]{36}$")
}

/// A cursor.
pub(super) fn cursor() -> Value {
    shaped(CURSOR)
}

/// A cursor, `earliest` or `now`.
pub(super) fn start() -> Value {
    shaped(START)
}

/// True or false.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// Any number.
pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

/// A whole number from zero.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A whole number that is clamped to its range.
pub(super) fn clamped() -> Value {
    json!({ "type": "integer" })
}

/// A whole number of this range; others are refused.
pub(super) fn within(low: u64, high: u64) -> Value {
    json!({ "type": "integer", "minimum": low, "maximum": high })
}

/// A time, RFC 3339.
pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// One of these words.
pub(super) fn one_of(words: &[&str]) -> Value {
    json!({ "enum": words })
}
