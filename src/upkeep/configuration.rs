//! The configuration of a running gateway: read again, shown, changed in its file. What stands in it is `config`'s.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::config::edit::{self, BadChange};
use crate::config::{Config, ConfigError};
use crate::record::backup::Refused;

/// Where the configuration comes from.
#[derive(Debug, Default)]
enum Origin {
    /// Nowhere that could be read again.
    #[default]
    Nowhere,
    /// Somebody made it; a restart takes the same.
    Made(Box<Config>),
    /// A file.
    File(PathBuf),
}

/// The configuration, as it can be read again.
#[derive(Debug, Default)]
pub struct Configuration {
    origin: Origin,
    /// The environment that overrides it, as it was at the start.
    environment: Vec<(String, String)>,
    /// The text that the gateway was started with. Held while the file is changed.
    started_with: Mutex<String>,
}

/// What people see of it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What is in effect once the gateway has started anew; secrets hidden.
    pub values: Value,
    /// Keys that the environment overrides, with dots, and the variable that does.
    pub overridden: Vec<(String, String)>,
    /// The file says something else than what the gateway was started with.
    pub restart_needed: bool,
}

/// Why it cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It has no file.
    #[error(
        "the gateway was not started from a configuration file; start it with `plugline run --config FILE`"
    )]
    NoFile,
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It would be no good configuration.
    #[error("{0}")]
    Wrong(#[from] ConfigError),
    /// A change that no key can hold.
    #[error(transparent)]
    Change(#[from] BadChange),
    /// The environment has the last word on a key.
    #[error("`{key}` is set by the environment variable {variable}; the file would have no effect")]
    Overridden {
        /// Which, with dots.
        key: String,
        /// By what.
        variable: String,
    },
    /// No backup that can be restored.
    #[error(transparent)]
    Backup(#[from] Refused),
    /// The configuration of a backup means another folder.
    #[error(
        "the configuration in the backup keeps its state in {} and this gateway in {}; restore without configuration, \
         or set [store] dir", wanted.display(), here.display()
    )]
    Elsewhere {
        /// Its folder.
        wanted: PathBuf,
        /// Ours.
        here: PathBuf,
    },
    /// Too late for that.
    #[error("the gateway is stopping")]
    Stopping,
    /// It asks for an address that cannot be listened on.
    #[error("http.listen = \"{address}\": {error}")]
    Address {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl Configuration {
    /// From a file, with the environment that overrides it.
    #[must_use]
    pub fn of_file(path: PathBuf, text: String, environment: impl Iterator<Item = (String, String)>) -> Self {
        let environment = edit::overriding(environment);
        Self { origin: Origin::File(path), environment, started_with: Mutex::new(text) }
    }

    /// One that somebody made.
    #[must_use]
    pub fn made(config: Config) -> Self {
        Self { origin: Origin::Made(Box::new(config)), ..Self::default() }
    }

    /// Its file.
    ///
    /// # Errors
    /// [`Trouble::NoFile`].
    pub fn file(&self) -> Result<&Path, Trouble> {
        match &self.origin {
            Origin::File(path) => Ok(path),
            _ => Err(Trouble::NoFile),
        }
    }

    /// Checks a text as `check-config` does.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self, text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, self.environment.iter().cloned(), &|path| std::fs::read_to_string(path))
    }

    /// Reads it again, for a start with it: from then on it is what the gateway was started with.
    ///
    /// # Errors
    /// [`Trouble`], and nothing has changed.
    pub fn reload(&self) -> Result<Config, Trouble> {
        match &self.origin {
            Origin::Nowhere => Err(Trouble::NoFile),
            Origin::Made(config) => Ok((**config).clone()),
            Origin::File(path) => {
                let text = read(path)?;
                let config = self.check(&text)?;
                *self.started_with.lock().unwrap_or_else(PoisonError::into_inner) = text;
                Ok(config)
            }
        }
    }

    /// As people see it.
    ///
    /// # Errors
    /// When the file cannot be read, or is no TOML any more.
    pub fn view(&self) -> Result<View, Trouble> {
        let overridden: Vec<_> =
            edit::overridden(&self.environment).map(|(key, variable)| (key, variable.to_owned())).collect();
        let Ok(path) = self.file() else {
            return Ok(View {
                file: None,
                values: Value::Object(Map::new()),
                overridden,
                restart_needed: false,
            });
        };
        let text = read(path)?;
        let values = edit::effective(&text, &self.environment)?;
        let started_with = self.started_with.lock().unwrap_or_else(PoisonError::into_inner);
        let before = edit::effective(&started_with, &self.environment)?;
        let restart_needed = before != values;
        Ok(View { file: Some(path.to_owned()), values, overridden, restart_needed })
    }

    /// Writes changes into the file, when the outcome is a good configuration.
    ///
    /// # Errors
    /// [`Trouble`], and the file is as it was.
    pub fn change(&self, changes: &Map<String, Value>) -> Result<(), Trouble> {
        let path = self.file()?;
        for (key, variable) in edit::overridden(&self.environment) {
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| changes.get(part));
            if parts.try_fold(first, |at, part| at.map(|at| at.get(part))).flatten().is_some() {
                return Err(Trouble::Overridden { variable: variable.to_owned(), key });
            }
        }
        let _one_at_a_time = self.started_with.lock().unwrap_or_else(PoisonError::into_inner);
        let text = edit::edited(&read(path)?, changes)?;
        self.check(&text)?;
        replace(path, &text).map_err(|error| Trouble::File { path: path.to_owned(), error })
    }

    /// Puts another text into the file's place, when it is a good configuration; the gateway starts anew with it.
    ///
    /// # Errors
    /// [`Trouble`], and the file is as it was.
    pub fn put(&self, text: &str) -> Result<(), Trouble> {
        let path = self.file()?;
        self.check(text)?;
        let mut started_with = self.started_with.lock().unwrap_or_else(PoisonError::into_inner);
        replace(path, text).map_err(|error| Trouble::File { path: path.to_owned(), error })?;
        text.clone_into(&mut started_with);
        Ok(())
    }

    /// The text of the file; `None` without one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self) -> Result<Option<String>, Trouble> {
        self.file().map_or(Ok(None), |path| read(path).map(Some))
    }
}

