//! Keys of DL/T 645 lines and meters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Blueprint, Context, Row, periods};
use crate::config::file::{self, ConfigError, suggest};
use crate::device::Target;
use crate::hub::DeviceSetup;
use crate::line::Line;
use crate::line::dlt645::{
    Closing, DeviceOptions, Dlt645, Expiring, Medium, Operator, Options, Password, plan_names,
};

pub(super) const ROW: Row = Row {
    name: "dlt645",
    line_keys: &["baud", "medium", "wake_up", "expiry", "periods"],
    device_keys: &["password_file", "operator", "close", "relay", "export"],
    read: |context, line| {
        let (options, devices) = options(context, line)?;
        Ok((Arc::new(options) as Arc<dyn Blueprint>, devices))
    },
    // Everybody who speaks is a meter.
    note: |frame, shown| {
        shown.extend(frame.address.as_ref().map(|address| (address.to_string(), String::new())));
    },
};

impl Blueprint for Options {
    fn line(&self) -> Box<dyn Line> {
        Box::new(Dlt645::new(self.clone()))
    }
}

#[derive(Debug, Deserialize)]
struct LineKeys {
    baud: Option<Spanned<u32>>,
    medium: Option<Spanned<String>>,
    wake_up: Option<Spanned<u8>>,
    expiry: Option<Spanned<String>>,
    #[serde(default)]
    periods: BTreeMap<String, Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
struct DeviceKeys {
    password_file: Option<Spanned<PathBuf>>,
    operator: Option<Spanned<String>>,
    close: Option<Spanned<String>>,
    relay: Option<bool>,
    export: Option<bool>,
}

fn options(context: &Context<'_>, line: &file::Line<'_>) -> Result<(Options, Vec<DeviceSetup>), ConfigError> {
    let keys: LineKeys = line.keys.read(context.text)?;
    let mut options = Options { discover: line.device.is_empty(), ..Options::default() };
    if let Some(baud) = &keys.baud {
        if !(300..=115_200).contains(baud.get_ref()) {
            return Err(context.wrong(baud, "baud is 300 … 115200"));
        }
        options.baud = *baud.get_ref();
    }
    if let Some(wake_up) = &keys.wake_up {
        if *wake_up.get_ref() > 16 {
            return Err(context.wrong(wake_up, "wake_up is 0 … 16 bytes"));
        }
        options.wake_ups = *wake_up.get_ref();
    }
    if let Some(medium) = &keys.medium {
        let media =
            [("rs485", Medium::Rs485), ("narrowband", Medium::Narrowband), ("broadband", Medium::Broadband)];
        options.medium = word(context, "medium", medium, &media)?;
    }
    if let Some(expiry) = &keys.expiry {
        let ways = [("never", Expiring::Never), ("dated", Expiring::Dated)];
        options.device.expiring = word(context, "expiry", expiry, &ways)?;
    }
    options.periods = periods(context, &keys.periods, &plan_names().collect::<Vec<_>>())?;
    let devices = devices(context, line, &mut options)?;
    Ok((options, devices))
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

fn devices(
    context: &Context<'_>,
    line: &file::Line<'_>,
    options: &mut Options,
) -> Result<Vec<DeviceSetup>, ConfigError> {
    let speller = Dlt645::new(options.clone());
    let mut setups: Vec<DeviceSetup> = Vec::new();
    for device in &line.device {
        let given = &device.common.address;
        let address = speller
            .canonical_address(given.get_ref())
            .map_err(|error| context.wrong(given, error.to_string()))?;
        if setups.iter().any(|setup| setup.target.address == address) {
            return Err(context.wrong(given, format!("device {address} stands on this line already")));
        }
        let meter = meter(context, device, options.device.clone())?;
        options.devices.insert(Arc::clone(&address), meter);
        setups.push(DeviceSetup {
            target: Target { address, channel: None },
            name: device.common.called().map(Into::into),
        });
    }
    Ok(setups)
}

fn meter(
    context: &Context<'_>,
    device: &file::Device<'_>,
    mut meter: DeviceOptions,
) -> Result<DeviceOptions, ConfigError> {
    let keys: DeviceKeys = device.keys.read(context.text)?;
    if let Some(path) = &keys.password_file {
        meter.password = Password::parse(&context.secret(path)?)
            .map_err(|error| context.wrong(path, format!("{}: {error}", path.get_ref().display())))?;
    }
    if let Some(operator) = &keys.operator {
        meter.operator = Operator::parse(operator.get_ref())
            .map_err(|error| context.wrong(operator, error.to_string()))?;
    }
    if let Some(close) = &keys.close {
        let ways = [("remote", Closing::Remote), ("hand", Closing::Hand)];
        meter.closing = word(context, "close", close, &ways)?;
    }
    meter.relay = keys.relay.unwrap_or(meter.relay);
    meter.export = keys.export.unwrap_or(meter.export);
    Ok(meter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{refused, with_context};

    const LINE: &str = "[[line]]\ndialect = \"dlt645\"\nport = \"/dev/ttyUSB0\"\n";

    #[test]
    fn a_line_and_its_meters_take_their_options() {
        let device = "[[line.device]]\naddress = \"4711\"\nname = \"Kettle\"\npassword_file = \"secret\"\nclose = \"hand\"\n";
        let (options, devices) = with_context(&format!("{LINE}baud = 9600\n{device}"), options);
        assert_eq!(options.baud, 9600);
        assert_eq!(&*devices[0].target.address, "000000004711");
        let meter = &options.devices["000000004711"];
        assert_eq!(meter.closing, Closing::Hand);
        assert_eq!(meter.password, Password::parse("020637").expect("a password"));
        assert!(!options.discover, "named meters are not looked for");
    }

    #[test]
    fn every_wrong_value_is_refused_where_it_stands() {
        refused(&format!("{LINE}baud = 1\n"), (4, 8), "300");
        refused(&format!("{LINE}baud = \"fast\"\n"), (4, 8), "invalid type");
        refused(&format!("{LINE}medium = \"air\"\n"), (4, 10), "`rs485`");
        refused(&format!("{LINE}periods = {{ powr = 3 }}\n"), (4, 20), "`power`");
        let device = |more: &str| format!("{LINE}[[line.device]]\naddress = \"1\"\n{more}\n");
        refused(&format!("{LINE}[[line.device]]\naddress = \"12x\"\n"), (5, 11), "12x");
        refused(&device("close = \"soft\""), (6, 9), "`hand`");
        refused(&device("password_file = \"gone\""), (6, 17), "gone");
        refused(&device("password_file = \"empty\""), (6, 17), "empty");
        refused(&device("[[line.device]]\naddress = \"0001\""), (7, 11), "stands on this line already");
        refused(&device("kind = \"dual\""), (6, 1), "`kind` belongs to a device of dialect `insteon`");
    }
}
