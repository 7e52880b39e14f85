//! The key schedule. `security.md` §5.2, on one page there.
//!
//! ```text
//! K_label = CMAC(root, 01 ‖ label ‖ 00 ‖ EUI ‖ NETID ‖ SHORT ‖ Ns ‖ Ng ‖ 00 80)
//! joining:  root = install key, labels "up" "down" "ack" "wrap" "kek"
//! RESUME:   root = K_kek,       labels "up" "down" "ack" "wrap"         K_kek stays
//! ```

use core::fmt;

use aes::Aes128;
use cmac::{Cmac, KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::Identity;

/// A key of 128 bits. It is never shown, compared in constant time, and wiped when it goes.
#[derive(Clone)]
pub struct Key([u8; 16]);

impl Key {
    /// From its octets.
    #[must_use]
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// Its octets, to be stored.
    #[must_use]
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// AES-CMAC under this key of the parts, one after the other.
    pub(crate) fn cmac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = Cmac::<Aes128>::new(&self.0.into());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Eight octets that nobody can foresee who does not know this key: nonces, drawn from a key of fresh random bits
    /// that is for nothing else. The same number gives the same octets.
    #[must_use]
    pub fn draw(&self, number: u32) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.cmac(&[&[8], &number.to_be_bytes()]);
        [a, b, c, d, e, f, g, h]
    }

    fn derive(&self, label: &str, who: &Identity, nonces: &Nonces) -> Self {
        let (network, short) = (who.network.0.to_be_bytes(), who.short.0.to_be_bytes());
        Self(self.cmac(&[
            &[1],
            label.as_bytes(),
            &[0],
            &who.eui.0,
            &network,
            &short,
            &nonces.socket,
            &nonces.gateway,
            &[0x00, 0x80],
        ]))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The fresh halves that both sides give to a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// Ns, from the socket.
    pub socket: [u8; 8],
    /// Ng, from the gateway.
    pub gateway: [u8; 8],
}

/// The keys of one socket in one network. Both counters start at 0 with each set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// REPORT and RESPONSE.
    pub up: Key,
    /// COMMAND.
    pub down: Key,
    /// ACK and ANSWER.
    pub ack: Key,
    /// The one grant of this set: JOIN-DOWN or RESUME-DOWN.
    pub wrap: Key,
    /// RESUME: the root of all later sets. It lasts as long as the socket is joined.
    pub kek: Key,
}

impl KeySet {
    /// The set of a joining.
    #[must_use]
    pub fn joined(install: &Key, who: &Identity, nonces: &Nonces) -> Self {
        Self::from_root(install, install.derive("kek", who, nonces), who, nonces)
    }

    /// The set of a RESUME.
    #[must_use]
    pub fn resumed(kek: &Key, who: &Identity, nonces: &Nonces) -> Self {
        Self::from_root(kek, kek.clone(), who, nonces)
    }

    fn from_root(root: &Key, kek: Key, who: &Identity, nonces: &Nonces) -> Self {
        let key = |label| root.derive(label, who, nonces);
        Self { up: key("up"), down: key("down"), ack: key("ack"), wrap: key("wrap"), kek }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [PLG-5.2-6]
    #[test]
    fn a_nonce_is_drawn_as_the_text_says() {
        let seed = Key::new(core::array::from_fn(|at| at as u8));
        // OpenSSL's CMAC over 08 00030001.
        assert_eq!(seed.draw(0x0003_0001), [0x0F, 0x2C, 0x7B, 0x03, 0x01, 0x27, 0xA5, 0x47]);
    }
}
