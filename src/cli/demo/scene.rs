//! The simulated lines of the demo: started, described to the gateway, and written down so that totals do not fall.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use plugline_simulator::insteon::{Device, Model, Shelf};
use plugline_simulator::mains::{self, Membership, Memory, Station};
use plugline_simulator::scenario::Scenario;
use plugline_simulator::{Bus, Front, House, Kind, Meter, Plm, Pty, demo_house, demo_insteon};

use super::quoted;

/// Seed of the simulated house: the same appliances at every start.
const SEED: u64 = 4711;

/// Baud rate of the simulated adapter, as carrier adapters have it; its airtime is simulated too.
const BAUD: u32 = 9600;

/// How often totals are written down, so that they do not fall when the demo is killed.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

/// What the sockets remember is long; it is written down each so many turns.
const MEMORY_TURNS: u64 = 10;

/// Names of the ports, in the state folder.
const METERS_PORT: &str = "serial";
const SHELF_PORT: &str = "serial-insteon";
const SOCKETS_PORT: &str = "serial-plugline";

/// The files with totals and relays, in the state folder.
const METERS_FILE: &str = "demo-house";
const SHELF_FILE: &str = "demo-shelf";
const SOCKETS_FILE: &str = "demo-sockets";

/// The labels of the sockets that join by themselves.
const LABELS_FILE: &str = "demo-labels";

/// Meters on one port, an INSTEON modem with its devices on another, Plugline sockets on a third.
pub(super) struct Scene {
    folder: PathBuf,
    meters: Front<Bus>,
    shelf: Front<Plm>,
    pub(super) sockets: Front<mains::House>,
}

impl Scene {
    /// Starts everything as it stood when it was last written down in this folder. The last socket of the scenario is a
    /// spare one, that nobody has let in.
    pub(super) fn start(folder: &Path, scenario: &Scenario, speed: f64) -> anyhow::Result<Self> {
        let mut meters = demo_house(SEED);
        if let Some(text) = kept(folder, METERS_FILE)? {
            meters = House::load(&text).with_context(|| METERS_FILE)?.restore(meters);
        }
        let mut plm = demo_insteon(SEED);
        if let Some(text) = kept(folder, SHELF_FILE)? {
            Shelf::load(&text).with_context(|| SHELF_FILE)?.restore(plm.devices_mut());
        }
        let bus = Bus::new(SEED, meters).with_baud(BAUD);
        let pty = |name: &str| Pty::open(Some(&folder.join(name)));
        let meters = Front::start_at(bus, pty(METERS_PORT)?, speed)?;
        let shelf = Front::start_at(plm, pty(SHELF_PORT)?, speed)?;
        let house = furnished(scenario, kept(folder, SOCKETS_FILE)?)?;
        let sockets = Front::start_at(house, pty(SOCKETS_PORT)?, speed)?;
        let scene = Self { folder: folder.to_owned(), meters, shelf, sockets };
        scene.write_labels()?;
        Ok(scene)
    }

    /// The ports, in the order of the lines.
    pub(super) fn ports(&self) -> Vec<PathBuf> {
        vec![self.meters.path(), self.shelf.path(), self.sockets.path()]
    }

    /// How many sockets join by themselves.
    pub(super) fn expected(&self) -> usize {
        self.sockets.with(|house| ours(house).len())
    }

    /// How many of them have joined by now.
    pub(super) fn joined(&self) -> usize {
        let in_network = |station: &&Station| matches!(station.membership(), Some(Membership::Joined(..)));
        self.sockets.with(|house| ours(house).iter().filter(in_network).count())
    }

    /// Number, name and label of the socket that nobody has let in.
    pub(super) fn spare(&self) -> (usize, String, String) {
        let of = |station: &Station| (station.node(), station.name().to_owned(), station.label());
        self.sockets.with(|house| house.stations().last().map(of).unwrap_or_default())
    }

    fn write_labels(&self) -> anyhow::Result<()> {
        let line = |station: &Station| format!("{}\n", station.label());
        let labels: String = self.sockets.with(|house| ours(house).iter().map(line).collect());
        let path = self.folder.join(LABELS_FILE);
        std::fs::write(&path, labels).context(LABELS_FILE)?;
        // Keys are in it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).context(LABELS_FILE)
    }

