//! `plugline doctor` as a process: what it finds, how it ends, and that its bundle names nobody.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plugline_simulator::{Bus, Front, Pty, demo_house};
use serde_json::Value;
use tokio::process::Command;

use crate::gateway::{Ended, Program, Site, curl, ended, get, plugline, post, until};

/// A name that a bundle must not tell, with signs that JSON and URLs write in their own way.
const NAME: &str = "Grandma's \"old\" heater";

fn doctor(config: &Path, folder: &Path) -> Command {
    let mut command = plugline(&["doctor", "--out", "bundle.txt", "--config"]);
    command.arg(config).current_dir(folder).env("USER", "josephine");
    command
}

/// The line of the checklist about something: its grade and its words.
fn about<'a>(told: &'a Ended, what: &str) -> (&'a str, &'a str) {
    let line =
        told.out.lines().find_map(|line| line.split_once(what).filter(|(grade, _)| grade.trim().len() < 8));
    let (grade, words) = line.unwrap_or_else(|| panic!("{what} in {}{}", told.out, told.err));
    (grade.trim(), words.trim())
}

fn bundle(folder: &Path) -> String {
    let path = folder.join("bundle.txt");
    let mode = std::fs::metadata(&path).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::read_to_string(path).expect("text")
}

fn section<'a>(bundle: &'a str, title: &str) -> &'a str {
    let (_, from) =
        bundle.split_once(&format!("\n== {title} ==\n")).unwrap_or_else(|| panic!("{title} in {bundle}"));
    from.split("\n== ").next().unwrap_or(from)
}

