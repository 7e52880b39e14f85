//! sled, and how it fails: measured, it may panic in `open`, drop what is newer than a flipped byte, stop half-way
//! through a tree, and say "flushed" before the drive has it. Bytes in, bytes out; knows no nouns.
//!
//! One hand writes; every write is one transaction over the trees, flushed, and then the file itself is synced.
//! After an error sled refuses everything: the engine must be dropped and opened anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sled::Transactional;
use sled::transaction::{ConflictableTransactionError, TransactionError};

/// Pauses between two tries to get the lock, and how many.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const LOCK_TRIES: u32 = 50;

/// sled's own default is 1 GiB; the whole registry is a few hundred KiB.
const CACHE_BYTES: u64 = 8 << 20;

/// Values that did not read and are kept for a person; more are dropped.
const QUARANTINE_MAX: usize = 1000;

/// The trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Room {
    Devices,
    Commands,
    Lines,
    Positions,
    Meta,
    Days,
    Access,
    Audit,
}

pub(super) const ROOMS: [(Room, &str); 8] = [
    (Room::Devices, "devices"),
    (Room::Commands, "commands"),
    (Room::Lines, "lines"),
    (Room::Positions, "positions"),
    (Room::Meta, "meta"),
    (Room::Days, "days"),
    (Room::Access, "access"),
    (Room::Audit, "audit"),
];

impl Room {
    pub(super) fn name(self) -> &'static str {
        ROOMS[self as usize].1
    }
}

/// What is to be written: by room and key, the last word of each.
pub(super) type Writes = BTreeMap<(Room, String), Option<Vec<u8>>>;

/// A key and its value as they stand.
pub(super) type Raw = (Room, Vec<u8>, Vec<u8>);

/// Why it did not open or take a write.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The disk or its rights; trying again may help.
    #[error("{0}")]
    Disk(io::Error),
    /// The database itself is broken.
    #[error("{0}")]
    Corrupt(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error {
            sled::Error::Io(error)
                if matches!(
                    error.kind(),
                    PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
                ) || is_locked(&error) =>
            {
                Self::Disk(error)
            }
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// sled's words for a database that somebody else has open.
fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// Opens a database. sled lets go of its lock a moment after it was closed, and a gateway that is just ending may
/// still have it: it is asked for again for a second.
fn open_when_free(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) => std::thread::park_timeout(LOCK_PAUSE),
            answer => return answer,
        }
    }
    config.open()
}

pub(super) struct Engine {
    db: sled::Db,
    trees: [sled::Tree; ROOMS.len()],
    quarantine: sled::Tree,
    /// sled's file, opened a second time: its own flush does not reach the drive.
    file: File,
}

/// What an opened database holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) values: Vec<Raw>,
    /// Reading stopped here.
    pub(super) broken: Option<String>,
}

/// Opens the database and reads all of it.
pub(super) fn open(path: &Path) -> Result<(Engine, Found), Failure> {
    let path = path.to_owned();
    in_a_thread(move || {
        let engine = Engine::open(&path)?;
        let found = engine.read();
        Ok((engine, found))
    })
}

/// Does something in a thread of its own, so that a panic of sled is only an answer.
pub(super) fn in_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let thread = std::thread::Builder::new().name("store-open".to_owned()).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(Failure::Corrupt("opening it ended in a panic".to_owned())))
}

/// Closes the database; a panic while doing so is of no interest any more.
pub(super) fn close(engine: Option<Engine>) {
    let _ = in_a_thread(move || {
        drop(engine);
        Ok(())
    });
}

/// Removes snapshots that were being written when the power went: sled does not open beside one. The finished
/// snapshot stays: without it sled opens, and most keys are missing.
pub(super) fn remove_torn_snapshots(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut removed: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    removed.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("snap.") && name.ends_with(".generating")
    });
    removed.iter().try_for_each(std::fs::remove_file)?;
    Ok(removed)
}

impl Engine {
    fn open(path: &Path) -> Result<Self, Failure> {
        remove_torn_snapshots(path)?;
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = open_when_free(&config)?;
        let tree = |(_, name): (Room, &str)| db.open_tree(name);
        let [devices, commands, lines, positions, meta, days, access, audit] = ROOMS.map(tree);
        Ok(Self {
            trees: [devices?, commands?, lines?, positions?, meta?, days?, access?, audit?],
            quarantine: db.open_tree("quarantine")?,
            file: File::open(path.join("db"))?,
            db,
        })
    }

    fn read(&self) -> Found {
        let mut found = Found::default();
        for ((room, _), tree) in ROOMS.iter().zip(&self.trees) {
            for pair in tree {
                match pair {
                    Ok((key, value)) => found.values.push((*room, key.to_vec(), value.to_vec())),
                    Err(error) => {
                        found.broken = Some(format!("{} ends early: {error}", room.name()));
                        break;
                    }
                }
            }
        }
        found
    }

    /// Writes all or nothing; on return it is on the drive.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), Failure> {
        let guarded = catch_unwind(AssertUnwindSafe(|| self.write_and_sync(writes)));
        guarded.unwrap_or_else(|_| Err(Failure::Corrupt("writing to it ended in a panic".to_owned())))
    }

    fn write_and_sync(&self, writes: &Writes) -> Result<(), Failure> {
        let mut batches: [sled::Batch; ROOMS.len()] = Default::default();
        for ((room, key), value) in writes {
            match value {
                Some(value) => batches[*room as usize].insert(key.as_bytes(), value.as_slice()),
                None => batches[*room as usize].remove(key.as_bytes()),
            }
        }
        let [devices, commands, lines, positions, meta, days, access, audit] = &self.trees;
        let done = (devices, commands, lines, positions, meta, days, access, audit).transaction(
            |(d, c, l, p, m, e, a, n)| {
                for (tree, batch) in [d, c, l, p, m, e, a, n].into_iter().zip(&batches) {
                    tree.apply_batch(batch)?;
                }
                Ok::<_, ConflictableTransactionError<()>>(())
            },
        );
        match done {
            Ok(()) => self.sync(),
            Err(TransactionError::Storage(error)) => Err(error.into()),
            Err(TransactionError::Abort(())) => Err(Failure::Corrupt("it refused a transaction".to_owned())),
        }
    }

    fn sync(&self) -> Result<(), Failure> {
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }

    /// Moves values that do not read out of the way.
    pub(super) fn set_aside(&self, unreadable: &[Raw]) -> Result<(), Failure> {
        let guarded = catch_unwind(AssertUnwindSafe(|| {
            for (room, key, value) in unreadable {
                if self.quarantine.len() < QUARANTINE_MAX {
                    let place = [room.name().as_bytes(), b"/", key].concat();
                    self.quarantine.insert(place, value.as_slice())?;
                }
                self.trees[*room as usize].remove(key)?;
            }
            self.sync()
        }));
        guarded.unwrap_or_else(|_| Err(Failure::Corrupt("quarantine ended in a panic".to_owned())))
    }

    #[cfg(test)]
    pub(super) fn quarantined(&self) -> Vec<String> {
        let keys = self.quarantine.iter().keys().map(|key| String::from_utf8(key.unwrap().to_vec()).unwrap());
        keys.collect()
    }

    #[cfg(test)]
    pub(super) fn put_raw(&self, room: Room, key: &str, value: &[u8]) {
        self.trees[room as usize].insert(key, value).unwrap();
        self.sync().unwrap();
    }
}
