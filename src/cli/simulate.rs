//! `plugline simulate`: a house of simulated sockets behind a pseudo terminal or a TCP port, for any gateway to connect
//! to, until Ctrl-C.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use plugline_simulator::mains::{House, Station};
use plugline_simulator::scenario::{BLOCK, HOUSEHOLD, NOISY, SOCKETS_MAX, Scenario};
use plugline_simulator::{Front, Outlet, Pty, front};

use crate::cli::gateway::told_to_stop;
use crate::cli::hands::{self, Answer};

/// Houses that come with the program.
const HOUSES: [(&str, &str); 3] = [("household", HOUSEHOLD), ("noisy", NOISY), ("block", BLOCK)];

/// What a house is made of; shared with the demo.
#[derive(Clone, Debug, clap::Args)]
pub struct HouseArguments {
    /// So many sockets [default: as the scenario says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SOCKETS_MAX as i64))]
    pub sockets: Option<u16>,
    /// The noise of a bad day: dimmers, impulses, lost frames, pairs that do not hear each other
    #[arg(long)]
    pub noise: bool,
    /// Decides all that is left to chance
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `household`, `noisy`, `block`, or a scenario file
    #[arg(default_value = "household")]
    scenario: String,
    #[command(flatten)]
    house: HouseArguments,
    /// Virtual time runs so many times as fast; a gateway must live as fast, so this is for looking at a house alone
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// A symbolic link to the pseudo terminal, as a stable name [default: none, /dev/pts/…]
    #[arg(long, value_name = "PATH", conflicts_with = "tcp")]
    pty: Option<PathBuf>,
    /// Listen here in place of a pseudo terminal; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    tcp: Option<SocketAddr>,
    /// Print port and labels as one line of JSON
    #[arg(long)]
    json: bool,
}

/// A speed at which virtual time may run.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    let range = front::SPEEDS;
    let wanted = format!("wanted {} … {}", range.start(), range.end());
    let speed: f64 = text.parse().map_err(|_| wanted.clone())?;
    if range.contains(&speed) { Ok(speed) } else { Err(wanted) }
}

impl HouseArguments {
    /// The scenario of this name or file, as the arguments change it.
    ///
    /// # Errors
    /// When the file cannot be read, or is no scenario; with line and column.
    pub(super) fn scenario(&self, name: &str) -> anyhow::Result<Scenario> {
        let mut scenario = read(name)?;
        if let Some(sockets) = self.sockets {
            scenario = scenario.with_sockets(sockets.into());
        }
        if self.noise {
            let noisy = Scenario::parse(NOISY).context("the noise that comes with the program")?;
            scenario = scenario.with_troubles_of(&noisy);
        }
        Ok(match self.seed {
            Some(seed) => scenario.with_seed(seed),
            None => scenario,
        })
    }
}

fn read(name: &str) -> anyhow::Result<Scenario> {
    let known = HOUSES.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let text = match known {
        Some(text) => text,
        None => std::fs::read_to_string(Path::new(name)).with_context(|| {
            let names = HOUSES.map(|(name, _)| name).join(", ");
            format!("`{name}` is none of the houses that come with the program ({names}), and no file")
        })?,
    };
    Scenario::parse(&text).with_context(|| name.to_owned())
}

/// Runs a house until Ctrl-C.
///
/// # Errors
/// When the scenario cannot be read, or the terminal or TCP port cannot be had.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = told_to_stop()?;
    let scenario = arguments.house.scenario(&arguments.scenario)?;
    let outlet = match arguments.tcp {
        Some(address) => Outlet::listen(address).with_context(|| format!("--tcp {address}"))?,
        None => Outlet::from(Pty::open(arguments.pty.as_deref()).context("the pseudo terminal")?),
    };
    let house = Front::start_at(House::new(&scenario), outlet, arguments.speed).context("the house")?;
    announce(&house, &scenario, arguments.json)?;
    tokio::select! {
        () = stop => {}
        ended = obey_for_ever(&house) => ended?,
    }
    house.stop();
    Ok(ExitCode::SUCCESS)
}

/// Does what is typed; ends at `quit`, and never if nobody types.
///
/// # Errors
/// When standard output is closed.
pub(super) async fn obey_for_ever(house: &Front<House>) -> io::Result<()> {
    let mut typed = hands::typed();
    while let Some(line) = typed.recv().await {
        let mut out = io::stdout().lock();
        match hands::obey(house, &line) {
            None => {}
            Some(Answer::Text(text)) => writeln!(out, "{text}")?,
            Some(Answer::Refused(why)) => writeln!(out, "? {why}")?,
            Some(Answer::Quit) => return Ok(()),
        }
        out.flush()?;
    }
    std::future::pending().await
}

fn announce(house: &Front<House>, scenario: &Scenario, json: bool) -> io::Result<()> {
    let port = house.path().display().to_string();
    let mut out = io::stdout().lock();
    if json {
        let socket = |station: &Station| {
            serde_json::json!({
                "number": station.node(), "name": station.name(), "eui": station.eui().to_string(),
                "label": station.label(),
            })
        };
        let sockets: Vec<_> = house.with(|house| house.stations().iter().map(socket).collect());
        let line = serde_json::json!({ "port": port, "seed": scenario.seed(), "sockets": sockets });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let line =
        |station: &Station| format!("{:>4}  {:<20} {}", station.node(), station.name(), station.label());
    let labels: Vec<String> = house.with(|house| house.stations().iter().map(line).collect());
    writeln!(
        out,
        "A house of {} sockets is on the line ({}, seed {}).\n",
        labels.len(),
        scenario.name(),
        scenario.seed()
    )?;
    writeln!(out, "  port  {port}\n")?;
    labels.iter().try_for_each(|label| writeln!(out, "{label}"))?;
    writeln!(out, "\nA gateway takes it so, and lets sockets in by their labels:\n")?;
    writeln!(out, "  [[line]]\n  dialect = \"plugline\"\n  port = \"{port}\"\n")?;
    writeln!(out, "  plugline join --code PLG1:…\n")?;
    writeln!(out, "What can be done to the house, typed here:\n\n{}\n", hands::HELP)?;
    writeln!(out, "Ctrl-C ends it.")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(sockets: Option<u16>, noise: bool, seed: Option<u64>) -> HouseArguments {
        HouseArguments { sockets, noise, seed }
    }

    #[test]
    fn a_house_is_found_by_its_name_and_changed_as_asked() {
        for (name, _) in HOUSES {
            assert_eq!(arguments(None, false, None).scenario(name).unwrap().name(), name);
        }
        let house = arguments(Some(7), true, Some(9)).scenario("household").unwrap();
        assert_eq!((house.sockets().len(), house.seed()), (7, 9));
        assert!(
            house.line().setup().loss_ppm
                > arguments(None, false, None).scenario("household").unwrap().line().setup().loss_ppm
        );
        let error = arguments(None, false, None).scenario("castle").unwrap_err().to_string();
        assert!(error.contains("household, noisy, block"), "{error}");
    }

    #[test]
    fn a_speed_that_cannot_be_is_refused_with_what_can() {
        assert_eq!(speed("60"), Ok(60.0));
        for bad in ["0", "-1", "nan", "1e9", "fast"] {
            assert!(speed(bad).unwrap_err().contains("1000"), "{bad}");
        }
    }
}
