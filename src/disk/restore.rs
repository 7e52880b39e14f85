//! A backup that was staged becomes the state, before anything of the state is opened.
//!
//! `restore.staged` is the whole decision: until it stands there complete, the old state counts; from then on every
//! start does the same steps until they are done, and takes it away at the very end. So a crash leaves the one state
//! or the other.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::StartError;
use crate::record::backup::{Backup, Lines, Refused};
use crate::store::{self, Contents, STAGED, put_aside};

/// What a staged backup said and does not say any more.
const REFUSED: &str = "restore.refused";

/// Folders with states that were replaced begin so; the newest one is kept.
const ASIDE: &str = "before-restore-";

/// Does what is staged in `dir`, if anything is; `true` when the state is another one now.
///
/// # Errors
/// When the disk fails: the next start goes on.
pub(super) fn finish(dir: &Path, reports: &mut Vec<String>) -> Result<bool, StartError> {
    let staged = dir.join(STAGED);
    let folder = |error| StartError::Folder { dir: dir.to_owned(), error };
    let text = match std::fs::read_to_string(&staged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read.map_err(folder)?,
    };
    let (backup, contents) = match read(&text) {
        Ok(read) => read,
        Err(refused) => {
            reports.push(format!(
                "the backup that was to be restored is refused, nothing was changed: {refused}"
            ));
            std::fs::rename(&staged, dir.join(REFUSED)).map_err(folder)?;
            return Ok(false);
        }
    };
    let aside = dir.join(format!("{ASIDE}{}", std::fs::metadata(&staged).map_err(folder)?.mtime()));
    forget_others(dir, &aside).map_err(folder)?;
    put_aside(&dir.join("log"), &aside).map_err(folder)?;
    store::replace(dir, contents, &aside)?;
    std::fs::remove_file(&staged).map_err(folder)?;
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(folder)?;
    reports.push(format!(
        "the backup of {} made {} was restored; what stood here before is in {}",
        backup.gateway,
        backup.made,
        aside.display()
    ));
    Ok(true)
}

fn read(text: &str) -> Result<(Backup, Contents), Refused> {
    let backup = Lines::of(text)?.backup()?;
    let contents = store::contents_of(&backup.entries)?;
    Ok((backup, contents))
}

/// Removes states that earlier restores put aside.
fn forget_others(dir: &Path, aside: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(ASIDE) && entry.path() != aside {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
