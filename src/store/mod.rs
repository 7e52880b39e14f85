//! The registry on disk: devices, commands, lines' records, readers' positions, tokens and who changed what. Nothing else names sled. Knows
//! nothing of the feed's log and holds no opinion about what it keeps.
//!
//! Everything kept also stands in memory ([`Contents`]), so that a database that breaks while running is replaced
//! without loss. One that is broken at start is set aside as `db.bad-<ms>` and its sidecar file taken back: a
//! rollback, which is reported. A value that does not read is put in quarantine and reported. Neither is a reason
//! not to start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::{Book, Change, Token};
use crate::device::{CommandId, Device, DeviceId, Epoch, GatewayId, LineName};
use crate::door::Positions;
use crate::hub::Record;
use crate::hub::command::Command;
use crate::hub::days::{Day, DayRow};
use crate::record::{self, Meta, Registry};

mod backup;
mod engine;
mod loaded;
mod sidecar;

pub use backup::{STAGED, contents_of, put_aside, replace};
use engine::{Engine, Failure, Found, Raw, Room, Writes};
use loaded::Loaded;

const FOLDER: &str = "db";
const META_KEY: &str = "meta";

/// Broken databases kept for a person.
const ASIDE_MAX: usize = 3;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// About itself.
    pub meta: Meta,
    /// All devices.
    pub devices: BTreeMap<DeviceId, Arc<Device>>,
    /// Commands that have not settled, and settled ones still remembered.
    pub commands: BTreeMap<CommandId, Arc<Command>>,
    /// Each line's own record.
    pub lines: BTreeMap<LineName, Arc<[u8]>>,
    /// How far readers with a memory have come.
    pub positions: Positions,
    /// Totals of days.
    pub days: DayRows,
    /// Tokens, sessions, and who changed what.
    pub book: Book,
}

/// Totals of days, by device and day.
pub type DayRows = BTreeMap<(DeviceId, Day), DayRow>;

/// The registry cannot be used now.
#[derive(Debug, thiserror::Error)]
#[error("the registry in {} cannot be used: {reason}", path.display())]
pub struct StoreBroken {
    /// Its folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// The registry, opened.
pub struct Store {
    dir: PathBuf,
    engine: Option<Engine>,
    contents: Contents,
    /// Staged and not on disk.
    writes: Writes,
    /// The sidecar lags behind what is on disk.
    sidecar_due: bool,
    /// It was taken back from its sidecar.
    imported: bool,
}

impl Store {
    /// Opens the registry below `dir`, or makes one for the gateway `fresh`. What was damaged is told in `reports`,
    /// and set aside under a name with `unix_ms`.
    ///
    /// # Errors
    /// When the disk does not let us: rights, no space, another gateway. Damage is no error.
    pub fn open(
        dir: &Path,
        unix_ms: i64,
        fresh: &GatewayId,
        reports: &mut Vec<String>,
    ) -> Result<Self, StoreBroken> {
        let path = dir.join(FOLDER);
        let broken = |reason: String| StoreBroken { path: path.clone(), reason };
        let saved = sidecar::read(dir, reports);
        let (mut engine, found) = match engine::open(&path) {
            Ok((engine, found)) => (Some(engine), found),
            Err(Failure::Corrupt(why)) => (None, Found { broken: Some(why), ..Found::default() }),
            Err(Failure::Disk(error)) => return Err(broken(error.to_string())),
        };
        let mut loaded = Loaded::of(found);
        let why = loaded.doubt(saved.as_ref());
        if let Some(why) = &why {
            reports.push(loaded.take_back(why, saved.as_ref()));
            engine::close(engine.take());
            let aside = set_aside(&path, unix_ms).map_err(|error| broken(error.to_string()))?;
            let (new, _) = engine::open(&path).map_err(|error| broken(error.to_string()))?;
            engine = Some(new);
            reports.push(format!("the broken database is kept in {}", aside.display()));
        }
        reports.extend(loaded.reports());
        loaded.heal(saved.as_ref(), reports);
        if loaded.meta.is_none() && saved.is_none() && (why.is_some() || !loaded.unreadable.is_empty()) {
            reports.push(format!("the gateway's own id was lost; it is now {fresh}"));
        }
        if let Some(engine) = engine.as_ref().filter(|_| why.is_none() && !loaded.unreadable.is_empty()) {
            let unreadable: Vec<Raw> = loaded.unreadable.iter().map(|(raw, _)| raw.clone()).collect();
            engine.set_aside(&unreadable).map_err(|error| broken(error.to_string()))?;
        }
        let imported = why.is_some();
        let changed = imported || loaded.meta.is_none() || !loaded.unreadable.is_empty();
        let generation = |meta: &Meta| meta.generation;
        let sidecar_due = changed
            || saved.as_ref().map(|saved| generation(&saved.meta)) != loaded.meta.as_ref().map(generation);
        let contents = loaded.contents(saved.as_ref(), fresh);
        let mut store =
            Self { dir: dir.to_owned(), engine, contents, writes: Writes::new(), sidecar_due, imported };
        if imported {
            store.contents.meta.resume = store.contents.lines.keys().cloned().collect();
        }
        if changed {
            store.contents.meta.generation += 1;
            store.stage_all();
        }
        Ok(store)
    }

