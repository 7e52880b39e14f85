//! Numbers reserved ahead: one small file with two slots, overwritten in place by turns, so that it can be written
//! on a full disk and a torn write leaves the other slot. Knows nothing of segments.
//!
//! ```text
//! slot at 0 and 4096:  "PLGR" | schema u8 | epoch 8 | count u64 | ceiling u64 | synced u64 | CRC-32C u32   little-endian
//! ```
//!
//! The slot with the higher count holds. One that does not read may have been the newer one, whose block was in
//! use: then the ceiling is taken to lie [`BLOCK_MAX`] higher. Numbers are cheap.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::device::Epoch;
use crate::record::crc32c;

/// Name of the file in the log's folder.
pub(super) const FILE_NAME: &str = "reserve";

/// The largest block that any version reserves.
pub(super) const BLOCK_MAX: u64 = 1 << 20;

/// Slots lie in different pages: a torn page takes one of them at most.
const SLOT_EVERY: u64 = 4096;
const SLOT: usize = 41;
const MAGIC: &[u8; 5] = b"PLGR\x01";

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) epoch: Epoch,
    count: u64,
    /// The last number that may have been given.
    pub(super) ceiling: u64,
    /// The last number that was synced when this was written.
    pub(super) synced: u64,
}

impl Slot {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.epoch.as_str().as_bytes());
        bytes.resize(13, b' ');
        for number in [self.count, self.ceiling, self.synced] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn of(bytes: &[u8; SLOT]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if body.get(..5)? != MAGIC || u32::from_le_bytes(*sum) != crc32c(body) {
            return None;
        }
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        Some(Self {
            epoch: Epoch::parse(std::str::from_utf8(body.get(5..13)?).ok()?)?,
            count: number(13)?,
            ceiling: number(21)?,
            synced: number(29)?,
        })
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Reserve {
    file: File,
    slot: Slot,
}

impl Reserve {
    /// Makes the file of a new log, with nothing reserved.
    pub(super) fn create(path: &Path, epoch: Epoch) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        let mut reserve = Self { file, slot: Slot { epoch, count: 0, ceiling: 0, synced: 0 } };
        // Both slots, so that later writes find their blocks.
        reserve.raise(0, 0)?;
        reserve.raise(0, 0)?;
        reserve.file.sync_all()?;
        Ok(reserve)
    }

    /// Opens the file; `None` when it is missing or no slot reads, and with it what numbers were given.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let slots = [read_slot(&file, 0)?, read_slot(&file, 1)?];
        let whole = slots.iter().all(Option::is_some);
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.count);
        Ok(newest.map(|mut slot| {
            if !whole {
                slot.ceiling = slot.ceiling.saturating_add(BLOCK_MAX);
            }
            Self { file, slot }
        }))
    }

    /// What holds now.
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Notes another ceiling durably. After an error the old one holds.
    pub(super) fn raise(&mut self, ceiling: u64, synced: u64) -> io::Result<()> {
        let slot = Slot { epoch: self.slot.epoch.clone(), count: self.slot.count + 1, ceiling, synced };
        self.file.write_all_at(&slot.bytes(), slot.count % 2 * SLOT_EVERY)?;
        self.file.sync_data()?;
        self.slot = slot;
        Ok(())
    }
}

fn read_slot(file: &File, index: u64) -> io::Result<Option<Slot>> {
    let mut bytes = [0; SLOT];
    match file.read_exact_at(&mut bytes, index * SLOT_EVERY) {
        Ok(()) => Ok(Slot::of(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Epoch {
        Epoch::parse("k3f9q2mz").unwrap()
    }

    #[test]
    fn a_write_torn_anywhere_never_lowers_the_ceiling() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut reserve = Reserve::create(&path, epoch()).unwrap();
        reserve.raise(100, 0).unwrap();
        let before = std::fs::read(&path).unwrap();
        reserve.raise(200, 90).unwrap();
        let after = std::fs::read(&path).unwrap();
        let changed: Vec<usize> = (0..after.len()).filter(|at| before.get(*at) != after.get(*at)).collect();
        assert!(!changed.is_empty());
        for upto in 0..=changed.len() {
            let mut torn = before.clone();
            torn.resize(after.len(), 0);
            changed[..upto].iter().for_each(|at| torn[*at] = after[*at]);
            std::fs::write(&path, &torn).unwrap();
            let ceiling = Reserve::open(&path).unwrap().expect("one slot stands").slot().ceiling;
            assert!(if upto == changed.len() { ceiling == 200 } else { ceiling >= 100 }, "{upto}: {ceiling}");
        }
    }

    #[test]
    fn rot_in_the_newer_slot_cannot_bring_a_number_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut reserve = Reserve::create(&path, epoch()).unwrap();
        reserve.raise(65_536, 0).unwrap();
        reserve.raise(131_072, 0).unwrap();
        let newer = reserve.slot().count % 2 * SLOT_EVERY;
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[usize::try_from(newer).unwrap() + 25] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Reserve::open(&path).unwrap().expect("one slot stands").slot().ceiling >= 131_072);
        std::fs::write(&path, b"").unwrap();
        assert!(Reserve::open(&path).unwrap().is_none());
    }
}
