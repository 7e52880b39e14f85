//! Devices added, changed, replaced and removed over HTTP: requests as the hub sees them, answers as the caller does.

use std::sync::Arc;

use plugline::device::{Device, DeviceId, LineName, OptionValue};
use plugline::hub::joining::JoiningWindow;
use plugline::hub::{Given, LineHealth, Refused, Request};
use plugline::line::BadAddress;
use serde_json::json;

use super::lab::{Lab, Reply, device};

/// Sends a request and plays the hub's part; gives the answer and what the hub was asked.
async fn ask(lab: &mut Lab, line: &str, body: &str, answer: Result<Given, Refused>) -> (Reply, Request) {
    let head = format!("{line} HTTP/1.1\r\nContent-Type: application/json\r\n");
    let mut requests = std::mem::replace(&mut lab.requests, tokio::sync::mpsc::channel(1).1);
    let hub = async {
        let envelope = requests.recv().await.expect("a request");
        envelope.answer.send(answer).expect("somebody waits");
        envelope.request
    };
    let (reply, request) = tokio::join!(lab.ask(&head, body), hub);
    lab.requests = requests;
    (reply, request)
}

#[tokio::test]
async fn an_added_device_is_201_with_its_place() {
    let mut lab = Lab::new().await;
    let added = device("dlt645_000000004711", "Kettle");
    let body = r#"{"line":"mains","address":"4711","channel":null,"name":"Kettle"}"#;
    let (reply, request) = ask(&mut lab, "POST /v1/devices", body, Ok(Given::Device(added))).await;
    assert_eq!((reply.status, reply.header("location")), (201, Some("/v1/devices/dlt645_000000004711")));
    assert_eq!(reply.json()["name"], "Kettle");
    let Request::Add { line, address, channel: None, name } = request else { panic!("{request:?}") };
    assert_eq!((line.as_str(), &*address, name.as_deref()), ("mains", "4711", Some("Kettle")));
}

#[tokio::test]
async fn a_renamed_and_a_replaced_device_come_back_as_they_are_now_and_a_removed_one_is_204() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let tea = || Ok(Given::Device(device("dlt645_1", "Tea")));
    let (reply, request) = ask(&mut lab, "PATCH /v1/devices/dlt645_1", r#"{"name":"Tea"}"#, tea()).await;
    assert_eq!((reply.status, &reply.json()["name"]), (200, &json!("Tea")));
    assert!(matches!(request, Request::Change { name: Some(name), .. } if &*name == "Tea"));
    let path = "POST /v1/devices/dlt645_1/replace";
    let (reply, request) = ask(&mut lab, path, r#"{"address":"9000"}"#, tea()).await;
    assert_eq!(reply.status, 200);
    assert!(matches!(request, Request::Replace { address, .. } if &*address == "9000"));
    let (reply, request) = ask(&mut lab, "DELETE /v1/devices/dlt645_1", "", Ok(Given::Nothing)).await;
    assert_eq!(reply.status, 204);
    assert!(matches!(request, Request::Remove(_)));
}

#[tokio::test]
async fn options_are_chosen_by_name_and_null_takes_a_choice_back() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let kettle = Ok(Given::Device(device("dlt645_1", "Kettle")));
    let body = r#"{"options":{"relay":false,"close":"hand","export":null}}"#;
    let (reply, request) = ask(&mut lab, "PATCH /v1/devices/dlt645_1", body, kettle).await;
    assert_eq!(reply.status, 200);
    let Request::Change { name: None, options, .. } = request else { panic!("{request:?}") };
    let wanted = [
        ("close".into(), Some(OptionValue::Word("hand".into()))),
        ("export".into(), None),
        ("relay".into(), Some(OptionValue::Flag(false))),
    ];
    assert_eq!(options, wanted.into());
    let refused =
        Refused::BadOption { option: "closs".into(), what: "is none".into(), allowed: vec!["close"] };
    let body = r#"{"options":{"closs":"hand"}}"#;
    let (reply, _) = ask(&mut lab, "PATCH /v1/devices/dlt645_1", body, Err(refused)).await;
    assert_eq!((reply.status, &reply.json()["field"]), (422, &json!("options.closs")));
}

