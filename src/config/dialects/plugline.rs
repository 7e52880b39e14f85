//! Keys of Plugline lines and devices.

use std::path::PathBuf;
use std::sync::Arc;

use plugline_protocol::label::Label;
use serde::Deserialize;
use toml::Spanned;

use super::{Blueprint, Context, Row};
use crate::config::file::{self, ConfigError};
use crate::device::Target;
use crate::hub::DeviceSetup;
use crate::line::Line;
use crate::line::plugline::{Entropy, NoEntropy, Options, Plugline};

pub(super) const ROW: Row = Row {
    name: "plugline",
    line_keys: &["label_file", "beside_others"],
    device_keys: &[],
    read: |context, line| {
        let (options, devices) = options(context, line)?;
        Ok((Arc::new(options) as Arc<dyn Blueprint>, devices))
    },
    // A modem hands out whole frames; a recording need not be told what is in them.
    note: |_, _| {},
};

impl Blueprint for Options {
    fn line(&self) -> Box<dyn Line> {
        Box::new(Plugline::new(self.clone(), Box::new(System)))
    }
}

/// Randomness of the operating system.
struct System;

impl Entropy for System {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}

#[derive(Debug, Deserialize)]
struct LineKeys {
    /// Codes of labels, one a line: these sockets may join whenever a window is open.
    label_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    beside_others: bool,
}

fn options(context: &Context<'_>, line: &file::Line<'_>) -> Result<(Options, Vec<DeviceSetup>), ConfigError> {
    let keys: LineKeys = line.keys.read(context.text)?;
    let labels = keys.label_file.as_ref().map(|path| labels(context, path)).transpose()?.unwrap_or_default();
    let options = Options { labels, beside_others: keys.beside_others };
    let mut setups: Vec<DeviceSetup> = Vec::new();
    for device in &line.device {
        let given = &device.common.address;
        let address = Plugline::new(Options::default(), Box::new(System))
            .canonical_address(given.get_ref())
            .map_err(|error| context.wrong(given, error.to_string()))?;
        let target = Target { address, channel: None };
        if setups.iter().any(|setup| setup.target == target) {
            let text = format!("device {} stands on this line already", target.address);
            return Err(context.wrong(given, text));
        }
        setups.push(DeviceSetup { target, name: device.common.called().map(Arc::from) });
    }
    Ok((options, setups))
}

/// Codes of labels, one a line; empty lines and what follows `#` are for people.
fn labels(context: &Context<'_>, path: &Spanned<PathBuf>) -> Result<Vec<Label>, ConfigError> {
    let shown = path.get_ref().display();
    let text =
        (context.read)(path.get_ref()).map_err(|error| context.wrong(path, format!("{shown}: {error}")))?;
    let mut labels = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split('#').next().unwrap_or_default().trim();
        if !code.is_empty() {
            // The code itself is not repeated: a key is in it.
            let bad = |error| context.wrong(path, format!("{shown}, line {number}: {error}"));
            labels.push(Label::parse(code).map_err(bad)?);
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{refused, with_context};

    const LINE: &str = "[[line]]\ndialect = \"plugline\"\nport = \"/dev/ttyACM0\"\n";

    // [PLG-5.2-2]
    #[test]
    fn a_running_gateway_draws_from_the_operating_system_and_never_the_same() {
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let mut octets = [0; 8];
            System.fill(&mut octets).expect("the system has randomness");
            assert!(drawn.insert(octets));
        }
    }

    #[test]
    fn a_line_needs_nothing_and_takes_names_for_its_sockets() {
        let text = format!("{LINE}[[line.device]]\naddress = \"02A0:B1FF:FE00:1234\"\nname = \"Fridge\"\n");
        let (read, devices) = with_context(&text, options);
        assert_eq!(read, Options::default());
        assert_eq!(&*devices[0].target.address, "02a0b1fffe001234");
        assert_eq!(devices[0].name.as_deref(), Some("Fridge"));
    }

    #[test]
    fn labels_come_from_a_file_and_a_bad_one_is_named_by_its_line_without_its_key() {
        let (read, _) =
            with_context(&format!("{LINE}label_file = \"labels\"\nbeside_others = true\n"), options);
        assert_eq!((read.labels[0].eui.to_string().as_str(), read.beside_others), ("02A0B1FFFE001234", true));
        refused(&format!("{LINE}label_file = \"secret\"\n"), (4, 14), "secret, line 1: a label starts with");
        refused(&format!("{LINE}label_file = \"nowhere\"\n"), (4, 14), "nowhere");
    }

    #[test]
    fn every_wrong_value_is_refused_where_it_stands() {
        refused(&format!("{LINE}beside_others = 1\n"), (4, 17), "boolean");
        let device = |address: &str| format!("{LINE}[[line.device]]\naddress = \"{address}\"\n");
        refused(&device("1a777b"), (5, 11), "sixteen hex digits");
        refused(&device("PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y6"), (5, 11), "whole code");
        let twice = "02A0B1FFFE001234\"\n[[line.device]]\naddress = \"02a0b1fffe001234";
        refused(&device(twice), (7, 11), "stands on this line already");
        refused(&format!("{LINE}tries = 3\n"), (4, 1), "belongs to a line of dialect `insteon`");
    }
}
