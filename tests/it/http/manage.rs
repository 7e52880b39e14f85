//! Devices added, changed, replaced and removed over HTTP: requests as the hub sees them, answers as the caller does.

use std::sync::Arc;

use plugline::hub::{Given, Refused, Request};
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
    assert!(matches!(request, Request::Rename { name, .. } if &*name == "Tea"));
    let path = "POST /v1/devices/dlt645_1/replace";
    let (reply, request) = ask(&mut lab, path, r#"{"address":"9000"}"#, tea()).await;
    assert_eq!(reply.status, 200);
    assert!(matches!(request, Request::Replace { address, .. } if &*address == "9000"));
    let (reply, request) = ask(&mut lab, "DELETE /v1/devices/dlt645_1", "", Ok(Given::Nothing)).await;
    assert_eq!(reply.status, 204);
    assert!(matches!(request, Request::Remove(_)));
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
