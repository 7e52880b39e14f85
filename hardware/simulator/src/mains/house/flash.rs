//! The flash of a simulated socket: octets that outlive power cuts, written only where they are erased. Power can go
//! in the middle of a write.

use std::cell::Cell;

use plugline_socket::Board;

/// Fourteen pages of 2 KiB: two for settings, twelve for a day of minutes.
#[derive(Clone, Debug)]
pub(crate) struct Flash {
    octets: Vec<u8>,
    /// Octets that the rest of the supply is good for, while power is going.
    left: Cell<Option<usize>>,
}

impl Flash {
    /// As it comes from the factory.
    pub(crate) fn new() -> Self {
        Self { octets: vec![0xFF; Self::PAGES * Self::PAGE_LEN], left: Cell::new(None) }
    }

    /// Power goes after so many more octets; what is written or erased later stays as it was.
    pub(crate) fn dies_after(&self, octets: usize) {
        self.left.set(Some(octets));
    }

    /// Power is back.
    pub(crate) fn revives(&self) {
        self.left.set(None);
    }

    /// Its pages, in their order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &[u8]> {
        self.octets.chunks(Self::PAGE_LEN)
    }

    /// Puts octets at the start of a page, whatever is there.
    pub(crate) fn put(&mut self, page: usize, octets: &[u8]) {
        self.octets[page * Self::PAGE_LEN..][..octets.len()].copy_from_slice(octets);
    }

    fn spend(&self) -> bool {
        match self.left.get() {
            None => true,
            Some(0) => false,
            Some(left) => {
                self.left.set(Some(left - 1));
                true
            }
        }
    }
}

impl Board for Flash {
    const PAGE_LEN: usize = 2048;
    const PAGES: usize = 14;

    fn read(&self, page: usize, at: usize, into: &mut [u8]) {
        let from = page * Self::PAGE_LEN + at;
        into.copy_from_slice(&self.octets[from..from + into.len()]);
    }

    fn erase(&mut self, page: usize) {
        for at in 0..Self::PAGE_LEN {
            if !self.spend() {
                return;
            }
            self.octets[page * Self::PAGE_LEN + at] = 0xFF;
        }
    }

    fn write(&mut self, page: usize, at: usize, octets: &[u8]) {
        debug_assert!(
            at.is_multiple_of(8) && octets.len().is_multiple_of(8),
            "flash is written in words of 8"
        );
        for (offset, octet) in octets.iter().enumerate() {
            if !self.spend() {
                return;
            }
            // As in a chip: a bit can only be cleared.
            self.octets[page * Self::PAGE_LEN + at + offset] &= octet;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_power_went_stays_and_the_rest_was_never_written() {
        let mut flash = Flash::new();
        flash.dies_after(10);
        flash.write(3, 8, &[7; 16]);
        flash.revives();
        let mut read = [0; 24];
        flash.read(3, 0, &mut read);
        assert_eq!(read, [[0xFF; 8], [7; 8], [7, 7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat()[..]);
        flash.erase(3);
        flash.read(3, 0, &mut read);
        assert_eq!(read, [0xFF; 24]);
    }

    #[test]
    fn writing_over_something_clears_bits_and_sets_none() {
        let mut flash = Flash::new();
        flash.write(0, 0, &[0xF0; 8]);
        flash.write(0, 0, &[0x3C; 8]);
        let mut read = [0; 8];
        flash.read(0, 0, &mut read);
        assert_eq!(read, [0x30; 8]);
    }
}
