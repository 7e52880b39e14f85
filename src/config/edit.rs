//! The configuration as JSON: what is in effect, and changes written into the text with its comments kept. Pure.

use serde_json::{Map, Value};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table};

use super::file::{ENV_PREFIX, merge, overrides};
use super::{ConfigError, DEFAULT_BROKER, DEFAULT_HTTP, DEFAULT_STATE_DIR};

/// What stands for a secret.
const HIDDEN: &str = "…";

/// Words in the name of a key whose value is nobody's business. A file's name may be known.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "key"];

/// A change that cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// The text is no TOML.
    #[error("{0}")]
    Text(String),
    /// A key cannot hold that.
    #[error("`{key}` cannot be {got}")]
    Value {
        /// Which, with dots.
        key: String,
        /// What came.
        got: String,
    },
}

/// The variables that override keys, of all.
#[must_use]
pub fn overriding(environment: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    overrides(environment)
}

/// Keys that the environment overrides, with dots, and their variables.
pub fn overridden(environment: &[(String, String)]) -> impl Iterator<Item = (String, &str)> {
    let ours = environment.iter().filter(|(name, _)| name.starts_with(ENV_PREFIX));
    ours.map(|(name, _)| (name[ENV_PREFIX.len()..].to_ascii_lowercase().replace("__", "."), name.as_str()))
}

/// What is in effect: defaults under the file under the environment. Secrets are hidden.
///
/// # Errors
/// [`ConfigError`] for text that is no TOML, and variables that name no key.
pub fn effective(text: &str, environment: &[(String, String)]) -> Result<Value, ConfigError> {
    let merged = merge(text, &overrides(environment.iter().cloned()))?;
    let wrong = |error: toml::de::Error| ConfigError::anywhere(error.message().to_owned());
    let table: toml::Table = toml::from_str(&merged).map_err(wrong)?;
    let mut values = defaults();
    lay_over(&mut values, serde_json::to_value(table).unwrap_or_default());
    hide(&mut values, "");
    Ok(values)
}

fn defaults() -> Value {
    serde_json::json!({
        "http": { "listen": DEFAULT_HTTP },
        "mqtt": { "broker": "embedded", "embedded": { "listen": DEFAULT_BROKER } },
        "store": { "dir": DEFAULT_STATE_DIR },
        "line": [],
    })
}

fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn hide(value: &mut Value, key: &str) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| hide(value, key)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Value::String(text) => {
            if !key.ends_with("_file") && SECRET_WORDS.iter().any(|word| key.contains(word)) {
                HIDDEN.clone_into(text);
            } else if let Some((scheme, rest)) = text.split_once("://")
                && let Some((_, host)) = rest.rsplit_once('@')
            {
                *text = format!("{scheme}://{HIDDEN}@{host}");
            }
        }
        _ => {}
    }
}

/// Writes changes into the text of a file. An object goes into the table of its name, `null` takes a key out, and
/// `line` holds lines by their names. What is not named stays as it is, comments and order included.
///
/// # Errors
/// [`BadChange`]; whether the outcome is a good configuration is another question.
pub fn edited(text: &str, changes: &Map<String, Value>) -> Result<String, BadChange> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| BadChange::Text(error.to_string()))?;
    for (name, change) in changes {
        match (name.as_str(), change) {
            ("line", Value::Object(lines)) => change_lines(document.as_table_mut(), lines)?,
            (_, Value::Object(_)) => put(document.as_table_mut(), name, change, name)?,
            (_, other) => return Err(bad(name, other)),
        }
    }
    Ok(document.to_string())
}

fn bad(key: &str, got: &Value) -> BadChange {
    BadChange::Value { key: key.to_owned(), got: got.to_string().chars().take(60).collect() }
}

fn put(table: &mut Table, name: &str, change: &Value, path: &str) -> Result<(), BadChange> {
    match change {
        Value::Null => {
            table.remove(name);
        }
        Value::Object(members) => {
            let item = table.entry(name).or_insert_with(|| {
                let mut fresh = Table::new();
                fresh.set_implicit(false);
                Item::Table(fresh)
            });
            // An inline table grows into one of its own: its keys have places for comments.
            if let Item::Value(toml_edit::Value::InlineTable(inline)) = item {
                *item = Item::Table(std::mem::take(inline).into_table());
            }
            let inner = item.as_table_mut().ok_or_else(|| bad(path, change))?;
            for (key, value) in members {
                put(inner, key, value, &format!("{path}.{key}"))?;
            }
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            let mut tables = ArrayOfTables::new();
            for members in items.iter().filter_map(Value::as_object) {
                let mut fresh = Table::new();
                for (key, value) in members {
                    put(&mut fresh, key, value, &format!("{path}.{key}"))?;
                }
                tables.push(fresh);
            }
            table.insert(name, Item::ArrayOfTables(tables));
        }
        plain => {
            let mut new = scalar(plain).ok_or_else(|| bad(path, plain))?;
            match table.get_mut(name) {
                Some(Item::Value(old)) => {
                    *new.decor_mut() = old.decor().clone();
                    *old = new;
                }
                _ => {
                    table.insert(name, Item::Value(new));
                }
            }
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Bool(flag) => (*flag).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => {
            match number.as_i64().or_else(|| i64::try_from(crate::json::whole(value)?).ok()) {
                Some(whole) => whole.into(),
                None => number.as_f64()?.into(),
            }
        }
        Value::Array(items) => items.iter().map(scalar).collect::<Option<Array>>()?.into(),
        Value::Object(members) => {
            let mut inline = InlineTable::new();
            for (key, value) in members {
                inline.insert(key, scalar(value)?);
            }
            inline.into()
        }
        Value::Null => return None,
    })
}

