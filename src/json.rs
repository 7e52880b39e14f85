//! The JSON vocabulary of the contract: one view each of reading, device, command, event and line, made from the
//! pure types. Pure. Spec: `protocol-spec/http.md` §1–2.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::device::{
    Abilities, Decimal, Device, DeviceId, DeviceOptions, Identity, LineName, OptionValue, Reading,
    StampedReading,
};
use crate::hub::LineHealth;
use crate::hub::command::{Action, Command, CommandError, Part, STATES};
use crate::hub::feed::{Body, Change, Event, GapReason, GatewayEvent, JoiningNews};
use crate::hub::joining::JoiningWindow;
use crate::line::{Cause, Joins, Outcome};

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn time(unix_ms: i64) -> String {
    let stamp = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// A cursor: `<epoch>.<seq>`.
#[must_use]
pub fn cursor(identity: &Identity, seq: u64) -> String {
    format!("{}.{seq}", identity.epoch)
}

/// A reading as an object of exact decimals; `t` first when stamped.
#[derive(Clone, Copy, Debug)]
pub struct ReadingView {
    /// The quantities.
    pub reading: Reading,
    /// Its time, milliseconds since 1970 UTC, if it is shown.
    pub unix_ms: Option<i64>,
}

impl From<StampedReading> for ReadingView {
    fn from(stamped: StampedReading) -> Self {
        Self { reading: stamped.reading, unix_ms: Some(stamped.unix_ms) }
    }
}

impl From<Reading> for ReadingView {
    fn from(reading: Reading) -> Self {
        Self { reading, unix_ms: None }
    }
}

impl Serialize for ReadingView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(unix_ms) = self.unix_ms {
            map.serialize_entry("t", &time(unix_ms))?;
        }
        for (quantity, value) in self.reading.iter() {
            let row = quantity.row();
            let number = Decimal { value, digits: row.digits }.to_string();
            let raw = RawValue::from_string(number).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(row.json_name, &raw)?;
        }
        map.end()
    }
}

/// Serialises what cannot fail: our own views hold no map with keys that are not text.
#[must_use]
pub fn text(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("views of the contract have text keys only")
}

/// A view as JSON to be put into another.
///
/// # Panics
/// As [`text`].
#[must_use]
pub fn raw(view: &impl Serialize) -> Box<RawValue> {
    RawValue::from_string(text(view)).expect("serde_json's own output is JSON")
}

/// The Device object.
#[must_use]
pub fn device(device: &Device) -> Box<RawValue> {
    raw(&DeviceView(device))
}

struct DeviceView<'a>(&'a Device);

impl Serialize for DeviceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let device = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", device.id.as_str())?;
        map.serialize_entry("name", &*device.name)?;
        if let Some(line) = &device.line {
            map.serialize_entry("line", line.as_str())?;
        }
        map.serialize_entry("dialect", &*device.dialect)?;
        if device.line.is_some() {
            map.serialize_entry("address", &*device.target.address)?;
            map.serialize_entry("channel", &device.target.channel)?;
        }
        map.serialize_entry("model", &device.model.as_deref())?;
        map.serialize_entry("capabilities", &capabilities(device))?;
        map.serialize_entry("state", &json!({ "relay": device.relay }))?;
        map.serialize_entry("online", &device.online)?;
        map.serialize_entry("last_seen", &device.last_seen_unix_ms.map(time))?;
        map.serialize_entry("last_reading", &device.last_reading.map(ReadingView::from))?;
        map.serialize_entry("groups", &ids(&device.groups))?;
        if let Some(members) = &device.members {
            map.serialize_entry("members", &ids(members))?;
        }
        map.serialize_entry("options", &options(&device.options))?;
        map.end()
    }
}

fn ids(devices: &[DeviceId]) -> Vec<&str> {
    devices.iter().map(DeviceId::as_str).collect()
}

fn options(options: &DeviceOptions) -> Map<String, Value> {
    let value = |value: &OptionValue| match value {
        OptionValue::Flag(flag) => Value::from(*flag),
        OptionValue::Word(word) => Value::from(&**word),
    };
    options.iter().map(|(name, chosen)| (name.to_string(), value(chosen))).collect()
}

