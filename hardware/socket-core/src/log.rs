//! A log of records of one length over some pages of the board; the newest one counts. Knows no contents.
//!
//! ```text
//! record   sequence u32 | body N − 6 | CRC-16 u16 little-endian
//! ```
//! A record is good when its CRC is. One that a power cut tore is skipped, and so is one that rotted: [`Newest::damaged`]
//! tells that something newer may have been there. Records never move; the oldest page is erased when its turn comes.

use plugline_protocol::frame::crc;

use crate::Board;

const BLANK: u8 = 0xFF;
const OVERHEAD: usize = 6;
/// Places tried before a write counts as failed; worn cells are rare and lonely.
const TRIES: u8 = 4;

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log<const N: usize> {
    first: usize,
    pages: usize,
    page: usize,
    slot: usize,
    sequence: u32,
    /// The page after this one was erased since power came.
    ahead: bool,
}

/// What a log held at the start.
pub(crate) struct Newest<const N: usize> {
    record: Option<[u8; N]>,
    /// Behind the newest good record lies one that is not good.
    pub(crate) damaged: bool,
}

impl<const N: usize> Newest<N> {
    /// The body of the newest good record.
    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.record.as_ref().and_then(|record| record.get(4..N - 2))
    }
}

impl<const N: usize> Log<N> {
    /// Octets of a body.
    pub(crate) const BODY: usize = N - OVERHEAD;

    /// Finds the newest record in `pages` pages from `first` on.
    pub(crate) fn open<B: Board>(board: &B, first: usize, pages: usize) -> (Self, Newest<N>) {
        let mut log = Self { first, pages, page: 0, slot: 0, sequence: 0, ahead: false };
        let mut newest = Newest { record: None, damaged: false };
        for page in 0..pages {
            for slot in 0..Self::slots::<B>() {
                let record = log.read(board, page, slot);
                let sequence = sequence(&record);
                if is_good(&record) && (newest.record.is_none() || sequence > log.sequence) {
                    log = Self { page, slot: slot + 1, sequence, ..log };
                    newest.record = Some(record);
                }
            }
        }
        if newest.record.is_none() {
            // Nothing to go by: begin with a page that is erased for sure.
            log.page = pages - 1;
            log.slot = Self::slots::<B>();
            newest.damaged = !log.is_blank(board, 0, 0);
            return (log, newest);
        }
        while log.slot < Self::slots::<B>() && !log.is_blank(board, log.page, log.slot) {
            log.slot += 1;
            newest.damaged = true;
        }
        if log.slot == Self::slots::<B>() && !newest.damaged {
            // The record after a page's last one stands at the start of the next page.
            let next = log.read(board, log.next_page(), 0);
            newest.damaged = !is_good(&next) && next != [BLANK; N];
        }
        (log, newest)
    }

    const fn slots<B: Board>() -> usize {
        B::PAGE_LEN / N
    }

    fn next_page(&self) -> usize {
        if self.page + 1 < self.pages { self.page + 1 } else { 0 }
    }

    fn read<B: Board>(&self, board: &B, page: usize, slot: usize) -> [u8; N] {
        let mut record = [0; N];
        board.read(self.first + page, slot * N, &mut record);
        record
    }

    fn is_blank<B: Board>(&self, board: &B, page: usize, slot: usize) -> bool {
        self.read(board, page, slot) == [BLANK; N]
    }

    /// Erases the next page when this one is nearly full, so that no [`Self::append`] need wait for that.
    pub(crate) fn prepare<B: Board>(&mut self, board: &mut B) {
        if self.slot >= Self::slots::<B>() - Self::slots::<B>() / 4 {
            self.erase_next(board);
        }
    }

    fn erase_next<B: Board>(&mut self, board: &mut B) {
        if !self.ahead {
            board.erase(self.first + self.next_page());
            self.ahead = true;
        }
    }

