//! The examples of `protocol-spec/http.md` are run, and answer what stands there; every route has one, and the text names what
//! the program knows.

use std::sync::Arc;

use plugline::access::{By, Change, Kind, Noted, RANDOM_BYTES, Scope, Token, TokenText};
use plugline::device::{Device, DeviceId, LineName, OptionRow, TokenId};
use plugline::http::limits::figures::Figures;
use plugline::http::problem::KINDS;
use plugline::hub::AccessRequest;
use plugline::hub::command::{Action, Command};
use plugline::hub::feed::{Body, GatewayEvent};
use plugline::hub::joining::JoiningWindow;
use plugline::hub::quality::{DeviceQuality, HourCounts, QualityView};
use plugline::hub::{Given, LineHealth, Request};
use plugline::line::{Cause, Joins};
use plugline::source::Part;
use serde_json::Value;

use super::lab::{Lab, command, device};
use crate::patterns::{exactly, fits, pattern};

const TEXT: &str = include_str!("../../../protocol-spec/http.md");
const DEVICE: &str = "dlt645_000000004711";

/// The token of the text.
fn secret() -> TokenText {
    TokenText::mint(Kind::User, [7; RANDOM_BYTES])
}

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
            request: request.replace("plgu_…", secret().expose()),
            status: status.parse().expect("a status"),
            answer: answer.to_owned(),
        });
    }
    found
}

/// The line, with or without a window.
fn line(window: Option<JoiningWindow>) -> Arc<LineHealth> {
    Arc::new(LineHealth {
        dialect: "dlt645",
        foreign: Arc::new(["000000004799".into()].into()),
        joining: window.map(Arc::new),
        joins: Joins { by_call: true, ..Joins::default() },
        options: &[OptionRow { name: "export", words: &[], about: "exported energy is counted" }],
        line: LineName::parse("dlt645").expect("a name"),
        port: Ok(()),
        modem: Some(true),
        last_heard_unix_ms: Some(1_795_000_000_123),
        heard: 7,
        malformed: Vec::new(),
    })
}

fn house(lab: &Lab) {
    lab.keeper.show_device(device(DEVICE, "Kettle"));
    lab.keeper.show_line(line(None));
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
        digest: secret().digest(),
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

/// The device as it would be after a change.
fn changed(request: Request) -> Given {
    let mut like = (*device(DEVICE, "Kettle")).clone();
    match request {
        Request::Change { name, options, .. } => {
            like.name = name.unwrap_or(like.name);
            let chosen = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
            like.options = chosen.collect();
        }
        Request::Replace { address, .. } => like.target.address = format!("{address:0>12}").into(),
        _ => {}
    }
    Given::Device(Arc::new(like))
}

fn token(request: AccessRequest) -> Given {
    let like = |id, digest, name, scope, reach| Token {
        id,
        digest,
        name,
        scope,
        reach,
        created_unix_ms: 1_795_000_000_000,
        created_by: "local".into(),
        expires_unix_ms: None,
        retires_unix_ms: None,
        last_used_unix_ms: None,
    };
    match request {
        AccessRequest::Mint(new) => {
            Given::Token(Arc::new(like(new.id, new.digest, new.name, new.scope, new.reach)))
        }
        AccessRequest::Rotate { id, digest, .. } => {
            Given::Token(Arc::new(like(id, digest, "Tablet".into(), Scope::Switch, None)))
        }
        _ => Given::Nothing,
    }
}

/// What the hub would say.
fn answered(request: Request) -> Given {
    match request {
        Request::Command(_) => Given::from(taken()),
        Request::OpenJoining { line: Some(line), .. } => Given::Joining(line, Arc::new(window())),
        Request::AddGroup { name, members } => Given::Device(group(&name, &members)),
        Request::ChangeGroup { name: Some(name), .. } => {
            Given::Device(group(&name, &[DeviceId::parse(DEVICE).expect("an id")]))
        }
        Request::Erase(_) => Given::Erased(7),
        Request::Quality { line, .. } => Given::Quality(Box::new(quality(line))),
        Request::Access(request) => token(request),
        request @ (Request::Add { .. } | Request::Change { .. } | Request::Replace { .. }) => {
            changed(request)
        }
        _ => Given::Nothing,
    }
}

/// What is shown behind an answer of the hub.
fn show(lab: &Lab, given: &Given, example: &Example) {
    match given {
        Given::Command { command, .. } => lab.keeper.show_command(Arc::clone(command)),
        Given::Device(device) if device.members.is_some() => lab.keeper.show_device(Arc::clone(device)),
        Given::Joining(..) => lab.keeper.show_line(line(Some(window()))),
        _ if example.request.starts_with("DELETE /v1/joining") => lab.keeper.show_line(line(None)),
        _ if example.request.starts_with("DELETE /v1/groups/") => {
            lab.keeper.hide_device(&DeviceId::parse("group_kitchen").expect("an id"));
        }
        _ => {}
    }
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
    if !reply.header("content-type").is_some_and(|kind| kind.contains("json")) {
        assert!(lines_fit(&example.answer, &reply.body), "{head}{}", reply.body);
        return;
    }
    let (mut got, mut wanted) = (reply.json(), pattern(&example.answer));
    for view in [&mut got, &mut wanted] {
        if let Some(taken_at) = view.get_mut("taken_at") {
            *taken_at = Value::Null;
        }
    }
    assert!(fits(&wanted, &got, exactly), "{head}{got:#}\nis not\n{wanted:#}");
}

/// Whether a text has these lines, one behind the other; a line `…` stands for any lines.
fn lines_fit(wanted: &str, got: &str) -> bool {
    let parts: Vec<&str> = wanted.trim_end().split("…").map(|part| part.trim_matches('\n')).collect();
    let mut rest = got.trim_end();
    let (open, first) = (parts.len() > 1, parts[0]);
    let Some(behind) = rest.strip_prefix(first) else { return false };
    rest = behind;
    for part in &parts[1..] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || (open && parts.last() == Some(&""))
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
            while let Some(envelope) = requests.recv().await {
                let given = answered(envelope.request);
                show(&lab, &given, example);
                envelope.answer.send(Ok(given)).expect("somebody waits");
            }
        };
        tokio::select! {
            () = run(&lab, example) => {}
            () = hub => panic!("the door closed"),
        }
    }
    assert_eq!(without_example(&lab.get("/").await.body, &examples), Vec::<String>::new());
}

