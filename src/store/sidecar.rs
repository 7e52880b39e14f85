//! `registry.json` beside the database: devices and lines' records in plain JSON, two generations of it. What is
//! taken back when the database is broken. Knows no sled.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::record::{Registry, sidecar_of, sidecar_text};

pub(super) const NEWEST: &str = "registry.json";
pub(super) const BEFORE: &str = "registry.json.1";
const UNFINISHED: &str = "registry.json.tmp";

/// Replaces the file; the one before it is kept. On return both are on the drive.
pub(super) fn write(dir: &Path, registry: &Registry) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    // It holds the keys of sockets: for nobody else to read.
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(sidecar_text(registry).as_bytes())?;
    file.sync_all()?;
    match std::fs::rename(dir.join(NEWEST), dir.join(BEFORE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(&unfinished, dir.join(NEWEST))?;
    File::open(dir)?.sync_all()
}

/// The newest registry that reads.
pub(super) fn read(dir: &Path, reports: &mut Vec<String>) -> Option<Registry> {
    let paths: [PathBuf; 2] = [dir.join(NEWEST), dir.join(BEFORE)];
    let registries = paths.iter().filter_map(|path| {
        let read = match std::fs::read_to_string(path) {
            Ok(text) => sidecar_of(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        read.map_err(|error| reports.push(format!("{} does not read: {error}", path.display()))).ok()
    });
    registries.max_by_key(|registry| registry.meta.generation)
}