/// Lines by their names: an object changes one or makes one, `null` takes it out.
fn change_lines(root: &mut Table, lines: &Map<String, Value>) -> Result<(), BadChange> {
    let item = root.entry("line").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let wrong = || BadChange::Value { key: "line".to_owned(), got: "anything but [[line]]".to_owned() };
    let tables = item.as_array_of_tables_mut().ok_or_else(wrong)?;
    for (name, change) in lines {
        // A line without a name has its dialect's.
        let named = |table: &Table| {
            table.get("name").or_else(|| table.get("dialect")).and_then(Item::as_str) == Some(name)
        };
        let at = tables.iter().position(named);
        match (change, at) {
            (Value::Null, Some(at)) => {
                tables.remove(at);
            }
            (Value::Null, None) => {}
            (Value::Object(members), at) => {
                if at.is_none() {
                    let mut fresh = Table::new();
                    fresh.insert("name", toml_edit::value(name.as_str()));
                    tables.push(fresh);
                }
                let at = at.unwrap_or(tables.len() - 1);
                let Some(table) = tables.get_mut(at) else { continue };
                for (key, value) in members {
                    put(table, key, value, &format!("line.{name}.{key}"))?;
                }
            }
            (other, _) => return Err(bad(&format!("line.{name}"), other)),
        }
    }
    if tables.is_empty() {
        root.remove("line");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(text: &str, changes: &Value) -> Result<String, BadChange> {
        edited(text, changes.as_object().expect("an object"))
    }

    const FILE: &str = "# the attic's box\n[http]\nlisten = \"127.0.0.1:8480\" # behind nginx\n\n[mqtt]\n# ours\nbroker = \"embedded\"\nembedded = { listen = \"127.0.0.1:1883\" }\n\n[[line]]\ndialect = \"dlt645\" # the meter\nport = \"/dev/a\"\n";

    #[test]
    fn a_change_touches_its_key_alone() {
        let got =
            changed(FILE, &json!({"http": {"listen": "127.0.0.1:1"}, "line": {"dlt645": {"baud": 9600}}}));
        let wanted = FILE.replace("8480", "1") + "baud = 9600\n";
        assert_eq!(got.as_deref(), Ok(wanted.as_str()));
        assert_eq!(changed(FILE, &json!({})).as_deref(), Ok(FILE));
    }

    #[test]
    fn keys_are_taken_out_and_tables_and_lines_are_made() {
        let got = changed(
            FILE,
            &json!({"mqtt": {"broker": null}, "site": {"timezone": "Europe/Paris"},
            "line": {"dlt645": null, "cellar": {"dialect": "insteon", "port": "/dev/b"}}}),
        );
        let got = got.expect("it can be written");
        let parsed: toml::Table = toml::from_str(&got).expect("it is TOML");
        assert_eq!(
            serde_json::to_value(&parsed).expect("JSON"),
            json!({"http": {"listen": "127.0.0.1:8480"}, "mqtt": {"embedded": {"listen": "127.0.0.1:1883"}},
                "site": {"timezone": "Europe/Paris"},
                "line": [{"name": "cellar", "dialect": "insteon", "port": "/dev/b"}]})
        );
        assert!(got.starts_with("# the attic's box\n") && got.contains("# behind nginx"), "{got}");
    }

    #[test]
    fn an_inline_table_is_changed_and_a_list_of_tables_is_written() {
        let got = changed(
            FILE,
            &json!({"mqtt": {"embedded": {"listen": "127.0.0.1:2", "user": [{"name": "ha", "password_file": "x"}]}}}),
        );
        let parsed: toml::Table = toml::from_str(&got.expect("it can be written")).expect("it is TOML");
        let embedded = serde_json::to_value(&parsed["mqtt"]["embedded"]).expect("JSON");
        assert_eq!(
            embedded,
            json!({"listen": "127.0.0.1:2", "user": [{"name": "ha", "password_file": "x"}]})
        );
    }

    #[test]
    fn what_no_key_can_hold_is_refused_by_its_name() {
        for (change, key) in [
            (json!({"http": 3}), "http"),
            (json!({"line": [1]}), "line"),
            (json!({"line": {"a": 1}}), "line.a"),
            (json!({"http": {"listen": {"a": 1}}}), "http.listen"),
            (json!({"http": {"names": [null]}}), "http.names"),
        ] {
            let Err(BadChange::Value { key: got, .. }) = changed(FILE, &change) else { panic!("{change}") };
            assert_eq!(got, key);
        }
        assert!(matches!(changed("= 3", &json!({})), Err(BadChange::Text(_))));
    }

    #[test]
    fn what_is_in_effect_holds_defaults_and_overrides_and_no_secret() {
        let text =
            "[mqtt]\nbroker = \"mqtts://me:hush@host\"\npassword_file = \"/run/p\"\npassword = \"hush\"\n";
        let environment = [("PLUGLINE__HTTP__LISTEN".to_owned(), "127.0.0.1:7".to_owned())];
        let values = effective(text, &environment).expect("it reads");
        assert!(!values.to_string().contains("hush"), "{values}");
        assert_eq!(values["http"]["listen"], "127.0.0.1:7");
        assert_eq!(
            (&values["mqtt"]["broker"], &values["mqtt"]["password"]),
            (&json!("mqtts://…@host"), &json!("…"))
        );
        assert_eq!(
            (&values["mqtt"]["password_file"], &values["store"]["dir"]),
            (&json!("/run/p"), &json!(DEFAULT_STATE_DIR))
        );
        let told: Vec<_> = overridden(&environment).collect();
        assert_eq!(told, [("http.listen".to_owned(), "PLUGLINE__HTTP__LISTEN")]);
    }
}
