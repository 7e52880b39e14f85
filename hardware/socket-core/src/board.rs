//! What the socket asks of its board: memory that outlives power cuts. Knows nothing of what is written there.

/// Flash of the board, in pages of its own choosing. The socket keeps two logs in it: settings in the first two pages,
/// the journal of energy and relay in all others.
///
/// It is flash as microcontrollers have it: a page is erased as a whole to octets of FF, and each octet is written at
/// most once between two erasures, in multiples of eight octets, aligned to eight. Power may go at any octet of a
/// write and in the middle of an erasure; what is there afterwards may be anything. A write that did not work needs no
/// telling: the socket reads back what it wrote.
///
/// Erasing a page may take long (some 20 ms). The socket does it ahead of need, at the turn of a minute.
pub trait Board {
    /// Octets of a page, a multiple of [`SETTINGS_LEN`](crate::SETTINGS_LEN).
    const PAGE_LEN: usize;
    /// How many pages, at least four. Twelve journal pages of 2 KiB hold 24 hours of minutes.
    const PAGES: usize;

    /// Copies octets of a page, from `at` on.
    fn read(&self, page: usize, at: usize, into: &mut [u8]);

    /// Makes all octets of a page FF.
    fn erase(&mut self, page: usize);

    /// Writes octets where there is FF, from `at` on.
    fn write(&mut self, page: usize, at: usize, octets: &[u8]);
}
