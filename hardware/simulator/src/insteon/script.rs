//! Plays recorded conversations: a request that is written down is answered with the bytes that are written down.
//!
//! It understands nothing, except where a command ends and what must be true for an answer to fit: a relay that was
//! told to open must not be reported closed. The text form, an exchange a paragraph:
//!
//! ```text
//! # who it is from
//! > 02 62 22 92 0d 0f 33 02     what the host writes
//! when bottom=1                 holds (left out: always)
//! < 5 02 62 22 92 0d …          what comes back, and ms since the request
//! then bottom=0                 holds from now on
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::host::{Ear, Told};
use crate::bus::{Output, Recorded};

/// Requests kept for tests and curious people.
const MAX_RECORDED: usize = 4096;
/// What a request gets that nobody recorded: the modem's echo, if it is a message, and a refusal if not.
const UNKNOWN_AFTER: Duration = Duration::from_millis(5);

/// Conversations of two outlets, a dual outlet and an energy meter, from public captures.
pub const RECORDED: &str = include_str!("recorded.txt");

/// The player of [`RECORDED`].
#[must_use]
pub fn recorded() -> Script {
    Script::parse(RECORDED).expect("the file is this crate's own and a test reads it")
}

/// A line of a script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScript {
    /// Number of the line, from 1.
    pub line: usize,
    /// The line as it stands.
    pub got: String,
}

impl fmt::Display for BadScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: got `{}`, wanted `> hex`, `< ms hex`, `when name=value` or `then name=value`",
            self.line, self.got
        )
    }
}

impl std::error::Error for BadScript {}

type Facts = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Exchange {
    request: Vec<u8>,
    when: Facts,
    replies: Vec<(Duration, Vec<u8>)>,
    then: Facts,
}

/// Recorded conversations, ready to be had again.
#[derive(Clone, Debug)]
pub struct Script {
    exchanges: Vec<Exchange>,
    facts: Facts,
    ear: Ear,
    outputs: VecDeque<Output>,
    recorded: VecDeque<Recorded>,
    now: Duration,
}

impl Script {
    /// Reads the text form. `then` before the first request says what holds at the start.
    ///
    /// # Errors
    /// [`BadScript`] names the first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, BadScript> {
        let (mut exchanges, mut facts) = (Vec::new(), Facts::new());
        for (n, line) in text.lines().enumerate() {
            let bad = || BadScript { line: n + 1, got: line.to_owned() };
            read_line(line.trim(), &mut exchanges, &mut facts).ok_or_else(bad)?;
        }
        Ok(Self {
            exchanges,
            facts,
            ear: Ear::default(),
            outputs: VecDeque::new(),
            recorded: VecDeque::new(),
            now: Duration::ZERO,
        })
    }

    /// The requests that it has an answer for.
    pub fn known(&self) -> impl Iterator<Item = &[u8]> {
        self.exchanges.iter().map(|exchange| exchange.request.as_slice())
    }

    /// Bytes from the host, at `now` on the virtual clock.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        self.advance(now);
        for told in self.ear.push(bytes, now, true) {
            match told {
                Told::Command(request) => self.answer(request),
                Told::Unknown(code) => self.say(UNKNOWN_AFTER, vec![0x02, code, 0x15]),
            }
        }
    }

    /// The next bytes due at or before `now`, in order.
    pub fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.advance(now);
        self.outputs.front().filter(|output| output.due <= now)?;
        self.outputs.pop_front()
    }

    /// When the next bytes are due, if any are on their way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.outputs.front().map(|output| output.due)
    }

    /// Lets time pass up to `now`.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The latest moment that it has seen.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Requests heard so far, oldest first; the last 4096.
    pub fn requests(&self) -> impl Iterator<Item = &Recorded> {
        self.recorded.iter()
    }

    /// A new request ends what was being said, as a modem gives up what is under way.
    fn answer(&mut self, request: Vec<u8>) {
        let facts = &self.facts;
        let holds =
            |exchange: &&Exchange| exchange.when.iter().all(|(name, value)| facts.get(name) == Some(value));
        let found = self.exchanges.iter().filter(|exchange| exchange.request == request).find(holds).cloned();
        match found {
            Some(exchange) => {
                self.outputs.clear();
                self.facts.extend(exchange.then);
                exchange.replies.into_iter().for_each(|(after, bytes)| self.say(after, bytes));
            }
            None => {
                let answer = if request[1] == 0x62 { 0x06 } else { 0x15 };
                self.say(UNKNOWN_AFTER, [&request[..], &[answer]].concat());
            }
        }
        if self.recorded.len() == MAX_RECORDED {
            self.recorded.pop_front();
        }
        self.recorded.push_back(Recorded { at: self.now, bytes: request, preamble: 0 });
    }

    fn say(&mut self, after: Duration, bytes: Vec<u8>) {
        let free = self.outputs.back().map_or(self.now, |output| output.due);
        self.outputs.push_back(Output { due: (self.now + after).max(free), bytes });
    }
}

/// `None` for a line that cannot be read.
fn read_line(line: &str, exchanges: &mut Vec<Exchange>, start: &mut Facts) -> Option<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" | "#" => {}
        ">" => exchanges.push(Exchange { request: hex(rest)?, ..Exchange::default() }),
        "<" => {
            let (ms, bytes) = rest.trim().split_once(' ')?;
            exchanges.last_mut()?.replies.push((Duration::from_millis(ms.parse().ok()?), hex(bytes)?));
        }
        "when" => exchanges.last_mut()?.when.extend(facts(rest)?),
        "then" => match exchanges.last_mut() {
            Some(exchange) => exchange.then.extend(facts(rest)?),
            None => start.extend(facts(rest)?),
        },
        _ => return None,
    }
    Some(())
}

/// `00*12` stands for twelve zero bytes.
fn hex(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
        let times: u8 = times.parse().ok()?;
        let byte = u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)?;
        out.extend(std::iter::repeat_n(byte, times.into()));
    }
    (!out.is_empty()).then_some(out)
}

fn facts(text: &str) -> Option<Facts> {
    let fact = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split_whitespace().map(fact).collect()
}
