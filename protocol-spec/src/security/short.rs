//! ACK and ANSWER: four octets of CMAC instead of a sealed payload. `security.md` §5.4.
//!
//! ```text
//! about   = FC ‖ NETID ‖ SHORT ‖ counter 4          the whole counter, of which the frame shows the low octet
//! ACK     tag  = CMAC(K_ack, 05 ‖ about)[0..4]
//! ANSWER  mask = CMAC(K_ack, 06 ‖ about)[0]         tag = CMAC(K_ack, 07 ‖ about ‖ status)[0..4]
//! ```

use subtle::ConstantTimeEq;

use super::{Key, OpenError};
use crate::frame::{self, Frame, Header, Kind, Options, SHORT_TAG_LEN};
use crate::messages::Answer;
use crate::wire::Full;
use crate::{Identity, NetworkId, ShortAddress};

const ACK: u8 = 5;
const ANSWER_MASK: u8 = 6;
const ANSWER: u8 = 7;

/// K_ack of one socket.
#[derive(Clone, Debug)]
pub struct ShortKey {
    key: Key,
    network: NetworkId,
    short: ShortAddress,
}

impl ShortKey {
    /// K_ack and whose it is.
    #[must_use]
    pub fn new(key: &Key, who: &Identity) -> Self {
        Self { key: key.clone(), network: who.network, short: who.short }
    }

    /// Writes the PDU of an ACK for the REPORT with this counter. The same counter gives the same octets.
    ///
    /// # Errors
    /// [`Full`] when `out` is too small.
    pub fn ack<'o>(&self, options: Options, counter: u32, out: &'o mut [u8]) -> Result<&'o [u8], Full> {
        let header = Header::new(Kind::Ack, self.network, self.short, options);
        frame::emit(&header, &[&[counter as u8], &self.tag(ACK, &header, counter, &[])], out)
    }

    /// Is this the ACK of the REPORT with this counter?
    #[must_use]
    pub fn is_ack(&self, frame: &Frame<'_>, counter: u32) -> bool {
        self.is_ours(frame, Kind::Ack, counter)
            && bool::from(frame.tag().ct_eq(&self.tag(ACK, frame.header(), counter, &[])))
    }

    /// Writes the PDU of an ANSWER to the COMMAND with this counter.
    ///
    /// # Errors
    /// [`Full`] when `out` is too small.
    pub fn answer<'o>(
        &self,
        options: Options,
        command_counter: u32,
        answer: Answer,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], Full> {
        let header = Header::new(Kind::Answer, self.network, self.short, options);
        let status = answer.status();
        let masked = status ^ self.mask(&header, command_counter);
        let tag = self.tag(ANSWER, &header, command_counter, &[status]);
        frame::emit(&header, &[&[command_counter as u8, masked], &tag], out)
    }

    /// The answer to the COMMAND with this counter, if this frame is one.
    ///
    /// # Errors
    /// [`OpenError::NotForUs`] when it is another frame or about another counter, [`OpenError::Forged`] when the tag
    /// is wrong.
    pub fn open_answer(&self, frame: &Frame<'_>, command_counter: u32) -> Result<Answer, OpenError> {
        if !self.is_ours(frame, Kind::Answer, command_counter) {
            return Err(OpenError::NotForUs);
        }
        let [_, masked, ..] = *frame.body() else { return Err(OpenError::NotForUs) };
        let status = masked ^ self.mask(frame.header(), command_counter);
        let tag = self.tag(ANSWER, frame.header(), command_counter, &[status]);
        if bool::from(frame.tag().ct_eq(&tag)) { Ok(Answer::of(status)) } else { Err(OpenError::Forged) }
    }

    fn is_ours(&self, frame: &Frame<'_>, kind: Kind, counter: u32) -> bool {
        frame.kind() == kind
            && frame.network() == self.network
            && frame.short() == self.short
            && frame.counter_low() == Some(counter as u8)
    }

    fn cmac(&self, purpose: u8, header: &Header, counter: u32, more: &[u8]) -> [u8; 16] {
        self.key.cmac(&[&[purpose], &header.authenticated(), &counter.to_be_bytes(), more])
    }

    fn mask(&self, header: &Header, counter: u32) -> u8 {
        self.cmac(ANSWER_MASK, header, counter, &[])[0]
    }

    fn tag(&self, purpose: u8, header: &Header, counter: u32, more: &[u8]) -> [u8; SHORT_TAG_LEN] {
        let [a, b, c, d, ..] = self.cmac(purpose, header, counter, more);
        [a, b, c, d]
    }
}
