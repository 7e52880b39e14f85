//! What keeps the gateway itself in order, beside its lines: counts for whoever watches it, the last lines of its
//! log, its configuration, its restart, backups. One handle for the edges; it outlives a restart within the process. Refuses to know devices and events.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::Config;

pub mod backup;
pub mod configuration;
pub mod logbook;
pub mod meters;
pub mod process;
pub mod sealed;

pub use configuration::{Configuration, Trouble};
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
    /// What the gateway was told.
    pub configuration: Arc<Configuration>,
    /// Where the HTTP API is told to listen.
    pub listen: Option<SocketAddr>,
    restarts: Option<mpsc::Sender<Next>>,
    /// Who can be asked for the registry, as long as this life lasts.
    pub exports: Option<mpsc::Sender<backup::Export>>,
}

/// With what the gateway starts anew.
#[derive(Debug)]
pub struct Next {
    /// Its configuration.
    pub config: Config,
    /// Where it listens from now on, when that is elsewhere than before.
    pub listener: Option<TcpListener>,
}

impl Upkeep {
    /// One that shows the log of this process, and where it asks for a restart.
    #[must_use]
    pub fn new(configuration: Configuration) -> (Self, mpsc::Receiver<Next>) {
        let (restarts, asked) = mpsc::channel(1);
        let upkeep = Self {
            logbook: logbook::of_this_process().clone(),
            configuration: Arc::new(configuration),
            restarts: Some(restarts),
            ..Self::default()
        };
        (upkeep, asked)
    }

    /// One for the state folder of a gateway that does not run.
    #[must_use]
    pub fn of_stopped(configuration: Configuration) -> Self {
        Self { configuration: Arc::new(configuration), ..Self::default() }
    }

    /// Asks for a restart with the configuration read again. What would keep the gateway from starting is looked for
    /// before anything stops. Blocks while it reads.
    ///
    /// # Errors
    /// [`Trouble`], and nothing happens.
    pub fn restart(&self) -> Result<(), Trouble> {
        if self.restarts.is_none() {
            return Err(Trouble::NoFile);
        }
        let next = self.next(self.configuration.reload()?)?;
        self.begin_anew(next);
        Ok(())
    }

    /// With what to start anew, the address tried.
    fn next(&self, config: Config) -> Result<Next, Trouble> {
        let address = config.http_listen;
        let elsewhere = (self.listen != Some(address)).then(|| TcpListener::bind(address)).transpose();
        let listener = elsewhere.map_err(|error| Trouble::Address { address, error })?;
        Ok(Next { config, listener })
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
