//! The gateway's own affairs on the whole gateway: restart, configuration, backup and restore over HTTP.

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
    url: String,
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
        let url = format!("http://{}", addresses.http);
        let client = Client::new(&url).expect("an address");
        Self { client, url, file, stop, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
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
    within("the list of changes", async {
        while gateway.get("/v1/audit?limit=1").await["entries"][0]["action"] != "config.change" {}
    })
    .await;
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

fn ids(devices: &Value) -> Vec<String> {
    let list = devices["devices"].as_array().expect("devices");
    list.iter().map(|device| device["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_backup_brings_registry_names_and_configuration_to_another_box() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let port = folder.path().join("meter");
    let line = line("attic", port.to_str().expect("text"), "");
    let gateway = Box::start(folder.path(), &line).await;
    let devices = ids(&gateway.get("/v1/devices").await);
    assert_eq!(devices.len(), 3);
    let named = json!({"name": "Samowar"});
    let path = format!("/v1/devices/{}", devices[0]);
    gateway.client.patch(&path, &named).await.expect("an answer").good().expect("renamed");
    let identity = gateway.get("/v1/gateway").await;
    let text =
        gateway.post("/v1/backup", &json!({"passphrase": "correct horse"})).await.good().expect("a backup");
    let text = text.as_str().expect("text").to_owned();
    assert!(text.starts_with("plugline-backup 1\n") && !text.contains(&devices[0]), "{text}");
    gateway.stop().await;

    let gateway = Box::start(other.path(), "").await;
    let before = gateway.get("/v1/gateway").await;
    let configured = std::fs::read_to_string(&gateway.file).expect("text");
    for (body, part) in [
        (json!({"backup": text}), "passphrase; give it"),
        (json!({"backup": text, "passphrase": "correct hors"}), "not the one"),
        (json!({"backup": "registry", "passphrase": "x"}), "this is no backup"),
        (json!({"backup": text[..text.len() / 2], "passphrase": "correct horse"}), "cut off"),
        // Its state folder is the first box's.
        (
            json!({"backup": text, "passphrase": "correct horse", "configuration": true}),
            "restore without configuration",
        ),
    ] {
        let refused = gateway.post("/v1/restore", &body).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body["detail"].as_str().expect("words").contains(part), "{}", refused.body);
    }
    assert_eq!(gateway.get("/v1/gateway").await["started_at"], before["started_at"], "nothing has happened");
    let body = json!({"backup": text, "passphrase": "correct horse"});
    let told = gateway.post("/v1/restore", &body).await;
    assert_eq!((told.status, &told.body["devices"]), (202, &json!(3)), "{}", told.body);
    gateway.other_than(&before["started_at"]).await;
    let after = gateway.get("/v1/gateway").await;
    assert_eq!(after["id"], identity["id"]);
    assert_ne!(after["feed"]["epoch"], identity["feed"]["epoch"]);
    assert_ne!(after["feed"]["epoch"], before["feed"]["epoch"]);
    assert_eq!(gateway.get(&path).await["name"], "Samowar");
    assert_eq!(std::fs::read_to_string(&gateway.file).expect("text"), configured);
    gateway.stop().await;
}

#[tokio::test]
async fn a_backup_of_the_same_box_brings_its_configuration_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Box::start(folder.path(), "").await;
    let first = std::fs::read_to_string(&gateway.file).expect("text");
    let text = gateway.post("/v1/backup", &json!({})).await.good().expect("a backup");
    let change = json!({"site": {"timezone": "Europe/Paris"}});
    gateway.client.patch("/v1/config", &change).await.expect("an answer").good().expect("good");
    let before = gateway.get("/v1/gateway").await;
    let told = gateway.post("/v1/restore", &json!({"backup": text, "configuration": true})).await;
    assert_eq!((told.status, &told.body["configuration"]), (202, &json!(true)), "{}", told.body);
    gateway.other_than(&before["started_at"]).await;
    assert_eq!(std::fs::read_to_string(&gateway.file).expect("text"), first);
    let config = gateway.get("/v1/config").await;
    assert_eq!(
        (&config["restart_needed"], &config["values"]["site"]),
        (&json!(false), &Value::Null),
        "{config}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopped_gateways_folder_is_restored_by_the_command_and_a_crash_between_its_files_is_made_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Box::start(folder.path(), "").await;
    let text = gateway.post("/v1/backup", &json!({})).await.good().expect("a backup");
    let identity = gateway.get("/v1/gateway").await["id"].clone();
    let (file, state) = (gateway.file.clone(), folder.path().join("state"));
    let backup = folder.path().join("box.backup");
    std::fs::write(&backup, text.as_str().expect("text")).expect("written");
    let first = std::fs::read_to_string(&file).expect("text");
    gateway.stop().await;
    std::fs::remove_dir_all(&state).expect("gone");
    std::fs::write(&file, format!("{first}# changed since\n")).expect("written");
    let arguments =
        ["restore", backup.to_str().expect("text"), "--config", file.to_str().expect("text"), "--json"];
    let done = crate::gateway::ended(&mut crate::gateway::plugline(&arguments)).await;
    assert_eq!(done.code, Some(0), "{} {}", done.out, done.err);
    let told: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!((&told["configuration"], &told["restarting"]), (&json!(true), &json!(false)), "{told}");
    // As if the power had gone before the configuration was in its place.
    std::fs::write(&file, format!("{first}# changed since\n")).expect("written");
    let gateway = Box::again(file.clone()).await;
    assert_eq!(gateway.get("/v1/gateway").await["id"], identity);
    assert_eq!(std::fs::read_to_string(&file).expect("text"), first);
    gateway.stop().await;
}
