//! `plugline demo`: a simulated house of Plugline sockets, meters and INSTEON devices behind real ptys, the whole gateway
//! in front of them, a broker of its own.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use plugline_simulator::scenario::Scenario;
use tokio::sync::oneshot;

use crate::cli::client::Client;
use crate::cli::gateway::told_to_stop;
use crate::cli::hands;
use crate::cli::simulate::{HouseArguments, obey_for_ever};
use crate::config::Config;
use crate::run::Addresses;

mod scene;

use scene::Scene;

/// Where the API and the broker listen when nobody says and the port is free.
const HTTP_PORT: u16 = 8480;
const MQTT_PORT: u16 = 1883;

/// Sockets that join by themselves, unless told otherwise; one more waits for its label to be typed.
const SOCKETS: u16 = 20;
const SOCKETS_MAX: u16 = 500;

/// The line of the sockets.
const LINE: &str = "plugline";

/// How often is looked whether all sockets have joined.
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// Above this the modem's answers would come too late by the demo's own clock.
const SPEED_MAX: f64 = 20.0;

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
    #[command(flatten)]
    house: HouseArguments,
    /// Everything lives so many times as fast as the clock, 1 … 20: an hour in six minutes at 10
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed, conflicts_with = "state")]
    speed: f64,
    /// Print the addresses as one line of JSON
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| format!("wanted 1 … {SPEED_MAX}"))?;
    if (1.0..=SPEED_MAX).contains(&speed) { Ok(speed) } else { Err(format!("wanted 1 … {SPEED_MAX}")) }
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
    let scenario = scenario(&arguments.house)?;
    let scene = Scene::start(&state.path, &scenario, arguments.speed).context("the simulated devices")?;
    let ports = Ports::choose();
    let mut config = configuration(&state.path, &scene, &ports, (arguments.http, arguments.mqtt.as_deref()))?;
    config.speed = arguments.speed;
    let (ready, up) = oneshot::channel();
    let mut talked = Ok(());
    // Whoever types `quit` ends it as Ctrl-C does; so does a reader of the output who has gone.
    let stop = async {
        tokio::select! {
            () = stop => {}
            result = talk(&scene, up, &state.path, arguments.json) => talked = result,
        }
    };
    tokio::select! {
        ended = crate::run::run(config, ready, stop) => ended?,
        () = scene.save_for_ever() => {}
    }
    talked?;
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

/// The house of the arguments, and one socket more.
fn scenario(house: &HouseArguments) -> anyhow::Result<Scenario> {
    let sockets = house.sockets.unwrap_or(SOCKETS);
    if sockets > SOCKETS_MAX {
        anyhow::bail!("--sockets {sockets}: wanted 1 … {SOCKETS_MAX}");
    }
    let house = HouseArguments { sockets: Some(sockets + 1), ..house.clone() };
    house.scenario("household")
}

/// Says where everything is, lets the sockets in, and does what is typed until somebody types `quit`.
async fn talk(
    scene: &Scene,
    up: oneshot::Receiver<Addresses>,
    state: &Path,
    json: bool,
) -> anyhow::Result<()> {
    let Ok(addresses) = up.await else { return std::future::pending().await };
    let (number, name, label) = scene.spare();
    let told = Told { addresses: &addresses, scene, state, spare: (number, &name, &label) };
    if json {
        told.as_json()?
    } else {
        told.as_text()?
    }
    let client = Client::new(&format!("http://{}", addresses.http))?;
    // A group to begin with. One of an earlier run stands there already: that is refused, and fine.
    let members = ["dlt645_000000004711", "dlt645_000000004712"];
    let _ = client
        .post("/v1/groups", &serde_json::json!({ "name": "Kitchen", "members": members }), Duration::ZERO)
        .await;
    tokio::select! {
        () = let_in(scene, &client) => unreachable!("it waits at its end"),
        ended = obey_for_ever(&scene.sockets) => Ok(ended?),
    }
}

/// Holds the door open until all sockets with known labels are in, beside what other windows people open.
async fn let_in(scene: &Scene, client: &Client) {
    let all = scene.expected();
    let mut opened = false;
    let mut turns = tokio::time::interval(LOOK_PERIOD);
    loop {
        turns.tick().await;
        let Ok(window) = window(client).await else { continue };
        let done = scene.joined() >= all;
        let ours = window.as_ref().is_some_and(|window| window["code"].is_null());
        if done && opened && ours {
            let _ = client.delete(&format!("/v1/joining?line={LINE}")).await;
        }
        if done {
            break;
        }
        if window.is_none() {
            let body = serde_json::json!({ "line": LINE, "seconds": 600 });
            opened = client.post("/v1/joining", &body, Duration::ZERO).await.is_ok();
        }
    }
    std::future::pending().await
}

/// The open window of the Plugline line, if there is one.
async fn window(client: &Client) -> anyhow::Result<Option<serde_json::Value>> {
    let windows = client.get(&format!("/v1/joining?line={LINE}"), Duration::ZERO).await?.good()?;
    Ok(windows["joining"].as_array().and_then(|all| all.iter().find(|one| one["open"] == true)).cloned())
}

/// What is told once everything runs.
struct Told<'a> {
    addresses: &'a Addresses,
    scene: &'a Scene,
    state: &'a Path,
    /// Number, name and label of the socket that nobody has let in.
    spare: (usize, &'a str, &'a str),
}

impl Told<'_> {
    fn as_json(&self) -> io::Result<()> {
        let serial: Vec<String> = self.scene.ports().iter().map(|path| path.display().to_string()).collect();
        let line = serde_json::json!({
            "http": format!("http://{}", self.addresses.http), "mqtt": self.addresses.mqtt, "serial": serial,
            "state": self.state.display().to_string(), "sockets": self.scene.expected(), "label": self.spare.2,
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    fn as_text(&self) -> io::Result<()> {
        let (number, name, label) = self.spare;
        let http = format!("http://{}", self.addresses.http);
        let (_, place) = self.addresses.mqtt.split_once("://").unwrap_or_default();
        let (host, port) = place.rsplit_once(':').unwrap_or_default();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "A house is running: {} sockets on a simulated Plugline line (they join within a minute or so),\n\
             three DL/T 645 meters, and two outlets, a dual outlet and an energy meter of INSTEON.\n",
            self.scene.expected()
        )?;
        writeln!(out, "  HTTP    {http}")?;
        writeln!(out, "  MQTT    {}", self.addresses.mqtt)?;
        self.scene.ports().iter().try_for_each(|path| writeln!(out, "  serial  {}", path.display()))?;
        writeln!(out, "  state   {}\n", self.state.display())?;
        writeln!(out, "Try, in another terminal:\n")?;
        writeln!(out, "  curl -N -H 'Accept: text/event-stream' '{http}/v1/events'")?;
        writeln!(out, "  mosquitto_sub -h {host} -p {port} -v -t 'plugline/#'")?;
        writeln!(
            out,
            "  curl -X POST '{http}/v1/devices/dlt645_000000004711/commands?wait=10' \\\n    \
             -H 'Content-Type: application/json' -d '{{\"command\":\"switch\",\"args\":{{\"on\":false}}}}'\n"
        )?;
        writeln!(out, "Socket {number} ({name}) asks to be let in, and nobody has typed its label yet:\n")?;
        writeln!(out, "  plugline join --url {http} --code {label}\n")?;
        writeln!(out, "What can be done to the sockets, typed here:\n\n{}\n", hands::HELP)?;
        writeln!(out, "Ctrl-C ends it.")?;
        out.flush()
    }
}
