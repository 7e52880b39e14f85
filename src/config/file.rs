//! The configuration file as written: its tables and keys, environment overrides, and where an error stands. Pure.
//!
//! Of a line and its devices it knows the keys that every dialect has; the others are kept for the dialect to read.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Prefix of environment variables that override keys: `PLUGLINE__HTTP__LISTEN`.
pub(super) const ENV_PREFIX: &str = "PLUGLINE__";

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File<'t> {
    pub(super) http: Http,
    pub(super) mqtt: Mqtt,
    #[serde(deserialize_with = "read_later")]
    pub(super) line: Vec<Line<'t>>,
    pub(super) store: Store,
    pub(super) site: Site,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Option<Spanned<String>>,
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) tls: Option<Spanned<String>>,
    pub(super) tls_cert_file: Option<Spanned<PathBuf>>,
    pub(super) tls_key_file: Option<Spanned<PathBuf>>,
    pub(super) names: Vec<Spanned<String>>,
    pub(super) cors_origins: Vec<Spanned<String>>,
    pub(super) proxies: Vec<Spanned<String>>,
    pub(super) reads_per_s: Option<Spanned<u32>>,
    pub(super) commands_per_s: Option<Spanned<u32>>,
    pub(super) streams_per_token: Option<Spanned<u32>>,
    pub(super) streams_per_address: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    pub(super) broker: Option<Spanned<String>>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) client_cert_file: Option<Spanned<PathBuf>>,
    pub(super) client_key_file: Option<Spanned<PathBuf>>,
    pub(super) base: Option<Spanned<String>>,
    pub(super) discovery_prefix: Option<Spanned<String>>,
    pub(super) embedded: Embedded,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Embedded {
    pub(super) listen: Option<Spanned<String>>,
    pub(super) user: Vec<User>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password_file: Spanned<PathBuf>,
}

/// A `[[line]]`.
#[derive(Debug)]
pub(super) struct Line<'t> {
    pub(super) common: LineKeys,
    /// What else stands in it.
    pub(super) keys: Keys<'t>,
    pub(super) device: Vec<Device<'t>>,
}

/// Keys of every line.
#[derive(Debug, Deserialize)]
pub(super) struct LineKeys {
    pub(super) name: Option<Spanned<String>>,
    pub(super) dialect: Spanned<String>,
    pub(super) port: Spanned<String>,
    pub(super) capture: Option<Spanned<PathBuf>>,
}

/// A `[[line.device]]`.
#[derive(Debug)]
pub(super) struct Device<'t> {
    pub(super) common: DeviceKeys,
    /// What else stands in it.
    pub(super) keys: Keys<'t>,
}

/// Keys of every device.
#[derive(Debug, Deserialize)]
pub(super) struct DeviceKeys {
    pub(super) address: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
}

impl DeviceKeys {
    /// Its name for people, if it has one.
    pub(super) fn called(&self) -> Option<&str> {
        self.name.as_ref().map(|name| name.get_ref().as_str())
    }
}

/// Names of the keys of [`LineKeys`].
pub(super) const LINE_KEYS: [&str; 4] = ["name", "dialect", "port", "capture"];
/// Names of the keys of [`DeviceKeys`].
pub(super) const DEVICE_KEYS: [&str; 2] = ["address", "name"];

/// Keys of one table that were not read yet.
#[derive(Clone, Debug)]
pub(super) struct Keys<'t>(Spanned<DeTable<'t>>);

impl Keys<'_> {
    /// Their names, each where it stands.
    pub(super) fn names(&self) -> impl Iterator<Item = Spanned<&str>> {
        let names = self.0.get_ref().iter();
        names.map(|(name, _)| Spanned::new(name.span(), name.get_ref().as_ref()))
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// [`ConfigError`] for keys that are missing and values of the wrong type.
    pub(super) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, ConfigError> {
        let table = toml::de::Deserializer::from(self.0.clone());
        T::deserialize(table).map_err(|error| from_toml(text, &error))
    }

    /// Takes keys out, as far as they are there.
    fn split_off(&mut self, names: &[&str]) -> Self {
        let mut taken = DeTable::new();
        for name in names {
            taken.extend(self.0.get_mut().remove_entry(*name));
        }
        Self(Spanned::new(self.0.span(), taken))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) dir: Option<PathBuf>,
    pub(super) keep_days: Option<Spanned<u32>>,
    pub(super) keep_mb: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Site {
    pub(super) timezone: Option<Spanned<String>>,
}

/// An error in the configuration: where it stands, what is wrong, the way out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{text}", position.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default())]
pub struct ConfigError {
    /// Line and column, from 1; `None` when it stands in no one place or came from the environment.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what is wanted.
    pub text: String,
}

impl ConfigError {
    pub(super) fn at<T>(text_of_file: &str, place: &Spanned<T>, text: impl Into<String>) -> Self {
        Self { position: Some(position(text_of_file, place.span().start)), text: text.into() }
    }

    pub(super) fn anywhere(text: impl Into<String>) -> Self {
        Self { position: None, text: text.into() }
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Reads the text of a file.
///
/// # Errors
/// [`ConfigError`] for bad TOML, unknown keys (with the nearest known one) and values of the wrong type. Keys of
/// dialects are not read yet.
pub(super) fn read(text: &str) -> Result<File<'_>, ConfigError> {
    let wrong = |error| from_toml(text, &error);
    let root = DeTable::parse(text).map_err(wrong)?;
    let lines = root.get_ref().get("line").cloned();
    let mut file = File::deserialize(toml::de::Deserializer::from(root)).map_err(wrong)?;
    for mut keys in lines.map_or_else(|| Ok(Vec::new()), |lines| tables(text, lines, "[[line]]"))? {
        let devices = keys.split_off(&["device"]).0.into_inner().into_iter().next();
        let common = keys.split_off(&LINE_KEYS).read(text)?;
        let mut device = Vec::new();
        for mut keys in
            devices.map_or_else(|| Ok(Vec::new()), |(_, devices)| tables(text, devices, "[[line.device]]"))?
        {
            device.push(Device { common: keys.split_off(&DEVICE_KEYS).read(text)?, keys });
        }
        file.line.push(Line { common, keys, device });
    }
    Ok(file)
}

fn read_later<'de, 't, D: Deserializer<'de>>(lines: D) -> Result<Vec<Line<'t>>, D::Error> {
    IgnoredAny::deserialize(lines).map(|_| Vec::new())
}

/// The tables of an array of tables.
fn tables<'t>(text: &str, array: Spanned<DeValue<'t>>, written: &str) -> Result<Vec<Keys<'t>>, ConfigError> {
    let wrong = |span: std::ops::Range<usize>| ConfigError {
        position: Some(position(text, span.start)),
        text: format!("wanted a table headed `{written}`"),
    };
    let span = array.span();
    let DeValue::Array(array) = array.into_inner() else { return Err(wrong(span)) };
    let table = |value: Spanned<DeValue<'t>>| match (value.span(), value.into_inner()) {
        (span, DeValue::Table(table)) => Ok(Keys(Spanned::new(span, table))),
        (span, _) => Err(wrong(span)),
    };
    array.into_iter().map(table).collect()
}