#[tokio::test]
async fn a_joining_window_is_opened_shown_and_closed() {
    let mut lab = Lab::new().await;
    let window = JoiningWindow {
        open: true,
        opened_unix_ms: 1_795_000_000_000,
        closes_unix_ms: 1_795_000_030_000,
        address: Some("1a777b".into()),
        joined: vec![DeviceId::parse("insteon_1a777b").unwrap()],
        error: Some(("no_answer", "nobody answered".into())),
    };
    let name = LineName::parse("insteon").unwrap();
    let given = Ok(Given::Joining(name.clone(), Arc::new(window.clone())));
    let body = r#"{"seconds":30,"code":"1A.77.7B"}"#;
    let (reply, request) = ask(&mut lab, "POST /v1/joining", body, given).await;
    assert_eq!((reply.status, reply.header("location")), (201, Some("/v1/joining?line=insteon")));
    let asked = Request::OpenJoining {
        line: None,
        duration: std::time::Duration::from_secs(30),
        address: Some("1A.77.7B".into()),
    };
    assert_eq!(request, asked);
    let view = json!({
        "line": "insteon", "open": true, "code": "1a777b", "joined": ["insteon_1a777b"],
        "opened_at": "2026-11-18T11:06:40.000Z", "closes_at": "2026-11-18T11:07:10.000Z",
        "error": {"code": "no_answer", "detail": "nobody answered"},
    });
    assert_eq!(reply.json(), view);
    lab.keeper.show_line(Arc::new(LineHealth {
        dialect: "dlt645",
        line: name.clone(),
        port: Ok(()),
        modem: None,
        last_heard_unix_ms: None,
        heard: 7,
        malformed: Vec::new(),
        foreign: Arc::default(),
        joining: Some(Arc::new(window)),
        joins: Default::default(),
        options: &[],
    }));
    assert_eq!(lab.get("/v1/joining").await.json(), json!({ "joining": [view] }));
    assert_eq!(lab.get("/v1/joining?line=cellar").await.status, 422);
    let (reply, request) = ask(&mut lab, "DELETE /v1/joining?line=insteon", "", Ok(Given::Nothing)).await;
    assert_eq!((reply.status, request), (204, Request::CloseJoining { line: Some(name) }));
}

