//! The gateway's own affairs on the whole gateway: restart and configuration over HTTP.

use std::path::{Path, PathBuf};

use plugline::cli::client::{Answer, Client};
use plugline::config::Config;
use plugline::run::Addresses;
use plugline::upkeep::Configuration;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::parts::PATIENCE;
use crate::rig::{line, meters, within};

/// A gateway with a configuration file.
pub(crate) struct Box {
    pub(crate) client: Client,
    pub(crate) file: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Box {
    pub(crate) async fn start(folder: &Path, lines: &str) -> Self {
        let file = folder.join("plugline.toml");
        let state = folder.join("state");
        let text = format!(
            "# the attic\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n[store]\ndir = {state:?}\n{lines}"
        );
        std::fs::write(&file, &text).expect("written");
        Self::again(file).await
    }

    /// On a file that is there.
    pub(crate) async fn again(file: PathBuf) -> Self {
        let text = std::fs::read_to_string(&file).expect("a file");
        let config = Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path));
        let configuration = Configuration::of_file(file.clone(), text, std::iter::empty());
        let (ready, up) = oneshot::channel::<Addresses>();
        let (stop, told) = oneshot::channel::<()>();
        let task =
            tokio::spawn(plugline::run::keep(configuration, config.expect("it is right"), ready, async {
                let _ = told.await;
            }));
        let addresses = within("the start", up).await.expect("it started");
        let client = Client::new(&format!("http://{}", addresses.http)).expect("an address");
        Self { client, file, stop, task }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.get(path, PATIENCE).await.expect("an answer").good().expect(path)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client.post(path, body, PATIENCE).await.expect("an answer")
    }

    /// Asks for a restart, and waits until another life of the gateway answers.
    pub(crate) async fn restart(&self) {
        let before = self.get("/v1/gateway").await["started_at"].clone();
        assert_eq!(self.post("/v1/restart", &json!({})).await.status, 202);
        self.other_than(&before).await;
    }

    pub(crate) async fn other_than(&self, started: &Value) {
        within("the restart", async {
            loop {
                // A request that comes between the two lives waits for the second; one of the first may be cut.
                let now = self.client.get("/v1/gateway", PATIENCE).await.and_then(Answer::good);
                if now.is_ok_and(|now| now["started_at"] != *started) {
                    return;
                }
            }
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        within("the end", self.task).await.expect("no panic").expect("a clean end");
    }
}

fn seq(cursor: &Value) -> u64 {
    let (_, number) = cursor.as_str().expect("a cursor").split_once('.').expect("epoch and number");
    number.parse().expect("a number")
}

#[tokio::test]
async fn a_restart_keeps_address_epoch_numbers_and_registry_and_ends_held_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("meter");
    let _front = meters(1, &port);
    let gateway = Box::start(folder.path(), &line("attic", port.to_str().expect("text"), "")).await;
    let first = within("a reading", async {
        loop {
            let page = gateway.get("/v1/events?after=earliest&kind=reading&wait=5").await;
            if page["events"].as_array().is_some_and(|events| !events.is_empty()) {
                return page;
            }
        }
    })
    .await;
    let devices = gateway.get("/v1/devices").await["devices"].as_array().expect("devices").len();
    let held = tokio::spawn({
        let client = gateway.client.clone();
        let path = "/v1/events?after=now&device=nobody&wait=50";
        async move { client.get(path, PATIENCE).await.expect("an answer").good().expect("a page") }
    });
    let change = json!({"site": {"timezone": "Europe/Paris"}});
    let changed = gateway.client.patch("/v1/config", &change).await.expect("an answer").good().expect("good");
    assert_eq!(changed["restart_needed"], true, "{changed}");
    gateway.restart().await;
    let held = within("the held request", held).await.expect("no panic");
    assert_eq!(held["events"], json!([]));
    let after = gateway.get("/v1/events?after=earliest&kind=gateway").await;
    assert_eq!(after["epoch"], first["epoch"]);
    assert!(seq(&after["latest"]) > seq(&first["cursor"]), "{after}");
    let told: Vec<&Value> =
        after["events"].as_array().expect("events").iter().map(|event| &event["data"]["event"]).collect();
    assert!(told.contains(&&json!("stopping")) && !told.contains(&&json!("gap")), "{told:?}");
    assert_eq!(gateway.get("/v1/devices").await["devices"].as_array().expect("devices").len(), devices);
    let config = gateway.get("/v1/config").await;
    assert_eq!(
        (&config["values"]["site"]["timezone"], &config["restart_needed"]),
        (&json!("Europe/Paris"), &json!(false))
    );
    assert_eq!(config["file"], gateway.file.to_str().expect("text"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_broken_configuration_is_refused_before_anything_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Box::start(folder.path(), "").await;
    let before = gateway.get("/v1/gateway").await["started_at"].clone();
    let good = std::fs::read_to_string(&gateway.file).expect("text");
    std::fs::write(&gateway.file, good.replace("[store]", "[stor]")).expect("written");
    let refused = gateway.post("/v1/restart", &json!({})).await;
    assert_eq!((refused.status, &refused.body["type"]), (422, &json!("/problems/wrong-configuration")));
    assert_eq!(refused.body["line"], 6, "{}", refused.body);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let elsewhere = format!("listen = \"{}\"", taken.local_addr().expect("an address"));
    std::fs::write(&gateway.file, good.replacen("listen = \"127.0.0.1:0\"", &elsewhere, 1)).expect("written");
    let refused = gateway.post("/v1/restart", &json!({})).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(gateway.get("/v1/gateway").await["started_at"], before, "it runs on");
    let refused =
        gateway.client.patch("/v1/config", &json!({"http": {"listen": "x"}})).await.expect("an answer");
    assert_eq!(refused.status, 422, "{}", refused.body);
    gateway.stop().await;
}

#[tokio::test]
async fn health_says_of_the_broker_and_of_a_line_what_is_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("meter");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let broker = format!("listen = \"{}\"", taken.local_addr().expect("an address"));
    let front = meters(1, &port);
    let gateway = Box::start(folder.path(), &line("attic", port.to_str().expect("text"), "")).await;
    let health = async |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        within(what, async {
            loop {
                let strict = gateway.client.get("/healthz?strict=1", PATIENCE).await.expect("an answer");
                let good = strict.body["status"] == "ok";
                assert_eq!(strict.status, if good { 200 } else { 503 });
                if wanted(&strict.body) {
                    return strict.body;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let all = health("all is well", &|health| {
        health["status"] == "ok" && health["parts"]["lines"]["attic"]["modem"] == true
    })
    .await;
    for part in ["store", "feed", "broker"] {
        assert_eq!(all["parts"][part], true, "{all}");
    }
    drop(front);
    health("the cable is pulled", &|health| health["parts"]["lines"]["attic"]["port"] == false).await;
    let good = std::fs::read_to_string(&gateway.file).expect("text");
    let (http, rest) = good.split_once("[mqtt.embedded]").expect("it is there");
    let rest = rest.replacen("listen = \"127.0.0.1:0\"", &broker, 1);
    std::fs::write(&gateway.file, format!("{http}[mqtt.embedded]{rest}")).expect("written");
    gateway.restart().await;
    let away = health("its port is taken", &|health| health["parts"]["broker"] == false).await;
    assert_eq!(away["parts"]["store"], true, "{away}");
    drop(taken);
    health("the port is free", &|health| health["parts"]["broker"] == true).await;
    gateway.stop().await;
}