    /// Appends a record; `true` when it was read back as written. `body` is filled up with 0 to
    /// [`Self::BODY`] octets.
    #[must_use]
    pub(crate) fn append<B: Board>(&mut self, board: &mut B, body: &[u8]) -> bool {
        debug_assert!(body.len() <= Self::BODY, "a longer body would be cut");
        let mut record = [0; N];
        let sequence = self.sequence.wrapping_add(1);
        record[..4].copy_from_slice(&sequence.to_be_bytes());
        record[4..N - 2].iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        let check = crc(&record[..N - 2]);
        record[N - 2..].copy_from_slice(&check.to_le_bytes());
        for _ in 0..TRIES {
            if self.slot >= Self::slots::<B>() {
                self.erase_next(board);
                (self.page, self.slot, self.ahead) = (self.next_page(), 0, false);
            }
            board.write(self.first + self.page, self.slot * N, &record);
            let written = self.read(board, self.page, self.slot) == record;
            self.slot += 1;
            if written {
                self.sequence = sequence;
                return true;
            }
        }
        false
    }
}

fn sequence(record: &[u8]) -> u32 {
    record.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets))
}

fn is_good(record: &[u8]) -> bool {
    let Some((octets, check)) = record.split_last_chunk() else { return false };
    u16::from_le_bytes(*check) == crc(octets) && record.iter().any(|octet| *octet != BLANK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flash;

    const PAGES: usize = 3;

    fn numbered(number: u8) -> [u8; Log::<16>::BODY] {
        [number; Log::<16>::BODY]
    }

    fn newest(flash: &Flash) -> Option<u8> {
        Log::<16>::open(flash, 1, PAGES).1.body().map(|body| body[0])
    }

    #[test]
    fn the_newest_record_is_found_after_any_number_of_records() {
        let mut flash = Flash::new();
        let (mut log, found) = Log::<16>::open(&flash, 1, PAGES);
        assert!(found.body().is_none() && !found.damaged);
        for number in 0..=255 {
            assert!(log.append(&mut flash, &numbered(number)));
            assert_eq!(newest(&flash), Some(number));
        }
    }

    #[test]
    fn a_torn_record_is_skipped_and_told() {
        for octets in 0..16 {
            let mut flash = Flash::new();
            let (mut log, _) = Log::<16>::open(&flash, 1, PAGES);
            assert!(log.append(&mut flash, &numbered(1)));
            flash.cut_after(octets);
            let whole = log.append(&mut flash, &numbered(2));
            flash.power_on();
            let (mut log, found) = Log::<16>::open(&flash, 1, PAGES);
            assert!(!whole);
            assert_eq!(found.body(), Some(&numbered(1)[..]));
            assert_eq!(found.damaged, octets > 0);
            assert!(log.append(&mut flash, &numbered(3)));
            assert_eq!(newest(&flash), Some(3));
        }
    }

    #[test]
    fn an_erasure_cut_short_costs_no_record_that_counts() {
        let mut flash = Flash::new();
        let (mut log, _) = Log::<16>::open(&flash, 1, PAGES);
        let a_round = (PAGES * Flash::PAGE_LEN / 16) as u32;
        for _ in 0..a_round {
            assert!(log.append(&mut flash, &numbered(7)));
        }
        flash.cut_after(100);
        log.prepare(&mut flash);
        flash.power_on();
        let (mut log, found) = Log::<16>::open(&flash, 1, PAGES);
        assert_eq!(found.body(), Some(&numbered(7)[..]));
        assert!(log.append(&mut flash, &numbered(8)));
        assert_eq!(newest(&flash), Some(8));
    }

    #[test]
    fn worn_cells_are_stepped_over_and_a_dead_flash_is_told() {
        let mut flash = Flash::new();
        let (mut log, _) = Log::<16>::open(&flash, 1, PAGES);
        assert!(log.append(&mut flash, &numbered(1)));
        flash.wear_out(1, 16);
        assert!(log.append(&mut flash, &numbered(2)));
        assert_eq!(newest(&flash), Some(2));
        flash.cut_after(0);
        assert!(!log.append(&mut flash, &numbered(3)));
    }
}
