//! Whom a bundle must not name: who is who in what the gateway and the configuration tell.

use serde_json::Value;

use super::asked::{Asked, entries};
use super::patterns::{Kind, is_here};
use super::redact::Redactor;

/// Stands for the gateway's id in the base of topics.
const GATEWAY: &str = "{gateway}";

/// What is known before anything is shown.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    pub(super) asked: Option<&'a Asked>,
    /// The configuration as `/v1/config` shows it.
    pub(super) config: Option<&'a Value>,
    /// This machine's name.
    pub(super) host: Option<&'a str>,
    /// Who runs this.
    pub(super) users: &'a [String],
}

/// One that hides all of them. A device, its name and its address have the same number.
pub(super) fn redactor(known: &Known<'_>) -> Redactor {
    let mut redactor = Redactor::default();
    if let Some(asked) = known.asked {
        of_gateway(&mut redactor, asked);
    }
    if let Some(config) = known.config {
        of_config(&mut redactor, config, known.asked.map_or(&[], Asked::devices));
    }
    for host in known.host.into_iter().filter(|host| !is_here(host)) {
        redactor.hide(Kind::Host, host);
    }
    for user in known.users {
        redactor.hide(Kind::User, user);
    }
    redactor
}

fn of_gateway(redactor: &mut Redactor, asked: &Asked) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Ok(gateway) = &asked.gateway {
        redactor.hide(Kind::Gateway, &text(&gateway["id"]));
    }
    for (number, device) in (1..).zip(asked.devices()) {
        redactor.hide_numbered(Kind::Device, &text(&device["id"]), number);
        redactor.hide_numbered(Kind::Name, &text(&device["name"]), number);
        redactor.hide_numbered(Kind::Address, &text(&device["address"]), number);
    }
    for line in entries(&asked.lines, "lines") {
        for address in texts(&line["foreign"]) {
            redactor.hide(Kind::Address, address);
        }
    }
    for token in entries(&asked.tokens, "tokens") {
        redactor.hide(Kind::Name, &text(&token["name"]));
    }
}

fn of_config(redactor: &mut Redactor, config: &Value, devices: &[Value]) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for line in list(&config["line"]) {
        for device in list(&line["device"]) {
            let address = text(&device["address"]);
            let number = devices.iter().position(|of| same(&text(&of["address"]), &address));
            match number {
                Some(number) => redactor.hide_numbered(Kind::Address, &address, number + 1),
                None => redactor.hide(Kind::Address, &address),
            }
            redactor.hide(Kind::Name, &text(&device["name"]));
        }
        hide_host(redactor, &text(&line["port"]));
    }
    let mqtt = &config["mqtt"];
    redactor.hide(Kind::Topic, text(&mqtt["base"]).trim_end_matches(GATEWAY).trim_end_matches('/'));
    hide_host(redactor, &text(&mqtt["broker"]));
    redactor.hide(Kind::User, &text(&mqtt["user"]));
    for user in list(&mqtt["embedded"]["user"]) {
        redactor.hide(Kind::User, &text(&user["name"]));
    }
    for name in texts(&config["http"]["names"]).filter(|name| !is_here(name)) {
        redactor.hide(Kind::Host, name);
    }
    for url in texts(&config["http"]["cors_origins"]) {
        hide_host(redactor, url);
    }
}

/// The host of a URL; it is also named where no URL stands.
fn hide_host(redactor: &mut Redactor, url: &str) {
    if url.contains("://") {
        redactor.redact(url);
    }
}

/// Two spellings of one address: leading zeros and signs do not count.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        plain.trim_start_matches('0').to_ascii_lowercase()
    };
    !plain(other).is_empty() && plain(one) == plain(other)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whom_the_configuration_names_is_hidden_where_it_is_named_elsewhere() {
        let config = json!({
            "line": [{ "port": "tcp://attic:3333", "device": [{ "address": "4711", "name": "Kettle" }] }],
            "mqtt": { "broker": "mqtts://broker.smith.example:8883", "user": "josephine", "base": "smith/{gateway}",
                "embedded": { "user": [{ "name": "nodered" }] } },
            "http": { "names": ["box.smith.example"], "cors_origins": ["https://panel.smith.example"] },
        });
        let users = ["anna".to_owned()];
        let known = Known { config: Some(&config), host: Some("cellar"), users: &users, ..Known::default() };
        let told = "attic 4711 Kettle broker.smith.example josephine smith/x nodered box.smith.example \
                    panel.smith.example anna cellar";
        let clean = redactor(&known).redact(told);
        for original in told.split([' ', '/']).filter(|word| *word != "x") {
            assert!(!clean.contains(original), "{original} in {clean}");
        }
    }

    #[test]
    fn the_same_address_in_the_file_and_in_the_registry_is_the_same_device() {
        let devices = json!([{ "address": "1a777b" }, { "address": "000000004711" }]);
        let config = json!({ "line": [{ "device": [{ "address": "4711" }, { "address": "1A.77.7B" }] }] });
        let mut redactor = Redactor::default();
        of_config(&mut redactor, &config, devices.as_array().expect("a list"));
        assert_eq!(redactor.redact("4711 1A.77.7B"), "address-2 address-1");
    }
}
