//! The figures of the limits, as the configuration gives them. Pure.

use super::rate::Quota;

/// A second's reads make half of a burst: a page that opens asks for a lot at once.
const READS_BURST: u32 = 2;
/// Seconds' worth of commands at once: a scene.
const COMMANDS_BURST: u32 = 4;
/// A relay lives for some 100,000 operations, and a command takes the line for most of a second.
const DEVICE: Quota = Quota::per_second(1, 5);

/// How much is allowed; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Looks, of each who asks. Without it, readers in a hot loop are not slowed down either.
    pub reads: Option<Quota>,
    /// Changes and commands, of each who asks.
    pub commands: Option<Quota>,
    /// Commands for one device, whoever sends them.
    pub device: Option<Quota>,
    /// Answers held open for one token.
    pub streams_per_token: usize,
    /// Answers held open for one address.
    pub streams_per_address: usize,
}

impl Figures {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        reads: None,
        commands: None,
        device: None,
        streams_per_token: usize::MAX,
        streams_per_address: usize::MAX,
    };

    /// So many looks a second; 0 is no limit.
    #[must_use]
    pub fn with_reads(self, per_s: u32) -> Self {
        let reads = (per_s > 0).then(|| Quota::per_second(per_s, per_s.saturating_mul(READS_BURST)));
        Self { reads, ..self }
    }

    /// So many commands a second; 0 is no limit, for one device neither.
    #[must_use]
    pub fn with_commands(self, per_s: u32) -> Self {
        let quota = || Quota::per_second(per_s, per_s.saturating_mul(COMMANDS_BURST));
        Self { commands: (per_s > 0).then(quota), device: (per_s > 0).then_some(DEVICE), ..self }
    }

    /// So many answers held open for a token; 0 is no limit.
    #[must_use]
    pub fn with_streams_per_token(self, count: usize) -> Self {
        Self { streams_per_token: if count == 0 { usize::MAX } else { count }, ..self }
    }

    /// So many answers held open for an address; 0 is no limit.
    #[must_use]
    pub fn with_streams_per_address(self, count: usize) -> Self {
        Self { streams_per_address: if count == 0 { usize::MAX } else { count }, ..self }
    }
}

/// Sixty looks and five commands a second; 20 streams a token, 50 an address.
impl Default for Figures {
    fn default() -> Self {
        Self::NONE.with_reads(60).with_commands(5).with_streams_per_token(20).with_streams_per_address(50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract_and_zero_lifts_a_limit() {
        let figures = Figures::default();
        assert_eq!(figures.reads.map(|quota| quota.burst), Some(120));
        assert_eq!(figures.commands.map(|quota| quota.burst), Some(20));
        let lifted = figures.with_reads(0).with_commands(0);
        assert_eq!(lifted.with_streams_per_token(0).with_streams_per_address(0), Figures::NONE);
    }
}
