//! Home Assistant's device-based discovery: devices that share a root become one Home Assistant device. Pure; a new
//! component is one entry of `components`.
//!
//! Spec: `protocol-spec/mqtt.md`, Home Assistant. Keys and unique ids never change once published.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::device::{Device, GatewayId, LineName, Measured};
use crate::hub::command::STATES;

use super::topics::{Leaf, Topic, Topics};

/// An instantaneous value is unknown after this many of its own periods without a new one.
const EXPIRE_PERIODS: u32 = 3;

/// Name, version and home of the program, as every payload must tell.
fn origin() -> Value {
    json!({ "name": "Plugline", "sw": env!("CARGO_PKG_VERSION"), "url": env!("CARGO_PKG_REPOSITORY") })
}

/// The device's id without the suffix of its channel, as first registered: never the current address.
#[must_use]
pub fn root(device: &Device) -> String {
    let id = device.id.as_str();
    let Some(channel) = device.target.channel.filter(|channel| *channel > 1) else { return id.to_owned() };
    let suffix = format!("_{channel}");
    // An id that was taken got `_x2`, `_x3` behind the channel.
    let (stem, taken) = match id.rsplit_once("_x") {
        Some((stem, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => {
            (stem, &id[stem.len()..])
        }
        _ => (id, ""),
    };
    match stem.strip_suffix(&suffix) {
        Some(stem) => format!("{stem}{taken}"),
        None => id.to_owned(),
    }
}

/// One component: its key, its platform and the fields beside those that all share.
struct Component {
    key: String,
    platform: &'static str,
    fields: Map<String, Value>,
    category: Option<Category>,
}

/// Of what kind an entity is that is not what the device is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Config,
    Diagnostic,
}

impl Category {
    fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Diagnostic => "diagnostic",
        }
    }
}

/// Where payloads point.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Names of topics.
    pub topics: &'a Topics,
    /// Whose devices they are.
    pub gateway: &'a GatewayId,
}

impl Site<'_> {
    /// The payload of one Home Assistant device; `None` when `group` (all devices of one root, in the order of
    /// their channels) has nothing to show.
    #[must_use]
    pub fn config(&self, group: &[Arc<Device>]) -> Option<Value> {
        let first = group.first()?;
        let root = root(first);
        let cmps: Map<String, Value> =
            group.iter().flat_map(|device| self.device_components(&root, first, device)).collect();
        let mut dev = json!({
            "ids": [format!("plugline_{root}")], "name": &*first.name,
            "via_device": format!("plugline_{}", self.gateway),
        });
        if first.line.is_some() {
            dev["sn"] = (*first.target.address).into();
        }
        if let Some(model) = &first.model {
            dev["mdl"] = (**model).into();
        }
        (!cmps.is_empty()).then(|| json!({ "dev": dev, "o": origin(), "qos": 1, "cmps": cmps }))
    }

    fn device_components(
        &self,
        root: &str,
        first: &Device,
        device: &Device,
    ) -> impl Iterator<Item = (String, Value)> {
        let status = json!({ "t": self.topics.name(&Topic::Status) });
        let line = device.line.as_ref().map(|line| self.topics.name(&Topic::Line(line.clone())));
        let own = json!({ "t": self.topics.device(&device.id, Leaf::Availability) });
        let all: Vec<Value> =
            [status.clone()].into_iter().chain(line.map(|line| json!({ "t": line }))).chain([own]).collect();
        components(self.topics, first, device).into_iter().map(move |component| {
            let mut fields = component.fields;
            fields.insert("p".into(), component.platform.into());
            fields.insert("uniq_id".into(), format!("plugline_{root}_{}", component.key).into());
            let avty = match component.category {
                Some(Category::Diagnostic) => json!([status]),
                Some(Category::Config) | None => all.clone().into(),
            };
            if let Some(category) = component.category {
                fields.insert("ent_cat".into(), category.word().into());
            }
            fields.insert("avty".into(), avty);
            fields.insert("avty_mode".into(), "all".into());
            (component.key, Value::Object(fields))
        })
    }

    /// The payload of the gateway itself: whether it is there, and each line's modem.
    #[must_use]
    pub fn gateway_config(&self, lines: &[LineName]) -> Value {
        let id = self.gateway;
        let status = self.topics.name(&Topic::Status);
        let connectivity = |key: &str, name: String, topic: &str| {
            json!({
                "p": "binary_sensor", "uniq_id": format!("plugline_{id}_{key}"), "name": name,
                "dev_cla": "connectivity", "ent_cat": "diagnostic", "stat_t": topic,
                "pl_on": "online", "pl_off": "offline",
            })
        };
        // Without an availability of its own: it must show `off`, not vanish, when the gateway is away.
        let mut cmps =
            Map::from_iter([("status".to_owned(), connectivity("status", "Gateway".into(), &status))]);
        for line in lines {
            let topic = self.topics.name(&Topic::Line(line.clone()));
            let key = format!("line_{line}");
            let mut component = connectivity(&key, format!("Line {line}"), &topic);
            component["avty"] = json!([{ "t": status }]);
            cmps.insert(key, component);
        }
        json!({
            "dev": {
                "ids": [format!("plugline_{id}")], "name": "Plugline", "mdl": "Gateway", "sn": id.as_str(),
                "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": origin(), "qos": 1, "cmps": cmps,
        })
    }
}