#[tokio::test]
async fn the_bundle_of_a_running_gateway_names_nobody_and_measures_nothing() {
    let site = Site::new().with_http("names = [\"box.josephine.example\"]");
    let config = site.config();
    let running = site.run().await;
    let cli = std::fs::read_to_string(site.store.join("cli.token")).expect("left by the gateway");
    let token = cli.lines().nth(1).expect("a token");
    let bearer = format!("Authorization: Bearer {token}");
    let ask = |method: &'static str, path: &'static str, body: String| {
        let (url, bearer) = (format!("{}{path}", running.http), bearer.clone());
        async move {
            let json = "Content-Type: application/json";
            curl(&["-X", method, "-H", &bearer, "-H", json, "-d", &body, &url]).await
        }
    };
    until("a reading of each", || async {
        let (_, told) = curl(&["-H", &bearer, &format!("{}/v1/devices", running.http)]).await;
        let devices = told["devices"].as_array()?;
        devices.iter().all(|device| device["last_reading"]["energy_kwh"].is_number()).then_some(())
    })
    .await;
    let name = serde_json::json!({ "name": NAME }).to_string();
    assert_eq!(ask("PATCH", "/v1/devices/dlt645_000000004711", name).await.0, 200);
    let wanted = r#"{"name":"Josephine's tablet","scope":"read"}"#.to_owned();
    let (_, minted) = ask("POST", "/v1/tokens", wanted).await;
    let other_token = minted["token"].as_str().expect("a token").to_owned();
    let (_, gateway) = curl(&["-H", &bearer, &format!("{}/v1/gateway", running.http)]).await;

    let told = ended(&mut doctor(&config, site.folder())).await;
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    for what in ["configuration", "gateway", "broker", "store", "line dlt645", "sockets", "log"] {
        assert_eq!(about(&told, what).0, "ok", "{what}: {}", told.out);
    }
    assert!(
        told.out.contains("bundle.txt") && told.out.contains("Read it before you send it"),
        "{}",
        told.out
    );

    let bundle = bundle(site.folder());
    let written =
        [NAME.to_owned(), NAME.replace('"', "\\\""), "Kettle".into(), "Fridge".into(), "Desk".into()];
    let ids = ["4711", "4712", "4713", "josephine", "Josephine"].map(str::to_owned);
    let secrets = [token.to_owned(), other_token, gateway["id"].as_str().expect("an id").to_owned()];
    for original in written.iter().chain(&ids).chain(&secrets) {
        assert!(!bundle.contains(original), "{original} in {bundle}");
    }
    let devices = section(&bundle, "/v1/devices");
    assert!(devices.contains(r#""id":"device-1""#) && devices.contains(r#""name":"name-1""#), "{devices}");
    assert!(devices.contains(r#""energy_kwh":"…""#), "{devices}");
    let metrics = section(&bundle, "/metrics");
    assert!(metrics.contains("plugline_device_online{device=\"device-2\"}"), "{metrics}");
    assert!(!metrics.contains("power_watts") && !metrics.contains("joules"), "{metrics}");
    assert!(section(&bundle, "configuration").contains("\"address\": \"address-3\""), "{bundle}");
    assert!(section(&bundle, "/v1/log").contains("plugline::"), "{bundle}");
    for title in
        ["findings", "version", "system", "/healthz", "/v1/gateway", "/v1/lines", "/v1/lines/dlt645/quality"]
    {
        assert!(!section(&bundle, title).starts_with("left out"), "{title}");
    }
    let again = ended(&mut doctor(&config, site.folder())).await;
    assert!(again.code == Some(1) && again.err.contains("--out"), "nothing is written over: {}", again.err);
}

#[tokio::test]
async fn a_token_that_may_not_see_everything_leaves_those_sections_out_and_says_why() {
    let site = Site::new();
    let running = site.run().await;
    let (_, minted) = post(&format!("{}/v1/tokens", running.http), r#"{"name":"Look","scope":"read"}"#).await;
    let mut command = plugline(&["doctor", "--json", "--out", "bundle.txt", "--url", &running.http]);
    let token = minted["token"].as_str().expect("a token");
    let told = ended(command.current_dir(site.folder()).env("PLUGLINE_TOKEN", token)).await;
    let told: Value = serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}", told.err));
    let findings = told["findings"].as_array().expect("a list");
    assert!(findings.iter().any(|finding| finding["about"] == "sockets"), "{findings:?}");
    assert_eq!(told["bundle"], "bundle.txt");
    let bundle = bundle(site.folder());
    assert!(section(&bundle, "/v1/log").starts_with("left out: "), "{bundle}");
    assert!(section(&bundle, "/v1/log").contains("403"), "{bundle}");
    assert!(section(&bundle, "/v1/devices").contains("device-3"), "{bundle}");
}

#[tokio::test]
async fn a_configuration_that_merely_lies_about_is_not_that_of_the_folder_that_is_named() {
    let site = Site::new();
    let running = site.run().await;
    running.devices().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("plugline.toml"), "[mqtt\n").expect("written");
    let mut command = plugline(&["doctor", "--state"]);
    let told = ended(command.arg(&site.store).current_dir(elsewhere.path())).await;
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(!told.out.contains("configuration  "), "{}", told.out);
    let made = std::fs::read_dir(elsewhere.path()).expect("a folder").flatten();
    let made: Vec<_> = made.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(
        made.iter().any(|name| name.starts_with("plugline-doctor-20") && name.ends_with("Z.txt")),
        "{made:?}"
    );
}

#[tokio::test]
async fn a_silent_modem_is_trouble_and_the_port_of_a_running_gateway_is_not_opened() {
    // A pty with nobody behind it: the port opens, and no modem answers.
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("modem");
    let _front =
        Front::start(Bus::new(1, Vec::new()), Pty::open(Some(&port)).expect("a pty")).expect("a thread");
    let config = folder.path().join("plugline.toml");
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n[store]\ndir = {:?}\n\
         [[line]]\ndialect = \"insteon\"\nport = {port:?}\n",
        folder.path().join("state"),
    );
    std::fs::write(&config, text).expect("written");
    let mut command = plugline(&["run", "--config"]);
    let program = Program::start(command.arg(&config).env("PLUGLINE_LOG_FORMAT", "json"));
    let line = program.log.has(r#""message":"running""#).await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let http = format!("http://{}", line["fields"]["http"].as_str().expect("an address"));
    until("a modem that does not answer", || async {
        let health = get(&format!("{http}/healthz")).await;
        (health["parts"]["lines"]["insteon"]["modem"] == false).then_some(())
    })
    .await;
    let told = ended(&mut doctor(&config, folder.path())).await;
    assert_eq!(told.code, Some(1), "{}{}", told.out, told.err);
    let (grade, words) = about(&told, "line insteon");
    assert!(grade == "trouble" && words.contains("its modem does not answer"), "{}", told.out);
    assert_eq!(told.out.matches("line insteon").count(), 1, "{}", told.out);
    assert_eq!(program.stop("TERM").await.code(), Some(0));
}

#[tokio::test]
async fn a_missing_port_is_trouble_and_one_that_is_there_is_fine_without_any_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("modem");
    let _front =
        Front::start(Bus::new(1, demo_house(1)), Pty::open(Some(&port)).expect("a pty")).expect("a thread");
    let config = folder.path().join("plugline.toml");
    let text = format!(
        "[store]\ndir = {:?}\n[[line]]\nname = \"here\"\ndialect = \"dlt645\"\nport = {port:?}\n\
         [[line]]\nname = \"gone\"\ndialect = \"dlt645\"\nport = \"/dev/nowhere\"\n",
        folder.path().join("state"),
    );
    std::fs::write(&config, text).expect("written");
    let told = ended(&mut doctor(&config, folder.path())).await;
    assert_eq!(told.code, Some(1));
    assert_eq!(about(&told, "line here").0, "ok", "{}", told.out);
    let (grade, words) = about(&told, "line gone");
    assert!(grade == "trouble" && words.contains("/dev/nowhere: no such port"), "{}", told.out);
    let (grade, words) = about(&told, "gateway ");
    assert!(grade == "warning" && words.contains("plugline run"), "{}", told.out);
    assert!(!folder.path().join("state").exists(), "it makes nothing");
    let bundle = bundle(folder.path());
    assert!(section(&bundle, "gateway").starts_with("left out: no gateway runs"), "{bundle}");
    assert!(section(&bundle, "configuration").contains("/dev/nowhere"), "{bundle}");
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_told_and_bundled_with_its_secrets_hidden() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("plugline.toml");
    let text = format!(
        "[store]\ndir = {:?}\n[mqtt]\nbroker = \"mqtt://box.smith.example\"\nuser = \"josephine\"\npasword = \"s3cret\"\n",
        folder.path().join("state"),
    );
    std::fs::write(&config, text).expect("written");
    let told = ended(&mut doctor(&config, folder.path())).await;
    assert_eq!(told.code, Some(1));
    let (grade, words) = about(&told, "configuration");
    assert!(
        grade == "trouble" && words.contains("line 6, column 1") && words.contains("pasword"),
        "{}",
        told.out
    );
    let written = bundle(folder.path());
    assert!(section(&written, "configuration").contains("\"broker\": \"mqtt://host-"), "{written}");
    for original in ["smith", "josephine", "s3cret"] {
        assert!(!written.contains(original), "{original} in {written}");
    }

    std::fs::remove_file(folder.path().join("bundle.txt")).expect("removed");
    std::fs::write(&config, "[mqtt\npassword = \"s3cret\"\n").expect("written");
    let told = ended(&mut doctor(&config, folder.path())).await;
    assert_eq!((told.code, about(&told, "configuration").0), (Some(1), "trouble"), "{}", told.out);
    let written = bundle(folder.path());
    assert!(section(&written, "configuration").starts_with("left out"), "{written}");
    assert!(!written.contains("s3cret"), "{written}");

    let told = ended(plugline(&["doctor", "--out", "-", "--config"]).arg(&config)).await;
    assert!(told.code == Some(1) && told.out.starts_with("Plugline doctor, "), "{}", told.out);
    assert!(told.err.contains("trouble  configuration"), "{}", told.err);
}
