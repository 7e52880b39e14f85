//! The examples of `protocol-spec/http.md` are run, and answer what stands there.

use std::sync::Arc;

use plugline::access::{By, Change, Digest, Noted, Scope, Token};
use plugline::device::{Device, DeviceId, LineName, OptionRow, TokenId};
use plugline::hub::command::{Action, Command};
use plugline::hub::feed::{Body, GatewayEvent};
use plugline::hub::joining::JoiningWindow;
use plugline::hub::quality::{DeviceQuality, HourCounts, QualityView};
use plugline::hub::{Given, LineHealth, Request};
use plugline::line::{Cause, Joins};
use plugline::source::Part;
use serde_json::Value;

use super::lab::{Lab, command, device};

const TEXT: &str = include_str!("../../../protocol-spec/http.md");
const DEVICE: &str = "dlt645_000000004711";

struct Example {
    request: String,
    status: u16,
    answer: String,
}

/// Every fenced request with the fenced answer that follows it.
fn examples() -> Vec<Example> {
    let mut fences = TEXT.split("\n```").skip(1).step_by(2);
    let mut found = Vec::new();
    while let Some(fence) = fences.next() {
        let request = fence.strip_prefix("http\n").unwrap_or_else(|| panic!("no request: {fence}"));
        let answer =
            fences.next().and_then(|fence| fence.strip_prefix("answer ")).expect("an answer follows");
        let (status, answer) = answer.split_once('\n').unwrap_or((answer, ""));
        found.push(Example {
            request: request.to_owned(),
            status: status.parse().expect("a status"),
            answer: answer.to_owned(),
        });
    }
    found
}

fn house(lab: &Lab) {
    let line = LineName::parse("dlt645").expect("a name");
    lab.keeper.show_device(device(DEVICE, "Kettle"));
    lab.keeper.show_line(Arc::new(LineHealth {
        dialect: "dlt645",
        foreign: Arc::new(["000000004799".into()].into()),
        joining: None,
        joins: Joins { by_call: true, ..Joins::default() },
        options: &[OptionRow { name: "export", words: &[], about: "exported energy is counted" }],
        line,
        port: Ok(()),
        modem: Some(true),
        last_heard_unix_ms: Some(1_795_000_000_123),
        heard: 7,
        malformed: Vec::new(),
    }));
    access(lab);
    lab.upkeep.logbook.add(1_795_000_000_123, "info", "plugline::port", "open port=/dev/ttyUSB0");
    lab.door.set_part("store", Part::Good("open".into()));
    lab.door.set_part("broker", Part::Broken("connection refused".into()));
    lab.append(None, Body::Gateway(GatewayEvent::Started { version: "1.2.3".into() }));
    lab.reading(DEVICE);
    lab.append(Some(DEVICE), Body::Relay { on: true, cause: Cause::Button });
}

/// A token, and what was done with it.
fn access(lab: &Lab) {
    let (id, device) =
        (TokenId::parse("tok_a1b2c3d4e5").expect("an id"), DeviceId::parse(DEVICE).expect("an id"));
    let token = Token {
        id: id.clone(),
        name: "Tablet".into(),
        digest: Digest::of("nobody knows"),
        scope: Scope::Switch,
        reach: Some([device].into()),
        created_unix_ms: 1_795_000_000_000,
        created_by: "local".into(),
        expires_unix_ms: None,
        retires_unix_ms: None,
        last_used_unix_ms: Some(1_794_999_960_000),
    };
    let noted = Noted {
        number: 1,
        unix_ms: 1_795_000_000_000,
        by: By::Token { id, name: "Tablet".into() },
        action: "device.change".into(),
        target: Some(DEVICE.into()),
        command: None,
    };
    lab.keeper.show_access(Change::Token(Arc::new(token)));
    lab.keeper.show_access(Change::Noted(Arc::new(noted)));
}