    /// What is kept, staged records included.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// It was taken back from its sidecar, or from what could be read: an older state than the feed tells of.
    #[must_use]
    pub fn imported(&self) -> bool {
        self.imported
    }

    /// Something staged is not on disk.
    #[must_use]
    pub fn staged(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The sidecar file lags behind.
    #[must_use]
    pub fn sidecar_due(&self) -> bool {
        self.sidecar_due
    }

    /// Takes records in; [`Self::commit`] brings them to disk.
    pub fn stage(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Device(device) => self.stage_device(device),
                Record::DeviceGone(id) => {
                    self.put(Room::Devices, id.as_str(), None);
                    self.contents.devices.remove(&id);
                    self.registry_changed();
                }
                Record::Command(command) => {
                    self.put(Room::Commands, command.id.as_str(), Some(record::seal_command(&command)));
                    self.contents.commands.insert(command.id.clone(), command);
                }
                Record::CommandGone(id) => {
                    self.put(Room::Commands, id.as_str(), None);
                    self.contents.commands.remove(&id);
                }
                Record::Line(line, bytes) => {
                    self.put(Room::Lines, line.as_str(), Some(record::seal(&bytes)));
                    // It counts from above whatever was given before.
                    self.contents.meta.resume.remove(&line);
                    self.contents.lines.insert(line, bytes);
                    self.registry_changed();
                }
                Record::Day(device, day, row) => {
                    let key = record::day_key(&device, day);
                    self.put(Room::Days, &key, row.as_ref().map(record::seal_day));
                    match row {
                        Some(row) => self.contents.days.insert((device, day), row),
                        None => self.contents.days.remove(&(device, day)),
                    };
                }
                Record::Access(change) => self.stage_access(change),
                Record::Checkpoint(seq) => {
                    self.contents.meta.checkpoint = seq;
                    self.stage_meta();
                }
            }
        }
    }

    /// Takes in readers' positions; those that did not move cost nothing.
    pub fn stage_positions(&mut self, positions: &Positions) {
        for (name, seq) in positions {
            if self.contents.positions.insert(name.clone(), *seq) != Some(*seq) {
                self.put(Room::Positions, name, Some(record::seal_number(*seq)));
            }
        }
    }

    /// From now on checkpoint and positions speak of another log.
    pub fn stage_epoch(&mut self, epoch: Epoch, checkpoint: u64) {
        for name in std::mem::take(&mut self.contents.positions).into_keys() {
            self.put(Room::Positions, &name, None);
        }
        self.contents.meta.epoch = Some(epoch);
        self.contents.meta.checkpoint = checkpoint;
        self.registry_changed();
    }

