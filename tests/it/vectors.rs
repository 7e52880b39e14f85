//! Every published frame means what its vector says, is written back to the same bytes, and the command line agrees.

use std::collections::HashSet;

use plugline::cli::decode::{Input, run};
use plugline::line::{dlt645, insteon};
use serde_json::Value;

struct Vector {
    id: String,
    direction: Option<String>,
    hex: String,
    bytes: Vec<u8>,
    /// What `decode` prints, or the kind and offset of the error.
    expect: Result<Value, Value>,
}

fn vectors(dialect: &str) -> Vec<Vector> {
    let path = format!("{}/protocol-spec/vectors/{dialect}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let all: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&text).unwrap();
    let vector = |mut object: serde_json::Map<String, Value>| {
        let word = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let (id, direction, hex) = (word("id").unwrap(), word("direction"), word("hex").unwrap());
        assert!(word("source").is_some_and(|source| !source.is_empty()), "{id} has no source");
        assert!(word("about").is_some_and(|about| !about.is_empty()), "{id} says nothing");
        let bytes = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let expect = match (object.remove("expect"), object.remove("error")) {
            (Some(expect), None) => Ok(expect),
            (None, Some(error)) => Err(error),
            _ => panic!("{id} needs either `expect` or `error`"),
        };
        Vector { id, direction, hex, bytes, expect }
    };
    all.into_iter().map(vector).collect()
}

/// What the command prints for one argument, and whether it was content.
fn printed(dialect: &str, hex: &str) -> (Value, bool) {
    let mut out = Vec::new();
    let good = run(dialect, Input::Frames(&[hex.to_owned()]), &mut out).unwrap();
    (serde_json::from_slice(&out).unwrap(), good)
}

fn agree(dialect: &str) {
    for Vector { id, hex, expect, .. } in vectors(dialect) {
        let (shown, good) = printed(dialect, &hex);
        match expect {
            Ok(expect) => assert_eq!((shown, good), (expect, true), "{dialect} {id}"),
            Err(error) => {
                assert_eq!((&shown["ok"], good), (&Value::Bool(false), false), "{dialect} {id}");
                for key in ["kind", "offset"] {
                    assert_eq!(shown["error"][key], error[key], "{dialect} {id} {key}");
                }
            }
        }
        let dense = hex.replace(' ', "").to_lowercase();
        assert_eq!(printed(dialect, &dense), printed(dialect, &hex), "{dialect} {id} without spaces");
    }
}

#[test]
fn every_dlt645_vector_decodes_to_what_it_says() {
    agree("dlt645");
}

#[test]
fn every_insteon_vector_decodes_to_what_it_says() {
    agree("insteon");
}

#[test]
fn every_good_dlt645_frame_is_written_as_it_was_published() {
    for Vector { id, bytes, expect, .. } in vectors("dlt645") {
        let mut framer = dlt645::frame::Framer::new();
        framer.push(&bytes);
        let mut written = Vec::new();
        while let Some(next) = framer.next() {
            let Ok(frame) = next else { break };
            frame.emit(0, &mut written);
        }
        if expect.is_ok() {
            let wake_ups = usize::try_from(framer.wake_up_bytes()).unwrap();
            assert_eq!(written, bytes[wake_ups..], "{id}");
        }
    }
}

#[test]
fn every_good_insteon_frame_is_written_as_it_was_published() {
    for Vector { id, bytes, expect, direction, .. } in vectors("insteon") {
        if expect.is_err() {
            continue;
        }
        let written = match direction.as_deref() {
            Some("to_modem") => insteon::frame::Command::parse(&bytes).unwrap().to_bytes(),
            Some("from_modem") => {
                let mut framer = insteon::frame::Framer::new();
                framer.push(&bytes);
                let frame = framer.next().unwrap().unwrap();
                assert_eq!(framer.next(), None, "{id}");
                frame.to_bytes()
            }
            other => panic!("{id}: direction {other:?}"),
        };
        assert_eq!(written, bytes, "{id}");
    }
}

#[test]
fn requests_made_here_are_the_published_ones() {
    use dlt645::frame::{Address, Expiry, Relay, RelayOperation, Request};
    let published = vectors("dlt645");
    let bytes = |id: &str| published.iter().find(|vector| vector.id == id).unwrap().bytes.clone();
    let meter = Address::parse("161").unwrap();
    assert_eq!(Request::read(meter, dlt645::item::ENERGY).emit(0), bytes("1-read"));
    assert_eq!(Request::read(meter, dlt645::item::VOLTAGE).emit(0), bytes("2-read"));
    let other = Address::parse("202208310002").unwrap();
    assert_eq!(Request::read(other, 0x0280_22FF).emit(4), bytes("9-read"));
    assert_eq!(Request::read_address().emit(4), bytes("10-read-address"));
    let expiry = Expiry { year: 99, month: 12, day: 30, hour: 0, minute: 0, second: 0 };
    let relay = |operation| Relay {
        operation,
        level: 2,
        password: [0x37, 0x06, 0x02],
        operator: [1, 0, 0, 0],
        expiry,
    };
    let meter = Address::parse("151230011061").unwrap();
    let switch = |operation| Request::switch(meter, &relay(operation)).emit(0);
    assert_eq!(switch(RelayOperation::AllowClose), bytes("11-relay"));
    assert_eq!(switch(RelayOperation::Trip), bytes("12-relay"));

    use insteon::frame::Command;
    use insteon::message::{Address as Id, Outgoing};
    let published = vectors("insteon");
    let bytes = |id: &str| published.iter().find(|vector| vector.id == id).unwrap().bytes.clone();
    let id = Id::parse("00.00.04").unwrap();
    assert_eq!(Command::Send(Outgoing::standard(id, 0x11, 0xFF)).to_bytes(), bytes("1-send"));
    let mut bottom = [0; 13];
    bottom[0] = 2;
    assert_eq!(Command::Send(Outgoing::extended(id, 0x11, 0x01, bottom)).to_bytes(), bytes("3-send"));
}

#[test]
fn all_published_vectors_are_there() {
    for (dialect, last) in [("dlt645", 18), ("insteon", 21)] {
        let ids: HashSet<String> = vectors(dialect).into_iter().map(|vector| vector.id).collect();
        assert_eq!(ids.len(), vectors(dialect).len(), "{dialect}: an id stands twice");
        for number in (1..=last).map(|number| number.to_string()).chain(["N1".to_owned()]) {
            let named = |id: &String| id.split('-').next() == Some(&number);
            assert!(ids.iter().any(named), "{dialect} {number} is missing");
        }
    }
}

#[test]
fn a_frame_split_over_lines_is_decoded_once_and_a_partial_one_at_the_end_is_malformed() {
    let lines = "fefe 68 61 01 00 00 00 00 68 91 08 33 33 34 33 59\r\n\n33 33 33 8A 16 68 61\n01 00\n";
    let mut out = Vec::new();
    assert!(!run("dlt645", Input::Stream(&mut lines.as_bytes()), &mut out).unwrap());
    let shown: Vec<Value> =
        out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["reading"]["energy_kwh"], serde_json::json!(0.26));
    assert_eq!(shown[1]["error"]["kind"], "truncated");
    assert_eq!(shown[1]["error"]["offset"], 26);
}

