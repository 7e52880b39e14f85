//! Commands over HTTP.

use std::sync::Arc;
use std::time::Duration;

use plugline::device::DeviceId;
use plugline::hub::command::{Action, Command, State};
use plugline::hub::{Answer, Given, NewCommand, Refused, Request, Wish};
use plugline::line::Outcome;
use serde_json::json;

use super::lab::{Lab, Reply, command, device};

const ID: &str = "cmd_01kagx5ej0000000000000000a";
const PATH: &str = "/v1/devices/dlt645_1/commands";
const ON: &str = r#"{"command":"switch","args":{"on":true}}"#;

async fn lab() -> Lab {
    let lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    lab
}

fn head(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n{headers}")
}

/// Posts while the loop, played here, gives `answer`.
async fn post(lab: &mut Lab, head: &str, body: &str, answer: Answer) -> (Reply, NewCommand) {
    let Lab { requests, .. } = lab;
    let mut mailbox = std::mem::replace(requests, tokio::sync::mpsc::channel(1).1);
    let shown = &*lab;
    let hub = async {
        let envelope = mailbox.recv().await.expect("a request");
        if let Ok(Given::Command { command, .. }) = &answer {
            shown.keeper.show_command(Arc::clone(command));
        }
        envelope.answer.send(answer).expect("somebody waits");
        let Request::Command(new) = envelope.request else { panic!("no command") };
        new
    };
    let (reply, new) = tokio::join!(shown.ask(head, body), hub);
    lab.requests = mailbox;
    (reply, new)
}

fn settle(lab: &Lab, mut command: Command) {
    command.enter(State::Sent, 1_795_000_000_500);
    command.enter(State::Confirmed, 1_795_000_000_900);
    lab.keeper.show_command(Arc::new(command));
    lab.note("a step of the head, as every transition is an event");
}

#[tokio::test]
async fn an_accepted_command_is_202_with_its_place_and_version() {
    let mut lab = lab().await;
    let switch = Action::Switch { on: true };
    let body = r#"{"command":"switch","args":{"on":true},"ttl_s":60}"#;
    let headers = "Idempotency-Key: \"one\"\r\n";
    let (reply, new) =
        post(&mut lab, &head(PATH, headers), body, Ok(Given::from(Arc::new(command(switch))))).await;
    assert_eq!((reply.status, reply.header("etag")), (202, Some("\"1\"")));
    assert_eq!(reply.header("location"), Some(format!("/v1/commands/{ID}").as_str()));
    assert_eq!((&reply.json()["id"], &reply.json()["state"]), (&json!(ID), &json!("accepted")));
    assert_eq!((new.wish, new.ttl), (Wish::Do(switch), Duration::from_secs(60)));
    assert_eq!((new.device.as_str(), &*new.requested_by), ("dlt645_1", "local"));
    assert_eq!(new.idempotency.as_ref().map(|of| &*of.key), Some("one"));
}

