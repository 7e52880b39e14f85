//! The configuration, validated once into types; nothing re-checks it later. Reading files is the caller's.
//!
//! Spec: README, Configuration. Every error names the line, the column, the reason and the way out.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;

mod dialects;
pub mod edit;
mod file;
mod http;
mod place;
mod tls;

pub use dialects::{Dialect, LineConfig, Shown, note};
pub use file::ConfigError;
pub use http::{HttpKeys, HttpTls};
pub use place::{AS_RECORDED, Pace, Place};

use crate::device::LineName;
use crate::mqtt::settings::{Address, BadAddress, BrokerChoice, Login, Secret, Settings};
use crate::mqtt::topics;
use crate::site::Site;

/// State folder unless the configuration says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/plugline";

const DEFAULT_HTTP: &str = "127.0.0.1:8480";
/// Fewer would lock out the page and the command line beside a few readers.
const CONNECTIONS_MIN: usize = 16;
/// A gateway that more than this read has a relay in front of it.
const CONNECTIONS_MAX: usize = 100_000;
/// A week: longer than a holiday without a look at the house, and small on a memory card.
const KEEP_DAYS: u32 = 7;
const KEEP_MB: u32 = 200;
const DEFAULT_BROKER: &str = "127.0.0.1:1883";

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the HTTP API listens; beyond loopback only over TLS.
    pub http_listen: SocketAddr,
    /// HTTP connections held at once; `None`: as many as the API holds by default.
    pub http_connections: Option<usize>,
    /// What else is said of the HTTP API.
    pub http: HttpKeys,
    /// The broker and the topics.
    pub mqtt: Settings,
    /// The lines, in order.
    pub lines: Vec<LineConfig>,
    /// The time zone of the house.
    pub site: Site,
    /// The feed's log loses what is older than this, 1 … 3,650 days.
    pub keep_days: u32,
    /// A larger log loses its oldest part, 10 … 100,000 MB.
    pub keep_mb: u32,
    /// Registry, log, everything that is kept.
    pub store_dir: PathBuf,
    /// How many times as fast as the clock the gateway lives: 1, but for demonstrations on a simulated house that is
    /// as fast. No file can set it.
    pub speed: f64,
    /// Whoever runs it shows the first token to the person who started it; otherwise none is made. No file can set it.
    pub shows_first_token: bool,
}

/// Reads a file that the configuration names.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What validation needs of the world.
struct Context<'a> {
    text: &'a str,
    read: ReadFile<'a>,
}

impl Context<'_> {
    fn wrong<T>(&self, place: &Spanned<T>, text: impl Into<String>) -> ConfigError {
        ConfigError::at(self.text, place, text)
    }

    /// The first line of a file with a secret.
    fn secret(&self, path: &Spanned<PathBuf>) -> Result<String, ConfigError> {
        let shown = path.get_ref().display();
        let text =
            (self.read)(path.get_ref()).map_err(|error| self.wrong(path, format!("{shown}: {error}")))?;
        let secret = text.lines().next().unwrap_or_default().to_owned();
        if secret.is_empty() {
            return Err(self.wrong(path, format!("{shown} is empty; its first line is the password")));
        }
        Ok(secret)
    }

    fn address(&self, given: Option<&Spanned<String>>, default: &str) -> Result<SocketAddr, ConfigError> {
        let Some(given) = given else {
            return Ok(default.parse().expect("defaults are addresses"));
        };
        let text = given.get_ref();
        text.parse().map_err(|_| {
            self.wrong(given, format!("`{text}` is no address and port; for example \"{default}\""))
        })
    }
}

