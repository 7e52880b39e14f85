//! `plugline doctor`: what is wrong with this machine and its gateway, and a redacted bundle for a bug report.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::{ConfigFile, gateway, locate};
use crate::config;
use crate::run::VERSION;
use crate::upkeep::Configuration;
use asked::Asked;
use bundle::Section;
use finding::{Finding, Grade};
use here::Configured;
use known::Known;

mod asked;
mod bundle;
mod checks;
mod finding;
mod here;
mod known;
mod patterns;
mod redact;

/// Variables that say who runs this, and who became root for it.
const USERS: [&str; 3] = ["USER", "LOGNAME", "SUDO_USER"];

/// What `doctor` was asked.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the bundle goes, made with mode 0600; a file that exists is not overwritten. `-` for standard output
    /// [default: ./plugline-doctor-TIME.txt]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    gateway: locate::Gateway,
}

/// What was seen.
struct Seen {
    findings: Vec<Finding>,
    configured: Configured,
    /// The gateway's answers, or why there are none.
    asked: Result<Asked, String>,
}

/// Looks, tells, and writes the bundle. 1 when anything is in trouble.
///
/// # Errors
/// When the bundle cannot be written.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let to_out = arguments.out.as_deref() == Some(Path::new("-"));
    let json = arguments.gateway.json;
    anyhow::ensure!(!(json && to_out), "standard output is either the JSON or the bundle; give --out FILE");
    let now = jiff::Timestamp::now();
    let seen = look(arguments, now.as_millisecond()).await;
    let table = finding::table(&seen.findings);
    if to_out {
        // The bundle holds the list; whoever looks at the terminal sees it with the names that it has here.
        io::stderr().write_all(table.as_bytes())?;
    } else if !json {
        write!(out, "{table}")?;
        out.flush()?;
    }
    let text = bundled(&seen, &crate::json::time(now.as_millisecond()));
    if to_out {
        out.write_all(text.as_bytes())?;
    } else {
        let usual = || PathBuf::from(format!("plugline-doctor-{}.txt", now.strftime("%Y%m%dT%H%M%SZ")));
        let file = arguments.out.clone().unwrap_or_else(usual);
        write_bundle(&file, &text)?;
        if json {
            let view = json!({ "findings": finding::view(&seen.findings), "bundle": file });
            writeln!(out, "{view}")?;
        } else {
            write!(out, "{}", farewell(&seen, &file, text.len()))?;
        }
    }
    let trouble = finding::count(&seen.findings, Grade::Trouble) > 0;
    Ok(if trouble { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn farewell(seen: &Seen, file: &Path, bytes: usize) -> String {
    let count = |grade| finding::count(&seen.findings, grade);
    format!(
        "\n{} in trouble, {} warnings. {} ({bytes} bytes) is for a bug report: names, addresses and secrets are \
         replaced by stand-ins, readings left out. Read it before you send it.\n",
        count(Grade::Trouble),
        count(Grade::Warning),
        file.display()
    )
}

fn write_bundle(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(file).and_then(|mut opened| {
        opened.write_all(text.as_bytes())?;
        opened.sync_all()
    });
    written.with_context(|| format!("the bundle: {}; --out FILE puts it elsewhere", file.display()))
}

async fn look(arguments: &Arguments, now_unix_ms: i64) -> Seen {
    let configured = configured(arguments);
    let state = state_folder(arguments, &configured);
    // A gateway that is asked by its URL may be on another machine; one in a named folder may have no file (demo).
    let elsewhere = arguments.gateway.url.is_some();
    let named = elsewhere || arguments.gateway.state.is_some();
    let no_file = configured.file.is_none() && arguments.config.config.is_none();
    let config = configured.config.as_ref();
    let mut findings = Vec::new();
    if !(named && no_file) {
        findings.push(configured.finding.clone());
    }
    if !(elsewhere && no_file) {
        findings.push(here::state_folder(&state, config.map(|config| config.keep_mb)));
    }
    findings.extend(here::clock(now_unix_ms));
    let asked = ask(arguments, &state).await;
    let limit = asked.as_ref().ok().and_then(max_fds);
    findings.extend(here::open_files(config, limit));
    match &asked {
        Ok(asked) => findings.extend(checks::of_gateway(asked, VERSION, now_unix_ms)),
        Err(why) => findings.push(absent(why, elsewhere, &state)),
    }
    let told = |name: &str| asked.as_ref().is_ok_and(|asked| !asked.health["parts"]["lines"][name].is_null());
    let held = asked.is_err() && (here::is_held(&state) || here::is_closed(&state));
    for line in config.into_iter().flat_map(|config| &config.lines) {
        if !held && !told(line.name.as_str()) {
            findings.push(here::line_port(line).await);
        }
    }
    Seen { findings, configured, asked }
}

/// The configuration that is named. One that merely lies about is another gateway's where the folder that is named is
/// not its own.
fn configured(arguments: &Arguments) -> Configured {
    let configured = here::configuration(arguments.config.config.as_deref());
    let own = configured.config.as_ref().map(|config| &config.store_dir);
    let others = arguments.gateway.state.as_ref().is_some_and(|state| own != Some(state));
    if arguments.config.config.is_some() || !others {
        return configured;
    }
    let finding = Finding::ok("configuration", "none is named; --config FILE looks at one");
    Configured { file: None, config: None, finding }
}

/// Asks the gateway that the arguments name, or that runs in the state folder.
async fn ask(arguments: &Arguments, state: &Path) -> Result<Asked, String> {
    let given = &arguments.gateway;
    let gateway = locate::Gateway { state: Some(state.to_owned()), ..given.clone() };
    let client = gateway.client().map_err(|error| format!("{error:#}"))?;
    Asked::of(&client).await.map_err(|error| format!("{error:#}"))
}

/// Why no gateway answers. One that is not started is no trouble by itself.
fn absent(why: &str, elsewhere: bool, state: &Path) -> Finding {
    if elsewhere {
        return Finding::trouble("gateway", why);
    }
    if here::is_held(state) {
        let text = format!("one holds {} and does not answer: {why}; restart it", state.display());
        return Finding::trouble("gateway", text);
    }
    if here::is_closed(state) {
        let text = format!("{} tells this user nothing; ask as the user whose it is", state.display());
        return Finding::warning("gateway", text);
    }
    if here::left_word(state) {
        let text = "it does not run, and did not end in order; its own log says why (journalctl -u plugline)";
        return Finding::trouble("gateway", text);
    }
    Finding::warning("gateway", format!("{why}; `plugline run` starts one"))
}

/// The folder that is named, or the configuration's, even where something else is wrong with it.
fn state_folder(arguments: &Arguments, configured: &Configured) -> PathBuf {
    let named = arguments.gateway.state.clone();
    let good = configured.config.as_ref().map(|config| config.store_dir.clone());
    let written = || local_view(configured).ok()?["values"]["store"]["dir"].as_str().map(PathBuf::from);
    named.or(good).or_else(written).unwrap_or_else(|| config::DEFAULT_STATE_DIR.into())
}

/// What `/v1/config` would show of the file, hidden by the same code.
fn local_view(configured: &Configured) -> Result<Value, String> {
    let Some((path, text)) = &configured.file else { return Err(configured.finding.text.clone()) };
    let configuration = Configuration::of_file(path.clone(), text.clone(), gateway::environment());
    let view =
        configuration.view().map_err(|error| format!("nothing in it can be hidden for sure: {error}"))?;
    Ok(json!({ "file": path, "values": view.values }))
}

fn max_fds(asked: &Asked) -> Option<u64> {
    let metrics = asked.metrics.as_ref().ok()?.as_str()?;
    metrics.lines().find_map(|line| line.strip_prefix("process_max_fds "))?.trim().parse().ok()
}

fn bundled(seen: &Seen, taken_at: &str) -> String {
    let asked = seen.asked.as_ref();
    let told = asked.ok().and_then(|asked| asked.config.as_ref().ok()).filter(|told| !told["file"].is_null());
    let config = told.map_or_else(|| local_view(&seen.configured), |told| Ok(told.clone()));
    let host = here::host_name();
    let users: Vec<String> = USERS.iter().filter_map(|name| std::env::var(name).ok()).collect();
    let mut redactor = known::redactor(&Known {
        asked: asked.ok(),
        config: config.as_ref().ok().map(|config| &config["values"]),
        host: host.as_deref(),
        users: &users,
    });
    let mut sections = vec![
        bundle::findings(&seen.findings),
        Section::new("version", Ok(VERSION.to_owned())),
        Section::new("system", Ok(here::system())),
        Section::new("configuration", config.as_ref().map(bundle::configuration).map_err(Clone::clone)),
    ];
    match asked {
        Ok(asked) => sections.extend(bundle::of_gateway(asked)),
        Err(why) => sections.push(Section::new("gateway", Err(why.clone()))),
    }
    bundle::text(taken_at, &sections, &mut redactor)
}