#[tokio::test]
async fn a_field_at_fault_is_named_before_the_hub_is_asked() {
    let lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let wrong = [
        ("POST /v1/devices", r#"{"address":"1"}"#, "line"),
        ("POST /v1/devices", r#"{"line":"A B","address":"1"}"#, "line"),
        ("POST /v1/devices", r#"{"line":"mains"}"#, "address"),
        ("POST /v1/devices", r#"{"line":"mains","address":1}"#, "address"),
        ("POST /v1/devices", r#"{"line":"mains","address":"1","channel":0}"#, "channel"),
        ("POST /v1/devices", r#"{"line":"mains","address":"1","nam":"x"}"#, "nam"),
        ("PATCH /v1/devices/dlt645_1", r#"{"name":7}"#, "name"),
        ("POST /v1/devices/dlt645_1/replace", r"{}", "address"),
    ];
    for (line, body, field) in wrong {
        let head = format!("{line} HTTP/1.1\r\nContent-Type: application/json\r\n");
        let reply = lab.ask(&head, body).await;
        let (status, name, _) = reply.problem();
        assert_eq!((status, name.as_str()), (422, "wrong-field"), "{body}");
        assert_eq!(reply.json()["field"], field, "{body}");
    }
    let head = "PATCH /v1/devices/nobody HTTP/1.1\r\nContent-Type: application/json\r\n";
    assert_eq!(lab.ask(head, r#"{"name":"x"}"#).await.problem().1, "unknown-device");
}

#[tokio::test]
async fn each_refusal_of_the_hub_is_a_problem_of_its_own() {
    let mut lab = Lab::new().await;
    let id = || device("dlt645_1", "x").id.clone();
    let refusals = [
        (Refused::AddressTaken(id()), 409, "address-taken"),
        (Refused::NameTaken(id()), 409, "name-taken"),
        (Refused::FewerCapabilities { device: id(), missing: "relay".into() }, 409, "fewer-capabilities"),
        (Refused::InConfiguration(id()), 409, "in-configuration"),
        (Refused::LineGone(id()), 409, "line-gone"),
        (Refused::BadName { max: 64 }, 422, "wrong-field"),
        (Refused::BadAddress(BadAddress { given: "x".into(), want: "digits" }), 422, "wrong-field"),
    ];
    for (refused, status, name) in refusals {
        let body = r#"{"line":"mains","address":"1"}"#;
        let (reply, _) = ask(&mut lab, "POST /v1/devices", body, Err(refused)).await;
        let problem = reply.problem();
        assert_eq!((problem.0, problem.1.as_str()), (status, name));
    }
}

#[tokio::test]
async fn a_replayed_command_says_so() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let before = Arc::new(super::lab::command(plugline::hub::command::Action::Read));
    let given = Given::Command { command: before, replayed: true };
    let path = "POST /v1/devices/dlt645_1/commands";
    let (reply, _) = ask(&mut lab, path, r#"{"command":"read"}"#, Ok(given)).await;
    assert_eq!((reply.status, reply.header("idempotency-replayed")), (202, Some("true")));
}

#[tokio::test]
async fn a_group_is_made_changed_and_removed_and_no_other_device_is_one() {
    let mut lab = Lab::new().await;
    let kettle = device("dlt645_1", "Kettle");
    let group = || {
        let members = Some([kettle.id.clone()].into());
        Arc::new(Device { line: None, members, ..(*device("group_all", "All")).clone() })
    };
    let given = || Ok(Given::Device(group()));
    let body = r#"{"name":"All","members":["dlt645_1"]}"#;
    let (reply, request) = ask(&mut lab, "POST /v1/groups", body, given()).await;
    assert_eq!((reply.status, reply.header("location")), (201, Some("/v1/groups/group_all")));
    assert_eq!(request, Request::AddGroup { name: "All".into(), members: vec![kettle.id.clone()] });
    lab.keeper.show_device(Arc::clone(&kettle));
    lab.keeper.show_device(group());
    let listed = lab.get("/v1/groups").await.json();
    assert_eq!(
        (listed["groups"].as_array().map(Vec::len), &listed["groups"][0]["id"]),
        (Some(1), &json!("group_all"))
    );
    assert_eq!(lab.get("/v1/groups/group_all").await.json(), listed["groups"][0]);
    let (reply, request) = ask(&mut lab, "PATCH /v1/groups/group_all", r#"{"members":[]}"#, given()).await;
    assert_eq!(reply.status, 200);
    assert!(
        matches!(request, Request::ChangeGroup { name: None, members: Some(none), .. } if none.is_empty())
    );
    let (reply, request) = ask(&mut lab, "DELETE /v1/groups/group_all", "", Ok(Given::Nothing)).await;
    assert_eq!((reply.status, request), (204, Request::RemoveGroup(group().id.clone())));
    assert_eq!(lab.get("/v1/groups/dlt645_1").await.problem().1, "unknown-group");
    for (line, body, field) in [
        ("POST /v1/groups", r#"{"name":"x"}"#, "members"),
        ("POST /v1/groups", r#"{"members":[]}"#, "name"),
        ("POST /v1/groups", r#"{"name":"x","members":["A b"]}"#, "members"),
        ("PATCH /v1/groups/group_all", r"{}", "name"),
        ("PATCH /v1/groups/group_all", r#"{"devices":[]}"#, "devices"),
    ] {
        let reply = lab.ask(&format!("{line} HTTP/1.1\r\nContent-Type: application/json\r\n"), body).await;
        assert_eq!((reply.status, &reply.json()["field"]), (422, &json!(field)), "{body}");
    }
    let refusals = [
        (Refused::BadMembers { what: "x".into() }, 422, "wrong-field"),
        (Refused::TooManyGroups { limit: 64 }, 409, "too-many-groups"),
        (Refused::EmptyGroup(kettle.id.clone()), 409, "empty-group"),
        (Refused::IsGroup(kettle.id.clone()), 422, "not-supported"),
    ];
    for (refused, status, name) in refusals {
        let (reply, _) = ask(&mut lab, "POST /v1/groups", body, Err(refused)).await;
        assert_eq!((reply.problem().0, reply.problem().1.as_str()), (status, name));
    }
}
