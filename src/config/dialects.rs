//! One row per dialect, and what every line has: a name, a port, devices. A new dialect adds a file and a row here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::Context;
use super::file::{self, ConfigError, DEVICE_KEYS, LINE_KEYS, listed, suggest, unknown};
use super::place::Place;
use crate::device::LineName;
use crate::hub::{DeviceSetup, LineSetup};
use crate::line::{Decoded, Line, SerialSettings};

mod dlt645;
mod insteon;
mod plugline;

/// A dialect that the gateway drives.
struct Row {
    /// The word of the configuration.
    name: &'static str,
    /// Keys of its lines, beside those of every line.
    line_keys: &'static [&'static str],
    /// Keys of its devices, beside those of every device.
    device_keys: &'static [&'static str],
    /// Reads those keys; all of them are of the two lists.
    read: Read,
    /// Notes which device a frame of a recording is of.
    note: fn(&Decoded, &mut Shown),
}

/// Devices that a recording shows: their addresses, and what else stands in the `[[line.device]]` of each.
pub type Shown = BTreeMap<String, String>;

/// Notes which device of a line a frame shows, as far as the dialect is known and the frame tells.
pub fn note(dialect: &str, frame: &Decoded, shown: &mut Shown) {
    if let Some(row) = DIALECTS.into_iter().find(|row| row.name == dialect) {
        (row.note)(frame, shown);
    }
}

/// What a dialect makes of a line's keys.
type Read = fn(&Context<'_>, &file::Line<'_>) -> Result<(Arc<dyn Blueprint>, Vec<DeviceSetup>), ConfigError>;

const DIALECTS: [&Row; 3] = [&dlt645::ROW, &insteon::ROW, &plugline::ROW];

/// Options of a line, checked: what its state machine is made from.
trait Blueprint: fmt::Debug + Send + Sync {
    fn line(&self) -> Box<dyn Line>;
}

/// A dialect that the gateway drives.
#[derive(Clone, Copy)]
pub struct Dialect(&'static Row);

impl Dialect {
    /// The word of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// A line as configured.
#[derive(Clone, Debug)]
pub struct LineConfig {
    /// Its name.
    pub name: LineName,
    /// Its dialect.
    pub dialect: Dialect,
    /// Where its port is.
    pub port: Place,
    /// What passes the port is recorded there.
    pub capture: Option<PathBuf>,
    /// Named devices.
    pub devices: Vec<DeviceSetup>,
    blueprint: Arc<dyn Blueprint>,
}

impl LineConfig {
    /// How many devices it names.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// It looks for devices by itself.
    #[must_use]
    pub fn discovers(&self) -> bool {
        self.blueprint.line().discovers()
    }

    /// The line's state machine and the settings of its port.
    #[must_use]
    pub fn setup(&self) -> (LineSetup, SerialSettings) {
        let line = self.blueprint.line();
        let settings = line.serial_settings();
        let setup = LineSetup {
            name: self.name.clone(),
            dialect: self.dialect.name(),
            line,
            devices: self.devices.clone(),
        };
        (setup, settings)
    }
}

pub(super) fn line(context: &Context<'_>, line: &file::Line<'_>) -> Result<LineConfig, ConfigError> {
    let keys = &line.common;
    let word = keys.dialect.get_ref();
    let known: Vec<&str> = DIALECTS.iter().map(|row| row.name).collect();
    let Some(row) = DIALECTS.into_iter().find(|row| row.name == word) else {
        let text = format!("dialect {}", suggest(word, &known));
        return Err(context.wrong(&keys.dialect, text));
    };
    check_keys(context, row, line)?;
    let place = keys.name.as_ref().unwrap_or(&keys.dialect);
    let name = LineName::parse(place.get_ref())
        .ok_or_else(|| context.wrong(place, "a line's name is 1 … 16 of a-z, 0-9 and _"))?;
    let port = Place::parse(keys.port.get_ref()).map_err(|text| context.wrong(&keys.port, text))?;
    let (blueprint, devices) = (row.read)(context, line)?;
    let capture = keys.capture.as_ref().map(|path| path.get_ref().clone());
    Ok(LineConfig { name, dialect: Dialect(row), port, capture, devices, blueprint })
}

/// Refuses keys that this dialect does not have.
fn check_keys(context: &Context<'_>, row: &Row, line: &file::Line<'_>) -> Result<(), ConfigError> {
    let of_lines = |row: &Row| row.line_keys;
    let of_devices = |row: &Row| row.device_keys;
    check_table(context, row, &line.keys, ("line", &LINE_KEYS, of_lines))?;
    let mut devices = line.device.iter();
    devices
        .try_for_each(|device| check_table(context, row, &device.keys, ("device", &DEVICE_KEYS, of_devices)))
}

/// Which list of keys a table of the dialect has.
type Own = fn(&Row) -> &'static [&'static str];

fn check_table(
    context: &Context<'_>,
    row: &Row,
    keys: &file::Keys<'_>,
    (what, common, own): (&str, &[&str], Own),
) -> Result<(), ConfigError> {
    let Some(key) = keys.names().find(|key| !own(row).contains(key.get_ref())) else { return Ok(()) };
    let known = [common, own(row)].concat();
    let owner = DIALECTS.into_iter().find(|other| own(other).contains(key.get_ref()));
    let text = match owner {
        Some(owner) => format!(
            "`{}` belongs to a {what} of dialect `{}`; one of `{}` takes {}",
            key.get_ref(),
            owner.name,
            row.name,
            listed(&known)
        ),
        None => unknown(key.get_ref(), &known),
    };
    Err(context.wrong(&key, text))
}

/// Periods of a poll plan by their names; 0 is "do not ask".
fn periods(
    context: &Context<'_>,
    given: &BTreeMap<String, Spanned<u32>>,
    known: &[&str],
) -> Result<BTreeMap<String, Duration>, ConfigError> {
    let mut periods = BTreeMap::new();
    for (name, seconds) in given {
        if !known.contains(&name.as_str()) {
            return Err(context.wrong(seconds, format!("periods: {}", suggest(name, known))));
        }
        periods.insert(name.clone(), Duration::from_secs(u64::from(*seconds.get_ref())));
    }
    Ok(periods)
}
