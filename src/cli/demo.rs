//! `plugline demo`: simulated meters behind a real pty, the whole gateway in front of them, a broker of its own.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use plugline_simulator::{Bus, Front, House, Pty, demo_house};
use tokio::sync::oneshot;

use crate::cli::gateway::told_to_stop;
use crate::config::Config;
use crate::run::Addresses;

/// Seed of the simulated house: the same appliances at every start.
const SEED: u64 = 4711;

/// Baud rate of the simulated adapter, as carrier adapters have it; its airtime is simulated too.
const BAUD: u32 = 9600;

/// How often the meters' totals are written down, so that they do not fall when the demo is killed.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

/// Where the API and the broker listen when nobody says and the port is free.
const HTTP_PORT: u16 = 8480;
const MQTT_PORT: u16 = 1883;

/// Name of the abstract socket that the demo with the usual ports holds; it goes with its program.
const USUAL_PORTS: &str = "plugline-demo";

/// The file with the meters' totals and relays, in the state folder.
const HOUSE_FILE: &str = "demo-house";

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
    let front = start_meters(&state.path).context("the simulated meters")?;
    let ports = Ports::choose();
    let config = configuration(&state.path, &front, &ports, (arguments.http, arguments.mqtt.as_deref()))?;
    let (ready, up) = oneshot::channel();
    let serial = front.path();
    let (state_path, json) = (state.path.clone(), arguments.json);
    let announced = tokio::spawn(async move {
        match up.await {
            Ok(addresses) => announce(&addresses, &serial, &state_path, json),
            Err(_) => Ok(()),
        }
    });
    tokio::select! {
        ended = crate::run::run(config, ready, stop) => ended?,
        () = save_for_ever(&front, &state.path) => {}
    }
    announced.await??;
    front.with_bus(|bus| save(bus, &state.path))?;
    front.stop();
    Ok(ExitCode::SUCCESS)
}

fn start_meters(state: &Path) -> anyhow::Result<Front> {
    let mut meters = demo_house(SEED);
    match std::fs::read_to_string(state.join(HOUSE_FILE)) {
        Ok(text) => {
            let house = House::load(&text).map_err(|error| anyhow::anyhow!("{HOUSE_FILE}: {error}"))?;
            meters = house.restore(meters);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(HOUSE_FILE),
    }
    let bus = Bus::new(SEED, meters).with_baud(BAUD);
    let pty = Pty::open(Some(&state.join("serial")))?;
    Ok(Front::start(bus, pty)?)
}

fn save(bus: &mut Bus, state: &Path) -> io::Result<()> {
    let (file, next) = (state.join(HOUSE_FILE), state.join(format!("{HOUSE_FILE}.next")));
    std::fs::write(&next, House::of(bus.meters()).save())?;
    std::fs::rename(next, file)
}

/// Never ends: a full disk is the gateway's to tell, and the meters go on without it.
async fn save_for_ever(front: &Front, state: &Path) {
    let mut turns = tokio::time::interval(SAVE_PERIOD);
    let mut failing = false;
    loop {
        turns.tick().await;
        let saved = front.with_bus(|bus| save(bus, state));
        if let Err(error) = &saved
            && !failing
        {
            tracing::warn!(%error, "the meters' totals cannot be written down; trying on");
        }
        failing = saved.is_err();
    }
}

fn configuration(
    state: &Path,
    front: &Front,
    ports: &Ports,
    (http, broker): (Option<SocketAddr>, Option<&str>),
) -> anyhow::Result<Config> {
    let http = http.map_or_else(|| ports.free_or_any(HTTP_PORT), |address| address.to_string());
    let broker = match broker {
        Some(url) => format!("[mqtt]\nbroker = {}\n", quoted(url)),
        None => format!("[mqtt.embedded]\nlisten = \"{}\"\n", ports.free_or_any(MQTT_PORT)),
    };
    let devices = front.with_bus(|bus| {
        let meters = bus.meters().iter();
        let tables = meters.map(|meter| {
            format!("[[line.device]]\naddress = \"{}\"\nname = {}\n", meter.address(), quoted(meter.name()))
        });
        tables.collect::<String>()
    });
    let text = format!(
        "[http]\nlisten = \"{http}\"\n\n{broker}\n[store]\ndir = {dir}\n\n[[line]]\ndialect = \"dlt645\"\n\
         port = {port}\nbaud = {BAUD}\n\
         periods = {{ power = 3, relay = 5, current = 5, energy = 10, voltage = 10, power_factor = 15, frequency = 15 }}\n\
         {devices}",
        dir = quoted(&state.display().to_string()),
        port = quoted(&front.path().display().to_string()),
    );
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

fn announce(addresses: &Addresses, serial: &Path, state: &Path, json: bool) -> io::Result<()> {
    let http = format!("http://{}", addresses.http);
    let mut out = io::stdout().lock();
    if json {
        let line = serde_json::json!({
            "http": http, "mqtt": addresses.mqtt, "serial": [serial.display().to_string()],
            "state": state.display().to_string(),
        });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let (_, place) = addresses.mqtt.split_once("://").unwrap_or_default();
    let (host, port) = place.rsplit_once(':').unwrap_or_default();
    writeln!(out, "A house with three simulated DL/T 645 meters is running.\n")?;
    writeln!(out, "  HTTP    {http}")?;
    writeln!(out, "  MQTT    {}", addresses.mqtt)?;
    writeln!(out, "  serial  {}", serial.display())?;
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
