//! A file that only takes room: given up when the disk is full, so that there is room to start, to open the
//! database anew and to write a last word. Made again at the next start that finds everything well.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "ballast";

/// Makes the file unless it stands there. Real bytes: a sparse file would hold no room.
pub(super) fn make(dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join(FILE);
    if bytes == 0 || path.metadata().is_ok_and(|file| file.len() == bytes) {
        return Ok(());
    }
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        io::copy(&mut io::Read::take(io::repeat(0x55), bytes), &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    // Half of it would only be in the way.
    write().inspect_err(|_| drop(std::fs::remove_file(&path)))
}

/// Gives the room back; `false` when there was none.
pub(super) fn release(dir: &Path) -> bool {
    std::fs::remove_file(dir.join(FILE)).is_ok()
}
