//! The text of a bundle: its sections, without what people consume, and with stand-ins throughout.

use serde_json::Value;

use super::asked::{Asked, Told, entries};
use super::finding::{self, Finding};
use super::redact::Redactor;

/// Lines of the log that a bundle has; the checklist has counted all that there are.
const LOG_LINES: usize = 300;

/// Metrics of devices that tell nothing of what their owner does. The others are readings.
const HARMLESS: [&str; 3] =
    ["plugline_device_online", "plugline_device_last_seen_timestamp_seconds", "plugline_device_info"];

/// Keys of the configuration whose text is shown. A key that nobody knows may be a password's, mistyped.
const KEYS: [&str; 20] = [
    "address",
    "base",
    "broker",
    "capture",
    "close",
    "cors_origins",
    "dialect",
    "dir",
    "discovery_prefix",
    "expiry",
    "kind",
    "listen",
    "medium",
    "name",
    "names",
    "port",
    "proxies",
    "timezone",
    "tls",
    "user",
];

/// What stands above everything else.
const HEAD: &str = "Names, ids, addresses, hosts, users and secrets are replaced by stand-ins; device-1, name-1 and \
                    address-1 belong together. Readings are left out. Read it before you give it to anybody.";

/// A part of the bundle: its lines, or why it is left out.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) text: Result<String, String>,
}

impl Section {
    pub(super) fn new(title: impl Into<String>, text: Result<String, String>) -> Self {
        Self { title: title.into(), text }
    }
}

/// The whole text.
pub(super) fn text(taken_at: &str, sections: &[Section], redactor: &mut Redactor) -> String {
    let mut text = format!("Plugline doctor, {taken_at}\n{HEAD}\n");
    for section in sections {
        let body = match &section.text {
            Ok(body) => body.trim_end().to_owned(),
            Err(why) => format!("left out: {why}"),
        };
        text += &format!("\n== {} ==\n{body}\n", section.title);
    }
    redactor.redact(&text)
}

/// The first section.
pub(super) fn findings(findings: &[Finding]) -> Section {
    Section::new("findings", Ok(finding::table(findings)))
}

/// What the gateway told, section by section.
pub(super) fn of_gateway(asked: &Asked) -> Vec<Section> {
    let mut sections = vec![
        Section::new("/healthz", Ok(pretty(&asked.health))),
        Section::new("/v1/gateway", shown(&asked.gateway)),
        Section::new("/v1/lines", shown(&asked.lines)),
    ];
    for (line, quality) in &asked.quality {
        sections.push(Section::new(
            format!("/v1/lines/{line}/quality"),
            quality.as_ref().map(of_quality).map_err(Clone::clone),
        ));
    }
    sections.extend([
        Section::new(
            "/v1/devices",
            asked.devices.as_ref().map(|_| devices(asked.devices())).map_err(Clone::clone),
        ),
        Section::new(
            "/v1/log",
            asked.log.as_ref().map(|_| log(entries(&asked.log, "entries"))).map_err(Clone::clone),
        ),
        Section::new("/metrics", asked.metrics.as_ref().map(metrics).map_err(Clone::clone)),
    ]);
    sections
}

fn shown(told: &Told) -> Result<String, String> {
    told.as_ref().map(pretty).map_err(Clone::clone)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The configuration as it is told, without the text of keys that nobody knows.
pub(super) fn configuration(told: &Value) -> String {
    let mut told = told.clone();
    hide(&mut told["values"], "");
    pretty(&told)
}

fn hide(value: &mut Value, key: &str) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| hide(value, key)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Value::String(text) if !KEYS.contains(&key) && !key.ends_with("_file") => {
            "…".clone_into(text);
        }
        _ => {}
    }
}

/// One object a line, under a line with the rest.
fn of_quality(told: &Value) -> String {
    let mut text = String::new();
    for (name, entries) in told.as_object().into_iter().flatten().filter(|(name, _)| *name != "links") {
        match entries.as_array() {
            Some(entries) => {
                text += &format!("{name}:\n");
                entries.iter().for_each(|entry| text += &format!("  {entry}\n"));
            }
            None => text += &format!("{name}: {entries}\n"),
        }
    }
    text
}

/// One a line, without what was measured; only which quantities came, and when.
fn devices(devices: &[Value]) -> String {
    let one = |device: &Value| {
        let mut device = device.clone();
        if let Some(device) = device.as_object_mut() {
            device.remove("state");
        }
        if let Some(reading) = device["last_reading"].as_object_mut() {
            let hidden = reading.iter_mut().filter(|(name, _)| *name != "t");
            hidden.for_each(|(_, value)| *value = "…".into());
        }
        format!("{device}\n")
    };
    devices.iter().map(one).collect()
}

fn log(entries: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let last = &entries[entries.len().saturating_sub(LOG_LINES)..];
    let line = |entry: &Value| {
        let [t, level, target, message] = ["t", "level", "target", "message"].map(|name| text(&entry[name]));
        // A line of the log is a line here.
        let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{t} {level:<5} {target}: {message}\n")
    };
    last.iter().map(line).collect()
}

fn metrics(told: &Value) -> String {
    let harmless = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        !name.starts_with("plugline_device_") || HARMLESS.iter().any(|good| name.starts_with(good))
    };
    let lines = told.as_str().unwrap_or_default().lines().filter(harmless);
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_was_measured_is_in_a_bundle() {
        let told = json!([{ "id": "dlt645_000000004711", "state": { "relay": true },
            "last_reading": { "t": "2026-11-18T11:06:40.123Z", "power_w": 1741.7 } }]);
        let text = devices(told.as_array().expect("a list"));
        assert!(text.contains("power_w") && text.contains("11:06:40") && !text.contains("1741"), "{text}");
        assert!(!text.contains("relay"), "{text}");
        let told = "# HELP plugline_device_power_watts x\nplugline_device_power_watts{device=\"a\"} 1741.7\n\
                    plugline_device_relay_on{device=\"a\"} 1\nplugline_device_online{device=\"a\"} 1\nprocess_open_fds 9\n";
        assert_eq!(metrics(&told.into()), "plugline_device_online{device=\"a\"} 1\nprocess_open_fds 9\n");
    }

    #[test]
    fn a_line_of_the_log_stays_one_line_and_the_oldest_are_left_out() {
        let entry = |n: usize| json!({ "t": "T", "level": "warn", "target": "plugline::x", "message": format!("a\n== {n} ==") });
        let entries: Vec<Value> = (0..LOG_LINES + 2).map(entry).collect();
        let text = log(&entries);
        assert_eq!(text.lines().count(), LOG_LINES);
        assert!(text.starts_with("T warn  plugline::x: a == 2 ==\n"), "{text}");
    }

    #[test]
    fn what_is_left_out_says_why() {
        let sections = [Section::new("/v1/log", Err("The scope is too small (HTTP 403)".to_owned()))];
        let text = text("now", &sections, &mut Redactor::default());
        assert!(text.ends_with("\n== /v1/log ==\nleft out: The scope is too small (HTTP 403)\n"), "{text}");
    }
}
