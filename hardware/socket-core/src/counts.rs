//! What was dropped, by reason. Spec: protocol-spec/line.md §3.6.

use plugline_protocol::frame::FrameError;

/// Frames that were dropped, each kind of reason for itself. They stop at their highest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The CRC is wrong.
    pub crc: u16,
    /// Another major version.
    pub version: u16,
    /// A reserved or unknown kind.
    pub kind: u16,
    /// Too short or too long.
    pub length: u16,
    /// Network and address do not fit the kind.
    pub address: u16,
    /// Of another network.
    pub foreign: u16,
    /// The tag is wrong.
    pub forged: u16,
    /// The tag is right, the counter is old.
    pub replayed: u16,
    /// Tag and counter are right, the contents are not.
    pub malformed: u16,
    /// Genuine group frames too far ahead to be believed.
    pub too_far: u16,
    /// Genuine commands whose reference is too old.
    pub stale: u16,
    /// Commands that came again and were answered as before. Not dropped.
    pub repeated: u16,
    /// Of a kind that means nothing now: JOIN-DOWN while joined, BEACON before the first SYNC, RESUME and BULK until
    /// they are described.
    pub ignored: u16,
}

/// Not inlined: it is called from everywhere.
#[inline(never)]
pub(crate) fn count(counter: &mut u16) {
    *counter = counter.saturating_add(1);
}

impl Counts {
    pub(crate) fn malformed_frame(&mut self, error: FrameError) {
        count(match error {
            FrameError::Version(_) => &mut self.version,
            FrameError::Kind(_) => &mut self.kind,
            FrameError::Length { .. } => &mut self.length,
            FrameError::Address { .. } => &mut self.address,
        });
    }
}
