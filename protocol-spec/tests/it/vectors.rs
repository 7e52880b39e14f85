//! The vectors, which a program of its own made from the text: this crate reads each as it says, and writes each good
//! one to the same bytes.

use plugline_protocol::frame::{
    Frame, Kind, MAX_FRAME, MAX_PAYLOAD, MAX_PDU, Options, with_crc, without_crc,
};
use plugline_protocol::hostlink::{Deframer, MAX_ENCODED, Message, encode};
use plugline_protocol::label::{Label, LabelError};
use plugline_protocol::messages::{Answer, Beacon, Command, Outcome, Payload, Report, Response};
use plugline_protocol::security::{self, CommandGate, GroupGate, Joined, ReplayWindow, ShortKey, Verdict};
use serde_json::{Map, Value};

use crate::world::{
    self, NG, WHO, channel_of, grant, group_key, hex, install, judge, keys, later_keys, unhex,
};

pub(crate) fn load(name: &str) -> Vec<Map<String, Value>> {
    let path = format!("{}/vectors/plugline-{name}.json", env!("CARGO_MANIFEST_DIR"));
    let all: Vec<Map<String, Value>> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(all.len() > 5, "{name}: the vectors are gone");
    all
}

fn word<'a>(vector: &'a Map<String, Value>, key: &str) -> &'a str {
    vector[key].as_str().unwrap()
}

// [PLG-5.2-1]
#[test]
fn keys_are_derived_as_the_vectors_say() {
    let (joined, resumed) = (keys(), later_keys());
    for vector in load("keys") {
        let set = if word(&vector, "root") == "install" { &joined } else { &resumed };
        let key = match word(&vector, "label") {
            "up" => &set.up,
            "down" => &set.down,
            "ack" => &set.ack,
            "wrap" => &set.wrap,
            "kek" => &set.kek,
            other => panic!("{other}"),
        };
        assert_eq!(hex(key.octets()), word(&vector, "hex"), "{}", word(&vector, "id"));
    }
    assert_eq!(resumed.kek, joined.kek, "K_kek outlives a RESUME");
}

// [PLG-1.1-1] [PLG-1.1-2] [PLG-1.1-3] [PLG-1.1-4] [PLG-3.2-2] [PLG-3.3-1] [PLG-3.3-2] [PLG-3.4-1] [PLG-3.6-2]
// [PLG-4.2-4] [PLG-5.3-1] [PLG-5.3-2] [PLG-5.4-1] [PLG-5.7-1] [PLG-6.1-3] [PLG-6.1-4] [PLG-6.3-2] [PLG-6.3-3]
// [PLG-6.4-2] [PLG-6.6-2] [PLG-6.7-1] [PLG-7.3-4]
#[test]
fn every_frame_is_believed_or_refused_as_its_vector_says() {
    for vector in load("frames") {
        let id = word(&vector, "id");
        let about = vector.get("about_counter").map(|counter| counter.as_u64().unwrap().try_into().unwrap());
        let judged = judge(&unhex(word(&vector, "hex")), about);
        match (vector.get("expect"), vector.get("error")) {
            (Some(expect), None) => assert_eq!(Value::Object(judged.unwrap()), *expect, "{id}"),
            (None, Some(error)) => {
                let refused = judged.expect_err(id);
                assert_eq!(refused.kind, error["kind"], "{id}");
                let outcome = error.get("outcome").map(|outcome| outcome.as_str().unwrap());
                assert_eq!(refused.outcome.map(Outcome::name), outcome, "{id}");
            }
            _ => panic!("{id} needs either `expect` or `error`"),
        }
    }
}

/// Vectors with bits of a later version, or not as this version would write them: read, never written.
const NEVER_WRITTEN: [&str; 5] =
    ["report-more", "report-reserved", "report-gap", "response-unknown-outcome", "answer-reserved"];

fn sealed_again<P: Payload>(frame: &Frame<'_>, message: &P) -> Vec<u8> {
    let header = frame.header();
    let Some(counter) = frame.counter() else { panic!("a secured frame has a counter") };
    let options =
        Options { ack_request: header.ack_request, relay_ok: header.relay_ok, hops: header.hops_allowed };
    let mut out = [0; MAX_PDU];
    let mut pdu = channel_of(frame.kind()).seal(options, counter, message, &mut out).unwrap().to_vec();
    // HOP is what relays change.
    pdu[1] = frame.pdu()[1];
    pdu
}

fn written_again(frame: &Frame<'_>, vector: &Map<String, Value>) -> Vec<u8> {
    let mut clear = [0; MAX_PAYLOAD];
    let mut out = [0; MAX_PDU];
    if frame.kind().is_secured() {
        let payload = channel_of(frame.kind()).open(frame, &mut clear).unwrap();
        assert_eq!(hex(payload), word(vector, "payload").replace(' ', ""));
        return match frame.kind() {
            Kind::Report => sealed_again(frame, &Report::parse(payload).unwrap()),
            Kind::Response => sealed_again(frame, &Response::parse(payload).unwrap()),
            Kind::Beacon => sealed_again(frame, &Beacon::parse(payload).unwrap()),
            _ => sealed_again(frame, &Command::parse(payload).unwrap()),
        };
    }
    let (plain, short) = (Options::default(), ShortKey::new(&keys().ack, &WHO));
    let about = || u32::try_from(vector["about_counter"].as_u64().unwrap()).unwrap();
    let slot = |slot| plugline_protocol::messages::Grant { slot, ..grant() };
    match frame.kind() {
        Kind::Ack => short.ack(plain, about(), &mut out).unwrap(),
        Kind::Answer => {
            let answer: Answer = short.open_answer(frame, about()).unwrap();
            short.answer(plain, about(), answer, &mut out).unwrap()
        }
        Kind::JoinUp => {
            let up = plugline_protocol::messages::JoinUp::parse(frame).unwrap();
            security::ask_to_join(&install(), plain, &up, &mut out).unwrap()
        }
        Kind::JoinDown => {
            let given = vector["expect"]["slot"].as_u64().map(|slot| u16::try_from(slot).unwrap());
            let joined = Joined { identity: WHO, keys: keys(), grant: slot(given) };
            security::answer_join(&joined, NG, plain, &mut out).unwrap()
        }
        Kind::ResumeAsk => {
            security::ask_resume(&keys().kek, &WHO, world::LATER_NONCES.gateway, plain, &mut out).unwrap()
        }
        Kind::ResumeUp => {
            security::answer_resume(&keys().kek, &WHO, &world::LATER_NONCES, plain, &mut out).unwrap()
        }
        _ => {
            let joined = Joined { identity: WHO, keys: later_keys(), grant: slot(Some(3)) };
            security::finish_resume(&joined, plain, &mut out).unwrap()
        }
    }
    .to_vec()
}

