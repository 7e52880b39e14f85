//! The text and the code say the same: bytes, lengths, airtimes, numbers.

use std::collections::BTreeMap;

use plugline_protocol::timing::{self, LineRate};

use crate::vectors::load;
use crate::world::unhex;

const PAGES: [&str; 8] = [
    "README.md",
    "line.md",
    "timing.md",
    "security.md",
    "messages.md",
    "join.md",
    "host-link.md",
    "bearers.md",
];

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Every text of every vector, by the word in front of its name in the pages.
fn published() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (file, word) in [("frames", "vector"), ("labels", "label"), ("link", "link"), ("keys", "key")] {
        for vector in load(file) {
            let text = vector.get("hex").or(vector.get("text")).unwrap().as_str().unwrap();
            let name = format!("{word} {}", vector["id"].as_str().unwrap());
            assert!(all.insert(name, text.to_owned()).is_none(), "two vectors have one name");
        }
    }
    all
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn every_example_of_the_text_is_its_vector() {
    let published = published();
    let mut checked = 0;
    for name in PAGES {
        let text = page(name);
        for block in text.split("```").skip(1).step_by(2) {
            let (info, body) = block.split_once('\n').unwrap();
            if info == "text" {
                continue;
            }
            let vector = published.get(info).unwrap_or_else(|| panic!("{name}: no vector `{info}`"));
            assert_eq!(without_spaces(body), without_spaces(vector), "{name}: {info}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked} examples");
}

#[test]
fn no_page_shows_bytes_that_are_in_no_vector() {
    let known: String = {
        let names = ["keys", "frames", "fresh", "labels", "link", "vectors"];
        let read = |name: &&str| match *name {
            "vectors" => page("vectors/plugline_vectors.py"),
            other => page(&format!("vectors/plugline-{other}.json")),
        };
        names.iter().map(read).map(|text| without_spaces(&text).to_uppercase()).collect()
    };
    for name in PAGES {
        let text = page(name);
        let prose: String = text.split("```").step_by(2).collect();
        for code in prose.split('`').skip(1).step_by(2) {
            let dense = without_spaces(code);
            if dense.len() >= 12
                && dense.len().is_multiple_of(2)
                && dense.chars().all(|c| c.is_ascii_hexdigit())
            {
                assert!(known.contains(&dense.to_uppercase()), "{name}: `{code}` is in no vector");
            }
        }
    }
}

/// The length of a vector's frame on the line, or of the BEACON with so many slots.
fn octets_of(row: &str) -> Vec<usize> {
    let frames = load("frames");
    let vector = |id: &str| {
        let found = frames.iter().find(|vector| vector["id"] == id);
        unhex(found.unwrap_or_else(|| panic!("no vector {id}"))["hex"].as_str().unwrap()).len()
    };
    let beacon = |slots: usize| vector("beacon") - 3 + slots.div_ceil(8);
    match row {
        "REPORT, with four minutes of history" => vec![vector("report"), vector("report-event")],
        "the longest REPORT in a slot" => vec![timing::SLOT_FRAME_MAX],
        "COMMAND: switch" => vec![vector("command-on")],
        "COMMAND: read" => vec![vector("command-read")],
        "COMMAND: new group key" => vec![vector("command-group-key")],
        "ANSWER" => vec![vector("answer-on")],
        "RESPONSE with a reading" => vec![vector("response-reading")],
        "RESPONSE without data" => vec![vector("response-stale")],
        "ACK" => vec![vector("ack")],
        "BEACON, 60 slots" => vec![beacon(60)],
        "BEACON, 180 slots" => vec![beacon(180)],
        "BEACON, 640 slots" => vec![beacon(640), vector("beacon-full")],
        "JOIN-UP" => vec![vector("join-up")],
        "JOIN-DOWN" => vec![vector("join-down")],
        "RESUME-ASK, RESUME-UP" => vec![vector("resume-ask"), vector("resume-up")],
        "RESUME-DOWN" => vec![vector("resume-down")],
        other => panic!("what is `{other}`?"),
    }
}

#[test]
fn the_table_of_lengths_and_airtimes_is_right() {
    let text = page("timing.md");
    let (_, table) = text.split_once("| frame | octets | ms at 2,400 bit/s |").unwrap();
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let octets: usize = cells[1].parse().unwrap();
        assert!(octets_of(cells[0]).iter().all(|real| *real == octets), "{row}");
        let ms = f64::from(LineRate::REFERENCE.airtime_us(octets)) / 1000.0;
        assert_eq!(format!("{ms:.1}"), cells[2], "{row}");
        rows += 1;
    }
    assert_eq!(rows, 16);
}

#[test]
fn the_numbers_of_the_text_are_those_of_the_code() {
    let says = |name: &str, sentence: &str| assert!(page(name).contains(sentence), "{name}: {sentence}");
    assert_eq!((timing::SUPERFRAME_MS, timing::BEACON_REPEAT_MS), (60_000, 30_000));
    says("timing.md", "A superframe lasts 60 s");
    assert_eq!(timing::CLOCK_PPM_MAX, 50);
    says("timing.md", "within 50 ppm");
    assert_eq!((timing::IDLE_LISTEN_US, timing::HOLD_US), (4_000, 25_000));
    says("timing.md", "when nobody was heard for 4 ms, and it is not **held**: for 25 ms");
    assert_eq!(
        (timing::BACKOFF_UNIT_MS, timing::BACKOFF_FIRST_UNITS, timing::BACKOFF_MAX_UNITS),
        (20, 4, 64)
    );
    says("timing.md", "units of 20 ms from 1 to *w*");
    says("timing.md", "*w* is 4 at the first try, twice as much at each further one, at most 64");
    assert_eq!((timing::BEACON_LOST_MS, timing::CSMA_JITTER_PERCENT), (180_000, 20));
    says("timing.md", "for 180 s MUST leave its slot: it reports every 60 s ± 20 %");
    assert_eq!(timing::CSMA_DOUBLINGS_MAX, 4);
    says(
        "timing.md",
        "that nobody acknowledged the next one is due in 2, 4, 8 and at last 16 minutes ± 20 %",
    );
    assert_eq!((timing::REPORT_TRIES, timing::COMMAND_TRIES), (5, 8));
    says("timing.md", "at most five times in all");
    says("timing.md", "at most eight times in all");
    assert_eq!((timing::TURNAROUND_MIN_US, timing::TURNAROUND_MAX_US), (5_000, 20_000));
    says("timing.md", "MUST start 5 … 20 ms after");
    assert_eq!(timing::RETRY_SHIFT_MAX_US, 10_000);
    says("timing.md", "at a random 0 … 10 ms after that");
    assert_eq!(timing::POWER_UP_WAIT_MAX_MS, 30_000);
    says("timing.md", "a random 0 … 30 s before its first frame");
    assert_eq!((timing::JOIN_INTERVAL_MIN_MS, timing::JOIN_INTERVAL_MAX_MS), (30_000, 60_000));
    says("join.md", "random intervals of 30 … 60 s");
    assert_eq!((timing::JOIN_EAGER, timing::JOIN_SLOW_FACTOR), (12, 2));
    says("join.md", "and of 1 … 2 minutes from the thirteenth on");
    assert_eq!((timing::JOIN_ATTEMPT_MS, timing::JOIN_COMMIT_MS), (120_000, 300_000));
    says("join.md", "each attempt of two minutes");
    says("join.md", "acknowledged within five minutes");
    let pitch = LineRate::REFERENCE.slot_pitch_min_ms();
    says("timing.md", &format!("The smallest pitch at that rate is {pitch} ms"));
    assert_eq!(plugline_protocol::security::STORE_EVERY, 1024);
    says("security.md", "1,024 counters ahead is the rule");
}
