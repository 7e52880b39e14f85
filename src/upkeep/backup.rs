//! Making a backup of a running gateway, and getting one ready to be restored: everything is checked before anything
//! is changed, and what is decided is one file that the next start carries out.

use std::path::Path;

use tokio::sync::oneshot;

use super::sealed::{self, EFFORT, RANDOM};
use super::{Next, Trouble, Upkeep, configuration};
use crate::config::Config;
use crate::record::backup::{Backup, Entry, Lines, framed};
use crate::store::{STAGED, contents_of};

/// Where the registry's part of a backup goes to whoever asked for it.
pub type Export = oneshot::Sender<Vec<Entry>>;

/// Longest text of a backup: that of some ten thousand sockets.
pub const BACKUP_MAX: usize = 16 << 20;

/// What a backup is made of besides the registry.
#[derive(Clone, Debug)]
pub struct About {
    /// Now, RFC 3339.
    pub made: String,
    /// Version of the program.
    pub version: String,
    /// The gateway.
    pub gateway: String,
}

/// What will be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// The gateway that the backup is of.
    pub gateway: String,
    /// When it was made.
    pub made: String,
    /// Devices in it.
    pub devices: usize,
    /// The configuration comes along.
    pub configuration: bool,
}

impl Upkeep {
    /// The text of a backup as of now; sealed, if there is a passphrase.
    ///
    /// # Errors
    /// [`Trouble`] when the gateway stops, or the configuration cannot be read.
    pub async fn backup(&self, about: About, passphrase: Option<String>) -> Result<String, Trouble> {
        let (answer, entries) = oneshot::channel();
        let exports = self.exports.as_ref().ok_or(Trouble::Stopping)?;
        exports.send(answer).await.map_err(|_| Trouble::Stopping)?;
        let entries = entries.await.map_err(|_| Trouble::Stopping)?;
        let configuration = self.configuration.text()?;
        let About { made, version, gateway } = about;
        let lines = Backup { made, version, gateway, entries, configuration }.lines();
        let Some(passphrase) = passphrase else { return Ok(framed(&lines)) };
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|_| Trouble::Stopping)?;
        // It takes a second on purpose.
        let sealed =
            tokio::task::spawn_blocking(move || sealed::seal(&lines, &passphrase, EFFORT, &random)).await;
        Ok(sealed.map_err(|_| Trouble::Stopping)??)
    }

    /// Gets a backup ready to be restored into `state`, and the gateway to start anew with it. Blocks.
    ///
    /// # Errors
    /// [`Trouble`], and nothing has changed.
    pub fn restore(
        &self,
        state: &Path,
        text: &str,
        passphrase: Option<&str>,
        configuration: bool,
    ) -> Result<Restoring, Trouble> {
        let text = sealed::open(text, passphrase)?;
        let mut backup = Lines::of(&text)?.backup()?;
        let contents = contents_of(&backup.entries)?;
        if !configuration || self.configuration.file().is_err() {
            backup.configuration = None;
        }
        let wanted = backup.configuration.as_deref().map(|text| self.config_with(state, text)).transpose()?;
        let next = match (&self.restarts, wanted) {
            (None, _) => None,
            (Some(_), Some(config)) => Some(self.next(config)?),
            (Some(_), None) => Some(self.next(self.configuration.reload()?)?),
        };
        let staged = state.join(STAGED);
        let failed = |error| Trouble::File { path: staged.clone(), error };
        configuration::replace(&staged, &framed(&backup.lines())).map_err(failed)?;
        // From here on a start restores, whatever becomes of us.
        if let Some(text) = &backup.configuration
            && let Err(trouble) = self.configuration.put(text)
        {
            std::fs::remove_file(&staged).map_err(failed)?;
            return Err(trouble);
        }
        if let Some(next) = next {
            self.begin_anew(next);
        }
        let Backup { gateway, made, configuration, .. } = backup;
        Ok(Restoring {
            gateway,
            made,
            devices: contents.devices.len(),
            configuration: configuration.is_some(),
        })
    }

    /// The configuration of a backup, if it is a good one for this folder.
    fn config_with(&self, state: &Path, text: &str) -> Result<Config, Trouble> {
        let config = self.configuration.check(text)?;
        if config.store_dir == state {
            return Ok(config);
        }
        Err(Trouble::Elsewhere { wanted: config.store_dir, here: state.to_owned() })
    }

    /// Brings the configuration of a restore into its file that a crash kept from getting there; gives the one that
    /// counts.
    #[must_use]
    pub fn finish_restore(&self, config: Config) -> Config {
        let staged = std::fs::read_to_string(config.store_dir.join(STAGED)).ok();
        let backup = staged.and_then(|text| Lines::of(&text).and_then(|lines| lines.backup()).ok());
        let Some(wanted) = backup.and_then(|backup| backup.configuration) else { return config };
        match self.configuration.text() {
            Ok(Some(text)) if text != wanted => {}
            _ => return config,
        }
        let put = self.configuration.put(&wanted).and_then(|()| self.configuration.reload());
        put.unwrap_or_else(|trouble| {
            tracing::warn!("the configuration of the backup is not taken: {trouble}");
            config
        })
    }

    pub(super) fn begin_anew(&self, next: Next) {
        // When it is full, a start was asked for already; what is staged is found by that one, too.
        if let Some(restarts) = &self.restarts {
            let _ = restarts.try_send(next);
        }
    }
}