/// What somebody chooses for an option: `Some(None)` for `null`, which takes a choice back; `None` for what no option
/// can be.
#[must_use]
pub fn choice(value: &Value) -> Option<Option<OptionValue>> {
    match value {
        Value::Null => Some(None),
        Value::Bool(flag) => Some(Some(OptionValue::Flag(*flag))),
        Value::String(word) => Some(Some(OptionValue::Word(word.as_str().into()))),
        _ => None,
    }
}

/// A whole number from zero. `30.0` is one, as it is for JSON Schema: some languages write no other numbers.
#[must_use]
pub fn whole(value: &Value) -> Option<u64> {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float));
    // It is whole and fits.
    value.as_u64().or_else(|| float().map(|float| float as u64))
}

/// A line's joining window, open or closed.
#[must_use]
pub fn joining(line: &LineName, window: &JoiningWindow) -> Value {
    let joined: Vec<&str> = window.joined.iter().map(DeviceId::as_str).collect();
    let mut view = json!({
        "line": line.as_str(), "open": window.open,
        "opened_at": time(window.opened_unix_ms), "closes_at": time(window.closes_unix_ms), "joined": joined,
    });
    if let Some(address) = &window.address {
        view["code"] = (&**address).into();
    }
    if let Some((code, detail)) = &window.error {
        view["error"] = json!({ "code": code, "detail": &**detail });
    }
    view
}

/// What people may do with a line, and whom else it hears.
#[must_use]
pub fn about_line(health: &LineHealth) -> Value {
    let Joins { by_call, by_button, by_address, by_label } = health.joins;
    let ways = [(by_call, "call"), (by_button, "button"), (by_address, "code"), (by_label, "label")];
    let ways: Vec<&str> = ways.into_iter().filter(|(able, _)| *able).map(|(_, way)| way).collect();
    let options: Map<String, Value> = health
        .options
        .iter()
        .map(|row| {
            let allowed = if row.words.is_empty() { json!([true, false]) } else { json!(row.words) };
            (row.name.to_owned(), json!({ "allowed": allowed, "about": row.about }))
        })
        .collect();
    let mut view = line(health);
    view["joins"] = json!(ways);
    view["options"] = options.into();
    view["foreign"] = health.foreign.iter().map(|address| Value::from(&**address)).collect();
    view
}

/// Capability words of a device: relay, dim, identify, group, then its quantities.
#[must_use]
pub fn capabilities(device: &Device) -> Vec<&'static str> {
    let Abilities { relay, dim, identify } = device.abilities;
    let group = device.members.is_some();
    let abilities = [(relay, "relay"), (dim, "dim"), (identify, "identify"), (group, "group")];
    let able = abilities.into_iter().filter(|(able, _)| *able).map(|(_, word)| word);
    able.chain(device.measured.iter().map(|measured| measured.quantity.row().name)).collect()
}

/// The word of an outcome.
#[must_use]
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "not_applied",
        Outcome::Unknown => "unknown",
    }
}

/// The Command object.
#[must_use]
pub fn command(command: &Command) -> Value {
    let args = match command.action {
        Action::Switch { on } => json!({ "on": on }),
        Action::Read => json!({}),
        Action::Identify { seconds } => json!({ "seconds": seconds }),
    };
    let times: Map<String, Value> = STATES
        .iter()
        .filter_map(|(state, word)| {
            command.times_unix_ms[*state as usize].map(|ms| ((*word).to_owned(), time(ms).into()))
        })
        .collect();
    let mut view = json!({
        "id": command.id.as_str(), "device": command.device.as_str(), "command": command.action.name(),
        "args": args, "state": command.state.name(), "version": command.version, "attempts": command.attempts,
        "created_at": time(command.created_unix_ms), "expires_at": time(command.expires_unix_ms),
        "times": times, "requested_by": &*command.requested_by,
    });
    if let Some(word) = command.outcome.map(outcome) {
        view["outcome"] = word.into();
    }
    if let Some(error) = &command.error {
        view["error"] = command_error(error);
    }
    if let Some(idempotency) = &command.idempotency {
        view["idempotency_key"] = (*idempotency.key).into();
    }
    if command.is_whole() {
        view["members"] = command.parts.iter().map(part).collect();
    }
    if let Some(whole) = &command.part_of {
        view["cause"] = cause(Cause::Group).into();
        view["part_of"] = whole.as_str().into();
    }
    view
}