/// Keys and platforms of a group's components, to tell what a later payload must take back.
#[must_use]
pub fn keys(topics: &Topics, group: &[Arc<Device>]) -> Vec<(String, &'static str)> {
    let Some(first) = group.first() else { return Vec::new() };
    let all = group.iter().flat_map(|device| components(topics, first, device));
    all.map(|component| (component.key, component.platform)).collect()
}

/// Whether two views of a device lead to the same payload.
#[must_use]
pub fn same(a: &Device, b: &Device) -> bool {
    a.name == b.name
        && a.model == b.model
        && a.line == b.line
        && a.target == b.target
        && a.abilities == b.abilities
        && a.measured == b.measured
}

/// How the components of one channel are told from those of its siblings.
#[derive(Clone, Copy)]
struct Naming {
    /// 2, 3, …; the first channel and single things need no number.
    channel: Option<u8>,
}

impl Naming {
    fn key(self, name: &str) -> String {
        self.channel.map_or_else(|| name.to_owned(), |channel| format!("{name}_{channel}"))
    }

    fn label(self, name: &str) -> String {
        self.channel.map_or_else(|| name.to_owned(), |channel| format!("{name} {channel}"))
    }
}

fn components(topics: &Topics, first: &Device, device: &Device) -> Vec<Component> {
    let naming = Naming { channel: device.target.channel.filter(|channel| *channel > 1) };
    let mut all = Vec::new();
    if device.abilities.relay {
        // The main entity bears the name of the device; a second relay bears its own.
        let name = (device.id != first.id).then(|| match device.name == first.name {
            true => naming.label("Relay"),
            false => (*device.name).to_owned(),
        });
        all.push(Component {
            key: naming.key("relay"),
            platform: "switch",
            fields: object(json!({
                "name": name, "dev_cla": "outlet", "cmd_t": topics.device(&device.id, Leaf::Set),
                "stat_t": topics.device(&device.id, Leaf::Relay),
            })),
            category: None,
        });
    }
    for measured in device.measured.iter() {
        let fields = sensor(topics.device(&device.id, Leaf::Reading), *measured, naming);
        let key = naming.key(measured.quantity.row().name);
        all.push(Component { key, platform: "sensor", fields, category: None });
    }
    if device.abilities.identify {
        let mut fields = object(json!({
            "dev_cla": "identify", "cmd_t": topics.name(&Topic::Request("identify".into())),
            "pl_prs": json!({ "id": device.id.as_str() }).to_string(),
        }));
        // The class names the first.
        if naming.channel.is_some() {
            fields.insert("name".into(), naming.label("Identify").into());
        }
        let category = Some(Category::Config);
        all.push(Component { key: naming.key("identify"), platform: "button", fields, category });
    }
    if device.abilities.relay {
        let ends: Vec<&str> =
            STATES.iter().filter(|(state, _)| state.settled()).map(|(_, word)| *word).collect();
        all.push(Component {
            key: naming.key("result"),
            platform: "event",
            fields: object(json!({
                "name": naming.label("Command result"), "evt_typ": ends,
                "stat_t": topics.device(&device.id, Leaf::Result),
            })),
            category: Some(Category::Diagnostic),
        });
    }
    all
}

