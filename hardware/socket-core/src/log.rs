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

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    first: usize,
    pages: usize,
    /// Octets of a record, a multiple of eight. No parameter of the type: one copy of this code is enough.
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
    /// Before it was opened.
    pub(crate) const EMPTY: Self =
        Self { first: 0, pages: 0, len: 8, page: 0, slot: 0, sequence: 0, ahead: false };

    /// Finds the newest record in `pages` pages from `first` on. `record` is as long as one, and is it afterwards; its
    /// body is [`Self::body`].
    pub(crate) fn open<B: Board>(board: &B, first: usize, pages: usize, record: &mut [u8]) -> (Self, Held) {
        let len = record.len();
        debug_assert!(len.is_multiple_of(8), "flash is written in words of 8");
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

    /// The body of a record that is being made.
    pub(crate) fn body_mut(record: &mut [u8]) -> &mut [u8] {
        let end = record.len().saturating_sub(CHECK);
        record.get_mut(HEAD..end).unwrap_or_default()
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

    /// Appends a record whose body ([`Self::body_mut`]) stands; `true` when it was read back as written.
    #[must_use]
    pub(crate) fn append<B: Board>(&mut self, board: &mut B, record: &mut [u8]) -> bool {
        debug_assert_eq!(record.len(), self.len, "a record of this log");
        let sequence = self.sequence.wrapping_add(1);
        if let Some((octets, check)) = record.split_last_chunk_mut::<CHECK>() {
            octets[..HEAD].copy_from_slice(&sequence.to_be_bytes());
            *check = crc(octets).to_le_bytes();
        }
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

    fn append(log: &mut Log, flash: &mut Flash, number: u8) -> bool {
        let mut record = [0; 16];
        Log::body_mut(&mut record).copy_from_slice(&numbered(number));
        log.append(flash, &mut record)
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
            assert!(append(&mut log, &mut flash, number));
            assert_eq!(newest(&flash), Some(number));
        }
    }

    #[test]
    fn a_torn_record_is_skipped_and_told() {
        for octets in 0..16 {
            let mut flash = Flash::new();
            let (mut log, ..) = open(&flash);
            assert!(append(&mut log, &mut flash, 1));
            flash.cut_after(octets);
            let whole = append(&mut log, &mut flash, 2);
            flash.power_on();
            let (mut log, held, number) = open(&flash);
            assert!(!whole);
            assert_eq!((held == Held::Damaged, number), (octets > 0, 1));
            assert!(append(&mut log, &mut flash, 3));
            assert_eq!(newest(&flash), Some(3));
        }
    }

    #[test]
    fn an_erasure_cut_short_costs_no_record_that_counts() {
        let mut flash = Flash::new();
        let (mut log, ..) = open(&flash);
        let a_round = (PAGES * Flash::PAGE_LEN / 16) as u32;
        for _ in 0..a_round {
            assert!(append(&mut log, &mut flash, 7));
        }
        flash.cut_after(100);
        log.prepare(&mut flash);
        flash.power_on();
        let (mut log, _, number) = open(&flash);
        assert_eq!(number, 7);
        assert!(append(&mut log, &mut flash, 8));
        assert_eq!(newest(&flash), Some(8));
    }

    #[test]
    fn worn_cells_are_stepped_over_and_a_dead_flash_is_told() {
        let mut flash = Flash::new();
        let (mut log, ..) = open(&flash);
        assert!(append(&mut log, &mut flash, 1));
        flash.wear_out(1, 16);
        assert!(append(&mut log, &mut flash, 2));
        assert_eq!(newest(&flash), Some(2));
        flash.cut_after(0);
        assert!(!append(&mut log, &mut flash, 3));
    }
}
