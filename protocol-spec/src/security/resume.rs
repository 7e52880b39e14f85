//! RESUME: a new key set for a joined socket, in place of the old one. Layout and keys; when it happens, and what is
//! kept until when, comes with a later version of the text. `security.md` §5.7.
//!
//! ```text
//! RESUME-ASK   tag = CMAC(K_kek, 03 ‖ "resume-ask" ‖ 00 ‖ FC ‖ NETID ‖ SHORT ‖ EUI ‖ Ng')[0..8]
//! RESUME-UP    tag = CMAC(K_kek, 04 ‖ "resume-up" ‖ 00 ‖ FC ‖ NETID ‖ SHORT ‖ EUI ‖ Ng' ‖ Ns')[0..8]
//! RESUME-DOWN  grant sealed under the new K_wrap, nonce 05 ‖ EUI ‖ 00000000, associated data FC ‖ NETID ‖ SHORT
//! ```

use subtle::ConstantTimeEq;

use super::channel::{Cipher, nonce};
use super::joining::{first_eight, open_grant};
use super::{JoinError, Joined, Key, KeySet, Nonces};
use crate::Identity;
use crate::frame::{self, Frame, Header, Kind, Options, TAG_LEN};
use crate::wire::Full;

const DIRECTION: u8 = 5;

fn ask_tag(kek: &Key, header: &Header, who: &Identity, gateway_nonce: &[u8]) -> [u8; TAG_LEN] {
    first_eight(kek.cmac(&[b"\x03resume-ask\0", &header.authenticated(), &who.eui.0, gateway_nonce]))
}

fn up_tag(kek: &Key, header: &Header, who: &Identity, nonces: &Nonces) -> [u8; TAG_LEN] {
    let Nonces { socket, gateway } = nonces;
    first_eight(kek.cmac(&[b"\x04resume-up\0", &header.authenticated(), &who.eui.0, gateway, socket]))
}

fn half<'a>(frame: &Frame<'a>, kind: Kind, who: &Identity) -> Option<([u8; 8], &'a [u8])> {
    let ours = frame.kind() == kind && frame.network() == who.network && frame.short() == who.short;
    let (nonce, tag) = frame.body().split_first_chunk().filter(|_| ours)?;
    Some((*nonce, tag))
}

/// Gateway: writes the PDU of a RESUME-ASK with a fresh nonce.
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn ask_resume<'o>(
    kek: &Key,
    who: &Identity,
    gateway_nonce: [u8; 8],
    options: Options,
    out: &'o mut [u8],
) -> Result<&'o [u8], Full> {
    let header = Header::new(Kind::ResumeAsk, who.network, who.short, options);
    frame::emit(&header, &[&gateway_nonce, &ask_tag(kek, &header, who, &gateway_nonce)], out)
}

/// Socket: the gateway's nonce, if this RESUME-ASK is genuine.
#[must_use]
pub fn is_resume_ask(kek: &Key, who: &Identity, frame: &Frame<'_>) -> Option<[u8; 8]> {
    let (nonce, tag) = half(frame, Kind::ResumeAsk, who)?;
    bool::from(tag.ct_eq(&ask_tag(kek, frame.header(), who, &nonce))).then_some(nonce)
}

/// Socket: writes the PDU of a RESUME-UP with a fresh nonce of its own.
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn answer_resume<'o>(
    kek: &Key,
    who: &Identity,
    nonces: &Nonces,
    options: Options,
    out: &'o mut [u8],
) -> Result<&'o [u8], Full> {
    let header = Header::new(Kind::ResumeUp, who.network, who.short, options);
    frame::emit(&header, &[&nonces.socket, &up_tag(kek, &header, who, nonces)], out)
}

/// Gateway: both nonces, if this RESUME-UP answers the ask with this nonce.
#[must_use]
pub fn is_resume_up(kek: &Key, who: &Identity, gateway_nonce: [u8; 8], frame: &Frame<'_>) -> Option<Nonces> {
    let (socket, tag) = half(frame, Kind::ResumeUp, who)?;
    let nonces = Nonces { socket, gateway: gateway_nonce };
    bool::from(tag.ct_eq(&up_tag(kek, frame.header(), who, &nonces))).then_some(nonces)
}

/// Gateway: writes the PDU of the RESUME-DOWN for what `joined` says, its keys made by [`KeySet::resumed`].
///
/// # Errors
/// [`Full`] when `out` is too small.
pub fn finish_resume<'o>(joined: &Joined, options: Options, out: &'o mut [u8]) -> Result<&'o [u8], Full> {
    let Identity { eui, network, short } = joined.identity;
    let header = Header::new(Kind::ResumeDown, network, short, options);
    let mut text = joined.grant.octets();
    let cipher = Cipher::new(&joined.keys.wrap);
    let tag = cipher.seal(&nonce(DIRECTION, &eui.0, 0), &header.authenticated(), &mut text);
    frame::emit(&header, &[&text, &tag], out)
}

/// Socket: the new place, if this RESUME-DOWN ends the exchange with these nonces.
///
/// # Errors
/// [`JoinError`].
pub fn accept_resume(
    kek: &Key,
    who: &Identity,
    nonces: &Nonces,
    frame: &Frame<'_>,
) -> Result<Joined, JoinError> {
    let ours =
        frame.kind() == Kind::ResumeDown && frame.network() == who.network && frame.short() == who.short;
    if !ours {
        return Err(JoinError::NotForUs);
    }
    let keys = KeySet::resumed(kek, who, nonces);
    let aad = frame.header().authenticated();
    let grant = open_grant(&keys.wrap, &nonce(DIRECTION, &who.eui.0, 0), &aad, frame.body())?;
    Ok(Joined { identity: *who, keys, grant })
}