/// The variables that override keys.
pub(super) fn overrides(environment: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    environment.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect()
}

/// The text of a file as it would be with the overrides written into it; places in it are none of the file.
///
/// # Errors
/// [`ConfigError`] for bad TOML, and for variables that cannot name a key.
pub(super) fn merge(text: &str, overrides: &[(String, String)]) -> Result<String, ConfigError> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| from_toml(text, &error))?;
    for (name, value) in overrides {
        let path: Vec<String> = name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
        insert(&mut table, &path, value)
            .ok_or_else(|| ConfigError::anywhere(format!("{name}: names no key of a table")))?;
    }
    Ok(table.to_string())
}

fn insert(table: &mut toml::Table, path: &[String], value: &str) -> Option<()> {
    let (key, rest) = path.split_first()?;
    if rest.is_empty() {
        table.insert(key.clone(), scalar(value));
        return Some(());
    }
    let inner = table.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    insert(inner.as_table_mut()?, rest, value)
}

/// A number or a truth value where it reads as one, else text.
fn scalar(value: &str) -> toml::Value {
    if let Ok(number) = value.parse::<i64>() {
        return toml::Value::Integer(number);
    }
    match value {
        "true" => toml::Value::Boolean(true),
        "false" => toml::Value::Boolean(false),
        text => toml::Value::String(text.to_owned()),
    }
}

fn from_toml(text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message();
    let hint = nearest(message).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
    let position = error.span().map(|span| position(text, span.start));
    ConfigError { position, text: format!("{message}{hint}") }
}

/// For "unknown field `x`, expected …": the expected word that is nearest to `x`.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    let given = message.starts_with("unknown field").then(|| words.next()).flatten()?;
    words.max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)))
}

/// That nobody knows a key, with the nearest of those that are known.
pub(super) fn unknown(given: &str, known: &[&str]) -> String {
    let message = format!("unknown field `{given}`, expected one of {}", listed(known));
    let hint = nearest(&message).unwrap_or_default();
    format!("{message}; did you mean `{hint}`?")
}

/// Words between commas.
pub(super) fn listed(words: &[&str]) -> String {
    format!("`{}`", words.join("`, `"))
}

/// The nearest of `known` to a word that is none of them.
pub(super) fn suggest(given: &str, known: &[&str]) -> String {
    format!("`{given}` is not one of {}", listed(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> ConfigError {
        read(text).expect_err("it is wrong")
    }

    #[test]
    fn an_unknown_key_is_refused_where_it_stands_with_the_nearest_known_one() {
        let error = error_of("[http]\nlisten = \"127.0.0.1:0\"\n\n[mqtt]\nbrokr = \"embedded\"\n");
        assert_eq!(error.position, Some((5, 1)));
        assert!(error.text.ends_with("did you mean `broker`?"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_where_it_stands() {
        let error = error_of("[http]\nlisten = 8480\n");
        assert_eq!(error.position, Some((2, 10)), "{error}");
    }

    #[test]
    fn the_environment_beats_the_file_and_what_is_not_ours_is_left_alone() {
        let environment =
            [("PLUGLINE__HTTP__LISTEN", "127.0.0.1:1"), ("PLUGLINE_LOG", "debug"), ("HOME", "/")];
        let ours =
            overrides(environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter());
        let merged = merge("[http]\nlisten = \"127.0.0.1:2\"\n", &ours).expect("it is right");
        let file = read(&merged).expect("it is right");
        assert_eq!(file.http.listen.expect("it is set").get_ref(), "127.0.0.1:1");
    }
}
