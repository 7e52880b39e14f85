//! Who changed what: one entry for each change that a person asked for.

use std::sync::Arc;

use super::By;
use crate::device::CommandId;

/// Entries kept; the oldest go first.
pub const AUDIT_MAX: usize = 1000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Counts from 1, never reused.
    pub number: u64,
    /// When, milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// Who asked for it.
    pub by: By,
    /// What, for programs: `device.add`, `token.remove`, `command.switch_on`.
    pub action: Arc<str>,
    /// To what: an id.
    pub target: Option<Arc<str>>,
    /// The command, if it is one; how that ended is known by its id.
    pub command: Option<CommandId>,
}