/// How a member's command stands, as the command to its group shows it.
fn part(part: &Part) -> Value {
    let mut view = json!({
        "device": part.device.as_str(), "command": part.command.as_str(), "state": part.state.name(),
    });
    if let Some(word) = part.outcome.map(outcome) {
        view["outcome"] = word.into();
    }
    if let Some(error) = &part.error {
        view["error"] = command_error(error);
    }
    view
}

/// Why a command failed.
#[must_use]
pub fn command_error(error: &CommandError) -> Value {
    json!({ "code": &*error.code, "detail": &*error.detail })
}

/// The word of a cause.
#[must_use]
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Command => "command",
        Cause::Button => "button",
        Cause::PowerOn => "power_on",
        Cause::Poll => "poll",
        Cause::Group => "group",
        Cause::Trip => "trip",
        Cause::Unknown => "unknown",
    }
}

/// The Event object, on one line.
#[must_use]
pub fn event(event: &Event, identity: &Identity) -> String {
    text(&EventView { event, identity })
}

struct EventView<'a> {
    event: &'a Event,
    identity: &'a Identity,
}

impl Serialize for EventView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fresh = &self.event.fresh;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &cursor(self.identity, self.event.seq))?;
        map.serialize_entry("t", &time(fresh.unix_ms))?;
        map.serialize_entry("kind", fresh.body.kind())?;
        map.serialize_entry("gateway", self.identity.gateway.as_str())?;
        if let Some(device) = &fresh.device {
            map.serialize_entry("device", device.as_str())?;
        }
        match &fresh.body {
            Body::Reading(reading) => map.serialize_entry("data", &ReadingView::from(*reading))?,
            Body::Device { change, device: of } => {
                map.serialize_entry(
                    "data",
                    &DeviceChange { change: change_word(*change), device: device(of) },
                )?;
            }
            other => map.serialize_entry("data", &data(other, self.identity))?,
        }
        let flags =
            [(fresh.late, "late"), (fresh.estimated, "estimated"), (fresh.t_estimated, "t_estimated")];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            map.serialize_entry(name, &true)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct DeviceChange {
    change: &'static str,
    device: Box<RawValue>,
}

fn change_word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
        Change::Replaced => "replaced",
    }
}

fn data(body: &Body, identity: &Identity) -> Value {
    match body {
        Body::Relay { on, cause: why } => json!({ "relay": on, "cause": cause(*why) }),
        Body::Online { online, reason } => json!({ "online": online, "reason": &**reason }),
        Body::Command(of) => command(of),
        Body::Notification(note) => json!({ "code": &*note.code, "detail": &*note.detail }),
        Body::Gateway(about) => gateway_event(about, identity),
        Body::Reading(_) | Body::Device { .. } | Body::Erased => Value::Null,
    }
}

fn gateway_event(about: &GatewayEvent, identity: &Identity) -> Value {
    match about {
        GatewayEvent::Started { version } => json!({ "event": "started", "version": &**version }),
        GatewayEvent::Stopping => json!({ "event": "stopping" }),
        GatewayEvent::LineUp { line } => json!({ "event": "line_up", "line": line.as_str() }),
        GatewayEvent::LineDown { line, reason } => {
            json!({ "event": "line_down", "line": line.as_str(), "reason": &**reason })
        }
        GatewayEvent::ForeignDevice { line, address } => {
            json!({ "event": "foreign_device", "line": line.as_str(), "address": &**address })
        }
        GatewayEvent::Joining { line, news } => {
            let mut view = json!({ "event": "joining", "line": line.as_str() });
            match news {
                JoiningNews::Opened { closes_unix_ms } => {
                    view["state"] = "open".into();
                    view["closes_at"] = time(*closes_unix_ms).into();
                }
                JoiningNews::Joined { device } => {
                    view["state"] = "joined".into();
                    view["device"] = device.as_str().into();
                }
                JoiningNews::Failed { code, detail } => {
                    view["state"] = "failed".into();
                    view["error"] = json!({ "code": &**code, "detail": &**detail });
                }
                JoiningNews::Closed { reason } => {
                    view["state"] = "closed".into();
                    view["reason"] = (&**reason).into();
                }
            }
            view
        }
        GatewayEvent::ClockStep { step_ms } => json!({ "event": "clock_step", "step_ms": step_ms }),
        GatewayEvent::Gap { from, to, reason } => {
            let reason = match reason {
                GapReason::Crash => "crash",
                GapReason::Storage => "storage",
            };
            json!({ "event": "gap", "from": cursor(identity, *from), "to": cursor(identity, *to), "reason": reason })
        }
    }
}