impl Config {
    /// Reads and validates a configuration, with the environment's overrides.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
        read: ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        let overrides = file::overrides(environment);
        if overrides.is_empty() {
            return Self::validated(text, read);
        }
        Self::validated(&file::merge(text, &overrides)?, read).map_err(|error| {
            match Self::validated(text, read) {
                // The file's own mistake, whatever the environment adds: it stands in the file.
                Err(own) if own.text == error.text => own,
                _ => {
                    let names: Vec<&str> = overrides.iter().map(|(name, _)| name.as_str()).collect();
                    ConfigError::anywhere(format!(
                        "{} (with {} from the environment)",
                        error.text,
                        names.join(", ")
                    ))
                }
            }
        })
    }

    fn validated(text: &str, read: ReadFile<'_>) -> Result<Self, ConfigError> {
        let file = file::read(text)?;
        let context = Context { text, read };
        let http_listen = context.address(file.http.listen.as_ref(), DEFAULT_HTTP)?;
        let http = http::keys(&context, &file.http)?;
        let in_the_clear = matches!(http.tls, HttpTls::Off) && !http_listen.ip().is_loopback();
        if let Some(listen) = file.http.listen.as_ref().filter(|_| in_the_clear) {
            return Err(context.wrong(
                listen,
                "beyond loopback (127.0.0.1 or [::1]) tokens would pass in the clear; set `tls = \"self_signed\"` or \
                 a certificate of your own, or leave the network to a proxy or an ssh tunnel",
            ));
        }
        Ok(Self {
            http_listen,
            http_connections: connections(&context, file.http.connections.as_ref())?,
            http,
            mqtt: mqtt_settings(&context, &file.mqtt)?,
            lines: lines(&context, &file.line)?,
            site: site(&context, file.site.timezone.as_ref())?,
            keep_days: within(&context, file.store.keep_days.as_ref(), (KEEP_DAYS, 1..=3650, "days"))?,
            keep_mb: within(&context, file.store.keep_mb.as_ref(), (KEEP_MB, 10..=100_000, "MB"))?,
            store_dir: file.store.dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            speed: 1.0,
            shows_first_token: false,
        })
    }
}

fn connections(context: &Context<'_>, given: Option<&Spanned<usize>>) -> Result<Option<usize>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    let allowed = CONNECTIONS_MIN..=CONNECTIONS_MAX;
    if !allowed.contains(given.get_ref()) {
        let text = format!(
            "{} connections; from {CONNECTIONS_MIN} to {CONNECTIONS_MAX} are possible",
            given.get_ref()
        );
        return Err(context.wrong(given, text));
    }
    Ok(Some(*given.get_ref()))
}

fn within(
    context: &Context<'_>,
    given: Option<&Spanned<u32>>,
    (default, allowed, unit): (u32, RangeInclusive<u32>, &str),
) -> Result<u32, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    if !allowed.contains(given.get_ref()) {
        let (low, high) = (allowed.start(), allowed.end());
        let text = format!("{} {unit}; from {low} to {high} are possible", given.get_ref());
        return Err(context.wrong(given, text));
    }
    Ok(*given.get_ref())
}

fn site(context: &Context<'_>, zone: Option<&Spanned<String>>) -> Result<Site, ConfigError> {
    let Some(zone) = zone else { return Ok(Site::of_system()) };
    let text = format!("`{}` is no time zone; they have names such as \"Europe/Paris\"", zone.get_ref());
    Site::named(zone.get_ref()).ok_or_else(|| context.wrong(zone, text))
}

fn lines(context: &Context<'_>, lines: &[file::Line<'_>]) -> Result<Vec<LineConfig>, ConfigError> {
    let mut names: BTreeSet<LineName> = BTreeSet::new();
    let mut ports: BTreeSet<&str> = BTreeSet::new();
    let mut files: BTreeSet<&Path> = BTreeSet::new();
    let mut called: BTreeSet<&str> = BTreeSet::new();
    let mut configs = Vec::new();
    for line in lines {
        let config = dialects::line(context, line)?;
        let keys = &line.common;
        if let Some(capture) = &keys.capture {
            recording(context, capture, &config.port)?;
            if !files.insert(capture.get_ref()) {
                return Err(context.wrong(capture, "another line is recorded there already"));
            }
        }
        if !ports.insert(keys.port.get_ref()) {
            let text = format!("port `{}` belongs to another line already", keys.port.get_ref());
            return Err(context.wrong(&keys.port, text));
        }
        if !names.insert(config.name.clone()) {
            let text = format!("a line is called `{}` already; give each a `name`", config.name);
            return Err(context.wrong(keys.name.as_ref().unwrap_or(&keys.dialect), text));
        }
        for name in line.device.iter().filter_map(|device| device.common.name.as_ref()) {
            if !called.insert(name.get_ref()) {
                let text = format!("another device is called `{}` already", name.get_ref());
                return Err(context.wrong(name, text));
            }
        }
        configs.push(config);
    }
    Ok(configs)
}