    /// The lines of the configuration.
    pub(super) fn lines(&self) -> String {
        let port = |path: PathBuf| quoted(&path.display().to_string());
        let meters = self.meters.with(|bus| bus.meters().iter().map(meter).collect::<String>());
        let shelf = self.shelf.with(|plm| plm.devices().iter().map(device).collect::<String>());
        let named = |line: &str| line.strip_prefix("name = ").map(str::to_owned);
        let taken: BTreeSet<String> = meters.lines().chain(shelf.lines()).filter_map(named).collect();
        let socket = |station: &Station| socket(station, &taken);
        let sockets = self.sockets.with(|house| ours(house).iter().map(socket).collect::<String>());
        format!(
            "[[line]]\ndialect = \"dlt645\"\nport = {}\nbaud = {BAUD}\n\
             periods = {{ power = 3, relay = 5, current = 5, energy = 10, voltage = 10, power_factor = 15, frequency = 15 }}\n\
             {meters}\
             [[line]]\ndialect = \"insteon\"\nport = {}\nperiods = {{ meter = 10 }}\n\
             {shelf}\
             [[line]]\ndialect = \"plugline\"\nport = {}\nlabel_file = {}\n\
             {sockets}",
            port(self.meters.path()),
            port(self.shelf.path()),
            port(self.sockets.path()),
            port(self.folder.join(LABELS_FILE)),
        )
    }

    /// Writes down how everything stands.
    pub(super) fn save(&self) -> io::Result<()> {
        self.save_totals()?;
        self.keep(SOCKETS_FILE, self.sockets.with(|house| house.memory()).save())
    }

    fn save_totals(&self) -> io::Result<()> {
        self.keep(METERS_FILE, self.meters.with(|bus| House::of(bus.meters()).save()))?;
        self.keep(SHELF_FILE, self.shelf.with(|plm| Shelf::of(plm.devices()).save()))
    }

    fn keep(&self, file: &str, text: String) -> io::Result<()> {
        let next = self.folder.join(format!("{file}.next"));
        std::fs::write(&next, text)?;
        std::fs::rename(next, self.folder.join(file))
    }

    /// Never ends: a full disk is the gateway's to tell, and the devices go on without it.
    pub(super) async fn save_for_ever(&self) {
        let mut turns = tokio::time::interval(SAVE_PERIOD);
        let mut failing = false;
        for turn in 1u64.. {
            turns.tick().await;
            let saved = if turn.is_multiple_of(MEMORY_TURNS) { self.save() } else { self.save_totals() };
            if let Err(error) = &saved
                && !failing
            {
                tracing::warn!(%error, "the devices' totals cannot be written down; trying on");
            }
            failing = saved.is_err();
        }
    }
}

/// The sockets that join by themselves: all but the last.
fn ours(house: &mains::House) -> &[Station] {
    house.stations().split_last().map_or(&[], |(_, ours)| ours)
}

/// A house that goes on as it stood, or a new one, where somebody has switched on what was plugged in.
fn furnished(scenario: &Scenario, kept: Option<String>) -> anyhow::Result<mains::House> {
    if let Some(text) = kept {
        return Ok(mains::House::with_memory(scenario, &Memory::load(&text).context(SOCKETS_FILE)?));
    }
    let mut house = mains::House::new(scenario);
    let used = |station: &&Station| station.appliance().kind() != Kind::Nothing;
    let on: Vec<_> = ours(&house).iter().filter(used).map(Station::node).collect();
    for socket in on {
        house.press(socket);
    }
    Ok(house)
}

fn kept(folder: &Path, file: &str) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(folder.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.to_owned()),
    }
}

fn meter(meter: &Meter) -> String {
    format!("[[line.device]]\naddress = \"{}\"\nname = {}\n", meter.address(), quoted(meter.name()))
}

/// A socket by what is plugged into it, with its number where something else is called so: a name belongs to one device.
fn socket(station: &Station, taken: &BTreeSet<String>) -> String {
    let mut name = quoted(station.name());
    if taken.contains(&name) {
        name = quoted(&format!("{} {}", station.name(), station.node()));
    }
    format!("[[line.device]]\naddress = \"{}\"\nname = {name}\n", station.eui())
}

/// Each outlet by its own name.
fn device(device: &Device) -> String {
    let entry = |kind: &str, name: &str| {
        format!(
            "[[line.device]]\naddress = \"{}\"\nkind = \"{kind}\"\nname = {}\n",
            device.id(),
            quoted(name)
        )
    };
    match device.model() {
        Model::OnOff => entry("outlet", device.name(1)),
        Model::EnergyMeter => entry("meter", device.name(1)),
        Model::DualOutlet => [1, 2]
            .map(|channel| entry("dual", device.name(channel)) + &format!("channel = {channel}\n"))
            .concat(),
    }
}
