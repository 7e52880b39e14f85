//! A log of records of one length over some pages of the board; the newest one counts. Knows no contents.
//!
//! ```text
//! record   sequence u32 | body | CRC-16 u16 little-endian
//! ```
//! A record is good when its CRC is. One that a power cut tore is skipped, and so is one that rotted; [`Held::Damaged`]
//! tells that something newer may have been there. Records never move; the oldest page is erased when its turn comes.

use plugline_protocol::frame::crc;

use crate::Board;

const BLANK: u8 = 0xFF;
const HEAD: usize = 4;
const CHECK: usize = 2;
/// Places tried before a write counts as failed; worn cells are rare and lonely.
const TRIES: u8 = 4;
/// The longest record. Lengths are no parameter of the type: one copy of this code is enough.
const ROOM: usize = 128;

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    first: usize,
    pages: usize,
    /// Octets of a record, at most [`ROOM`] and a multiple of eight.
    len: usize,
    page: usize,
    slot: usize,
    sequence: u32,
    /// The page after this one was erased since power came.
    ahead: bool,
}

/// What a log held at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// No good record.
    Nothing,
    /// A good one, and behind it one that is not: something newer may be lost.
    Damaged,
    /// A good one.
    Whole,
}

impl Log {
    /// Finds the newest record in `pages` pages from `first` on. `record` is as long as one, and is it afterwards; its
    /// body is [`Self::body`].
    pub(crate) fn open<B: Board>(board: &B, first: usize, pages: usize, record: &mut [u8]) -> (Self, Held) {
        let len = record.len();
        debug_assert!(len <= ROOM && len.is_multiple_of(8), "no length of a record");
        let mut log = Self { first, pages, len, page: 0, slot: 0, sequence: 0, ahead: false };
        let mut newest = None;
        for page in 0..pages {
            for slot in 0..log.slots::<B>() {
                log.read(board, page, slot, record);
                let sequence = sequence(record);
                if is_good(record) && (newest.is_none() || sequence > log.sequence) {
                    log.sequence = sequence;
                    newest = Some((page, slot));
                }
            }
        }
        let Some((page, slot)) = newest else {
            // Nothing to go by: begin with a page that is erased for sure.
            (log.page, log.slot) = (pages - 1, log.slots::<B>());
            return (log, Held::Nothing);
        };
        (log.page, log.slot) = (page, slot + 1);
        let held = log.look_behind(board, record);
        log.read(board, page, slot, record);
        (log, held)
    }

    /// Steps over what is not blank behind the newest good record.
    fn look_behind<B: Board>(&mut self, board: &B, record: &mut [u8]) -> Held {
        let mut held = Held::Whole;
        while self.slot < self.slots::<B>() {
            self.read(board, self.page, self.slot, record);
            if is_blank(record) {
                return held;
            }
            (self.slot, held) = (self.slot + 1, Held::Damaged);
        }
        // The record after a page's last one stands at the start of the next page.
        self.read(board, self.next_page(), 0, record);
        if is_blank(record) || is_good(record) { held } else { Held::Damaged }
    }

    /// The body of a record.
    pub(crate) fn body(record: &[u8]) -> &[u8] {
        record.get(HEAD..record.len().saturating_sub(CHECK)).unwrap_or_default()
    }

    fn slots<B: Board>(&self) -> usize {
        B::PAGE_LEN / self.len
    }

    fn next_page(&self) -> usize {
        if self.page + 1 < self.pages { self.page + 1 } else { 0 }
    }

    fn read<B: Board>(&self, board: &B, page: usize, slot: usize, record: &mut [u8]) {
        board.read(self.first + page, slot * self.len, record);
    }

    /// Erases the next page when this one is nearly full, so that no [`Self::append`] need wait for that.
    pub(crate) fn prepare<B: Board>(&mut self, board: &mut B) {
        if self.slot >= self.slots::<B>() / 4 * 3 {
            self.erase_next(board);
        }
    }

    fn erase_next<B: Board>(&mut self, board: &mut B) {
        if !self.ahead {
            board.erase(self.first + self.next_page());
            self.ahead = true;
        }
    }

