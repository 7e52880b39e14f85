//! `/metrics`, judged by Prometheus's own tool.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plugline::device::LineName;
use plugline::hub::LineHealth;
use plugline::hub::command::{Action, State};
use plugline::source::Part;

use super::lab::{Lab, command, device};

fn line(heard: u64, malformed: u64) -> Arc<LineHealth> {
    Arc::new(LineHealth {
        dialect: "dlt645",
        foreign: Default::default(),
        joining: None,
        joins: Default::default(),
        options: &[],
        line: LineName::parse("attic").expect("a name"),
        port: Ok(()),
        modem: Some(true),
        last_heard_unix_ms: Some(1_795_000_000_123),
        heard,
        malformed: vec![("checksum", malformed)],
    })
}

/// What `promtool check metrics` says; nothing when all is well.
fn promtool(text: &str) -> String {
    let mut tool = Command::new("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("promtool is installed; tests/run installs it");
    tool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let ended = tool.wait_with_output().expect("it ends");
    let said = [ended.stdout, ended.stderr].concat();
    format!("{}{}", String::from_utf8_lossy(&said), if ended.status.success() { "" } else { "failed" })
}

/// The value behind a name with its labels.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn prometheus_finds_nothing_to_say_against_the_metrics() {
    let lab = Lab::new().await;
    assert_eq!(promtool(&lab.get("/metrics").await.body), "", "of an empty gateway");
    lab.keeper.show_device(device("dlt645_1", "Kettle \"\\ \n"));
    lab.keeper.show_line(line(7, 2));
    lab.keeper.show_command(Arc::new(command(Action::Read)));
    lab.door.set_part("store", Part::Good("".into()));
    lab.door.set_part("broker", Part::Broken("away".into()));
    lab.upkeep.meters.settled(State::Confirmed);
    lab.upkeep.meters.published();
    lab.reading("dlt645_1");
    let reply = lab.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4"));
    assert_eq!(promtool(&reply.body), "", "{}", reply.body);
    for (series, wanted) in [
        ("plugline_build_info{version=\"1.2.3\",gateway=\"gw_aaaaaaaaaa\"}", 1.0),
        ("plugline_device_power_watts{device=\"dlt645_1\"}", 41.7),
        ("plugline_device_relay_on{device=\"dlt645_1\"}", 1.0),
        ("plugline_device_last_seen_timestamp_seconds{device=\"dlt645_1\"}", 1_795_000_000.123),
        ("plugline_line_heard_total{line=\"attic\"}", 7.0),
        ("plugline_line_malformed_total{line=\"attic\",kind=\"checksum\"}", 2.0),
        ("plugline_line_port_up{line=\"attic\"}", 1.0),
        ("plugline_line_modem_up{line=\"attic\"}", 1.0),
        ("plugline_part_up{part=\"store\"}", 1.0),
        ("plugline_part_up{part=\"broker\"}", 0.0),
        ("plugline_commands_settled_total{outcome=\"confirmed\"}", 1.0),
        ("plugline_commands_settled_total{outcome=\"failed\"}", 0.0),
        ("plugline_commands_open", 1.0),
        ("plugline_mqtt_published_total", 1.0),
        ("plugline_feed_head", 1.0),
    ] {
        assert_eq!(value(&reply.body, series), Some(wanted), "{series} in {}", reply.body);
    }
    assert!(value(&reply.body, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(value(&reply.body, "process_start_time_seconds").is_some());
}

#[tokio::test]
async fn a_count_does_not_fall_when_the_line_starts_anew() {
    let lab = Lab::new().await;
    let series = "plugline_line_heard_total{line=\"attic\"}";
    let mut told = Vec::new();
    for heard in [7, 9, 1, 4] {
        lab.keeper.show_line(line(heard, heard));
        told.push(value(&lab.get("/metrics").await.body, series).expect("a value"));
    }
    assert_eq!(told, [7.0, 9.0, 10.0, 13.0]);
}

#[tokio::test]
async fn readers_are_counted_while_they_read() {
    let lab = Lab::new().await;
    let readers = |body: &str| {
        [value(body, "plugline_readers{kind=\"stream\"}"), value(body, "plugline_readers{kind=\"poll\"}")]
    };
    let mut stream = lab.stream("/v1/events").await;
    stream.block().await.expect("hello");
    assert_eq!(readers(&lab.get("/metrics").await.body), [Some(1.0), Some(0.0)]);
    lab.stop.send(true).expect("it runs");
    stream.rest().await;
    assert_eq!(lab.upkeep.meters.streams.get(), 0);
}
