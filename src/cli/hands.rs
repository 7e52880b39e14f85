//! What a person can do to a simulated house, a line of text each: pull a plug, press a button, cut the power. Shared by
//! `simulate` and `demo`.

use plugline_simulator::Front;
use plugline_simulator::console::Console;
use plugline_simulator::mains::{House, Led, Membership, Station};
use tokio::sync::mpsc;

/// Lines that were typed and not obeyed yet.
const TYPED_MAX: usize = 64;

/// What can be typed.
pub(super) const HELP: &str = concat!(
    "  pull N      pull socket N out of the wall        plug N      put it back\n",
    "  press N     press its button                     hold N      hold it for ten seconds: it leaves its network\n",
    "  cut         power goes for the whole house       restore     power is back\n",
    "  list        how everything stands                label N     what is printed on socket N\n",
    "  help        this                                 quit        end",
);

/// What came of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Tell this.
    Text(String),
    /// It could not be done, and why.
    Refused(String),
    /// End the program.
    Quit,
}

/// The lines of standard input. Its end is no reason to end: a service has none.
pub(super) fn typed() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(TYPED_MAX);
    // A thread of its own, not tokio's: nobody waits for it at the end.
    let read = move || {
        let mut console = Console::default();
        while let Ok(Some(line)) = console.next_line() {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("stdin".to_owned()).spawn(read) {
        tracing::warn!(%error, "standard input is not read");
    }
    typed
}

/// Does what a line says; `None` for an empty one.
pub(super) fn obey(house: &Front<House>, line: &str) -> Option<Answer> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    let number = words.next();
    if let Some(extra) = words.next() {
        return Some(Answer::Refused(format!("`{extra}` is one word too many; `help` shows what there is")));
    }
    let one = |what: &str, act: fn(&mut House, usize) -> bool| with_socket(house, number, what, act);
    Some(match (verb, number) {
        ("pull", _) => one("is out of the wall", House::pull),
        ("plug", _) => one("is in the wall", House::plug),
        ("press", _) => one("had its button pressed", House::press),
        ("hold", _) => one("has its button held for ten seconds", House::hold),
        ("label", Some(_)) => with_station(house, number, Station::label),
        ("cut", None) => {
            house.with(House::cut);
            Answer::Text("power is off".to_owned())
        }
        ("restore", None) => {
            house.with(House::restore);
            Answer::Text("power is on".to_owned())
        }
        ("list", None) => Answer::Text(list(house)),
        ("help", None) => Answer::Text(HELP.to_owned()),
        ("quit" | "exit", None) => Answer::Quit,
        _ => Answer::Refused(format!("`{line}` is not known; `help` shows what there is")),
    })
}

fn number_of(house: &Front<House>, given: Option<&str>) -> Result<usize, Answer> {
    let sockets = house.with(|house| house.stations().len());
    let number = given.and_then(|given| given.parse().ok()).filter(|number| (1..=sockets).contains(number));
    number.ok_or_else(|| {
        Answer::Refused(format!("which socket? got `{}`, wanted 1 … {sockets}", given.unwrap_or("")))
    })
}

fn with_socket(
    house: &Front<House>,
    given: Option<&str>,
    what: &str,
    act: fn(&mut House, usize) -> bool,
) -> Answer {
    match number_of(house, given) {
        Ok(number) => {
            house.with(|house| act(house, number));
            with_station(house, given, |station| format!("{} ({number}) {what}", station.name()))
        }
        Err(refused) => refused,
    }
}

fn with_station(house: &Front<House>, given: Option<&str>, tell: impl Fn(&Station) -> String) -> Answer {
    match number_of(house, given) {
        Ok(number) => Answer::Text(house.with(|house| house.station(number).map(tell).unwrap_or_default())),
        Err(refused) => refused,
    }
}

fn list(house: &Front<House>) -> String {
    house.with(|house| {
        let at_us = house.now_us();
        let line = |station: &Station| {
            let relay = if station.relay_on() { "on" } else { "off" };
            let watts = station.power_mw(at_us) as f64 / 1_000.0;
            format!(
                "{:>4}  {:<20} {relay:<4} {watts:>8.1} W  {}",
                station.node(),
                station.name(),
                state(station)
            )
        };
        house.stations().iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

fn state(station: &Station) -> String {
    let light = match station.led() {
        Some(Led::LockedOut) => ", tripped: press its button",
        Some(Led::Identify) => ", blinking",
        Some(Led::Fault) => ", its memory is broken",
        _ => "",
    };
    match station.membership() {
        None => "out of the wall".to_owned(),
        Some(Membership::Unjoined) => format!("looking for a network{light}"),
        Some(Membership::Pending(network, _)) => format!("joining network {:04X}{light}", network.0),
        Some(Membership::Joined(network, _)) => format!("in network {:04X}{light}", network.0),
    }
}

#[cfg(test)]
mod tests {
    use plugline_simulator::Pty;
    use plugline_simulator::scenario::{HOUSEHOLD, Scenario};

    use super::*;

    fn front() -> Front<House> {
        let house = House::new(&Scenario::parse(HOUSEHOLD).unwrap());
        Front::start(house, Pty::open(None).unwrap()).unwrap()
    }

    #[test]
    fn every_line_of_the_help_can_be_typed() {
        let house = front();
        let known = |part: &&str| matches!(part.split_whitespace().collect::<Vec<_>>()[..], [_] | [_, "N"]);
        let parts: Vec<&str> = HELP.lines().flat_map(|line| line.split("  ")).filter(known).collect();
        assert_eq!(parts.len(), 12, "ten verbs, and `this` and `end`: {parts:?}");
        for part in parts.into_iter().filter(|part| !matches!(part.trim(), "this" | "end")) {
            let line = part.replace('N', "2");
            assert!(!matches!(obey(&house, &line), Some(Answer::Refused(_)) | None), "{line}");
        }
    }

    #[test]
    fn what_is_typed_is_done_and_what_cannot_be_is_told() {
        let house = front();
        assert_eq!(obey(&house, " pull 1 "), Some(Answer::Text("Kettle (1) is out of the wall".to_owned())));
        assert!(!house.with(|house| house.station(1).unwrap().is_plugged()));
        obey(&house, "plug 1");
        assert!(house.with(|house| house.station(1).unwrap().is_plugged()));
        for bad in ["pull", "pull 0", "pull 21", "pull x", "pull 1 2", "jump", "cut 3"] {
            assert!(matches!(obey(&house, bad), Some(Answer::Refused(_))), "{bad}");
        }
        assert_eq!(obey(&house, "  "), None);
        let Some(Answer::Text(label)) = obey(&house, "label 20") else { panic!() };
        assert!(label.starts_with("PLG1:"));
    }
}