fn recording(context: &Context<'_>, capture: &Spanned<PathBuf>, port: &Place) -> Result<(), ConfigError> {
    if capture.get_ref().file_name().is_none() {
        return Err(context.wrong(capture, "capture is the file that the line is recorded into"));
    }
    if matches!(port, Place::Replay { file, .. } if file == capture.get_ref()) {
        return Err(context.wrong(capture, "this is the recording that the line is replayed from"));
    }
    Ok(())
}

fn mqtt_settings(context: &Context<'_>, mqtt: &file::Mqtt) -> Result<Settings, ConfigError> {
    let broker = match &mqtt.broker {
        None => embedded(context, &mqtt.embedded)?,
        Some(broker) if broker.get_ref() == "embedded" => embedded(context, &mqtt.embedded)?,
        Some(url) => {
            let mut address: Address =
                url.get_ref().parse().map_err(|error: BadAddress| context.wrong(url, error.to_string()))?;
            let password = mqtt.password_file.as_ref().map(|path| context.secret(path)).transpose()?;
            if let Some(user) = &mqtt.user {
                let password = Secret(password.unwrap_or_default());
                address.login = Some(Login { user: user.clone(), password });
            }
            if let Some(settings) = &mut address.tls {
                *settings = tls::settings(context, mqtt)?;
            }
            BrokerChoice::External(address)
        }
    };
    tls::check_wanted(context, mqtt, &broker)?;
    let mut settings = Settings::new(broker);
    if let Some(base) = &mqtt.base {
        topic(context, base)?;
        settings.base.clone_from(base.get_ref());
    }
    if let Some(prefix) = &mqtt.discovery_prefix {
        topic(context, prefix)?;
        settings.discovery_prefix.clone_from(prefix.get_ref());
    }
    Ok(settings)
}

fn topic(context: &Context<'_>, given: &Spanned<String>) -> Result<(), ConfigError> {
    topics::check_base(given.get_ref()).map_err(|error| context.wrong(given, error.to_string()))
}

