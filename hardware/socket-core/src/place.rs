//! A socket's place in a network: names, keys, counters, gates. Seals what goes up; opening stands with the reader.

use plugline_protocol::frame::Options;
use plugline_protocol::messages::{Answer, Grant, Outcome, Payload};
use plugline_protocol::security::{Channel, CommandGate, Counters, GroupGate, Joined, Key, KeySet, ShortKey};
use plugline_protocol::wire::Full;
use plugline_protocol::{Identity, ShortAddress};

/// Its place in a network.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) identity: Identity,
    pub(crate) up: Key,
    pub(crate) down: Key,
    pub(crate) ack: Key,
    /// The root of a RESUME; place kept for it.
    pub(crate) kek: Key,
    pub(crate) group_key: Key,
    pub(crate) slot: Option<u16>,
    pub(crate) counters: Counters,
    pub(crate) commands: CommandGate,
    /// `None` from a start until a SYNC: no group frame is acted on.
    pub(crate) group: Option<GroupGate>,
    /// The gateway took a REPORT under these keys. Until then the place is given up after five minutes.
    pub(crate) committed: bool,
}

impl Place {
    /// What a JOIN-DOWN gave.
    pub(crate) fn granted(joined: Joined) -> Self {
        let Joined { identity, keys, grant } = joined;
        let KeySet { up, down, ack, kek, .. } = keys;
        let Grant { group_key, group_counter, slot } = grant;
        Self {
            identity,
            up,
            down,
            ack,
            kek,
            group_key,
            slot,
            counters: Counters::new(),
            commands: CommandGate::new(),
            group: Some(GroupGate::from_floor(group_counter)),
            committed: false,
        }
    }

    pub(crate) fn short(&self) -> ShortAddress {
        self.identity.short
    }

    /// Seals a message to the gateway under the next counter, which must have been taken.
    pub(crate) fn seal<'o, P: Payload>(
        &self,
        ack_request: bool,
        counter: u32,
        payload: &P,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], Full> {
        // No relay passes anything on yet.
        let options = Options { ack_request, ..Options::default() };
        Channel::up(&self.up, &self.identity).seal(options, counter, payload, out)
    }

    /// Writes the ANSWER to the COMMAND with this counter.
    pub(crate) fn answer<'o>(
        &self,
        command_counter: u32,
        outcome: Outcome,
        relay_on: bool,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], Full> {
        let answer = Answer { outcome, relay_on };
        ShortKey::new(&self.ack, &self.identity).answer(Options::default(), command_counter, answer, out)
    }
}
