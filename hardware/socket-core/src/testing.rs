//! Flash of the unit tests: octets in memory, with power that can go at any of them and cells that wear out.

use std::cell::Cell;
use std::vec;
use std::vec::Vec;

use crate::Board;

/// Flash whose power can be cut.
#[derive(Clone, Debug)]
pub(crate) struct Flash {
    octets: Vec<u8>,
    worn: Vec<usize>,
    left: Cell<Option<usize>>,
}

impl Flash {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0xFF; Self::PAGES * Self::PAGE_LEN], worn: Vec::new(), left: Cell::new(None) }
    }

    /// Power goes after this many more octets were written or erased.
    pub(crate) fn cut_after(&self, octets: usize) {
        self.left.set(Some(octets));
    }

    pub(crate) fn power_on(&self) {
        self.left.set(None);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.left.get() == Some(0)
    }

    /// One octet more stays as it is for ever.
    pub(crate) fn wear_out(&mut self, page: usize, at: usize) {
        self.worn.push(page * Self::PAGE_LEN + at);
    }

    /// The last record of this length that was written anywhere in some pages rots.
    pub(crate) fn rot(&mut self, pages: usize, len: usize) {
        let records = self.octets[..pages * Self::PAGE_LEN].chunks_mut(len);
        let written = records.filter(|record| record.iter().any(|octet| *octet != 0xFF));
        let newest = written.max_by_key(|record| record[..4].to_vec());
        newest.expect("something was written")[len / 2] ^= 1;
    }

    fn spend(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.map(|left| left.saturating_sub(1)));
        left != Some(0)
    }
}

impl Board for Flash {
    const PAGE_LEN: usize = 512;
    const PAGES: usize = 5;

    fn read(&self, page: usize, at: usize, into: &mut [u8]) {
        let from = page * Self::PAGE_LEN + at;
        into.copy_from_slice(&self.octets[from..from + into.len()]);
    }

    fn erase(&mut self, page: usize) {
        for at in 0..Self::PAGE_LEN {
            if self.spend() {
                self.octets[page * Self::PAGE_LEN + at] = 0xFF;
            }
        }
    }

    fn write(&mut self, page: usize, at: usize, octets: &[u8]) {
        assert!(at.is_multiple_of(8) && octets.len().is_multiple_of(8), "flash is written in words of 8");
        for (offset, octet) in octets.iter().enumerate() {
            let place = page * Self::PAGE_LEN + at + offset;
            if self.spend() && !self.worn.contains(&place) {
                assert_eq!(self.octets[place], 0xFF, "page {page} octet {} is written twice", at + offset);
                self.octets[place] = *octet;
            }
        }
    }
}
