//! `plugline demo`: simulated meters and INSTEON devices behind real ptys, the whole gateway in front of them, a broker
//! of its own.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::cli::gateway::told_to_stop;
use crate::config::Config;
use crate::run::Addresses;

mod scene;

use scene::Scene;

/// Where the API and the broker listen when nobody says and the port is free.
const HTTP_PORT: u16 = 8480;
const MQTT_PORT: u16 = 1883;

/// Name of the abstract socket that the demo with the usual ports holds; it goes with its program.
const USUAL_PORTS: &str = "plugline-demo";

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the HTTP API listens; port 0 takes a free one [default: 127.0.0.1:8480, or a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// Use this broker instead of one of its own; the topics are cleared at the end
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// Keep everything in this folder and go on from there at the next start [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the addresses as one line of JSON
    #[arg(long)]
    json: bool,
}

/// A folder that goes with its value, unless it is somebody's own.
pub(super) struct StateFolder {
    pub(super) path: PathBuf,
    temporary: bool,
}

impl StateFolder {
    pub(super) fn make(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = given.is_none();
        let path = match given {
            Some(path) => path,
            None => temporary_path()?,
        };
        // A temporary folder must be new: another user may have put one there that only looks like ours.
        let made = std::fs::DirBuilder::new().recursive(!temporary).mode(0o700).create(&path);
        made.with_context(|| path.display().to_string())?;
        let path = std::fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, temporary })
    }
}

fn temporary_path() -> anyhow::Result<PathBuf> {
    let random = getrandom::u64().context("the system gives no randomness")?;
    Ok(std::env::temp_dir().join(format!("plugline-demo-{random:016x}")))
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if self.temporary && std::fs::remove_dir_all(&self.path).is_err() {
            tracing::warn!("{} could not be removed", self.path.display());
        }
    }
}

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// When the state folder, the pty or a listener cannot be used.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // First of all, so that a signal during the start is no kill that leaves the folder behind.
    let stop = told_to_stop()?;
    let state = StateFolder::make(arguments.state)?;
    let scene = Scene::start(&state.path).context("the simulated devices")?;
    let ports = Ports::choose();
    let config = configuration(&state.path, &scene, &ports, (arguments.http, arguments.mqtt.as_deref()))?;
    let (ready, up) = oneshot::channel();
    let serial = scene.ports();
    let (state_path, json) = (state.path.clone(), arguments.json);
    let announced = tokio::spawn(async move {
        match up.await {
            Ok(addresses) => announce(&addresses, &serial, &state_path, json),
            Err(_) => Ok(()),
        }
    });
    tokio::select! {
        ended = crate::run::run(config, ready, stop) => ended?,
        () = scene.save_for_ever() => {}
    }
    announced.await??;
    scene.save()?;
    // The ports go before their folder does.
    drop(scene);
    Ok(ExitCode::SUCCESS)
}

fn configuration(
    state: &Path,
    scene: &Scene,
    ports: &Ports,
    (http, broker): (Option<SocketAddr>, Option<&str>),
) -> anyhow::Result<Config> {
    let http = http.map_or_else(|| ports.free_or_any(HTTP_PORT), |address| address.to_string());
    let broker = match broker {
        Some(url) => format!("[mqtt]\nbroker = {}\n", quoted(url)),
        None => format!("[mqtt.embedded]\nlisten = \"{}\"\n", ports.free_or_any(MQTT_PORT)),
    };
    let dir = quoted(&state.display().to_string());
    let text = format!("[http]\nlisten = \"{http}\"\n\n{broker}\n[store]\ndir = {dir}\n\n{}", scene.lines());
    let mut config = Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path))
        .context("the demo's own configuration")?;
    config.mqtt.clear_at_end = true;
    Ok(config)
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Which ports this demo may take. Of several demos only one tries the usual ones: between looking whether a port is
/// free and taking it, another could take it.
struct Ports {
    mine: Option<UnixListener>,
}

impl Ports {
    fn choose() -> Self {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(USUAL_PORTS);
        Self { mine: address.and_then(|address| UnixListener::bind_addr(&address)).ok() }
    }

    /// The usual port if it is ours to take and nobody has it, else any.
    fn free_or_any(&self, port: u16) -> String {
        let usual = format!("127.0.0.1:{port}");
        let free = self.mine.is_some() && TcpListener::bind(&usual).is_ok();
        if free { usual } else { "127.0.0.1:0".into() }
    }
}

fn announce(addresses: &Addresses, serial: &[PathBuf], state: &Path, json: bool) -> io::Result<()> {
    let http = format!("http://{}", addresses.http);
    let mut out = io::stdout().lock();
    if json {
        let serial: Vec<String> = serial.iter().map(|path| path.display().to_string()).collect();
        let line = serde_json::json!({
            "http": http, "mqtt": addresses.mqtt, "serial": serial,
            "state": state.display().to_string(),
        });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let (_, place) = addresses.mqtt.split_once("://").unwrap_or_default();
    let (host, port) = place.rsplit_once(':').unwrap_or_default();
    writeln!(out, "A house with three simulated DL/T 645 meters, and with two outlets, a dual outlet and")?;
    writeln!(out, "an energy meter of INSTEON, is running.\n")?;
    writeln!(out, "  HTTP    {http}")?;
    writeln!(out, "  MQTT    {}", addresses.mqtt)?;
    for path in serial {
        writeln!(out, "  serial  {}", path.display())?;
    }
    writeln!(out, "  state   {}\n", state.display())?;
    writeln!(out, "Try, in another terminal:\n")?;
    writeln!(out, "  curl -N -H 'Accept: text/event-stream' '{http}/v1/events'")?;
    writeln!(out, "  mosquitto_sub -h {host} -p {port} -v -t 'plugline/#'")?;
    writeln!(
        out,
        "  curl -X POST '{http}/v1/devices/dlt645_000000004711/commands?wait=10' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"command\":\"switch\",\"args\":{{\"on\":false}}}}'\n"
    )?;
    writeln!(out, "Ctrl-C ends it.")?;
    out.flush()
}
