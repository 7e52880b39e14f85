//! `GET /metrics`: what there is to watch, gathered when somebody asks and never else. The text format and its
//! checks are the `prometheus` crate's. Spec: `protocol-spec/http.md`, Metrics.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::problem::{self, Problem};
use super::{App, State};
use crate::device::{Device, LineName, Quantity};
use crate::hub::LineHealth;
use crate::source::{Commands, Part, Source};
use crate::upkeep::process::Process;

/// Values in the base units of Prometheus: what a family is called, what it says, and how many of its units one
/// stored unit ([`Quantity`]) is.
const QUANTITIES: [(Quantity, &str, &str, f64); 8] = [
    (Quantity::Power, "power_watts", "Active power; negative is export", 1e-3),
    (Quantity::Energy, "energy_joules_total", "Energy taken in all; a kilowatt-hour is 3,600,000 J", 3.6),
    (Quantity::EnergyExport, "energy_export_joules_total", "Energy given back in all", 3.6),
    (Quantity::Voltage, "voltage_volts", "Voltage", 1e-3),
    (Quantity::Current, "current_amperes", "Current", 1e-3),
    (Quantity::Frequency, "frequency_hertz", "Mains frequency", 1e-3),
    (Quantity::PowerFactor, "power_factor_ratio", "Power factor", 1e-3),
    (Quantity::Temperature, "temperature_celsius", "Temperature", 1e-1),
];

type Labels<'l> = &'l [(&'l str, &'l str)];

/// One name with its values.
struct Family(MetricFamily);

impl Family {
    fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self(family)
    }

    fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    fn add(&mut self, labels: Labels<'_>, value: f64) {
        let mut metric = Metric::default();
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        metric.set_label(labels.iter().map(pair).collect());
        if self.0.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.mut_metric().push(metric);
    }

    /// With one value and no label, or none.
    fn of(mut self, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.add(&[], value);
        }
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other number; exact below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
fn signed(value: i64) -> f64 {
    value as f64
}