fn sensor(state_topic: String, measured: Measured, naming: Naming) -> Map<String, Value> {
    let row = measured.quantity.row();
    // A missing key, or a cleared topic, would log an error in Home Assistant; an empty result is ignored.
    let template =
        format!("{{{{ value_json.{} | default('') if value_json is defined else '' }}}}", row.json_name);
    let mut fields = object(json!({
        "dev_cla": row.device_class, "stat_cla": row.state_class,
        "stat_t": state_topic, "val_tpl": template,
    }));
    // The class names the entity, except where two of one class, or two channels, would share it.
    if row.device_class != row.name || naming.channel.is_some() {
        let mut spelled = row.name.replace('_', " ");
        spelled[..1].make_ascii_uppercase();
        fields.insert("name".into(), naming.label(&spelled).into());
    }
    if !row.unit.is_empty() {
        fields.insert("unit_of_meas".into(), row.unit.into());
    }
    if let Some(period) = measured.period.filter(|_| !measured.quantity.is_total()) {
        let expire = (period * EXPIRE_PERIODS).as_secs_f64().ceil().max(1.0);
        fields.insert("exp_aft".into(), (expire as u64).into());
    }
    fields
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::device::{Abilities, DeviceId, Quantity, Target};

    fn gateway() -> GatewayId {
        GatewayId::parse("gw_aaaaaaaaaa").expect("an id")
    }

    fn topics() -> Topics {
        Topics::new("p/{gateway}", "homeassistant", &gateway())
    }

    fn device(id: &str, channel: Option<u8>, measured: &[Measured]) -> Arc<Device> {
        Arc::new(Device {
            id: DeviceId::parse(id).expect("an id"),
            name: "Kettle".into(),
            line: LineName::parse("mains"),
            dialect: "insteon".into(),
            target: Target { address: "2c0d11".into(), channel },
            model: None,
            abilities: Abilities { relay: true, dim: false, identify: false },
            measured: measured.into(),
            relay: None,
            online: None,
            last_seen_unix_ms: None,
            last_reading: None,
            options: Default::default(),
            carry_over: Default::default(),
            configured: None,
            groups: Default::default(),
            members: None,
        })
    }

    fn config(group: &[Arc<Device>]) -> Value {
        Site { topics: &topics(), gateway: &gateway() }.config(group).expect("components")
    }

    const POWER: Measured =
        Measured { quantity: Quantity::Power, period: Some(Duration::from_millis(20_500)) };
    const ENERGY: Measured = Measured { quantity: Quantity::Energy, period: Some(Duration::from_secs(60)) };
    const EXPORT: Measured = Measured { quantity: Quantity::EnergyExport, period: None };

    #[test]
    fn the_root_is_the_id_without_its_channel_and_never_the_address() {
        let root_of = |id, channel| root(&device(id, channel, &[]));
        assert_eq!(root_of("insteon_2c0d11", Some(1)), "insteon_2c0d11");
        assert_eq!(root_of("insteon_2c0d11_2", Some(2)), "insteon_2c0d11");
        assert_eq!(root_of("insteon_2c0d11_2_x3", Some(2)), "insteon_2c0d11_x3");
        assert_eq!(root_of("insteon_aabb02_2", None), "insteon_aabb02_2");
    }

    #[test]
    fn a_socket_becomes_one_device_with_one_component_a_quantity() {
        let shown = config(&[device("insteon_2c0d11", None, &[POWER, ENERGY])]);
        assert_eq!(shown["dev"]["ids"], json!(["plugline_insteon_2c0d11"]));
        assert_eq!(shown["dev"]["via_device"], "plugline_gw_aaaaaaaaaa");
        let power = &shown["cmps"]["power"];
        assert_eq!(
            *power,
            json!({
                "p": "sensor", "uniq_id": "plugline_insteon_2c0d11_power", "dev_cla": "power",
                "stat_cla": "measurement", "unit_of_meas": "W", "exp_aft": 62,
                "stat_t": "p/gw_aaaaaaaaaa/device/insteon_2c0d11/reading",
                "val_tpl": "{{ value_json.power_w | default('') if value_json is defined else '' }}", "avty_mode": "all",
                "avty": [
                    {"t": "p/gw_aaaaaaaaaa/status"}, {"t": "p/gw_aaaaaaaaaa/line/mains"},
                    {"t": "p/gw_aaaaaaaaaa/device/insteon_2c0d11/availability"},
                ],
            })
        );
        let keys: Vec<&String> = shown["cmps"].as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["energy", "power", "relay", "result"]);
    }

    #[test]
    fn a_total_never_expires_and_export_has_a_name_of_its_own() {
        let shown = config(&[device("insteon_2c0d11", None, &[ENERGY, EXPORT])]);
        assert!(shown["cmps"]["energy"].get("exp_aft").is_none());
        assert!(shown["cmps"]["energy"].get("name").is_none());
        assert_eq!(shown["cmps"]["energy_export"]["name"], "Energy export");
        assert_eq!(shown["cmps"]["energy_export"]["dev_cla"], "energy");
    }

    #[test]
    fn two_relays_of_one_thing_are_one_device_with_two_switches() {
        let (one, two) =
            (device("insteon_2c0d11", Some(1), &[POWER]), device("insteon_2c0d11_2", Some(2), &[POWER]));
        let shown = config(&[one, two]);
        assert_eq!(shown["cmps"]["relay"]["name"], Value::Null);
        assert_eq!(shown["cmps"]["relay_2"]["name"], "Relay 2");
        assert_eq!(shown["cmps"]["power_2"]["name"], "Power 2");
        assert_eq!(shown["cmps"]["relay_2"]["cmd_t"], "p/gw_aaaaaaaaaa/device/insteon_2c0d11_2/set");
        assert_eq!(shown["cmps"]["relay_2"]["uniq_id"], "plugline_insteon_2c0d11_relay_2");
    }

    #[test]
    fn diagnostics_stay_when_the_line_is_gone() {
        let shown = config(&[device("insteon_2c0d11", None, &[])]);
        assert_eq!(shown["cmps"]["result"]["avty"], json!([{"t": "p/gw_aaaaaaaaaa/status"}]));
        assert_eq!(
            shown["cmps"]["result"]["evt_typ"],
            json!(["confirmed", "failed", "expired", "superseded", "cancelled"])
        );
    }

    #[test]
    fn what_can_show_itself_has_a_button_for_each_channel() {
        let able = |id, channel| {
            let mut device = (*device(id, channel, &[])).clone();
            device.abilities.identify = true;
            Arc::new(device)
        };
        let shown = config(&[able("insteon_2c0d11", Some(1)), able("insteon_2c0d11_2", Some(2))]);
        assert_eq!(
            shown["cmps"]["identify_2"],
            json!({
                "p": "button", "uniq_id": "plugline_insteon_2c0d11_identify_2", "name": "Identify 2",
                "dev_cla": "identify", "ent_cat": "config", "cmd_t": "p/gw_aaaaaaaaaa/request/identify",
                "pl_prs": "{\"id\":\"insteon_2c0d11_2\"}", "avty_mode": "all",
                "avty": [
                    {"t": "p/gw_aaaaaaaaaa/status"}, {"t": "p/gw_aaaaaaaaaa/line/mains"},
                    {"t": "p/gw_aaaaaaaaaa/device/insteon_2c0d11_2/availability"},
                ],
            })
        );
        assert!(shown["cmps"]["identify"].get("name").is_none());
    }

    #[test]
    fn a_device_that_shows_nothing_has_no_payload() {
        let mut bare = (*device("insteon_2c0d11", None, &[])).clone();
        bare.abilities.relay = false;
        assert_eq!(Site { topics: &topics(), gateway: &gateway() }.config(&[Arc::new(bare)]), None);
    }

    #[test]
    fn the_gateway_shows_off_instead_of_vanishing() {
        let lines = [LineName::parse("mains").expect("a name")];
        let shown = Site { topics: &topics(), gateway: &gateway() }.gateway_config(&lines);
        assert!(shown["cmps"]["status"].get("avty").is_none());
        assert_eq!(shown["cmps"]["line_mains"]["stat_t"], "p/gw_aaaaaaaaaa/line/mains");
    }
}