// [PLG-3.3-3] [PLG-3.3-4] [PLG-6.1-1] [PLG-6.6-1]
#[test]
fn every_good_frame_is_written_as_its_vector_says() {
    let mut written = 0;
    for vector in load("frames") {
        let id = word(&vector, "id");
        if vector.contains_key("error") || NEVER_WRITTEN.contains(&id) {
            continue;
        }
        let on_line = unhex(word(&vector, "hex"));
        let pdu = written_again(&Frame::parse(without_crc(&on_line).unwrap()).unwrap(), &vector);
        let mut out = [0; MAX_FRAME];
        assert_eq!(hex(with_crc(&pdu, &mut out).unwrap()), hex(&on_line), "{id}");
        written += 1;
    }
    assert!(written > 30, "{written}");
}

fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fresh => "fresh",
        Verdict::Repeat => "repeat",
        Verdict::Replayed => "replayed",
        Verdict::Stale => "stale",
        Verdict::TooFar => "too_far",
    }
}

// [PLG-5.5-1] [PLG-5.5-2] [PLG-5.6-1] [PLG-5.6-4]
#[test]
fn every_sequence_is_judged_as_its_vector_says() {
    for vector in load("fresh") {
        let restored =
            vector.get("restored").map(|counter| u32::try_from(counter.as_u64().unwrap()).unwrap());
        let mut reports = restored.map_or(ReplayWindow::new(), ReplayWindow::restored);
        let mut commands = CommandGate::new();
        let mut group = GroupGate::from_floor(restored.unwrap_or(0));
        for (at, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
            let number = |key: &str| u32::try_from(step[key].as_u64().unwrap()).unwrap();
            let counter = number("counter");
            let verdict = match word(&vector, "gate") {
                "reports" => reports.judge(counter),
                "commands" => {
                    let reference = Some(number("reference"));
                    commands.judge(counter, &unhex(step["tag"].as_str().unwrap()), reference, number("sent"))
                }
                "group" => group.judge(counter),
                other => panic!("{other}"),
            };
            assert_eq!(name_of(verdict), step["verdict"], "{} step {at}", word(&vector, "id"));
        }
    }
}

// [PLG-7.1-2] [PLG-7.1-3]
#[test]
fn every_label_is_read_or_refused_as_its_vector_says() {
    for vector in load("labels") {
        let id = word(&vector, "id");
        let read = Label::parse(word(&vector, "text"));
        if let Some(expect) = vector.get("expect") {
            let label = read.unwrap();
            assert_eq!(label.eui.to_string(), expect["eui"], "{id}");
            assert_eq!(hex(label.install_key.octets()), expect["install_key"], "{id}");
        } else {
            let kind = match read.expect_err(id) {
                LabelError::Prefix => "prefix",
                LabelError::Character { .. } => "character",
                LabelError::Length { .. } => "length",
                LabelError::Check => "check",
            };
            assert_eq!(kind, vector["error"]["kind"], "{id}");
        }
    }
}

// [PLG-9.1-1] [PLG-9.2-1] [PLG-9.2-2] [PLG-9.2-3]
#[test]
fn every_packet_of_the_host_link_is_read_as_its_vector_says() {
    for vector in load("link") {
        let id = word(&vector, "id");
        let wire = unhex(word(&vector, "hex"));
        let mut deframer = Deframer::new();
        let (last, before) = wire.split_last().unwrap();
        assert!(before.iter().all(|byte| deframer.push(*byte).is_none()), "{id} is one packet");
        let packet = deframer.push(*last).unwrap();
        let read = packet.map_err(|error| error.name()).and_then(|packet| {
            Message::parse(&packet).map(|message| (packet.seq, message)).map_err(|_| "malformed")
        });
        if let Some(error) = vector.get("error") {
            assert_eq!(read.expect_err(id), error["kind"], "{id}");
            continue;
        }
        let (seq, message) = read.unwrap();
        let mut shown = Map::new();
        shown.insert("number".into(), seq.into());
        world::listed(&message, &mut shown);
        assert_eq!(Value::Object(shown), vector["expect"], "{id}");
        if !matches!(id, "hello-later" | "hello-unknown" | "tx-later") {
            let mut out = [0; MAX_ENCODED];
            assert_eq!(hex(encode(seq, &message, &mut out).unwrap()), hex(&wire), "{id}");
        }
    }
}

#[test]
fn the_printed_label_of_the_world_is_the_vector() {
    let mut text = String::new();
    Label { eui: WHO.eui, install_key: install() }.print(&mut text).unwrap();
    let vector = load("labels").into_iter().find(|vector| vector["id"] == "label").unwrap();
    assert_eq!(text, word(&vector, "text"));
    assert_ne!(group_key(), install());
}