fn read(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|error| Trouble::File { path: path.to_owned(), error })
}

/// Replaces a file in one step: whoever reads it finds the old text or the new one. Its mode stays; behind a
/// symbolic link the file itself is replaced.
///
/// # Errors
/// When the disk fails or the folder cannot be written; the file is as it was.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = &match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    // One that is new may hold keys.
    let mode = std::fs::metadata(path).map_or(0o600, |about| about.permissions().mode() & 0o7777);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode & 0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if let Err(error) = written {
        // It may not even be there.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "# kept\n[http]\nlisten = \"127.0.0.1:1\" # too\n";

    fn of(folder: &Path, environment: &[(&str, &str)]) -> (PathBuf, Configuration) {
        let path = folder.join("plugline.toml");
        std::fs::write(&path, TEXT).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (path.clone(), Configuration::of_file(path, TEXT.to_owned(), environment))
    }

    fn change(configuration: &Configuration, change: &Value) -> Result<(), Trouble> {
        configuration.change(change.as_object().expect("an object"))
    }

    #[test]
    fn a_change_is_in_the_file_with_its_mode_and_comments_and_wants_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, configuration) = of(folder.path(), &[]);
        assert!(!configuration.view().expect("it reads").restart_needed);
        change(&configuration, &json!({"http": {"listen": "127.0.0.1:2"}})).expect("it is good");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), TEXT.replace(":1\"", ":2\""));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1,
            "nothing is left beside it"
        );
        assert!(configuration.view().expect("it reads").restart_needed);
        assert_eq!(configuration.reload().expect("it is good").http_listen.port(), 2);
        assert!(!configuration.view().expect("it reads").restart_needed);
    }

    #[test]
    fn a_change_that_check_config_refuses_leaves_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, configuration) = of(folder.path(), &[]);
        let refused = change(&configuration, &json!({"http": {"listn": "x"}})).expect_err("no such key");
        assert!(refused.to_string().contains("did you mean `listen`"), "{refused}");
        assert!(change(&configuration, &json!({"http": {"listen": "x"}})).is_err());
        assert_eq!(std::fs::read_to_string(path).expect("text"), TEXT);
    }

    #[test]
    fn a_key_that_the_environment_sets_is_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, configuration) = of(folder.path(), &[("PLUGLINE__HTTP__LISTEN", "127.0.0.1:9")]);
        let refused =
            change(&configuration, &json!({"http": {"listen": "127.0.0.1:2"}})).expect_err("overridden");
        assert!(refused.to_string().contains("PLUGLINE__HTTP__LISTEN"), "{refused}");
        change(&configuration, &json!({"http": {"connections": 20}})).expect("another key");
        let view = configuration.view().expect("it reads");
        assert_eq!((&view.values["http"]["listen"], view.overridden.len()), (&json!("127.0.0.1:9"), 1));
    }

    #[test]
    fn a_broken_file_is_not_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, configuration) = of(folder.path(), &[]);
        std::fs::write(path, "[http]\nlisten = 3\n").expect("written");
        let refused = configuration.reload().expect_err("it is wrong");
        assert!(refused.to_string().starts_with("line 2, column 10"), "{refused}");
    }
}