/// Routes of the index that no example asks for.
fn without_example(index: &str, examples: &[Example]) -> Vec<String> {
    let routes = index.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next().filter(|path| path.starts_with('/'))?))
    });
    let is_asked = |method: &str, path: &str| {
        examples.iter().any(|example| {
            let mut words = example.request.split_whitespace();
            let (asked, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            asked == method && is_of(path, target.split('?').next().unwrap_or_default())
        })
    };
    routes.filter(|(method, path)| !is_asked(method, path)).map(|(m, path)| format!("{m} {path}")).collect()
}

/// Whether a path is one of a route's.
fn is_of(route: &str, path: &str) -> bool {
    if let Some((start, _)) = route.split_once("{*") {
        return path.starts_with(start);
    }
    let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route
            .iter()
            .zip(&path)
            .all(|(part, asked)| part == asked || (part.starts_with('{') && !asked.is_empty()))
}

#[tokio::test]
async fn the_specification_names_every_route() {
    let index = Lab::new().await.get("/").await.body;
    let mut count = 0;
    for line in index.lines().filter(|line| line.contains(" /")) {
        let mut words = line.split_whitespace();
        let named = format!("`{} {}", words.next().expect("a method"), words.next().expect("a path"));
        let there =
            TEXT.match_indices(&named).any(|(at, _)| TEXT[at + named.len()..].starts_with(['`', '?', '[']));
        assert!(there, "{named}` is not in protocol-spec/http.md");
        count += 1;
    }
    assert!(count > 40, "{count}");
}

/// The rows of the table below a heading.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, section) = TEXT.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").collect())
}

#[test]
fn the_table_of_errors_has_every_problem_in_the_row_of_its_status_and_no_other() {
    let mut named = Vec::new();
    for row in rows("Errors").skip(1) {
        let status: u16 = row[0].trim().parse().expect("a status");
        let names = row[1].split('`').skip(1).step_by(2).filter(|word| !word.starts_with(char::is_uppercase));
        named.extend(names.map(|name| (status, name)));
    }
    let mut known: Vec<(u16, &str)> = KINDS.iter().map(|kind| (kind.status, kind.name)).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn the_limits_of_the_text_are_those_of_the_program() {
    let figures = Figures::default();
    let limit = |what: &str| {
        let row = rows("Limits").find(|row| row[0].trim().starts_with(what));
        row.unwrap_or_else(|| panic!("{what} is not there"))[1].to_owned()
    };
    let quota = |quota: Option<plugline::http::limits::rate::Quota>| {
        let quota = quota.expect("it is limited");
        format!("{:.0} a second, {} at once", 1.0 / quota.each.as_secs_f64(), quota.burst)
    };
    for (what, wanted) in [
        ("connections", format!("{}", plugline::http::CONNECTIONS).replace("000", ",000")),
        ("looks (", quota(figures.reads)),
        ("changes and", quota(figures.commands)),
        ("commands for", quota(figures.device)),
        (
            "answers held",
            format!("{} a token, {} an address", figures.streams_per_token, figures.streams_per_address),
        ),
        ("request head", format!("{} s", plugline::http::Settings::default().head_time.as_secs())),
        ("request body", format!("{} s", plugline::http::Settings::default().body_time.as_secs())),
        ("a write", format!("{} s", plugline::http::Settings::default().stall.as_secs())),
    ] {
        assert!(limit(what).contains(&wanted), "{what}: {} is not {wanted}", limit(what));
    }
}

#[test]
fn the_contents_are_the_sections() {
    let (_, contents) = TEXT.split_once("\nContents: ").expect("contents");
    let contents: Vec<String> = contents
        .split("\n\n")
        .next()
        .expect("a paragraph")
        .replace('\n', " ")
        .split('·')
        .map(|name| name.trim().to_owned())
        .collect();
    let sections: Vec<&str> = TEXT.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(contents, sections);
}
