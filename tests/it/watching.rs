//! A line looked at while it works: live frames and downloads.

use std::time::Duration;

use plugline::port::recording::{Parser, What};
use serde_json::Value;

use crate::rig::{line, meters, within};
use crate::upkeep::Box;

/// What is downloaded in these seconds, as curl gets it.
async fn download(gateway: &Box, path: &str) -> Vec<u8> {
    let url = format!("{}{path}", gateway.url());
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "-N", "-f", "-m", "60", &url]).kill_on_drop(true);
    let output = within(path, curl.output()).await.expect("curl is installed");
    assert!(output.status.success(), "{path}: {:?}", output.status);
    output.stdout
}

fn recorded(text: &[u8]) -> (Parser, Vec<What>) {
    let mut parser = Parser::default();
    let lines = text.split(|byte| *byte == b'\n');
    let entries =
        lines.filter_map(|line| parser.line(line).expect("a good line")).map(|entry| entry.what).collect();
    (parser, entries)
}

#[tokio::test]
async fn several_see_the_frames_of_a_line_as_they_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("meter");
    let _front = meters(1, &port);
    let gateway = Box::start(folder.path(), &line("attic", port.to_str().expect("text"), "")).await;
    let (live, text, pcap) = tokio::join!(
        download(&gateway, "/v1/lines/attic/live?seconds=3"),
        download(&gateway, "/v1/lines/attic/capture?seconds=3"),
        download(&gateway, "/v1/lines/attic/capture?seconds=3&format=pcap"),
    );
    let live = String::from_utf8(live).expect("text");
    assert!(live.ends_with("event: end\ndata: {}\n\n"), "{live}");
    let frames: Vec<Value> = live
        .split("\n\n")
        .filter_map(|block| block.strip_prefix("event: frame\ndata: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let (parser, entries) = recorded(&text);
    assert_eq!(parser.header().expect("a header").dialect, "dlt645");
    assert_eq!(entries[0], What::Open);
    for (way, chunks) in [
        ("in", |what: &What| matches!(what, What::From(_))),
        ("out", |what: &What| matches!(what, What::To(_))),
    ] as [(&str, fn(&What) -> bool); 2]
    {
        let of_way: Vec<&Value> = frames.iter().filter(|frame| frame["way"] == way).collect();
        assert!(of_way.len() > 2 && entries.iter().filter(|what| chunks(what)).count() > 2, "{way}: {live}");
        for frame in of_way {
            // The names are those of `decode`.
            let hex = [frame["hex"].as_str().expect("hex").to_owned()];
            let mut said = Vec::new();
            plugline::cli::decode::run("dlt645", plugline::cli::decode::Input::Frames(&hex), &mut said)
                .expect("a dialect");
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            assert_eq!((&said["ok"], &said["frame"]), (&Value::from(true), &frame["kind"]), "{said}");
            for (name, value) in frame["fields"].as_object().expect("fields") {
                assert_eq!(&said[name], value, "{name} of {said}");
            }
        }
    }
    let tshark = folder.path().join("line.pcap");
    std::fs::write(&tshark, &pcap).expect("written");
    assert_eq!(&pcap[..4], &[0xd4, 0xc3, 0xb2, 0xa1]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_of_the_gateway_ends_a_look_and_unknown_lines_and_forms_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = folder.path().join("meter");
    let _front = meters(1, &port);
    let gateway = Box::start(folder.path(), &line("attic", port.to_str().expect("text"), "")).await;
    for (path, status) in [
        ("/v1/lines/cellar/live", 404),
        ("/v1/lines/attic/capture?format=wav", 400),
        ("/v1/lines/attic/live?seconds=soon", 400),
    ] {
        assert_eq!(
            gateway.client.get(path, Duration::ZERO).await.expect("an answer").status,
            status,
            "{path}"
        );
    }
    let mut look = gateway.client.stream("/v1/lines/attic/live?seconds=600", None).await.expect("a stream");
    within("a frame", look.next()).await.expect("it lives").expect("a frame");
    gateway.stop().await;
    within("its end", async { while let Ok(Some(_)) = look.next().await {} }).await;
}
