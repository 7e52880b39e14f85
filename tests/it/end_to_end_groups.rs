//! Groups with the real program on a real pty: command line, HTTP and MQTT, and a kill in the middle.

use plugline_simulator::Meter;
use serde_json::{Value, json};

use crate::end_to_end::base;
use crate::gateway::{Running, Site, ended, get, plugline, port_of, post, publish, subscribe, until};

const GROUP: &str = "group_kitchen";

/// One verb of the command line at this gateway: how it ended, and what it printed.
async fn verb(gateway: &Running, arguments: &[&str]) -> (Option<i32>, String) {
    let told = ended(plugline(arguments).args(["--url", &gateway.http])).await;
    (told.code, format!("{}{}", told.out, told.err))
}

fn closed(site: &Site) -> Vec<bool> {
    site.front.with(|bus| bus.meters().iter().map(Meter::relay_closed).collect())
}

async fn group(gateway: &Running) -> Value {
    get(&format!("{}/v1/groups/{GROUP}", gateway.http)).await
}

/// A gateway with a group of two of its three meters.
async fn grouped(site: &Site) -> Running {
    let gateway = site.run().await;
    gateway.devices().await;
    let told = verb(&gateway, &["groups", "add", "Kitchen", "Kettle", "Fridge"]).await;
    assert_eq!(told, (Some(0), "Kitchen (group_kitchen), on: Kettle, Fridge; made".into()));
    gateway
}

#[tokio::test]
async fn the_command_line_makes_switches_changes_and_removes_a_group() {
    let site = Site::new();
    let gateway = grouped(&site).await;
    let told = verb(&gateway, &["off", "Kitchen"]).await;
    let lines = "Kitchen (group_kitchen): off confirmed\n  Kettle: confirmed\n  Fridge: confirmed";
    assert_eq!(told, (Some(0), lines.into()));
    assert_eq!(closed(&site), [false, false, true]);
    let shown = group(&gateway).await;
    assert_eq!((&shown["state"]["relay"], &shown["online"]), (&json!(false), &json!(true)));
    let change = ["groups", "change", "Kitchen", "--name", "All", "--add", "Desk", "--drop", "Kettle"];
    let told = verb(&gateway, &change).await;
    assert_eq!(told, (Some(0), "All (group_kitchen), on: Fridge, Desk; changed".into()));
    let (code, told) = verb(&gateway, &["groups", "add", "Other", "All"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("`group_kitchen` is a group"), "{told}");
    let told = verb(&gateway, &["groups"]).await;
    assert_eq!(told, (Some(0), "All (group_kitchen), on: Fridge, Desk".into()));
    let (_, told) = verb(&gateway, &["groups", "--json"]).await;
    let listed: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(listed[0]["id"], GROUP);
    let told = verb(&gateway, &["groups", "remove", "All"]).await;
    assert_eq!(told, (Some(0), "All (group_kitchen), on: Fridge, Desk; removed".into()));
    assert_eq!(verb(&gateway, &["groups"]).await, (Some(0), "No groups yet.".into()));
    gateway.devices().await;
}

#[tokio::test]
async fn killed_with_a_command_to_a_group_taken_in_it_ends_once_member_by_member() {
    let site = Site::new();
    let gateway = grouped(&site).await;
    let url = format!("{}/v1/devices/{GROUP}/commands", gateway.http);
    let (status, command) = post(&url, r#"{"command":"switch","args":{"on":false}}"#).await;
    assert_eq!((status, command["members"].as_array().map(Vec::len)), (202, Some(2)), "{command}");
    gateway.program.kill().await;
    let gateway = site.run().await;
    let id = command["id"].as_str().expect("an id");
    let own = |id: &Value| format!("{}/v1/commands/{}?wait=40", gateway.http, id.as_str().expect("an id"));
    let ended = get(&own(&command["id"])).await;
    assert!(ended["state"] == "confirmed" || ended["error"]["code"] == "members_failed", "{ended}");
    for member in ended["members"].as_array().expect("members") {
        let of = get(&own(&member["command"])).await;
        assert_eq!((&of["state"], &of["part_of"]), (&member["state"], &json!(id)), "{ended}");
    }
    let sent = site.relay_requests().len();
    assert!(sent <= 2, "{sent} requests for two relays");
    let shown = group(&gateway).await;
    assert_eq!(shown["members"], json!(["dlt645_000000004711", "dlt645_000000004712"]));
}

#[tokio::test]
async fn a_broker_hears_of_a_group_switches_it_and_keeps_nothing_of_it() {
    let site = Site::new();
    let gateway = grouped(&site).await;
    let (broker, base) = (port_of(&gateway.mqtt), base(&gateway).await);
    let all = subscribe(broker, "mqttv5");
    let of_group = format!("{base}/device/{GROUP}");
    all.out.has(&format!("{of_group}/relay ON")).await;
    all.out.has(&format!("{of_group}/availability online")).await;
    publish(broker, &format!("{base}/request/groups"), r#"{"transaction":"7"}"#).await;
    let answer = all.out.has(&format!("{base}/response/groups ")).await;
    assert!(answer.contains(r#""transaction":"7""#) && answer.contains(GROUP), "{answer}");
    publish(broker, &format!("{of_group}/set"), "TOGGLE").await;
    let result = all.out.has(&format!("{of_group}/result ")).await;
    assert!(result.contains(r#""event_type":"confirmed""#), "{result}");
    all.out.has(&format!("{of_group}/relay OFF")).await;
    assert_eq!(closed(&site), [false, false, true]);
    let remove = format!(r#"{{"action":"remove","id":"{GROUP}"}}"#);
    publish(broker, &format!("{base}/request/groups"), &remove).await;
    all.out.first("its last word", |line| line.contains(&format!("{of_group}/reading"))).await;
    until("nothing retained of it", || async {
        let late = subscribe(broker, "mqttv5");
        late.out.has(&format!("{base}/gateway ")).await;
        late.out.all().iter().all(|line| !line.contains(GROUP)).then_some(())
    })
    .await;
}
