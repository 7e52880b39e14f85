//! Stand-ins in place of names, ids, addresses and secrets, so that a text can be given to strangers and still be
//! followed. Pure. What the originals are is [`super::known`]'s; what only looks like one is [`super::patterns`]'.

use std::collections::HashMap;

use super::patterns::{self, Kind, Match};

/// A shorter original stands for itself only as a word of its own: `Desk` is no part of `Desktop`. Longer ones are
/// no part of anybody's vocabulary and are replaced wherever they stand.
const ANYWHERE_MIN: usize = 8;

/// One character, and a few digits, are also counts and letters: they are names only between quotes.
const DIGITS_MIN: usize = 4;

/// What is left of a shorter name without its signs is a word of any language.
const SLUG_MIN: usize = 3;

/// As often may a text have been put into quotes before it came here: by the log, and by JSON around it.
const ESCAPED: usize = 2;

/// Hosts, users and topics that thousands have; they tell nothing of anybody, and a text without these words tells nothing
/// of the gateway.
const ANYBODY: [&str; 12] = [
    "admin",
    "debian",
    "homeassistant",
    "localhost",
    "mosquitto",
    "mqtt",
    "pi",
    "plugline",
    "raspberrypi",
    "root",
    "ubuntu",
    "user",
];

/// One spelling of an original.
#[derive(Debug)]
struct Spelling {
    folded: Vec<char>,
    stand_in: String,
    /// Only as a word of its own.
    word: bool,
}

/// Who is replaced by what.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// By their first character.
    spellings: HashMap<char, Vec<Spelling>>,
    stand_ins: HashMap<(Kind, String), String>,
    last: HashMap<Kind, usize>,
}

impl Redactor {
    /// Hides an original; the same one again keeps its stand-in.
    pub(super) fn hide(&mut self, kind: Kind, original: &str) {
        self.hide_as(kind, original, None);
    }

    /// Hides an original behind the number of what it belongs to: `name-3` is the name of `device-3`.
    pub(super) fn hide_numbered(&mut self, kind: Kind, original: &str, number: usize) {
        self.hide_as(kind, original, Some(number));
    }

    fn hide_as(&mut self, kind: Kind, original: &str, number: Option<usize>) {
        let original = original.trim();
        let anybody =
            matches!(kind, Kind::Host | Kind::User | Kind::Topic) && ANYBODY.contains(&&*key(kind, original));
        if original.is_empty() || anybody || self.stand_ins.contains_key(&(kind, key(kind, original))) {
            return;
        }
        let stand_in = self.stand_in(kind, original, number);
        let folded: Vec<char> = fold(original).collect();
        // `DESK` within `0C0FFEE0DESK` may be a name; an id, an address and a secret are never part of a word.
        let loose = !matches!(kind, Kind::Device | Kind::Address | Kind::Gateway | Kind::Token | Kind::Label);
        let least = if loose { ANYWHERE_MIN } else { DIGITS_MIN + 1 };
        if folded.len() < 2 || (folded.len() < DIGITS_MIN && folded.iter().all(char::is_ascii_digit)) {
            return self.add(format!("\"{original}\""), format!("\"{stand_in}\""), false);
        }
        for spelling in spellings(kind, original) {
            self.add(spelling, stand_in.clone(), folded.len() < least);
        }
    }

    fn add(&mut self, spelling: String, stand_in: String, word: bool) {
        let folded: Vec<char> = fold(&spelling).collect();
        if let Some(first) = folded.first() {
            self.spellings.entry(*first).or_default().push(Spelling { folded, stand_in, word });
        }
    }

    /// The stand-in of an original.
    fn stand_in(&mut self, kind: Kind, original: &str, number: Option<usize>) -> String {
        let last = self.last.entry(kind).or_default();
        let made = self.stand_ins.entry((kind, key(kind, original))).or_insert_with(|| {
            let number = number.unwrap_or(*last + 1);
            *last = number.max(*last);
            match kind {
                Kind::Gateway if number == 1 => kind.word().to_owned(),
                _ => format!("{}-{number}", kind.word()),
            }
        });
        made.clone()
    }