    /// Brings everything staged to disk, all or nothing.
    ///
    /// # Errors
    /// When the disk fails; everything stays staged. [`Self::recover`] must come before the next try.
    pub fn commit(&mut self) -> Result<(), StoreBroken> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let Some(engine) = &self.engine else { return Err(self.broken("it is not open")) };
        match engine.write(&self.writes) {
            Ok(()) => {
                self.writes.clear();
                Ok(())
            }
            Err(failure) => Err(self.broken(&failure.to_string())),
        }
    }

    /// Opens the database anew after an error; a broken one is replaced by a new one with everything in memory.
    ///
    /// # Errors
    /// When the disk still fails.
    pub fn recover(&mut self, unix_ms: i64) -> Result<Option<String>, StoreBroken> {
        let path = self.dir.join(FOLDER);
        engine::close(self.engine.take());
        let mut report = None;
        let (engine, found) = match engine::open(&path) {
            Ok((engine, found)) if found.broken.is_none() => (engine, found),
            Err(Failure::Disk(error)) => return Err(self.broken(&error.to_string())),
            damaged => {
                engine::close(damaged.ok().map(|(engine, _)| engine));
                let aside = set_aside(&path, unix_ms).map_err(|error| self.broken(&error.to_string()))?;
                report = Some(format!(
                    "the database broke and was built anew; the old one is in {}",
                    aside.display()
                ));
                engine::open(&path).map_err(|error| self.broken(&error.to_string()))?
            }
        };
        self.engine = Some(engine);
        self.stage_all();
        // What came back although it was removed.
        for (room, key, _) in found.values {
            self.writes.entry((room, String::from_utf8_lossy(&key).into_owned())).or_insert(None);
        }
        Ok(report)
    }

    /// Writes the sidecar file. Only what is on disk belongs there: commit first.
    ///
    /// # Errors
    /// When the disk fails; it stays due.
    pub fn write_sidecar(&mut self) -> io::Result<()> {
        let contents = &self.contents;
        let registry = Registry {
            meta: contents.meta.clone(),
            devices: contents.devices.values().cloned().collect(),
            lines: contents.lines.iter().map(|(name, bytes)| (name.clone(), Arc::clone(bytes))).collect(),
            tokens: contents.book.tokens().cloned().collect(),
        };
        sidecar::write(&self.dir, &registry)?;
        self.sidecar_due = false;
        Ok(())
    }

    fn stage_device(&mut self, device: Arc<Device>) {
        self.put(Room::Devices, device.id.as_str(), Some(record::seal_device(&device)));
        let old = self.contents.devices.insert(device.id.clone(), Arc::clone(&device));
        if old.is_none_or(|old| essence_differs(&old, &device)) {
            self.registry_changed();
        }
    }

    fn stage_access(&mut self, change: Change) {
        let (room, key, value) = access_row(&change);
        self.put(room, &key, value);
        let in_sidecar = match &change {
            Change::Token(token) => {
                self.contents.book.token(&token.id).is_none_or(|old| right_differs(old, token))
            }
            Change::TokenGone(_) => true,
            _ => false,
        };
        self.contents.book.take(change);
        if in_sidecar {
            self.registry_changed();
        }
    }

    /// The sidecar must follow, and a database without this change is older than it.
    fn registry_changed(&mut self) {
        self.contents.meta.generation += 1;
        self.sidecar_due = true;
        self.stage_meta();
    }

    fn stage_meta(&mut self) {
        self.contents.meta.devices = self.contents.devices.len() as u64;
        self.put(Room::Meta, META_KEY, Some(record::seal_meta(&self.contents.meta)));
    }

    fn stage_all(&mut self) {
        self.contents.meta.devices = self.contents.devices.len() as u64;
        self.writes.extend(backup::all(&self.contents));
    }

    fn put(&mut self, room: Room, key: &str, value: Option<Vec<u8>>) {
        self.writes.insert((room, key.to_owned()), value);
    }

    fn broken(&self, reason: &str) -> StoreBroken {
        StoreBroken { path: self.dir.join(FOLDER), reason: reason.to_owned() }
    }
}

/// Where and as what a change of tokens, sessions or their list is kept.
fn access_row(change: &Change) -> (Room, String, Option<Vec<u8>>) {
    match change {
        Change::Token(token) => (Room::Access, token.id.to_string(), Some(record::seal_token(token))),
        Change::TokenGone(id) => (Room::Access, id.to_string(), None),
        Change::Session(session) => {
            (Room::Access, session.id.to_string(), Some(record::seal_session(session)))
        }
        Change::SessionGone(id) => (Room::Access, id.to_string(), None),
        Change::Noted(noted) => (Room::Audit, audit_key(noted.number), Some(record::seal_noted(noted))),
        Change::NotedGone(number) => (Room::Audit, audit_key(*number), None),
    }
}

/// Keys in the order of numbers.
fn audit_key(number: u64) -> String {
    format!("{number:020}")
}

/// More changed than when it was used.
fn right_differs(old: &Token, new: &Token) -> bool {
    Token { last_used_unix_ms: new.last_used_unix_ms, ..old.clone() } != *new
}

/// More changed than what the line shows all the time: the sidecar need not follow every reading.
fn essence_differs(old: &Device, new: &Device) -> bool {
    let shown = Device {
        relay: new.relay,
        online: new.online,
        last_seen_unix_ms: new.last_seen_unix_ms,
        last_reading: new.last_reading,
        ..old.clone()
    };
    shown != *new
}

/// Moves a database out of the way; only the newest few are kept.
fn set_aside(path: &Path, unix_ms: i64) -> io::Result<PathBuf> {
    let prefix = format!("{FOLDER}.bad-");
    let mut old: Vec<PathBuf> = std::fs::read_dir(path.parent().unwrap_or(path))?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    old.sort();
    old.iter().rev().skip(ASIDE_MAX - 1).try_for_each(std::fs::remove_dir_all)?;
    let aside = path.with_file_name(format!("{prefix}{unix_ms}"));
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
