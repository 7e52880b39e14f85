//! Flash of the unit tests: octets in memory, with power that can go at any of them and cells that wear out.

use std::vec;
use std::vec::Vec;

use crate::Board;

/// Flash whose power can be cut.
#[derive(Clone, Debug)]
pub(crate) struct Flash {
    octets: Vec<u8>,
    worn: Option<usize>,
    left: Option<usize>,
}

impl Flash {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0xFF; Self::PAGES * Self::PAGE_LEN], worn: None, left: None }
    }

    /// Power goes after this many more octets were written or erased.
    pub(crate) fn cut_after(&mut self, octets: usize) {
        self.left = Some(octets);
    }

    pub(crate) fn power_on(&mut self) {
        self.left = None;
    }

    /// One octet stays as it is for ever.
    pub(crate) fn wear_out(&mut self, page: usize, at: usize) {
        self.worn = Some(page * Self::PAGE_LEN + at);
    }

    fn spend(&mut self) -> bool {
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
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
            if self.spend() && self.worn != Some(place) {
                assert_eq!(self.octets[place], 0xFF, "page {page} octet {} is written twice", at + offset);
                self.octets[place] = *octet;
            }
        }
    }
}
