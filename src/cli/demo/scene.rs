//! The simulated lines of the demo: started, described to the gateway, and written down so that totals do not fall.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use plugline_simulator::insteon::{Device, Model, Shelf};
use plugline_simulator::{Bus, Front, House, Meter, Plm, Pty, demo_house, demo_insteon};

use super::quoted;

/// Seed of the simulated house: the same appliances at every start.
const SEED: u64 = 4711;

/// Baud rate of the simulated adapter, as carrier adapters have it; its airtime is simulated too.
const BAUD: u32 = 9600;

/// How often totals are written down, so that they do not fall when the demo is killed.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

/// Names of the ports, in the state folder.
const METERS_PORT: &str = "serial";
const SHELF_PORT: &str = "serial-insteon";

/// The files with totals and relays, in the state folder.
const METERS_FILE: &str = "demo-house";
const SHELF_FILE: &str = "demo-shelf";

/// Meters on one port, an INSTEON modem with its devices on another.
pub(super) struct Scene {
    folder: PathBuf,
    meters: Front<Bus>,
    shelf: Front<Plm>,
}

impl Scene {
    /// Starts everything as it stood when it was last written down in this folder.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
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
        let meters = Front::start(bus, pty(METERS_PORT)?)?;
        let shelf = Front::start(plm, pty(SHELF_PORT)?)?;
        Ok(Self { folder: folder.to_owned(), meters, shelf })
    }

    /// The ports, in the order of the lines.
    pub(super) fn ports(&self) -> Vec<PathBuf> {
        vec![self.meters.path(), self.shelf.path()]
    }

    /// The lines of the configuration.
    pub(super) fn lines(&self) -> String {
        let port = |path: PathBuf| quoted(&path.display().to_string());
        let meters = self.meters.with(|bus| bus.meters().iter().map(meter).collect::<String>());
        let shelf = self.shelf.with(|plm| plm.devices().iter().map(device).collect::<String>());
        format!(
            "[[line]]\ndialect = \"dlt645\"\nport = {}\nbaud = {BAUD}\n\
             periods = {{ power = 3, relay = 5, current = 5, energy = 10, voltage = 10, power_factor = 15, frequency = 15 }}\n\
             {meters}\
             [[line]]\ndialect = \"insteon\"\nport = {}\nperiods = {{ meter = 10 }}\n\
             {shelf}",
            port(self.meters.path()),
            port(self.shelf.path()),
        )
    }

    /// Writes down how everything stands.
    pub(super) fn save(&self) -> io::Result<()> {
        let keep = |file: &str, text: String| {
            let next = self.folder.join(format!("{file}.next"));
            std::fs::write(&next, text)?;
            std::fs::rename(next, self.folder.join(file))
        };
        keep(METERS_FILE, self.meters.with(|bus| House::of(bus.meters()).save()))?;
        keep(SHELF_FILE, self.shelf.with(|plm| Shelf::of(plm.devices()).save()))
    }

    /// Never ends: a full disk is the gateway's to tell, and the devices go on without it.
    pub(super) async fn save_for_ever(&self) {
        let mut turns = tokio::time::interval(SAVE_PERIOD);
        let mut failing = false;
        loop {
            turns.tick().await;
            let saved = self.save();
            if let Err(error) = &saved
                && !failing
            {
                tracing::warn!(%error, "the devices' totals cannot be written down; trying on");
            }
            failing = saved.is_err();
        }
    }
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