    /// The text with stand-ins. What only looks like an original is learnt first: a host that stands in an address
    /// once is hidden where it stands alone, too.
    pub(super) fn redact(&mut self, text: &str) -> String {
        let characters: Vec<char> = text.chars().collect();
        let folded: Vec<char> = characters.iter().copied().map(fold_one).collect();
        self.learn(&characters);
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        while at < characters.len() {
            let known = self.known(&folded, &characters, at);
            let looks =
                patterns::at(&characters, at).filter(|found| found.length > known.map_or(0, |(n, _)| n));
            match (looks, known) {
                (Some(found), _) => {
                    at += found.length;
                    self.write(found, &mut clean);
                }
                (None, Some((length, stand_in))) => {
                    at += length;
                    clean.push_str(stand_in);
                }
                (None, None) => {
                    clean.push(characters[at]);
                    at += 1;
                }
            }
        }
        clean
    }

    fn learn(&mut self, characters: &[char]) {
        let mut at = 0;
        while at < characters.len() {
            let found = patterns::at(characters, at);
            at += found.as_ref().map_or(1, |found| found.length.max(1));
            for (kind, original) in found.into_iter().flat_map(Match::originals) {
                self.hide(kind, &original);
            }
        }
    }

    fn write(&mut self, found: Match, into: &mut String) {
        for piece in found.pieces {
            match piece {
                patterns::Piece::Kept(text) => into.push_str(&text),
                patterns::Piece::Hidden(kind, original) => {
                    into.push_str(&self.stand_in(kind, original.trim(), None));
                }
            }
        }
    }

    /// The longest known original that stands here.
    fn known(&self, folded: &[char], characters: &[char], at: usize) -> Option<(usize, &str)> {
        let spellings = self.spellings.get(&folded[at])?;
        let here = spellings.iter().filter(|spelling| {
            folded[at..].starts_with(&spelling.folded)
                && (!spelling.word || is_word(characters, at, spelling.folded.len()))
        });
        let longest = here.max_by_key(|spelling| spelling.folded.len())?;
        Some((longest.folded.len(), &longest.stand_in))
    }
}

/// Nothing before it and nothing behind it belongs to it.
fn is_word(text: &[char], at: usize, length: usize) -> bool {
    let behind = text.get(at + length).is_none_or(|c| !c.is_alphanumeric());
    behind && patterns::starts_word(text, at)
}

fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(fold_one)
}

/// One for one, so that places stay.
fn fold_one(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// By what two spellings are the same original.
fn key(kind: Kind, original: &str) -> String {
    let folded: String = fold(original).collect();
    match kind {
        Kind::Address => folded.chars().filter(|c| c.is_alphanumeric()).collect(),
        _ => folded,
    }
}

/// How an original may be written.
fn spellings(kind: Kind, original: &str) -> Vec<String> {
    let mut all = vec![original.to_owned()];
    for _ in 0..ESCAPED {
        all.push(escaped(&all[all.len() - 1]));
    }
    all.push(percent(original));
    if original.chars().any(|c| !c.is_alphanumeric()) {
        let joined = |by: &str| {
            let words = original.split(|c: char| !c.is_alphanumeric());
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(by)
        };
        all.extend(["_", "-"].map(joined).into_iter().filter(|slug| slug.chars().count() >= SLUG_MIN));
    }
    if kind == Kind::Address {
        let plain: Vec<char> = original.chars().filter(|c| c.is_alphanumeric()).collect();
        let mut pairs: Vec<String> = plain.chunks(2).map(|pair| pair.iter().collect()).collect();
        all.push(plain.iter().collect());
        all.extend([".", ":", "-", " "].map(|by| pairs.join(by)));
        // As it stands in frames, the lowest byte first.
        if plain.len() >= ANYWHERE_MIN {
            pairs.reverse();
            all.extend(["", " "].map(|by| pairs.join(by)));
        }
    }
    all.retain(|spelling| !spelling.is_empty());
    all.sort();
    all.dedup();
    all
}

/// As between quotes.
fn escaped(text: &str) -> String {
    let write = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(write).collect()
}

/// As in a URL.
fn percent(text: &str) -> String {
    let write = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(write).collect()
}

#[cfg(test)]
mod tests;