#[tokio::test]
async fn a_toggle_goes_to_the_hub_unresolved() {
    let mut lab = lab().await;
    let answer = Ok(Given::from(Arc::new(command(Action::Switch { on: false }))));
    let (reply, new) = post(&mut lab, &head(PATH, ""), r#"{"command":"toggle"}"#, answer).await;
    assert_eq!((new.wish, &reply.json()["command"]), (Wish::Toggle, &json!("switch")));
}

#[tokio::test]
async fn a_preference_to_wait_gives_200_when_it_settled_and_202_when_not() {
    let mut lab = lab().await;
    let mut settled = command(Action::Read);
    settled.enter(State::Expired, 1_795_000_030_000);
    let (reply, _) =
        post(&mut lab, &head(PATH, "Prefer: wait=99\r\n"), ON, Ok(Given::from(Arc::new(settled)))).await;
    assert_eq!((reply.status, reply.header("preference-applied")), (200, Some("wait=50")));
    assert_eq!((reply.header("etag"), &reply.json()["state"]), (Some("\"2\""), &json!("expired")));
    let open = Ok(Given::from(Arc::new(command(Action::Read))));
    let (reply, _) = post(&mut lab, &head(PATH, "Prefer: wait=1\r\n"), ON, open.clone()).await;
    assert_eq!((reply.status, reply.header("preference-applied")), (202, Some("wait=1")));
    let (reply, _) = post(&mut lab, &head(&format!("{PATH}?wait=0"), "Prefer: wait=50\r\n"), ON, open).await;
    assert_eq!((reply.status, reply.header("preference-applied")), (202, None));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_before_the_hub_hears_of_it() {
    let mut lab = lab().await;
    let big = format!("{{\"command\":\"{}\"}}", "x".repeat(70 * 1024));
    let plain = format!("POST {PATH} HTTP/1.1\r\nContent-Type: text/plain\r\n");
    let none = format!("POST {PATH} HTTP/1.1\r\n");
    let json_head = head(PATH, "");
    for (head, body, status, name, field) in [
        (&head("/v1/devices/nobody/commands", ""), ON, 404, "unknown-device", json!(null)),
        (&plain, ON, 415, "not-json", json!(null)),
        (&none, ON, 415, "not-json", json!(null)),
        (&json_head, "{\"command\":", 400, "bad-json", json!(null)),
        (&json_head, "", 400, "bad-json", json!(null)),
        (&json_head, big.as_str(), 413, "too-big", json!(null)),
        (&json_head, "[]", 422, "wrong-field", json!("body")),
        (&json_head, r#"{"command":"explode"}"#, 422, "wrong-field", json!("command")),
        (&json_head, r#"{"command":"read","ttl_s":0}"#, 422, "wrong-field", json!("ttl_s")),
        (&head(&format!("{PATH}?wait=x"), ""), ON, 400, "bad-parameter", json!("wait")),
        (&head(PATH, "Idempotency-Key: \"\"\r\n"), ON, 400, "bad-parameter", json!("Idempotency-Key")),
    ] {
        let reply = lab.ask(head, body).await;
        assert_eq!(reply.problem(), (status, name.to_owned(), field), "{head} {}", reply.body);
    }
    let position = lab.ask(&json_head, "{\"command\":\n1x}").await.json();
    assert!(position["detail"].as_str().expect("text").contains("line 2 column 2"), "{position}");
    assert!(lab.requests.try_recv().is_err());
}

#[tokio::test]
async fn refusals_of_the_hub_become_problems() {
    let mut lab = lab().await;
    let id = DeviceId::parse("dlt645_1").expect("an id");
    for (refused, status, name) in [
        (Refused::QueueFull { device: id.clone(), limit: 50 }, 429, "queue-full"),
        (Refused::StateUnknown(id.clone()), 409, "state-unknown"),
        (Refused::NotSupported { device: id.clone(), command: "identify" }, 422, "not-supported"),
        (Refused::UnknownDevice(id), 404, "unknown-device"),
        (Refused::StoreBroken, 503, "store-broken"),
        (Refused::Stopping, 503, "stopping"),
    ] {
        let (reply, _) = post(&mut lab, &head(PATH, ""), ON, Err(refused)).await;
        let (got, problem, _) = reply.problem();
        assert_eq!((got, problem.as_str()), (status, name));
        assert_eq!(reply.header("retry-after").is_some(), [429, 503].contains(&status));
    }
}

#[tokio::test]
async fn a_command_can_be_looked_at_and_waited_for() {
    let lab = lab().await;
    let path = format!("/v1/commands/{ID}");
    assert_eq!(lab.get(&path).await.problem().1, "unknown-command");
    assert_eq!(lab.get("/v1/commands/WHAT").await.problem().1, "unknown-command");
    lab.keeper.show_command(Arc::new(command(Action::Read)));
    let now = lab.get(&path).await;
    assert_eq!((now.status, now.header("etag"), &now.json()["version"]), (200, Some("\"1\""), &json!(1)));
    let timed_out = lab.get(&format!("{path}?wait=1")).await;
    assert_eq!((timed_out.status, &timed_out.json()["state"]), (200, &json!("accepted")));
    let waiting = lab.get_later(&format!("{path}?wait=50"), "");
    settle(&lab, command(Action::Read));
    let reply = waiting.await.expect("no panic");
    assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("confirmed")));
}

#[tokio::test]
async fn if_none_match_waits_for_another_version_and_is_304_without_one() {
    let lab = lab().await;
    let path = format!("/v1/commands/{ID}");
    lab.keeper.show_command(Arc::new(command(Action::Read)));
    let ask = |query: &str, tag: &str| {
        let head = format!("GET {path}{query} HTTP/1.1\r\nIf-None-Match: {tag}\r\n");
        let lab = &lab;
        async move { lab.ask(&head, "").await }
    };
    let same = ask("", "\"1\"").await;
    assert_eq!((same.status, same.header("etag"), same.body.as_str()), (304, Some("\"1\""), ""));
    assert_eq!(ask("?wait=1", "\"7\", W/\"1\"").await.status, 304);
    assert_eq!(ask("?wait=50", "\"7\"").await.status, 200);
    let waiting = lab.get_later(&format!("{path}?wait=50"), "If-None-Match: \"1\"\r\n");
    let mut next = command(Action::Read);
    next.enter(State::Queued, 1_795_000_000_100);
    lab.keeper.show_command(Arc::new(next));
    lab.note("its event");
    let reply = waiting.await.expect("no panic");
    assert_eq!(
        (reply.status, reply.header("etag"), &reply.json()["state"]),
        (200, Some("\"2\""), &json!("queued"))
    );
}

#[tokio::test]
async fn a_failed_command_shows_what_is_known_about_its_effect() {
    let lab = lab().await;
    let mut failed = command(Action::Read);
    failed.fail(Outcome::Unknown, "silent", "no answer", 1_795_000_000_900);
    lab.keeper.show_command(Arc::new(failed));
    let body = lab.get(&format!("/v1/commands/{ID}")).await.json();
    assert_eq!((&body["outcome"], &body["error"]["code"]), (&json!("unknown"), &json!("silent")));
}

#[tokio::test]
async fn a_queued_command_can_be_taken_back_and_a_sent_one_not() {
    let mut lab = lab().await;
    let id = command(Action::Read).id;
    for (answer, status) in [
        (Ok(Given::Nothing), 204),
        (Err(Refused::NotQueued(id.clone())), 409),
        (Err(Refused::UnknownCommand(id.clone())), 404),
    ] {
        let asked = lab.send_later(&format!("DELETE /v1/commands/{ID} HTTP/1.1\r\n"));
        let envelope = lab.request().await;
        assert_eq!(envelope.request, Request::Cancel(id.clone()));
        envelope.answer.send(answer).expect("somebody waits");
        assert_eq!(asked.await.expect("no panic").status, status);
    }
}