fn window() -> JoiningWindow {
    JoiningWindow {
        open: true,
        opened_unix_ms: 1_795_000_000_000,
        closes_unix_ms: 1_795_000_060_000,
        address: None,
        joined: Vec::new(),
        error: None,
    }
}

fn group(name: &str, members: &[DeviceId]) -> Arc<Device> {
    let like = device("group_kitchen", name);
    Arc::new(Device {
        line: None,
        dialect: "group".into(),
        measured: Arc::new([]),
        last_seen_unix_ms: None,
        last_reading: None,
        members: Some(members.into()),
        ..(*like).clone()
    })
}

fn quality(line: LineName) -> QualityView {
    let device = DeviceQuality {
        device: plugline::device::DeviceId::parse(DEVICE).expect("an id"),
        heard: 60,
        expected: Some(62),
        missed: 2,
        attempts: 64,
        last_heard_unix_ms: Some(1_795_000_000_123),
        snr_tenths: Some(185),
        level_tenths: None,
        hops_tenths: Some(3),
    };
    let counts = HourCounts { heard: 60, malformed: 1, unanswered: 2 };
    QualityView { line, hours: vec![(1_794_999_600_000, counts)], devices: vec![device] }
}

fn taken() -> Arc<Command> {
    let mut taken = command(Action::Switch { on: true });
    taken.device = DeviceId::parse(DEVICE).expect("an id");
    Arc::new(taken)
}

async fn run(lab: &Lab, example: &Example) {
    let (head, body) = example.request.split_once("\n\n").unwrap_or((&example.request, ""));
    let mut lines = head.lines();
    let head: String = std::iter::once(format!("{} HTTP/1.1\r\n", lines.next().expect("a request line")))
        .chain(lines.map(|line| format!("{line}\r\n")))
        .collect();
    if head.contains("text/event-stream") {
        let path = head.split(' ').nth(1).expect("a path");
        let mut wire = lab.stream(path).await;
        let mut shown = String::new();
        for _ in 0..example.answer.matches("\n\n").count().max(1) + 1 {
            shown += &wire.block().await.expect("a block");
        }
        let after_retry = |text: &str| text.split_once('\n').expect("retry comes first").1.trim().to_owned();
        assert_eq!((wire.status(), after_retry(&shown)), (example.status, after_retry(&example.answer)));
        return;
    }
    let reply = lab.ask(&head, body).await;
    assert_eq!(reply.status, example.status, "{head}{}", reply.body);
    if reply.body.is_empty() {
        assert_eq!(example.answer.trim(), "");
        return;
    }
    let (mut got, mut wanted) = (reply.json(), serde_json::from_str::<Value>(&example.answer).expect("JSON"));
    for view in [&mut got, &mut wanted] {
        if let Some(taken_at) = view.get_mut("taken_at") {
            *taken_at = Value::Null;
        }
    }
    assert_eq!(got, wanted, "{head}");
}

#[tokio::test]
async fn every_example_of_the_specification_answers_what_stands_there() {
    let mut lab = Lab::new().await;
    house(&lab);
    let mut requests = std::mem::replace(&mut lab.requests, tokio::sync::mpsc::channel(1).1);
    let examples = examples();
    assert!(examples.len() > 12, "{}", examples.len());
    for example in &examples {
        let hub = async {
            let Some(envelope) = requests.recv().await else { return };
            let answer = match envelope.request {
                Request::Command(_) => Given::from(taken()),
                Request::OpenJoining { line: Some(line), .. } => Given::Joining(line, Arc::new(window())),
                Request::AddGroup { name, members } => Given::Device(group(&name, &members)),
                Request::Erase(_) => Given::Erased(7),
                Request::Quality { line, .. } => Given::Quality(Box::new(quality(line))),
                _ => Given::Nothing,
            };
            envelope.answer.send(Ok(answer)).expect("somebody waits");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = run(&lab, example) => {}
            () = hub => panic!("the door closed"),
        }
        if example.status == 202 {
            lab.keeper.show_command(taken());
        }
    }
}
