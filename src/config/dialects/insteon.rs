//! Keys of INSTEON lines and devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Blueprint, Context, Row, Shown, periods};
use crate::config::file::{self, ConfigError};
use crate::device::Target;
use crate::hub::DeviceSetup;
use crate::line::insteon::{DeviceOptions, Insteon, Kind, Options, plan_names};
use crate::line::{Decoded, Line, Value};

pub(super) const ROW: Row = Row {
    name: "insteon",
    line_keys: &["tries", "periods"],
    device_keys: &["kind", "channel"],
    read: |context, line| {
        let (options, devices) = options(context, line)?;
        Ok((Arc::new(options) as Arc<dyn Blueprint>, devices))
    },
    note,
};

/// A message that was not answered ten times is not answered the eleventh time either, and each takes seconds.
const TRIES_MAX: u8 = 10;
/// Seconds; the driver asks nothing more often.
const PERIOD_MIN_S: u32 = 5;
/// Outlets of a dual one: top and bottom.
const CHANNELS: [u8; 2] = [1, 2];

impl Blueprint for Options {
    fn line(&self) -> Box<dyn Line> {
        Box::new(Insteon::new(self.clone()))
    }
}

#[derive(Debug, Deserialize)]
struct LineKeys {
    tries: Option<Spanned<u8>>,
    #[serde(default)]
    periods: BTreeMap<String, Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
struct DeviceKeys {
    kind: Option<Spanned<String>>,
    channel: Option<Spanned<u8>>,
}

fn options(context: &Context<'_>, line: &file::Line<'_>) -> Result<(Options, Vec<DeviceSetup>), ConfigError> {
    let keys: LineKeys = line.keys.read(context.text)?;
    let mut options = Options::default();
    if let Some(tries) = &keys.tries {
        if !(1..=TRIES_MAX).contains(tries.get_ref()) {
            return Err(context.wrong(tries, format!("tries is 1 … {TRIES_MAX}")));
        }
        options.tries = *tries.get_ref();
    }
    options.periods = periods(context, &keys.periods, &plan_names().collect::<Vec<_>>())?;
    if let Some(hasty) = keys.periods.values().find(|given| (1..PERIOD_MIN_S).contains(given.get_ref())) {
        let text = format!("a period is 0 (never) or {PERIOD_MIN_S} s and more: a busy modem does not hear");
        return Err(context.wrong(hasty, text));
    }
    let mut setups = Vec::new();
    for device in &line.device {
        add(context, device, &mut options, &mut setups)?;
    }
    Ok((options, setups))
}

/// Adds a device; a dual outlet whose channel is not named is two.
fn add(
    context: &Context<'_>,
    device: &file::Device<'_>,
    options: &mut Options,
    setups: &mut Vec<DeviceSetup>,
) -> Result<(), ConfigError> {
    let given = &device.common.address;
    let address = Insteon::new(Options::default())
        .canonical_address(given.get_ref())
        .map_err(|error| context.wrong(given, error.to_string()))?;
    let (kind, channels) = shape(context, device)?;
    let known = options.devices.get(&address);
    if known.is_some_and(|known| known.kind != kind) {
        let text = format!("device {address} stands on this line already, as something else");
        return Err(context.wrong(given, text));
    }
    for channel in &channels {
        let target = Target { address: Arc::clone(&address), channel: *channel };
        if setups.iter().any(|setup| setup.target == target) {
            let half = channel.map(|channel| format!(" with channel {channel}")).unwrap_or_default();
            return Err(context.wrong(given, format!("device {address}{half} stands on this line already")));
        }
        let second = channels.len() > 1 && *channel == Some(CHANNELS[1]);
        let name = device.common.called();
        let name = name.map(|name| if second { format!("{name} 2").into() } else { name.into() });
        setups.push(DeviceSetup { target, name });
    }
    options.devices.insert(address, DeviceOptions { kind });
    Ok(())
}

/// What a device is, and which channels of it are meant. Only a dual outlet has channels.
fn shape(
    context: &Context<'_>,
    device: &file::Device<'_>,
) -> Result<(Option<Kind>, Vec<Option<u8>>), ConfigError> {
    let keys: DeviceKeys = device.keys.read(context.text)?;
    let kind = keys
        .kind
        .as_ref()
        .map(|word| Kind::parse(word.get_ref()).map_err(|error| context.wrong(word, error.to_string())));
    let kind = kind.transpose()?;
    let Some(channel) = &keys.channel else {
        let both = || CHANNELS.map(Some).to_vec();
        return Ok((kind, if kind == Some(Kind::Dual) { both() } else { vec![None] }));
    };
    if !CHANNELS.contains(channel.get_ref()) {
        return Err(context.wrong(channel, "channel is 1 (top) or 2 (bottom)"));
    }
    if kind.is_some_and(|kind| kind != Kind::Dual) {
        return Err(context.wrong(channel, "only a dual outlet (`kind = \"dual\"`) has channels"));
    }
    Ok((Some(Kind::Dual), vec![Some(*channel.get_ref())]))
}

/// Whom the gateway asked is one of its devices, and what it asked says of which kind. The neighbours speak as well.
fn note(frame: &Decoded, shown: &mut Shown) {
    let field = |name: &str| frame.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value);
    let text = |name: &str| match field(name) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let Some(address) = frame.address.as_ref().filter(|_| frame.frame == "send_reply") else { return };
    let kind = match (text("cmd1"), text("cmd2")) {
        ("82", _) => "kind = \"meter\"\n",
        ("19", "01") => "kind = \"dual\"\n",
        ("11" | "13" | "19", _) => "kind = \"outlet\"\n",
        _ => "",
    };
    let known = shown.entry(address.to_string()).or_default();
    // Each half of a dual outlet is switched as an outlet is.
    if known.is_empty() || kind.contains("dual") {
        kind.clone_into(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{refused, with_context};
    use std::time::Duration;

    const LINE: &str = "[[line]]\ndialect = \"insteon\"\nport = \"/dev/ttyUSB0\"\n";

    fn device(more: &str) -> String {
        format!("{LINE}[[line.device]]\naddress = \"2C.0D.11\"\n{more}\n")
    }

    type Named = (Option<u8>, Option<String>);

    /// Channel and name of each device, and what is said of the first one's address.
    fn read(text: &str) -> (Vec<Named>, Option<Kind>) {
        let (options, setups) = with_context(text, options);
        let shown = |setup: &DeviceSetup| (setup.target.channel, setup.name.as_deref().map(str::to_owned));
        let kind = options.kind_of(&setups[0].target.address);
        (setups.iter().map(shown).collect(), kind)
    }

    #[test]
    fn a_line_takes_its_tries_and_periods() {
        let text = format!("{LINE}tries = 5\nperiods = {{ meter = 30, status = 0 }}\n");
        let (options, setups) = with_context(&text, options);
        assert_eq!((options.tries, setups.len()), (5, 0));
        let wanted = [("meter", 30), ("status", 0)];
        let wanted = wanted.map(|(name, s)| (name.to_owned(), Duration::from_secs(s)));
        assert_eq!(options.periods, wanted.into_iter().collect());
    }

    #[test]
    fn one_entry_of_a_dual_outlet_is_both_halves_and_one_with_a_channel_is_that_half() {
        let (halves, kind) = read(&device("kind = \"dual\"\nname = \"Shelf\""));
        assert_eq!(halves, [(Some(1), Some("Shelf".into())), (Some(2), Some("Shelf 2".into()))]);
        assert_eq!(kind, Some(Kind::Dual));
        let (half, kind) = read(&device("channel = 2\nname = \"Lamp\""));
        assert_eq!((half, kind), (vec![(Some(2), Some("Lamp".into()))], Some(Kind::Dual)));
        let apart = "channel = 1\n[[line.device]]\naddress = \"2c0d11\"\nkind = \"dual\"\nchannel = 2";
        assert_eq!(read(&device(apart)).0, [(Some(1), None), (Some(2), None)]);
    }

    #[test]
    fn a_device_may_be_left_to_say_what_it_is() {
        assert_eq!(read(&device("")), (vec![(None, None)], None));
        assert_eq!(read(&device("kind = \"meter\"")), (vec![(None, None)], Some(Kind::Meter)));
    }

    #[test]
    fn every_wrong_value_is_refused_where_it_stands() {
        refused(&format!("{LINE}tries = 0\n"), (4, 9), "1 … 10");
        refused(&format!("{LINE}periods = {{ power = 3 }}\n"), (4, 21), "`status`, `meter`");
        refused(&format!("{LINE}periods = {{ meter = 4 }}\n"), (4, 21), "5 s and more");
        refused(&format!("{LINE}[[line.device]]\naddress = \"1A.77\"\n"), (5, 11), "as on the label");
        refused(&format!("{LINE}[[line.device]]\naddress = \"00.00.00\"\n"), (5, 11), "no device");
        refused(&device("kind = \"lamp\""), (6, 8), "`outlet`, `dual` or `meter`");
        refused(&device("channel = 3"), (6, 11), "1 (top) or 2 (bottom)");
        refused(&device("channel = -1"), (6, 11), "-1");
        refused(&device("kind = \"outlet\"\nchannel = 1"), (7, 11), "only a dual outlet");
    }

    #[test]
    fn a_recording_shows_the_devices_that_were_asked_and_what_they_are() {
        let mut shown = Shown::new();
        for frame in [
            "02621a777b0f110006",
            "02622c0d110f11ff06",
            "02622c0d110f190106",
            "02622c0d110f130006",
            "02621987b70f820006",
            "02621006d00f100006",
            "0250aabbcc1a777b2b1100",
        ] {
            let byte = |at| u8::from_str_radix(&frame[at..at + 2], 16).expect("hex");
            let bytes: Vec<u8> = (0..frame.len()).step_by(2).map(byte).collect();
            note(&crate::line::insteon::decode::decode(&bytes).expect("a frame"), &mut shown);
        }
        let wanted = [("1006d0", ""), ("1987b7", "meter"), ("1a777b", "outlet"), ("2c0d11", "dual")];
        let kind = |kind: &str| if kind.is_empty() { String::new() } else { format!("kind = \"{kind}\"\n") };
        assert_eq!(shown, wanted.map(|(address, word)| (address.to_owned(), kind(word))).into());
    }

    #[test]
    fn a_device_stands_on_a_line_once() {
        let again = |first: &str, second: &str| {
            device(&format!("{first}\n[[line.device]]\naddress = \"2c.0d.11\"\n{second}"))
        };
        for (first, second, part) in [
            ("kind = \"outlet\"", "kind = \"outlet\"", "2c0d11 stands on this line already"),
            ("kind = \"outlet\"", "kind = \"meter\"", "as something else"),
            ("kind = \"dual\"", "channel = 2", "2c0d11 with channel 2 stands"),
            ("channel = 1", "channel = 1", "2c0d11 with channel 1 stands"),
            ("channel = 1", "", "as something else"),
        ] {
            refused(&again(first, second), (8, 11), part);
        }
    }

    #[test]
    fn keys_of_another_dialect_are_refused_and_those_of_none_as_well() {
        let baud = "`baud` belongs to a line of dialect `dlt645`; one of `insteon` takes `name`, `dialect`, \
                    `port`, `capture`, `tries`, `periods`";
        refused(&format!("{LINE}baud = 19200\n"), (4, 1), baud);
        refused(&format!("{LINE}trys = 3\n"), (4, 1), "unknown field `trys`");
        refused(&format!("{LINE}trys = 3\n"), (4, 1), "did you mean `tries`?");
        refused(&device("password_file = \"secret\""), (6, 1), "`password_file` belongs to a device of");
        refused(&device("chanel = 1"), (6, 1), "did you mean `channel`?");
    }
}
