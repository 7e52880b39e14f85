//! `plugline backup` and `restore`: the running gateway's registry and configuration as one text file, and back; back
//! also into the state folder of a gateway that does not run.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::client::Answer;
use crate::cli::{ConfigFile, gateway, locate};
use crate::upkeep::backup::{BACKUP_MAX, Restoring};
use crate::upkeep::{Configuration, Upkeep};
use crate::{config, disk};

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The file, made with mode 0600; one that exists is not overwritten. `-` for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seal it with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    gateway: locate::Gateway,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The first line of this file is the passphrase that it is sealed with
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leave the configuration file as it is
    #[arg(long)]
    without_configuration: bool,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    gateway: locate::Gateway,
}

/// Writes a backup.
///
/// # Errors
/// When no gateway runs or refuses; when the file exists or cannot be written.
pub async fn make(arguments: &Backup, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let passphrase = passphrase(arguments.passphrase_file.as_deref())?;
    let body = passphrase.map_or_else(|| json!({}), |passphrase| json!({ "passphrase": passphrase }));
    let client = arguments.gateway.client()?;
    let to_file = arguments.file != Path::new("-");
    // First of all, so that nothing secret is made for nobody.
    let file = to_file.then(|| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&arguments.file)
    });
    let file = file.transpose().with_context(|| arguments.file.display().to_string())?;
    let wait = std::time::Duration::from_secs(30);
    let text = client.post("/v1/backup", &body, wait).await.and_then(Answer::good);
    let text = text.and_then(|text| Ok(text.as_str().context("the gateway answered no backup")?.to_owned()));
    let text = text.inspect_err(|_| {
        if to_file {
            // It is ours and empty.
            let _ = std::fs::remove_file(&arguments.file);
        }
    })?;
    let Some(mut file) = file else {
        out.write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| arguments.file.display().to_string())?;
    if arguments.gateway.json {
        writeln!(
            out,
            "{}",
            json!({ "file": arguments.file, "bytes": text.len(), "sealed": arguments.passphrase_file.is_some() })
        )?;
    } else {
        writeln!(out, "{} bytes are in {}; keep it like a key.", text.len(), arguments.file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup: through the gateway if one runs, else into its folder.
///
/// # Errors
/// When the backup or what it would lead to is refused; nothing has changed then.
pub async fn restore(arguments: &Restore, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let shown = arguments.file.display().to_string();
    let length = std::fs::metadata(&arguments.file).with_context(|| shown.clone())?.len();
    anyhow::ensure!(length <= BACKUP_MAX as u64, "{shown}: no backup is larger than {BACKUP_MAX} bytes");
    let text = std::fs::read_to_string(&arguments.file).with_context(|| shown.clone())?;
    let passphrase = passphrase(arguments.passphrase_file.as_deref())?;
    let configuration = !arguments.without_configuration;
    let told = if let Some(state) = stopped(arguments)? {
        let restoring =
            into_folder(arguments, &state, (&text, passphrase.as_deref())).with_context(|| shown.clone())?;
        json!({
            "gateway": restoring.gateway, "made": restoring.made, "devices": restoring.devices,
            "configuration": restoring.configuration, "restarting": false,
        })
    } else {
        let mut body = json!({ "backup": text, "configuration": configuration });
        if let Some(passphrase) = passphrase {
            body["passphrase"] = passphrase.into();
        }
        let wait = std::time::Duration::from_secs(30);
        arguments.gateway.client()?.post("/v1/restore", &body, wait).await?.good()?
    };
    if arguments.gateway.json {
        writeln!(out, "{told}")?;
    } else {
        let word = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let with =
            if told["configuration"] == true { "with its configuration" } else { "without configuration" };
        let when = if told["restarting"] == true {
            "the gateway starts anew with it"
        } else {
            "the next start takes it"
        };
        writeln!(
            out,
            "{} of {}, {} devices, {with}: {when}.",
            word("gateway"),
            word("made"),
            told["devices"]
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The state folder, when no gateway runs on it.
fn stopped(arguments: &Restore) -> anyhow::Result<Option<PathBuf>> {
    if arguments.gateway.url.is_some() {
        return Ok(None);
    }
    let configured = gateway::find(arguments.config.config.as_deref())
        .ok()
        .and_then(|(_, text)| gateway::parse(&text).ok());
    let state = arguments.gateway.state.clone().or(configured.map(|config| config.store_dir));
    let state = state.unwrap_or_else(|| config::DEFAULT_STATE_DIR.into());
    match disk::hold(&state) {
        Ok(_) => Ok(Some(state)),
        Err(disk::StartError::InUse(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn into_folder(
    arguments: &Restore,
    state: &Path,
    (text, passphrase): (&str, Option<&str>),
) -> anyhow::Result<Restoring> {
    // A gateway that starts meanwhile waits for nobody: it says that the folder is in use.
    let _held = disk::hold(state)?;
    let configuration = match gateway::find(arguments.config.config.as_deref()) {
        Ok((path, text)) => Configuration::of_file(path, text, gateway::environment()),
        // There is none yet: it comes from the backup.
        Err(_) => match &arguments.config.config {
            Some(path) => Configuration::of_file(path.clone(), String::new(), gateway::environment()),
            None if arguments.without_configuration => Configuration::default(),
            None => anyhow::bail!(
                "where is the configuration to go? Give --config FILE, or --without-configuration"
            ),
        },
    };
    let upkeep = Upkeep::of_stopped(configuration);
    Ok(upkeep.restore(state, text, passphrase, !arguments.without_configuration)?)
}

fn passphrase(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(
        !line.is_empty(),
        "{}: its first line is the passphrase, and it is empty",
        file.display()
    );
    Ok(Some(line.to_owned()))
}