pub(super) async fn show<S: Source + Commands>(State(app): State<App<S>>) -> Result<Response, Problem> {
    let upkeep = app.settings.upkeep.clone();
    // Both look into folders.
    let looked = tokio::task::spawn_blocking(move || (Process::look(), upkeep.store_bytes())).await;
    let (process, store_bytes) = looked.unwrap_or_default();
    let mut families = about(&app);
    families.extend(lines(&app, &app.source.lines()));
    families.extend(devices(&app.source.devices()));
    families.extend(feed(&app));
    families.push(
        Family::gauge("plugline_store_size_bytes", "Size of the registry's database")
            .of(store_bytes.map(float)),
    );
    families.extend(of_process(process));
    // A family without a value has nothing to say.
    let families: Vec<MetricFamily> = families
        .into_iter()
        .map(|family| family.0)
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    let text = TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|error| Problem::new(&problem::LOG_UNREADABLE, error.to_string()))?;
    let headers = [(header::CONTENT_TYPE, TEXT_FORMAT), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

fn about<S: Source + Commands>(app: &App<S>) -> Vec<Family> {
    let mut info = Family::gauge("plugline_build_info", "Always 1; the labels tell what runs");
    let gateway = app.source.identity().gateway.as_str();
    info.add(&[("version", &app.settings.version), ("gateway", gateway)], 1.0);
    let mut parts = Family::gauge("plugline_part_up", "1 while the part works");
    for (part, state) in app.source.parts() {
        parts.add(&[("part", part)], f64::from(u8::from(matches!(state, Part::Good(_)))));
    }
    let meters = &app.settings.upkeep.meters;
    let mut commands = Family::counter("plugline_commands_settled_total", "Commands by how they ended");
    meters.commands().for_each(|(outcome, count)| commands.add(&[("outcome", outcome)], float(count)));
    let open = app.source.open_commands().len() as u64;
    let mut readers = Family::gauge("plugline_readers", "Readers of the feed over HTTP");
    readers.add(&[("kind", "stream")], float(meters.streams.get()));
    readers.add(&[("kind", "poll")], float(meters.polls.get()));
    vec![
        info,
        parts,
        commands,
        Family::gauge("plugline_commands_open", "Commands that have not settled").of(Some(float(open))),
        readers,
        Family::counter("plugline_mqtt_published_total", "Messages handed to the broker")
            .of(Some(float(meters.published_count()))),
        Family::gauge("plugline_mqtt_in_flight", "Messages that the broker has not acknowledged yet")
            .of(Some(float(meters.mqtt_in_flight.get()))),
    ]
}

fn lines<S: Source + Commands>(app: &App<S>, lines: &[std::sync::Arc<LineHealth>]) -> Vec<Family> {
    let mut heard = Family::counter("plugline_line_heard_total", "Good messages heard on the line");
    let mut malformed = Family::counter(
        "plugline_line_malformed_total",
        "What could not be used, and steps of recovery, by kind",
    );
    let mut port = Family::gauge("plugline_line_port_up", "1 while the port is open");
    let mut modem = Family::gauge("plugline_line_modem_up", "1 while the modem answers; absent until asked");
    let mut last =
        Family::gauge("plugline_line_last_heard_timestamp_seconds", "When something good was last heard");
    let meters = &app.settings.upkeep.meters;
    for health in lines {
        let line = health.line.as_str();
        let labels: Labels<'_> = &[("line", line)];
        let flag = |up: bool| f64::from(u8::from(up));
        heard.add(labels, float(meters.never_falls(&format!("heard {line}"), health.heard)));
        for (kind, count) in &health.malformed {
            let count = meters.never_falls(&format!("malformed {line} {kind}"), *count);
            malformed.add(&[("line", line), ("kind", kind)], float(count));
        }
        port.add(labels, flag(health.port.is_ok()));
        health.modem.into_iter().for_each(|up| modem.add(labels, flag(up)));
        health.last_heard_unix_ms.into_iter().for_each(|at| last.add(labels, signed(at) / 1e3));
    }
    vec![heard, malformed, port, modem, last]
}

fn devices(devices: &[std::sync::Arc<Device>]) -> Vec<Family> {
    let mut info = Family::gauge("plugline_device_info", "Always 1; the labels tell where the device is");
    let mut relay = Family::gauge("plugline_device_relay_on", "1 while the relay is on; absent until heard");
    let mut online = Family::gauge("plugline_device_online", "1 while it answers; absent until known");
    let mut seen = Family::gauge("plugline_device_last_seen_timestamp_seconds", "When it was last heard");
    let mut values = QUANTITIES.map(|(_, name, help, _)| {
        let name = format!("plugline_device_{name}");
        if name.ends_with("_total") { Family::counter(&name, help) } else { Family::gauge(&name, help) }
    });
    for device in devices {
        let id = device.id.as_str();
        let labels: Labels<'_> = &[("device", id)];
        let line = device.line.as_ref().map_or("", LineName::as_str);
        info.add(&[("device", id), ("line", line), ("dialect", &device.dialect)], 1.0);
        device.relay.into_iter().for_each(|on| relay.add(labels, f64::from(u8::from(on))));
        device.online.into_iter().for_each(|on| online.add(labels, f64::from(u8::from(on))));
        device.last_seen_unix_ms.into_iter().for_each(|at| seen.add(labels, signed(at) / 1e3));
        let Some(last) = &device.last_reading else { continue };
        for (family, (quantity, _, _, factor)) in values.iter_mut().zip(QUANTITIES) {
            last.reading
                .get(quantity)
                .into_iter()
                .for_each(|value| family.add(labels, signed(value) * factor));
        }
    }
    [info, relay, online, seen].into_iter().chain(values).collect()
}

fn feed<S: Source + Commands>(app: &App<S>) -> Vec<Family> {
    let span = app.source.span();
    let at = |name: &str, help: &str, value: u64| {
        Family::gauge(&format!("plugline_feed_{name}"), help).of(Some(float(value)))
    };
    vec![
        at("head", "Number of the newest event", span.head),
        at("durable", "Number of the newest event that is on disk", span.durable),
        at("oldest", "Number before the oldest event that is kept", span.oldest),
        Family::gauge("plugline_feed_size_bytes", "Size of the feed's log").of(app.source.bytes().map(float)),
    ]
}

fn of_process(process: Process) -> Vec<Family> {
    let gauge = |name: &str, help: &str, value: Option<f64>| {
        Family::gauge(&format!("process_{name}"), help).of(value)
    };
    vec![
        Family::counter("process_cpu_seconds_total", "Processor time, user and system").of(process.cpu_s),
        gauge("resident_memory_bytes", "Memory in RAM", process.resident_bytes.map(float)),
        gauge("virtual_memory_bytes", "Addresses taken", process.virtual_bytes.map(float)),
        gauge("open_fds", "Open files and sockets", process.open_fds.map(float)),
        gauge("max_fds", "Open files that are allowed", process.max_fds.map(float)),
        gauge("start_time_seconds", "When the process started, since 1970", process.start_unix_s),
    ]
}
