//! Who may do what: the scopes of the HTTP API. Pure.

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