/// A line as `/healthz` and the `gateway` topic show it.
#[must_use]
pub fn line(health: &LineHealth) -> Value {
    let malformed: Map<String, Value> =
        health.malformed.iter().map(|(kind, count)| ((*kind).to_owned(), (*count).into())).collect();
    let mut view = json!({
        "port": health.port.is_ok(), "modem": health.modem,
        "last_heard": health.last_heard_unix_ms.map(time), "malformed": malformed,
    });
    if let Err(reason) = &health.port {
        view["port_error"] = (**reason).into();
    }
    view
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::{DeviceId, Epoch, GatewayId, Quantity};
    use crate::hub::feed::Fresh;

    fn identity() -> Identity {
        Identity {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").expect("an id"),
            epoch: Epoch::parse("k3f9q2mz").expect("an epoch"),
        }
    }

    #[test]
    fn a_number_whose_fraction_is_zero_is_whole() {
        assert_eq!(
            [json!(30), json!(30.0), json!(3e1), json!(-0.0)].map(|n| whole(&n)),
            [30, 30, 30, 0].map(Some)
        );
        for bad in [json!(30.5), json!(-1), json!(-1.0), json!(1e300), json!("30"), json!(null)] {
            assert_eq!(whole(&bad), None, "{bad}");
        }
    }

    fn fresh(device: Option<&str>, body: Body) -> Fresh {
        Fresh {
            unix_ms: 1_795_000_000_123,
            t_estimated: false,
            late: false,
            estimated: false,
            device: device.and_then(DeviceId::parse),
            body,
        }
    }

    #[test]
    fn a_reading_shows_exact_decimals_and_nothing_that_was_not_measured() {
        let mut reading = Reading::of(Quantity::Power, 41_700);
        reading.set(Quantity::Energy, 260_000);
        let shown = event(
            &Event { seq: 7, fresh: fresh(Some("dlt645_000000004711"), Body::Reading(reading)) },
            &identity(),
        );
        assert_eq!(
            shown,
            r#"{"id":"k3f9q2mz.7","t":"2026-11-18T11:06:40.123Z","kind":"reading","gateway":"gw_aaaaaaaaaa","device":"dlt645_000000004711","data":{"power_w":41.7,"energy_kwh":0.26}}"#
        );
    }

    #[test]
    fn a_gap_names_its_ends_as_cursors() {
        let gap = GatewayEvent::Gap { from: 3, to: 9, reason: GapReason::Crash };
        let shown = event(&Event { seq: 10, fresh: fresh(None, Body::Gateway(gap)) }, &identity());
        let parsed: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(
            parsed["data"],
            json!({"event": "gap", "from": "k3f9q2mz.3", "to": "k3f9q2mz.9", "reason": "crash"})
        );
        assert!(parsed.get("device").is_none());
    }

    #[test]
    fn a_device_not_heard_yet_shows_null_and_not_off() {
        let of = Device {
            id: DeviceId::parse("dlt645_000000004711").expect("an id"),
            name: "Kettle".into(),
            line: crate::device::LineName::parse("dlt645"),
            dialect: "dlt645".into(),
            target: crate::device::Target { address: "000000004711".into(), channel: None },
            model: None,
            abilities: Abilities { relay: true, dim: false, identify: false },
            measured: Arc::new([crate::device::Measured { quantity: Quantity::Power, period: None }]),
            relay: None,
            online: None,
            last_seen_unix_ms: None,
            last_reading: None,
            options: Default::default(),
            carry_over: Default::default(),
            configured: None,
            groups: Default::default(),
            members: None,
        };
        let shown: Value = serde_json::from_str(device(&of).get()).expect("JSON");
        assert_eq!(shown["state"], json!({"relay": null}));
        assert_eq!(shown["online"], Value::Null);
        assert_eq!(shown["last_reading"], Value::Null);
        assert_eq!(shown["capabilities"], json!(["relay", "power"]));
    }
}
