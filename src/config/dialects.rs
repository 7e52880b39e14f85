//! One row per dialect: how its lines and devices are configured. A new dialect adds a row here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::Context;
use super::file::{self, ConfigError, suggest};
use super::place::Place;
use crate::device::{LineName, Target};
use crate::hub::{DeviceSetup, LineSetup};
use crate::line::dlt645::{self, Dlt645};
use crate::line::{Line, SerialSettings};

/// A dialect that the gateway drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// DL/T 645-2007 meters.
    Dlt645,
}

const DIALECTS: [(&str, Dialect); 1] = [("dlt645", Dialect::Dlt645)];

impl Dialect {
    /// The word of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        DIALECTS.iter().find(|(_, dialect)| *dialect == self).map_or("", |(name, _)| name)
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
    /// The dialect's options.
    pub options: dlt645::Options,
    /// Named devices.
    pub devices: Vec<DeviceSetup>,
}

impl LineConfig {
    /// How many devices it names.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// The line's state machine and the settings of its port.
    #[must_use]
    pub fn setup(&self) -> (LineSetup, SerialSettings) {
        let line = match self.dialect {
            Dialect::Dlt645 => Dlt645::new(self.options.clone()),
        };
        let settings = line.serial_settings();
        let setup = LineSetup {
            name: self.name.clone(),
            dialect: self.dialect.name(),
            line: Box::new(line),
            devices: self.devices.clone(),
        };
        (setup, settings)
    }
}

pub(super) fn line(context: &Context<'_>, line: &file::Line) -> Result<LineConfig, ConfigError> {
    let word = line.dialect.get_ref();
    let known: Vec<&str> = DIALECTS.iter().map(|(name, _)| *name).collect();
    let Some((_, dialect)) = DIALECTS.iter().find(|(name, _)| name == word) else {
        let text = format!("dialect {}", suggest(word, &known));
        return Err(context.wrong(&line.dialect, text));
    };
    let place = line.name.as_ref().unwrap_or(&line.dialect);
    let name = LineName::parse(place.get_ref())
        .ok_or_else(|| context.wrong(place, "a line's name is 1 … 16 of a-z, 0-9 and _"))?;
    let port = Place::parse(line.port.get_ref()).map_err(|text| context.wrong(&line.port, text))?;
    let mut options = dlt645_options(context, line)?;
    let devices = dlt645_devices(context, line, &mut options)?;
    let capture = line.capture.as_ref().map(|path| path.get_ref().clone());
    Ok(LineConfig { name, dialect: *dialect, port, capture, options, devices })
}

fn dlt645_options(context: &Context<'_>, line: &file::Line) -> Result<dlt645::Options, ConfigError> {
    let mut options = dlt645::Options { discover: line.device.is_empty(), ..dlt645::Options::default() };
    if let Some(baud) = &line.baud {
        if !(300..=115_200).contains(baud.get_ref()) {
            return Err(context.wrong(baud, "baud is 300 … 115200"));
        }
        options.baud = *baud.get_ref();
    }
    if let Some(wake_up) = &line.wake_up {
        if *wake_up.get_ref() > 16 {
            return Err(context.wrong(wake_up, "wake_up is 0 … 16 bytes"));
        }
        options.wake_ups = *wake_up.get_ref();
    }
    if let Some(medium) = &line.medium {
        let media = [
            ("rs485", dlt645::Medium::Rs485),
            ("narrowband", dlt645::Medium::Narrowband),
            ("broadband", dlt645::Medium::Broadband),
        ];
        options.medium = word(context, "medium", medium, &media)?;
    }
    if let Some(expiry) = &line.expiry {
        let ways = [("never", dlt645::Expiring::Never), ("dated", dlt645::Expiring::Dated)];
        options.device.expiring = word(context, "expiry", expiry, &ways)?;
    }
    options.periods = periods(context, &line.periods)?;
    Ok(options)
}

fn periods(
    context: &Context<'_>,
    given: &BTreeMap<String, Spanned<u32>>,
) -> Result<BTreeMap<String, Duration>, ConfigError> {
    let known: Vec<&str> = dlt645::plan_names().collect();
    let mut periods = BTreeMap::new();
    for (name, seconds) in given {
        if !known.contains(&name.as_str()) {
            return Err(context.wrong(seconds, format!("periods: {}", suggest(name, &known))));
        }
        periods.insert(name.clone(), Duration::from_secs(u64::from(*seconds.get_ref())));
    }
    Ok(periods)
}

fn word<T: Copy>(
    context: &Context<'_>,
    key: &str,
    given: &Spanned<String>,
    words: &[(&str, T)],
) -> Result<T, ConfigError> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let found = words.iter().find(|(word, _)| word == given.get_ref());
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| context.wrong(given, format!("{key} {}", suggest(given.get_ref(), &known))))
}

fn dlt645_devices(
    context: &Context<'_>,
    line: &file::Line,
    options: &mut dlt645::Options,
) -> Result<Vec<DeviceSetup>, ConfigError> {
    let speller = Dlt645::new(options.clone());
    let mut setups: Vec<DeviceSetup> = Vec::new();
    for device in &line.device {
        let address = speller
            .canonical_address(device.address.get_ref())
            .map_err(|error| context.wrong(&device.address, error.to_string()))?;
        if setups.iter().any(|setup| setup.target.address == address) {
            return Err(
                context.wrong(&device.address, format!("device {address} stands on this line already"))
            );
        }
        let meter = dlt645_device(context, device, options.device.clone())?;
        options.devices.insert(Arc::clone(&address), meter);
        setups.push(DeviceSetup {
            target: Target { address, channel: None },
            name: device.name.as_deref().map(Into::into),
        });
    }
    Ok(setups)
}

fn dlt645_device(
    context: &Context<'_>,
    device: &file::Device,
    mut meter: dlt645::DeviceOptions,
) -> Result<dlt645::DeviceOptions, ConfigError> {
    if let Some(path) = &device.password_file {
        meter.password = dlt645::Password::parse(&context.secret(path)?)
            .map_err(|error| context.wrong(path, format!("{}: {error}", path.get_ref().display())))?;
    }
    if let Some(operator) = &device.operator {
        meter.operator = dlt645::Operator::parse(operator.get_ref())
            .map_err(|error| context.wrong(operator, error.to_string()))?;
    }
    if let Some(close) = &device.close {
        let ways = [("remote", dlt645::Closing::Remote), ("hand", dlt645::Closing::Hand)];
        meter.closing = word(context, "close", close, &ways)?;
    }
    meter.relay = device.relay.unwrap_or(meter.relay);
    meter.export = device.export.unwrap_or(meter.export);
    Ok(meter)
}
