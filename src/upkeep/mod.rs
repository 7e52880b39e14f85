//! What keeps the gateway itself in order, beside its lines: counts for whoever watches it, and the last lines of
//! its log. One handle for the edges; it outlives a restart within the process. Refuses to know devices and events.

use std::path::PathBuf;
use std::sync::Arc;

pub mod logbook;
pub mod meters;
pub mod process;

pub use logbook::Logbook;
pub use meters::Meters;

/// The handle. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    /// What is counted while it runs.
    pub meters: Arc<Meters>,
    /// The last lines of the log.
    pub logbook: Logbook,
    /// The folder with registry and feed; `None` where there is none to look into.
    pub state: Option<PathBuf>,
}

impl Upkeep {
    /// One that shows the log of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self { logbook: logbook::of_this_process().clone(), ..Self::default() }
    }

    /// Bytes of the registry's database on disk, as far as it can be looked at.
    #[must_use]
    pub fn store_bytes(&self) -> Option<u64> {
        fn below(folder: &std::path::Path) -> std::io::Result<u64> {
            let sizes = std::fs::read_dir(folder)?.flatten().map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => below(&entry.path()).unwrap_or(0),
                _ => entry.metadata().map_or(0, |about| about.len()),
            });
            Ok(sizes.sum())
        }
        below(&self.state.as_ref()?.join("db")).ok()
    }
}
