//! The three names of a socket. `line.md` §3.2.

use core::fmt;

/// The worldwide name of a socket (EUI-64), printed on its label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui64(pub [u8; 8]);

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eui64({self})")
    }
}

/// The name of a network, chosen at random by its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u16);

impl NetworkId {
    /// In JOIN-UP: no network yet.
    pub const NONE: Self = Self(0xFFFF);

    /// Neither 0000 nor FFFF: a network may be called this.
    #[must_use]
    pub const fn is_assignable(self) -> bool {
        !matches!(self.0, 0 | 0xFFFF)
    }
}

/// The address of a socket within its network, given by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortAddress(pub u16);

impl ShortAddress {
    /// Every socket of the network.
    pub const GROUP: Self = Self(0);
    /// In JOIN-UP: no address yet.
    pub const NONE: Self = Self(0xFFFF);

    /// Neither 0000 nor FFFF: a socket may be given this.
    #[must_use]
    pub const fn is_assignable(self) -> bool {
        !matches!(self.0, 0 | 0xFFFF)
    }
}

/// All that names one socket in one network; the nonces and keys of its frames are bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The socket's worldwide name.
    pub eui: Eui64,
    /// Its network.
    pub network: NetworkId,
    /// Its address there.
    pub short: ShortAddress,
}