fn embedded(context: &Context<'_>, embedded: &file::Embedded) -> Result<BrokerChoice, ConfigError> {
    let listen = context.address(embedded.listen.as_ref(), DEFAULT_BROKER)?;
    let users = embedded.user.iter().map(|user| {
        let password = Secret(context.secret(&user.password_file)?);
        Ok(Login { user: user.name.clone(), password })
    });
    let users: Vec<_> = users.collect::<Result<_, _>>()?;
    if let Some(given) = embedded.listen.as_ref().filter(|_| !listen.ip().is_loopback() && users.is_empty()) {
        return Err(context.wrong(
            given,
            format!(
                "the broker would let anybody who reaches {listen} switch the sockets; add [[mqtt.embedded.user]] \
                 with name and password_file, or listen on 127.0.0.1"
            ),
        ));
    }
    Ok(BrokerChoice::Embedded { listen, users })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("secret") => Ok("020637\nnot this line\n".to_owned()),
            Some("empty") => Ok(String::new()),
            Some("labels") => {
                Ok("# kitchen\nPLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y6 # fridge\n\n".to_owned())
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, std::iter::empty(), &files)
    }

    /// What `read` makes of the first line of a text.
    pub(super) fn with_context<T>(
        text: &str,
        read: impl FnOnce(&Context<'_>, &file::Line<'_>) -> Result<T, ConfigError>,
    ) -> T {
        let file = file::read(text).expect("it is right");
        read(&Context { text, read: &files }, &file.line[0]).expect("it is right")
    }

    pub(super) fn refused(text: &str, position: (usize, usize), part: &str) {
        let error = parse(text).expect_err(text);
        assert_eq!(error.position, Some(position), "{error}");
        assert!(error.text.contains(part), "{error}");
    }

    const LINE: &str = "[[line]]\ndialect = \"dlt645\"\nport = \"/dev/ttyUSB0\"\n";

    #[test]
    fn an_empty_configuration_is_the_defaults() {
        let config = parse("").expect("it is right");
        assert_eq!(config.http_listen.to_string(), "127.0.0.1:8480");
        assert_eq!(config.store_dir, PathBuf::from(DEFAULT_STATE_DIR));
        assert!(config.lines.is_empty());
    }

    #[test]
    fn a_mistake_of_the_environment_names_the_variable_and_one_of_the_file_its_place() {
        let with = |text: &str, name: &str| {
            let environment = [(name.to_owned(), "here".to_owned())];
            Config::parse(text, environment.into_iter(), &|_| Err(io::ErrorKind::NotFound.into()))
                .expect_err("it is wrong")
        };
        for name in ["PLUGLINE__HTTP__LISTEN", "PLUGLINE__HTTP__LISTN", "PLUGLINE__HTTP"] {
            let error = with("# nothing\n\n[http]\n", name);
            assert_eq!(error.position, None, "{error}");
            assert!(error.text.contains(name), "{error}");
        }
        let error = with("# nothing\n\n[http]\nlisten = \"x\"\n", "PLUGLINE__MQTT__BASE");
        assert_eq!(error.position, Some((4, 10)), "{error}");
    }

    #[test]
    fn a_line_takes_its_dialects_name() {
        for dialect in ["dlt645", "insteon"] {
            let config = parse(&LINE.replace("dlt645", dialect)).expect("it is right");
            assert_eq!((config.lines[0].name.as_str(), config.lines[0].dialect.name()), (dialect, dialect));
            assert_eq!(config.lines[0].setup().0.dialect, dialect);
        }
    }

    #[test]
    fn every_wrong_value_is_refused_where_it_stands() {
        refused("[http]\nlisten = \"here\"\n", (2, 10), "no address and port");
        refused("[http]\nlisten = \"0.0.0.0:80\"\n", (2, 10), "in the clear");
        refused("[http]\nconnections = 15\n", (2, 15), "from 16 to 100000");
        refused("[mqtt]\nbroker = \"ssl://host\"\n", (2, 10), "`mqtts://host`");
        refused("[mqtt]\nbase = \"a/#\"\n", (2, 8), "a/#");
        refused("[mqtt.embedded]\nlisten = \"0.0.0.0:1883\"\n", (2, 10), "[[mqtt.embedded.user]]");
        refused("[[line]]\ndialect = \"x10\"\nport = \"a\"\n", (2, 11), "`dlt645`");
        refused("[[line]]\ndialect = \"dlt645\"\nport = \"tcp://a:0\"\n", (3, 8), "1 … 65535");
        refused("[[line]]\ndialect = \"dlt645\"\nport = \"telnet://a:1\"\n", (3, 8), "not spoken");
        refused(&format!("{LINE}capture = \"\"\n"), (4, 11), "recorded into");
        let itself = "[[line]]\ndialect = \"dlt645\"\nport = \"replay:a\"\ncapture = \"a\"\n";
        refused(itself, (4, 11), "replayed from");
        refused("[store]\nkeep_days = 0\n", (2, 13), "from 1 to 3650");
        refused("[store]\nkeep_mb = 5\n", (2, 11), "from 10 to 100000");
        refused("[site]\ntimezone = \"\"\n", (2, 12), "Europe/Paris");
        refused("[site]\ntimezone = \"Middle/Earth\"\n", (2, 12), "no time zone");
        refused("[line]\ndialect = \"dlt645\"\nport = \"a\"\n", (1, 1), "[[line]]");
        refused("line = [3]\n", (1, 9), "[[line]]");
        refused(&format!("{LINE}device = \"a\"\n"), (4, 10), "[[line.device]]");
        refused(&format!("{LINE}[[line.device]]\nname = \"Kettle\"\n"), (4, 1), "`address`");
        refused(&format!("{LINE}{LINE}"), (6, 8), "another line");
        let other = LINE.replace("USB0", "USB1");
        let both = format!("{LINE}capture = \"a\"\n{other}name = \"b\"\ncapture = \"a\"\n");
        refused(&both, (9, 11), "another line is recorded there");
        refused(&format!("{LINE}{other}"), (5, 11), "give each a `name`");
        let lamp = |address| format!("[[line.device]]\naddress = \"{address}\"\nname = \"Lamp\"\n");
        let elsewhere = format!("{LINE}{}{other}name = \"b\"\n{}", lamp("1"), lamp("2"));
        refused(&elsewhere, (13, 8), "another device is called `Lamp` already");
    }

    #[test]
    fn the_embedded_broker_beyond_loopback_is_fine_with_users() {
        let text = "[mqtt.embedded]\nlisten = \"0.0.0.0:1883\"\n[[mqtt.embedded.user]]\nname = \"ha\"\npassword_file = \"secret\"\n";
        let BrokerChoice::Embedded { users, .. } = parse(text).expect("it is right").mqtt.broker else {
            panic!("it is the embedded one");
        };
        assert_eq!((users[0].user.as_str(), users[0].password.0.as_str()), ("ha", "020637"));
    }
}
