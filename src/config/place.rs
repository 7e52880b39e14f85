//! Where a port is: a device file, a `tcp://` address, a recording. Reads and shows it; opening it is `port.rs`'s. Pure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What stands before a recording.
const REPLAY: &str = "replay:";

/// Where a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A device file: `/dev/serial/by-id/…`.
    Serial(Arc<str>),
    /// A serial port behind a TCP server that passes bytes as they are (ser2net, raw).
    Tcp {
        /// A name or an address, an IPv6 one without brackets.
        host: Arc<str>,
        /// 1 … 65,535.
        port: u16,
    },
    /// A recording by `plugline capture`, instead of a port.
    Replay {
        /// Its file.
        file: PathBuf,
        /// How fast it goes.
        pace: Pace,
    },
}

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many thousandths of the recorded speed, from 1; 1000 is as it was.
    Milli(u32),
    /// As fast as it goes.
    Fast,
}

/// The recorded speed.
pub const AS_RECORDED: Pace = Pace::Milli(1000);

impl Place {
    /// Reads what the configuration says.
    ///
    /// # Errors
    /// One sentence: what is wrong with it and what is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(file) = text.strip_prefix(REPLAY) {
            if file.is_empty() {
                return Err("`replay:` wants the file of a recording behind it".into());
            }
            return Ok(Self::Replay { file: file.into(), pace: AS_RECORDED });
        }
        match text.split_once("://") {
            Some(("tcp", address)) => tcp(address),
            Some((scheme, _)) => Err(format!(
                "`{scheme}://` is not spoken; give tcp://host:port (ser2net with its raw `tcp` accepter) or a device file"
            )),
            None if text.is_empty() => Err("a port is a device file, tcp://host:port or replay:FILE".into()),
            None => Ok(Self::Serial(text.into())),
        }
    }
}

fn tcp(address: &str) -> Result<Place, String> {
    let wrong = |what: &str| format!("`tcp://{address}`: {what}; for example tcp://192.168.1.20:3333");
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err(wrong("no IPv6 address stands in the brackets")),
        None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets")),
        None => host,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fits) {
        return Err(wrong("the host is no name and no address"));
    }
    // `parse` alone would take a sign.
    let digits = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port > 0 => Ok(Place::Tcp { host: host.into(), port }),
        _ => Err(wrong(&format!("port `{port}` is not 1 … 65535"))),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(path) => f.write_str(path),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Replay { file, .. } => write!(f, "{REPLAY}{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_place_is_read_and_shown_as_it_is_written() {
        for text in [
            "/dev/serial/by-id/usb-1a86",
            "tcp://attic:3333",
            "tcp://[fe80::1]:1",
            "tcp://10.0.0.2:65535",
            "replay:a b.txt",
        ] {
            assert_eq!(Place::parse(text).map(|place| place.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_place_that_is_none_says_what_is_wanted() {
        for (text, part) in [
            ("tcp://attic", "the port is missing"),
            ("tcp://attic:0", "1 … 65535"),
            ("tcp://attic:+1", "1 … 65535"),
            ("tcp://attic:65536", "1 … 65535"),
            ("tcp://attic:", "1 … 65535"),
            ("tcp://attic:3333/", "1 … 65535"),
            ("tcp://:3333", "no name"),
            ("tcp://me@attic:3333", "no name"),
            ("tcp://fe80::1:3333", "brackets"),
            ("tcp://[attic]:3333", "brackets"),
            ("rfc2217://attic:3333", "`rfc2217://` is not spoken"),
            ("replay:", "recording"),
            ("", "device file"),
        ] {
            let error = Place::parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
