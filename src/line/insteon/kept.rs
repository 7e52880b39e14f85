//! What the driver keeps through a restart: whose link database it read, its records, and what devices are.
//!
//! ```text
//! 01 | flags: 1 modem known, 2 links whole | modem 3 | number of links 2 | links 8 each | products 3 + 3 each
//! ```

use std::collections::BTreeMap;

use super::message::{Address, LinkRecord};

const FORMAT: u8 = 1;
const MODEM_KNOWN: u8 = 1;
const LINKS_WHOLE: u8 = 2;
/// Devices whose product is kept; as many as the largest modem has links.
const PRODUCTS_MAX: usize = 2048;
const CONTROLLER: u8 = 0xE2;
const RESPONDER: u8 = 0xA2;
/// The bits of a record's flags that tell records of one device and group apart.
const ROLE: u8 = 0x40;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The modem whose links these are.
    pub(super) modem: Option<Address>,
    /// The database was read from its first record to its last.
    pub(super) whole: bool,
    /// Records in use.
    pub(super) links: Vec<LinkRecord>,
    products: BTreeMap<Address, [u8; 3]>,
}

impl Kept {
    /// As opaque bytes.
    pub(super) fn emit(&self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut out = vec![FORMAT, flag(self.modem.is_some(), MODEM_KNOWN) | flag(self.whole, LINKS_WHOLE)];
        out.extend(self.modem.unwrap_or_default().0);
        let count = u16::try_from(self.links.len()).unwrap_or(u16::MAX);
        out.extend(count.to_be_bytes());
        out.extend(self.links.iter().take(count.into()).flat_map(LinkRecord::emit));
        out.extend(self.products.iter().flat_map(|(id, product)| id.0.into_iter().chain(*product)));
        out
    }

    /// From those bytes; `None` when they are not such.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [FORMAT, flags, a, b, c, high, low, rest @ ..] = bytes else { return None };
        let (links, products) = rest.split_at_checked(8 * usize::from(u16::from_be_bytes([*high, *low])))?;
        let (links, _) = links.as_chunks::<8>();
        let (products, []) = products.as_chunks::<6>() else { return None };
        let product = |&[a, b, c, x, y, z]: &[u8; 6]| (Address([a, b, c]), [x, y, z]);
        Some(Self {
            modem: (flags & MODEM_KNOWN != 0).then_some(Address([*a, *b, *c])),
            whole: flags & LINKS_WHOLE != 0,
            links: links.iter().map(|link| LinkRecord::parse(*link)).collect(),
            products: products.iter().map(product).collect(),
        })
    }

    /// What a device said that it is.
    pub(super) fn product(&self, address: Address) -> Option<[u8; 3]> {
        self.products.get(&address).copied()
    }

    /// Keeps what a device is; `true` if that is new. A category of 00 with subcategory 00 says nothing.
    pub(super) fn learn(&mut self, address: Address, product: [u8; 3]) -> bool {
        let full = self.products.len() >= PRODUCTS_MAX && !self.products.contains_key(&address);
        !full && product[..2] != [0, 0] && self.products.insert(address, product) != Some(product)
    }

    /// The modem made a link: it controls `id` in `group`, or obeys it.
    pub(super) fn add_link(&mut self, controls: bool, group: u8, id: Address, data: [u8; 3]) {
        self.remove_link(controls, group, id);
        let flags = if controls { CONTROLLER } else { RESPONDER };
        self.links.push(LinkRecord { flags, group, id, data });
    }

    /// The modem gave up a link.
    pub(super) fn remove_link(&mut self, controls: bool, group: u8, id: Address) {
        let role = if controls { ROLE } else { 0 };
        self.links.retain(|link| (link.id, link.group, link.flags & ROLE) != (id, group, role));
    }

    /// Presses of the device in this group reach the modem, as far as known.
    pub(super) fn hears(&self, group: u8, id: Address) -> bool {
        !self.whole
            || self.links.iter().any(|link| !link.controller() && (link.id, link.group) == (id, group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Address = Address([0x10, 0x06, 0xD0]);

    fn full() -> Kept {
        let mut kept = Kept { modem: Some(Address([0x18, 0xD4, 0x1D])), whole: true, ..Kept::default() };
        kept.add_link(true, 1, SOCKET, [2, 0x39, 0xC2]);
        kept.add_link(false, 1, SOCKET, [0; 3]);
        assert!(kept.learn(SOCKET, [2, 0x39, 0xC2]));
        kept
    }

    #[test]
    fn what_is_kept_comes_back() {
        assert_eq!(Kept::parse(&full().emit()), Some(full()));
        assert_eq!(Kept::parse(&Kept::default().emit()), Some(Kept::default()));
    }

    #[test]
    fn bytes_that_were_cut_or_are_of_another_format_are_not_taken() {
        let bytes = full().emit();
        for end in 0..bytes.len() {
            assert!(Kept::parse(&bytes[..end]) != Some(full()), "{end}");
        }
        assert_eq!(Kept::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Kept::parse(&[2, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_link_is_known_by_device_group_and_role() {
        let mut kept = full();
        assert!(kept.hears(1, SOCKET) && !kept.hears(2, SOCKET));
        kept.add_link(true, 1, SOCKET, [9; 3]);
        assert_eq!(kept.links.len(), 2);
        kept.remove_link(false, 1, SOCKET);
        assert!(!kept.hears(1, SOCKET));
        kept.whole = false;
        assert!(kept.hears(1, SOCKET), "nothing is said of a list that was not read");
    }
}