#[test]
fn bad_hex_is_told_with_its_place_and_costs_only_its_line() {
    let good = "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16";
    assert_eq!(printed("dlt645", "68 6g").0["error"]["kind"], "hex");
    assert_eq!(printed("dlt645", "68 6g").0["error"]["offset"], 4);
    assert_eq!(printed("dlt645", "686").0["error"]["offset"], 3);
    assert_eq!(printed("dlt645", "").0["error"]["kind"], "truncated");
    let mut out = Vec::new();
    let lines = format!("68 xx 61\n{good}\n");
    assert!(!run("dlt645", Input::Stream(&mut lines.as_bytes()), &mut out).unwrap());
    let shown = String::from_utf8(out).unwrap();
    let shown: Vec<&str> = shown.lines().collect();
    assert!(shown[0].contains(r#""kind":"hex","offset":3"#), "{}", shown[0]);
    assert!(shown[1].starts_with(r#"{"ok":true,"dialect":"dlt645","frame":"read""#), "{}", shown[1]);
    assert_eq!(shown.len(), 2);
}

#[test]
fn an_argument_is_exactly_one_frame() {
    let good = "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16";
    assert!(printed("dlt645", good).1);
    assert_eq!(printed("dlt645", &format!("{good} 00")).0["error"]["kind"], "garbage");
    assert_eq!(printed("dlt645", &format!("{good} {good}")).0["error"]["kind"], "trailing");
    assert!(!printed("insteon", "02 60 06").1);
}

#[test]
fn an_unknown_dialect_is_answered_with_the_known_ones() {
    let error = run("modbus", Input::Frames(&[]), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("modbus") && error.contains("dlt645") && error.contains("insteon"), "{error}");
}

/// A reader that went away.
struct Gone;

impl std::io::Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_ends_the_work_quietly() {
    let frame = ["02 54 02".to_owned()];
    assert!(run("insteon", Input::Frames(&frame), &mut Gone).unwrap());
    assert!(run("insteon", Input::Stream(&mut &b"02 54 02\n"[..]), &mut Gone).unwrap());
}
