//! Schemas (JSON Schema 2020-12) of everything the API takes and gives: beside the views of [`crate::json`], whose
//! answers are held against them by the tests.

use serde_json::{Map, Value, json};

use crate::access::Scope;
use crate::device::{QUANTITIES, QuantityRow};
use crate::http::forms::{
    clamped, command, count, cursor, device, flag, line, name, number, one_of, secret, start, text, time,
    token, within,
};
use crate::http::session::PATH_MAX;
use crate::http::tokens::LIVES_MAX_S;
use crate::http::wish::TTL_MAX_S;
use crate::hub::command::{IDENTIFY_MAX_S, STATES};
use crate::hub::groups::MEMBERS_MAX;
use crate::hub::joining::JOINING_MAX;

/// Members of an object; a name that ends in `?` may be absent.
type Members<'a> = &'a [(&'a str, Value)];

/// All schemas by their names.
pub(super) fn all() -> Map<String, Value> {
    [registry(), changes(), switching(), feed(), history(), about(), upkeep(), access()]
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// An object that answers may extend by members that clients ignore.
fn object(members: Members<'_>) -> Value {
    let required: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// An object that is refused with members that are not known.
fn body(members: Members<'_>) -> Value {
    let mut schema = object(members);
    schema["additionalProperties"] = false.into();
    schema
}

/// At least one member.
fn some(mut object: Value) -> Value {
    object["minProperties"] = 1.into();
    object
}

fn of(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn map(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn or_null(mut schema: Value) -> Value {
    match schema.get("type").and_then(Value::as_str).map(str::to_owned) {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn reading() -> Value {
    let of_row = |row: &QuantityRow| (row.json_name.to_owned(), json!({ "type": "number" }));
    let mut properties: Map<String, Value> = QUANTITIES.iter().map(of_row).collect();
    properties.insert("t".to_owned(), time());
    json!({ "type": "object", "required": ["t"], "properties": properties })
}

type Named = Vec<(&'static str, Value)>;

fn registry() -> Named {
    let option = json!({ "type": ["boolean", "string"] });
    vec![
        (
            "Device",
            object(&[
                ("id", device()),
                ("name", name()),
                ("line?", text()),
                ("dialect", text()),
                ("address?", text()),
                ("channel?", or_null(count())),
                ("model", or_null(text())),
                ("capabilities", list(text())),
                ("state", object(&[("relay", or_null(flag()))])),
                ("online", or_null(flag())),
                ("last_seen", or_null(time())),
                ("last_reading", or_null(of("Reading"))),
                ("groups", list(text())),
                ("members?", list(text())),
                ("options", map(option.clone())),
            ]),
        ),
        ("Devices", object(&[("devices", list(of("Device")))])),
        ("Reading", reading()),
    ]
}

/// What changes the registry, and what comes of it.
fn changes() -> Named {
    let members = json!({ "type": "array", "items": device(), "maxItems": MEMBERS_MAX, "uniqueItems": true });
    vec![
        (
            "NewDevice",
            body(&[
                ("line", line()),
                ("address", text()),
                ("channel?", or_null(within(1, 255))),
                ("name?", name()),
            ]),
        ),
        (
            "DeviceChange",
            some(body(&[
                ("name?", name()),
                ("options?", map(json!({ "type": ["boolean", "string", "null"] }))),
            ])),
        ),
        ("Replacement", body(&[("address", text())])),
        (
            "Joining",
            object(&[
                ("line", text()),
                ("open", flag()),
                ("opened_at", time()),
                ("closes_at", time()),
                ("joined", list(text())),
                ("code?", text()),
                ("error?", of("Trouble")),
            ]),
        ),
        ("Joinings", object(&[("joining", list(of("Joining")))])),
        (
            "NewJoining",
            body(&[("line?", line()), ("seconds?", within(1, JOINING_MAX.as_secs())), ("code?", text())]),
        ),
        ("Groups", object(&[("groups", list(of("Device")))])),
        ("NewGroup", body(&[("name", name()), ("members", members.clone())])),
        ("GroupChange", some(body(&[("name?", name()), ("members?", members)]))),
        ("Trouble", object(&[("code", text()), ("detail", text())])),
    ]
}

fn switching() -> Named {
    let states: Vec<&str> = STATES.iter().map(|(_, word)| *word).collect();
    vec![
        (
            "Command",
            object(&[
                ("id", command()),
                ("device", text()),
                ("command", one_of(&["switch", "read", "identify"])),
                ("args", json!({ "type": "object" })),
                ("state", one_of(&states)),
                ("version", count()),
                ("attempts", count()),
                ("outcome?", one_of(&["not_applied", "unknown"])),
                ("error?", of("Trouble")),
                ("created_at", time()),
                ("expires_at", time()),
                ("times", map(time())),
                ("requested_by", text()),
                ("idempotency_key?", text()),
                ("members?", list(of("CommandPart"))),
                ("cause?", text()),
                ("part_of?", text()),
            ]),
        ),
        (
            "CommandPart",
            object(&[
                ("device", text()),
                ("command", text()),
                ("state", one_of(&states)),
                ("outcome?", one_of(&["not_applied", "unknown"])),
                ("error?", of("Trouble")),
            ]),
        ),
        (
            "NewCommand",
            json!({ "oneOf": [
                wish(&["switch"], &[("args", body(&[("on", flag())]))]),
                wish(&["toggle", "read"], &[("args?", body(&[]))]),
                wish(&["identify"], &[("args?", body(&[("seconds?", within(1, IDENTIFY_MAX_S.into()))]))]),
            ] }),
        ),
    ]
}

/// The body of a command.
fn wish(commands: &[&str], args: Members<'_>) -> Value {
    let ttl_s = ("ttl_s?", within(1, TTL_MAX_S));
    body(&[&[("command", one_of(commands))], args, &[ttl_s]].concat())
}

fn feed() -> Named {
    let event = json!({
        "type": "object",
        "required": ["id", "t", "kind", "gateway", "data"],
        "properties": {
            "id": cursor(), "t": time(), "kind": text(), "gateway": text(), "device": text(),
            "data": { "type": "object" },
            "late": flag(), "estimated": flag(), "t_estimated": flag(),
        },
    });
    let names =
        json!({ "type": "array", "items": { "type": "string", "pattern": "^[^,]+$" }, "minItems": 1 });
    vec![
        (
            "EventsQuestion",
            body(&[
                ("after?", start()),
                ("wait?", clamped()),
                ("limit?", clamped()),
                ("device?", names.clone()),
                ("kind?", names),
                ("strict?", flag()),
                ("snapshot?", flag()),
            ]),
        ),
        ("Event", event),
        (
            "Events",
            object(&[
                ("epoch", text()),
                ("cursor", cursor()),
                ("oldest", cursor()),
                ("latest", cursor()),
                ("more", flag()),
                ("events", list(of("Event"))),
            ]),
        ),
        (
            "Snapshot",
            object(&[
                ("cursor", cursor()),
                ("taken_at", time()),
                ("gateway", of("Gateway")),
                ("devices", list(of("Device"))),
                ("commands", list(of("Command"))),
            ]),
        ),
    ]
}

/// Who asks, and what for.
fn access() -> Named {
    let scope = one_of(&Scope::ALL.map(Scope::name));
    let ids = json!({ "type": "array", "items": device(), "minItems": 1, "maxItems": 256 });
    let holder = object(&[("id", text()), ("name", text())]);
    let token = [
        ("id", token()),
        ("name", name()),
        ("scopes", list(scope.clone())),
        ("devices", or_null(list(text()))),
        ("created_at", time()),
        ("created_by", text()),
        ("expires_at", or_null(time())),
        ("last_used_at", or_null(time())),
        ("retires_at?", time()),
    ];
    let told = ("token", secret());
    let path = json!({ "type": "string", "pattern": r##"^/[!"$->@-~]*$"##, "maxLength": PATH_MAX });
    let session = [
        ("open", flag()),
        ("scopes", list(scope.clone())),
        ("token", or_null(holder.clone())),
        ("devices", or_null(list(text()))),
        ("expires_at?", time()),
    ];
    let new = [
        ("name", name()),
        ("scope", scope),
        ("devices?", or_null(ids)),
        ("expires_in_s?", or_null(within(1, LIVES_MAX_S))),
    ];
    let entry = [
        ("t", time()),
        ("by", json!({ "anyOf": [text(), holder] })),
        ("action", text()),
        ("target?", text()),
        ("command?", text()),
        ("outcome?", text()),
    ];
    vec![
        ("Session", object(&session)),
        ("SignIn", body(&[("token", secret())])),
        ("NewTicket", body(&[("path", path)])),
        ("Ticket", object(&[("ticket", text()), ("path", text()), ("expires_at", time())])),
        ("Token", object(&token)),
        ("Tokens", object(&[("tokens", list(of("Token")))])),
        ("NewToken", body(&new)),
        ("MadeToken", object(&[&token[..], &[told]].concat())),
        ("AuditEntry", object(&entry)),
        ("Audit", object(&[("entries", list(of("AuditEntry")))])),
    ]
}

fn about() -> Named {
    let line: [(&str, Value); 5] = [
        ("port", flag()),
        ("port_error?", text()),
        ("modem", or_null(flag())),
        ("last_heard", or_null(time())),
        ("malformed", map(count())),
    ];
    let option = object(&[("allowed", list(json!({ "type": ["boolean", "string"] }))), ("about", text())]);
    let told: [(&str, Value); 3] =
        [("joins", list(text())), ("options", map(option)), ("foreign", list(text()))];
    vec![
        ("LineHealth", object(&line)),
        ("Line", object(&[&line[..], &told[..]].concat())),
        ("Lines", object(&[("lines", list(of("NamedLine")))])),
        ("NamedLine", object(&[&[("line", text()), ("dialect", text())], &line[..], &told[..]].concat())),
        (
            "Gateway",
            object(&[
                ("id", text()),
                ("version", text()),
                ("started_at", time()),
                ("feed", object(&[("epoch", text()), ("oldest", cursor()), ("latest", cursor())])),
                ("lines", map(of("Line"))),
            ]),
        ),
        ("Live", object(&[("status", one_of(&["ok"]))])),
        (
            "Health",
            object(&[
                ("status", one_of(&["ok", "degraded"])),
                (
                    "parts?",
                    json!({
                        "type": "object",
                        "properties": { "lines": map(of("LineHealth")) },
                        "additionalProperties": flag(),
                    }),
                ),
                ("details?", map(text())),
            ]),
        ),
        ("Document", json!({ "type": "object", "required": ["openapi"] })),
        (
            "Problem",
            object(&[
                ("type", text()),
                ("title", text()),
                ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599 })),
                ("detail", text()),
                ("field?", text()),
                ("allowed?", json!({})),
                ("reason?", text()),
            ]),
        ),
    ]
}

/// The box: its configuration, its log.
fn upkeep() -> Named {
    let passphrase = json!({ "type": "string", "minLength": 1 });
    vec![
        (
            "Configuration",
            object(&[
                ("file", or_null(text())),
                ("values", json!({ "type": "object" })),
                ("overridden", map(text())),
                ("restart_needed", flag()),
            ]),
        ),
        (
            "ConfigurationChange",
            body(
                &["http?", "mqtt?", "line?", "store?", "site?"]
                    .map(|part| (part, json!({ "type": "object" }))),
            ),
        ),
        ("BackupWish", body(&[("passphrase?", passphrase.clone())])),
        ("Restore", body(&[("backup", text()), ("passphrase?", passphrase), ("configuration?", flag())])),
        (
            "Restoring",
            object(&[
                ("restarting", flag()),
                ("gateway", text()),
                ("made", text()),
                ("devices", count()),
                ("configuration", flag()),
            ]),
        ),
        ("Restarting", object(&[("restarting", flag())])),
        ("Log", object(&[("entries", list(of("LogLine"))), ("next", count())])),
        (
            "LogLine",
            object(&[
                ("n", count()),
                ("t", time()),
                ("level", text()),
                ("target", text()),
                ("message", text()),
            ]),
        ),
    ]
}

/// What was measured, and how well it came.
fn history() -> Named {
    vec![
        (
            "Readings",
            object(&[
                ("device", text()),
                ("from", time()),
                ("to", time()),
                ("step_s", or_null(count())),
                ("columns", list(text())),
                ("rows", list(list(json!({ "type": ["string", "number", "null"] })))),
                ("more", flag()),
                ("cursor?", text()),
                ("next?", text()),
            ]),
        ),
        ("Erased", object(&[("erased", count())])),
        (
            "Quality",
            object(&[
                ("line", text()),
                ("hours", list(of("QualityHour"))),
                ("devices", list(of("DeviceQuality"))),
                ("links", list(of("Link"))),
            ]),
        ),
        (
            "QualityHour",
            object(&[("t", time()), ("heard", count()), ("malformed", count()), ("unanswered", count())]),
        ),
        (
            "DeviceQuality",
            object(&[
                ("device", text()),
                ("heard", count()),
                ("expected", or_null(count())),
                ("missed", count()),
                ("attempts", count()),
                ("last_heard", or_null(time())),
                ("snr_db?", number()),
                ("level_db?", number()),
                ("hops?", number()),
            ]),
        ),
        ("Link", object(&[("from", text()), ("to", text()), ("seen", count()), ("snr_db?", number())])),
        ("Energy", object(&[("device", text()), ("timezone", text()), ("days", list(of("EnergyDay")))])),
        (
            "EnergyDay",
            object(&[
                ("date", json!({ "type": "string", "format": "date" })),
                ("energy_kwh?", number()),
                ("energy_export_kwh?", number()),
                ("partial?", flag()),
                ("estimated?", flag()),
            ]),
        ),
    ]
}
