//! JOIN-UP and JOIN-DOWN made and checked. Windows, pending key sets and repeats are their callers'. `join.md`.
//!
//! ```text
//! JOIN-UP    tag = CMAC(install, 02 ‖ "join-up" ‖ 00 ‖ FC ‖ NETID ‖ SHORT ‖ EUI … Ns)[0..8]
//! JOIN-DOWN  grant sealed under K_wrap, nonce 04 ‖ EUI ‖ 00000000, associated data FC ‖ NETID ‖ SHORT ‖ EUI ‖ Ng
//! ```

use core::fmt;

use subtle::ConstantTimeEq;

use super::channel::{Cipher, nonce};
use super::{Key, KeySet, Nonces};
use crate::frame::{self, Frame, Header, Kind, Options, TAG_LEN};
use crate::messages::{GRANT_LEN, Grant, JoinDown, JoinUp};
use crate::wire::Full;
use crate::{Eui64, Identity, NetworkId, ShortAddress};

const DIRECTION: u8 = 4;

/// Socket: writes the PDU of a JOIN-UP. Repeats within the attempt are the same octets.
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn ask_to_join<'o>(
    install: &Key,
    options: Options,
    up: &JoinUp,
    out: &'o mut [u8],
) -> Result<&'o [u8], Full> {
    let header = Header::new(Kind::JoinUp, NetworkId::NONE, ShortAddress::NONE, options);
    let body = up.octets();
    let tag = join_up_tag(install, &header, &body);
    frame::emit(&header, &[&body, &tag], out)
}

/// Gateway: was this JOIN-UP made with this install key? If not, the key is of another label, or the frame is forged.
#[must_use]
pub fn is_from_label(install: &Key, frame: &Frame<'_>) -> bool {
    let Some((body, tag)) = frame.body().split_last_chunk::<TAG_LEN>() else { return false };
    frame.kind() == Kind::JoinUp && bool::from(tag.ct_eq(&join_up_tag(install, frame.header(), body)))
}

fn join_up_tag(install: &Key, header: &Header, body: &[u8]) -> [u8; TAG_LEN] {
    first_eight(install.cmac(&[b"\x02join-up\0", &header.authenticated(), body]))
}

pub(super) fn first_eight(mac: [u8; 16]) -> [u8; TAG_LEN] {
    let [a, b, c, d, e, f, g, h, ..] = mac;
    [a, b, c, d, e, f, g, h]
}

/// A socket's place in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Who and where.
    pub identity: Identity,
    /// Its keys.
    pub keys: KeySet,
    /// What it was given.
    pub grant: Grant,
}

/// Gateway: writes the PDU of the JOIN-DOWN for what `joined` says. `nonces` must be those that its keys were made
/// with ([`KeySet::joined`]); a repeated JOIN-UP is answered with the same octets.
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn answer_join<'o>(
    joined: &Joined,
    gateway_nonce: [u8; 8],
    options: Options,
    out: &'o mut [u8],
) -> Result<&'o [u8], Full> {
    let Identity { eui, network, short } = joined.identity;
    let header = Header::new(Kind::JoinDown, network, short, options);
    let mut text = joined.grant.octets();
    let aad = associated(&header, eui, &gateway_nonce);
    let tag = Cipher::new(&joined.keys.wrap).seal(&nonce(DIRECTION, &eui.0, 0), &aad, &mut text);
    frame::emit(&header, &[&eui.0, &gateway_nonce, &text, &tag], out)
}

/// Why a JOIN-DOWN was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It is for another socket, or no JOIN-DOWN.
    NotForUs,
    /// The tag is wrong: forged, or made for another attempt.
    Forged,
    /// Genuine, with a slot that does not exist.
    Malformed,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotForUs => "not for this socket",
            Self::Forged => "the tag is wrong",
            Self::Malformed => "the grant is not one",
        })
    }
}

impl core::error::Error for JoinError {}

/// Socket: the place that a JOIN-DOWN gives, if it answers the attempt with this nonce.
///
/// # Errors
/// [`JoinError`].
pub fn accept_join(
    install: &Key,
    eui: Eui64,
    socket_nonce: [u8; 8],
    frame: &Frame<'_>,
) -> Result<Joined, JoinError> {
    let down = JoinDown::parse(frame).ok().filter(|down| down.eui == eui).ok_or(JoinError::NotForUs)?;
    let identity = Identity { eui, network: frame.network(), short: frame.short() };
    let nonces = Nonces { socket: socket_nonce, gateway: down.nonce };
    let keys = KeySet::joined(install, &identity, &nonces);
    let aad = associated(frame.header(), eui, &down.nonce);
    let sealed = frame.body().get(16..).unwrap_or_default();
    let grant = open_grant(&keys.wrap, &nonce(DIRECTION, &eui.0, 0), &aad, sealed)?;
    Ok(Joined { identity, keys, grant })
}

pub(super) fn open_grant(
    wrap: &Key,
    nonce: &[u8; 13],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Grant, JoinError> {
    let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(JoinError::NotForUs)?;
    let mut text: [u8; GRANT_LEN] = text.try_into().map_err(|_| JoinError::NotForUs)?;
    if !Cipher::new(wrap).open(nonce, aad, &mut text, tag) {
        return Err(JoinError::Forged);
    }
    Grant::read(&text).map_err(|_| JoinError::Malformed)
}

fn associated(header: &Header, eui: Eui64, gateway_nonce: &[u8; 8]) -> [u8; 21] {
    let mut aad = [0; 21];
    aad[..5].copy_from_slice(&header.authenticated());
    aad[5..13].copy_from_slice(&eui.0);
    aad[13..].copy_from_slice(gateway_nonce);
    aad
}
