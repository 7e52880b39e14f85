//! Secured frames: AES-128-CCM, tag 8, nonce 13, L = 2. `security.md` §5.3.
//!
//! ```text
//! nonce = direction(1) ‖ EUI 8 ‖ counter 4          direction 01 up, 02 down, 03 group, 04 JOIN-DOWN, 05 RESUME-DOWN
//!         group: NETID 2 ‖ six times 00 in place of the EUI
//! associated data = FC ‖ NETID ‖ SHORT ‖ counter
//! ```

use core::fmt;

use aes::Aes128;
use ccm::aead::inout::InOutBuf;
use ccm::consts::{U8, U13};
use ccm::{AeadInOut, Ccm, KeyInit};

use super::Key;
use crate::frame::{Direction, Frame, Header, Kind, MAX_PDU, Options, SECURED_HEADER_LEN, TAG_LEN};
use crate::messages::Payload;
use crate::wire::{Full, Writer};
use crate::{Identity, NetworkId, ShortAddress};

/// AES-128-CCM with its key laid out.
pub(super) struct Cipher(Ccm<Aes128, U8, U13>);

impl Cipher {
    pub(super) fn new(key: &Key) -> Self {
        Self(Ccm::new(key.octets().into()))
    }

    pub(super) fn seal(&self, nonce: &[u8; 13], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        // CCM refuses only texts longer than its length field counts, 64 KiB here; no frame is.
        let tag = self.0.encrypt_inout_detached(nonce.into(), aad, InOutBuf::from(text));
        tag.expect("a frame is shorter than 64 KiB").into()
    }

    /// `text` is clear only when the tag is right; else it is to be thrown away.
    pub(super) fn open(&self, nonce: &[u8; 13], aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        self.0.decrypt_inout_detached(nonce.into(), aad, InOutBuf::from(text), tag.into()).is_ok()
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

/// Why a secured frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is of another kind, network or socket than this channel's: not tried.
    NotForUs,
    /// The tag is wrong: forged, damaged, or under another key.
    Forged,
    /// The caller's buffer is too small for the clear text.
    Full,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotForUs => "not for this channel",
            Self::Forged => "the tag is wrong",
            Self::Full => "the buffer is too small",
        })
    }
}

impl core::error::Error for OpenError {}

/// One direction of one socket's link, or of a network's group: its key, and what its nonces are made of. Making one
/// lays out the key (some 7,000 instructions on a Cortex-M0, 350 octets); a gateway keeps it, a socket need not.
#[derive(Debug)]
pub struct Channel {
    cipher: Cipher,
    direction: Direction,
    name: [u8; 8],
    network: NetworkId,
    short: ShortAddress,
}

impl Channel {
    /// REPORT and RESPONSE of this socket, under K_up.
    #[must_use]
    pub fn up(key: &Key, who: &Identity) -> Self {
        Self::pair(Direction::Up, key, who)
    }

    /// COMMAND to this socket, under K_down.
    #[must_use]
    pub fn down(key: &Key, who: &Identity) -> Self {
        Self::pair(Direction::Down, key, who)
    }

    fn pair(direction: Direction, key: &Key, who: &Identity) -> Self {
        let Identity { eui, network, short } = *who;
        Self { cipher: Cipher::new(key), direction, name: eui.0, network, short }
    }

    /// BEACON and BULK of this network, under the group key.
    #[must_use]
    pub fn group(key: &Key, network: NetworkId) -> Self {
        let [n0, n1] = network.0.to_be_bytes();
        let name = [n0, n1, 0, 0, 0, 0, 0, 0];
        Self {
            cipher: Cipher::new(key),
            direction: Direction::Group,
            name,
            network,
            short: ShortAddress::GROUP,
        }
    }

    fn carries(&self, kind: Kind) -> bool {
        kind.is_secured() && kind.direction() == self.direction
    }

    fn nonce(&self, counter: u32) -> [u8; 13] {
        let direction = match self.direction {
            Direction::Up => 1,
            Direction::Down => 2,
            Direction::Group => 3,
        };
        nonce(direction, &self.name, counter)
    }

    /// Writes the PDU of a message to `out` and gives it. A counter is used for one message only: a repeated frame is
    /// the same octets again, never sealed anew.
    ///
    /// # Errors
    /// [`Full`] when `out` is too small or the message too long for a frame.
    ///
    /// # Panics
    /// When the message belongs to another direction: that is a bug of the caller.
    pub fn seal<'o, P: Payload>(
        &self,
        options: Options,
        counter: u32,
        payload: &P,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], Full> {
        assert!(self.carries(P::KIND), "a message of another direction");
        let header = Header::new(P::KIND, self.network, self.short, options);
        let room = out.len().min(MAX_PDU);
        let (text_room, _) = out.split_at_mut_checked(room.saturating_sub(TAG_LEN)).ok_or(Full)?;
        let mut writer = Writer::new(text_room);
        writer.bytes(&header.octets())?;
        writer.u32(counter)?;
        payload.emit(&mut writer)?;
        let end = writer.len();
        self.close(&header, counter, end, out);
        Ok(&out[..end + TAG_LEN])
    }

    /// Encrypts what stands behind the header, up to `end`, and puts the tag there. Apart from [`Self::seal`], so that
    /// a socket's flash holds it once and not once for each message.
    fn close(&self, header: &Header, counter: u32, end: usize, out: &mut [u8]) {
        let (sealed, rest) = out.split_at_mut(end);
        let (_, text) = sealed.split_at_mut(SECURED_HEADER_LEN);
        let tag = self.cipher.seal(&self.nonce(counter), &associated(header, counter), text);
        rest[..TAG_LEN].copy_from_slice(&tag);
    }

    /// Decrypts the payload into `out` and gives it, if the tag is right. Freshness is a matter of its own: judge the
    /// counter after this, never before.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'o>(&self, frame: &Frame<'_>, out: &'o mut [u8]) -> Result<&'o [u8], OpenError> {
        let ours = frame.network() == self.network && frame.short() == self.short;
        let counter = frame.counter().filter(|_| ours && self.carries(frame.kind()));
        let counter = counter.ok_or(OpenError::NotForUs)?;
        let sealed = frame.pdu().get(SECURED_HEADER_LEN..).unwrap_or_default();
        let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Forged)?;
        let clear = out.get_mut(..text.len()).ok_or(OpenError::Full)?;
        clear.copy_from_slice(text);
        let aad = associated(frame.header(), counter);
        if self.cipher.open(&self.nonce(counter), &aad, clear, tag) {
            Ok(clear)
        } else {
            Err(OpenError::Forged)
        }
    }
}

pub(super) fn nonce(direction: u8, name: &[u8; 8], counter: u32) -> [u8; 13] {
    let mut nonce = [0; 13];
    nonce[0] = direction;
    nonce[1..9].copy_from_slice(name);
    nonce[9..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

fn associated(header: &Header, counter: u32) -> [u8; 9] {
    let mut aad = [0; 9];
    aad[..5].copy_from_slice(&header.authenticated());
    aad[5..].copy_from_slice(&counter.to_be_bytes());
    aad
}
