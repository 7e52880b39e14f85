//! The registry for a backup, and a registry made of one. What goes along is everything but commands and readers'
//! positions, which speak of a feed that does not come along, and sessions.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use super::engine::{self, ROOMS, Raw, Room, Writes};
use super::{Contents, FOLDER, Loaded, META_KEY, Store, StoreBroken, access_row, loaded, sidecar};
use crate::record::backup::{Entry, Refused};
use crate::record::{self, Registry};

/// A backup that waits in the state folder to be restored by the next start.
pub const STAGED: &str = "restore.staged";

/// Where the restored database is built before it takes its place.
const BUILDING: &str = "db.restoring";

fn goes_along(room: Room, key: &str) -> bool {
    match room {
        Room::Commands | Room::Positions => false,
        // Whoever was logged in then logs in anew.
        Room::Access => !loaded::is_session(key),
        _ => true,
    }
}

impl Store {
    /// Everything that goes into a backup.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let all = all(&self.contents).into_iter().filter(|((room, key), _)| goes_along(*room, key));
        let entry = |((room, key), value): ((Room, String), Option<Vec<u8>>)| {
            Some(Entry { room: room.name().to_owned(), key, value: value?, line: 0 })
        };
        all.filter_map(entry).collect()
    }
}

/// What the entries of a backup say, each of them checked.
///
/// # Errors
/// [`Refused`] for the first that does not read, belongs nowhere or is missing.
pub fn contents_of(entries: &[Entry]) -> Result<Contents, Refused> {
    let mut loaded = Loaded::default();
    for Entry { room, key, value, line } in entries {
        let wrong = |text: String| Refused::Line { line: *line, text };
        let known = ROOMS.iter().map(|(known, _)| *known).find(|known| known.name() == room);
        let known = known
            .filter(|known| goes_along(*known, key))
            .ok_or_else(|| wrong(format!("`{room}` is no part of a registry that this version knows")))?;
        let raw: Raw = (known, key.as_bytes().to_vec(), value.clone());
        loaded.take(&raw).map_err(|error| wrong(format!("{room}/{key}: {error}")))?;
    }
    let missing = |text: &str| Refused::Line {
        line: entries.last().map_or(1, |last| last.line),
        text: text.to_owned(),
    };
    let meta = loaded.meta.as_ref().ok_or_else(|| missing("`meta` is missing"))?;
    if meta.devices != loaded.devices.len() as u64 {
        return Err(missing(&format!("there are {} devices of {}", loaded.devices.len(), meta.devices)));
    }
    let gateway = meta.gateway.clone();
    Ok(loaded.contents(None, &gateway))
}

/// Puts a registry into the place of the one in `dir`, whose parts go into `aside`. It may be broken off anywhere and
/// done again with the same arguments; then it is whole.
///
/// # Errors
/// When the disk fails.
pub fn replace(dir: &Path, mut contents: Contents, aside: &Path) -> Result<(), StoreBroken> {
    contents.meta.generation += 1;
    // It knows no feed, and what the lines counted since it was made is not known.
    (contents.meta.epoch, contents.meta.checkpoint) = (None, 0);
    contents.meta.resume = contents.lines.keys().cloned().collect::<BTreeSet<_>>();
    let path = dir.join(FOLDER);
    let broken = |reason: String| StoreBroken { path: path.clone(), reason };
    let failed = |error: io::Error| broken(error.to_string());
    let building = dir.join(BUILDING);
    match std::fs::remove_dir_all(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let writes: Writes = all(&contents);
    let (built, _) = engine::open(&building).map_err(|error| broken(error.to_string()))?;
    let written = built.write(&writes);
    engine::close(Some(built));
    written.map_err(|error| broken(error.to_string()))?;
    for name in [FOLDER, sidecar::NEWEST, sidecar::BEFORE] {
        put_aside(&dir.join(name), aside).map_err(failed)?;
    }
    std::fs::rename(&building, &path).map_err(failed)?;
    let registry = Registry {
        meta: contents.meta,
        devices: contents.devices.into_values().collect(),
        tokens: contents.book.tokens().cloned().collect(),
        lines: contents.lines.into_iter().map(|(name, bytes)| (name, Arc::clone(&bytes))).collect(),
    };
    sidecar::write(dir, &registry).map_err(failed)
}

/// Moves what stands at `path` into `aside`. What the same restore put there before stays: that is the older state.
///
/// # Errors
/// When the disk fails.
pub fn put_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let about = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    DirBuilder::new().recursive(true).mode(0o700).create(aside)?;
    let kept = aside.join(path.file_name().unwrap_or_default());
    match (kept.try_exists()?, about.is_dir()) {
        (false, _) => std::fs::rename(path, kept)?,
        (true, true) => std::fs::remove_dir_all(path)?,
        (true, false) => std::fs::remove_file(path)?,
    }
    File::open(aside)?.sync_all()?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Everything that is kept, sealed.
pub(super) fn all(contents: &Contents) -> Writes {
    let devices =
        contents.devices.iter().map(|(id, of)| (Room::Devices, id.as_str(), record::seal_device(of)));
    let commands =
        contents.commands.iter().map(|(id, of)| (Room::Commands, id.as_str(), record::seal_command(of)));
    let lines = contents.lines.iter().map(|(id, of)| (Room::Lines, id.as_str(), record::seal(of)));
    let positions = contents
        .positions
        .iter()
        .map(|(name, seq)| (Room::Positions, name.as_str(), record::seal_number(*seq)));
    let all = devices.chain(commands).chain(lines).chain(positions);
    let all: Writes = all.map(|(room, key, value)| ((room, key.to_owned()), Some(value))).collect();
    let days = contents.days.iter().map(|((device, day), row)| {
        ((Room::Days, record::day_key(device, *day)), Some(record::seal_day(row)))
    });
    let meta = ((Room::Meta, META_KEY.to_owned()), Some(record::seal_meta(&contents.meta)));
    let book = contents.book.changes().map(|change| access_row(&change));
    let book = book.map(|(room, key, value)| ((room, key), value));
    all.into_iter().chain(days).chain(book).chain([meta]).collect()
}