    /// Appends a record; `true` when it was read back as written. `body` is filled up with 0.
    #[must_use]
    pub(crate) fn append<B: Board>(&mut self, board: &mut B, body: &[u8]) -> bool {
        let mut room = [0; ROOM];
        let record = &mut room[..self.len];
        let sequence = self.sequence.wrapping_add(1);
        let (octets, check) = record.split_at_mut(self.len - CHECK);
        let (head, rest) = octets.split_at_mut(HEAD);
        head.copy_from_slice(&sequence.to_be_bytes());
        rest[..body.len()].copy_from_slice(body);
        check.copy_from_slice(&crc(octets).to_le_bytes());
        for _ in 0..TRIES {
            if self.slot >= self.slots::<B>() {
                self.erase_next(board);
                (self.page, self.slot, self.ahead) = (self.next_page(), 0, false);
            }
            board.write(self.first + self.page, self.slot * self.len, record);
            let written = self.is_written(board, record);
            self.slot += 1;
            if written {
                self.sequence = sequence;
                return true;
            }
        }
        false
    }

    fn is_written<B: Board>(&self, board: &B, record: &[u8]) -> bool {
        let mut word = [0; 8];
        record.chunks(word.len()).enumerate().all(|(number, want)| {
            board.read(self.first + self.page, self.slot * self.len + number * 8, &mut word);
            word == want
        })
    }
}

fn sequence(record: &[u8]) -> u32 {
    record.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets))
}

fn is_blank(record: &[u8]) -> bool {
    record.iter().all(|octet| *octet == BLANK)
}

fn is_good(record: &[u8]) -> bool {
    let Some((octets, check)) = record.split_last_chunk() else { return false };
    u16::from_le_bytes(*check) == crc(octets) && !is_blank(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flash;

    const PAGES: usize = 3;

    fn numbered(number: u8) -> [u8; 10] {
        [number; 10]
    }

    fn open(flash: &Flash) -> (Log, Held, u8) {
        let mut record = [0; 16];
        let (log, held) = Log::open(flash, 1, PAGES, &mut record);
        let body = Log::body(&record);
        assert!(held == Held::Nothing || body == numbered(body[0]));
        (log, held, body[0])
    }

    fn newest(flash: &Flash) -> Option<u8> {
        let (_, held, number) = open(flash);
        (held != Held::Nothing).then_some(number)
    }

    #[test]
    fn the_newest_record_is_found_after_any_number_of_records() {
        let mut flash = Flash::new();
        let (mut log, held, _) = open(&flash);
        assert_eq!(held, Held::Nothing);
        for number in 0..=255 {
            assert!(log.append(&mut flash, &numbered(number)));
            assert_eq!(newest(&flash), Some(number));
        }
    }

    #[test]
    fn a_torn_record_is_skipped_and_told() {
        for octets in 0..16 {
            let mut flash = Flash::new();
            let (mut log, ..) = open(&flash);
            assert!(log.append(&mut flash, &numbered(1)));
            flash.cut_after(octets);
            let whole = log.append(&mut flash, &numbered(2));
            flash.power_on();
            let (mut log, held, number) = open(&flash);
            assert!(!whole);
            assert_eq!((held == Held::Damaged, number), (octets > 0, 1));
            assert!(log.append(&mut flash, &numbered(3)));
            assert_eq!(newest(&flash), Some(3));
        }
    }

    #[test]
    fn an_erasure_cut_short_costs_no_record_that_counts() {
        let mut flash = Flash::new();
        let (mut log, ..) = open(&flash);
        let a_round = (PAGES * Flash::PAGE_LEN / 16) as u32;
        for _ in 0..a_round {
            assert!(log.append(&mut flash, &numbered(7)));
        }
        flash.cut_after(100);
        log.prepare(&mut flash);
        flash.power_on();
        let (mut log, _, number) = open(&flash);
        assert_eq!(number, 7);
        assert!(log.append(&mut flash, &numbered(8)));
        assert_eq!(newest(&flash), Some(8));
    }

    #[test]
    fn worn_cells_are_stepped_over_and_a_dead_flash_is_told() {
        let mut flash = Flash::new();
        let (mut log, ..) = open(&flash);
        assert!(log.append(&mut flash, &numbered(1)));
        flash.wear_out(1, 16);
        assert!(log.append(&mut flash, &numbered(2)));
        assert_eq!(newest(&flash), Some(2));
        flash.cut_after(0);
        assert!(!log.append(&mut flash, &numbered(3)));
    }
}
