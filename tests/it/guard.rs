//! What stands between the network and the handlers: attacks by their names, each refused on a real listener.

use std::sync::Arc;
use std::time::Duration;

use plugline::http::Settings;
use plugline::http::guard::Rules;
use plugline::http::guard::host::{Host, Hosts};
use plugline::http::guard::origin::Origin;
use plugline::http::limits::figures::Figures;
use plugline::http::limits::hot::DELAY;
use plugline::hub::Given;
use plugline::hub::command::Action;
use tokio::time::Instant;

use crate::gateway::until;
use crate::http::lab::{Lab, Memory, Reply, command, device, settings};

const PATHS: [&str; 7] =
    ["/", "/healthz", "/livez", "/v1/devices", "/v1/events", "/problems/misdirected", "/nothing"];

fn guarded() -> Settings {
    let origins = vec![Origin::parse("https://panel.example.org").expect("an origin")];
    let hosts = Hosts::new(Some("box"), &[Host::Name("plugs.example.org".to_owned())]);
    Settings { guard: Rules { hosts, origins, ..Rules::default() }, ..settings() }
}

async fn lab() -> Lab {
    Lab::with(guarded(), 0, Memory::default()).await
}

/// A request whose Host is its own.
async fn ask(lab: &Lab, line: &str, headers: &str, body: &str) -> Reply {
    lab.ask_host(&format!("{line} HTTP/1.1\r\n{headers}"), body).await
}

#[tokio::test]
async fn dns_rebinding_another_name_in_host_is_421_on_every_route() {
    let lab = lab().await;
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE"] {
            let reply = ask(&lab, &format!("{method} {path}"), "Host: evil.example\r\n", "").await;
            assert_eq!(reply.status, 421, "{method} {path}");
        }
    }
    let port = lab.address.port();
    for host in
        ["localhost".to_owned(), format!("127.0.0.1:{port}"), "box.local".into(), "plugs.example.org".into()]
    {
        assert_eq!(
            ask(&lab, "GET /v1/devices", &format!("Host: {host}\r\n"), "").await.status,
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn dns_rebinding_by_all_interfaces_by_an_absolute_target_and_by_two_hosts_is_refused() {
    let lab = lab().await;
    assert_eq!(ask(&lab, "GET /", "Host: 0.0.0.0:8480\r\n", "").await.status, 421);
    assert_eq!(ask(&lab, "GET http://evil.example/", "Host: localhost\r\n", "").await.status, 421);
    assert_eq!(
        ask(&lab, "GET /", "Host: localhost\r\nHost: evil.example\r\n", "").await.problem().1,
        "bad-host"
    );
    assert_eq!(ask(&lab, "GET /", "", "").await.problem().1, "bad-host");
}

#[tokio::test]
async fn cross_site_request_forgery_by_a_form_a_script_or_a_sandbox_is_refused() {
    let lab = lab().await;
    let (line, body) = ("POST /v1/devices/x/commands", r#"{"command":"switch","args":{"on":true}}"#);
    let json = "Host: localhost\r\nContent-Type: application/json\r\n";
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = format!("Host: localhost\r\nContent-Type: {kind}\r\n");
        assert_eq!(ask(&lab, line, &headers, body).await.problem().1, "not-json", "{kind}");
    }
    for from in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        let reply = ask(&lab, line, &format!("{json}{from}\r\n"), body).await;
        assert_eq!((reply.status, reply.problem().1.as_str()), (403, "cross-site"), "{from}");
    }
    // The device is not there; what matters is that the question came through.
    for from in
        ["Origin: http://localhost", "Origin: https://panel.example.org", "Sec-Fetch-Site: same-origin"]
    {
        let reply = ask(&lab, line, &format!("{json}{from}\r\n"), body).await;
        assert_eq!(reply.problem().1, "unknown-device", "{from}");
    }
}

#[tokio::test]
async fn reading_across_origins_is_for_listed_pages_alone_also_of_refusals() {
    let lab = lab().await;
    for path in PATHS {
        let line = format!("GET {path}");
        let from = |origin: &str| format!("Host: localhost\r\nOrigin: {origin}\r\n");
        let listed = ask(&lab, &line, &from("https://panel.example.org"), "").await;
        assert_eq!(listed.header("access-control-allow-origin"), Some("https://panel.example.org"), "{path}");
        for origin in ["https://evil.example", "null", "https://panel.example.org.evil.example"] {
            let other = ask(&lab, &line, &from(origin), "").await;
            assert_eq!(other.header("access-control-allow-origin"), None, "{path} for {origin}");
        }
    }
}

#[tokio::test]
async fn a_preflight_into_the_private_network_is_answered_for_listed_pages_alone() {
    let lab = lab().await;
    let asked = "Host: localhost\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Private-Network: true\r\n";
    let line = "OPTIONS /v1/devices/x/commands";
    let listed = ask(&lab, line, &format!("{asked}Origin: https://panel.example.org\r\n"), "").await;
    assert_eq!((listed.status, listed.header("access-control-allow-private-network")), (204, Some("true")));
    let other = ask(&lab, line, &format!("{asked}Origin: https://evil.example\r\n"), "").await;
    assert_eq!((other.status, other.header("access-control-allow-private-network")), (403, None));
}

#[tokio::test]
async fn content_sniffing_and_framing_are_forbidden_by_every_answer() {
    let lab = lab().await;
    for path in PATHS {
        let reply = lab.open(path, "Accept: text/html, text/event-stream\r\n").await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let policy = reply.header("content-security-policy").expect("a policy");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        }
    }
}

async fn limited(limits: Figures) -> Lab {
    // A held answer shows soon that it is held.
    let silence = Duration::from_millis(20);
    Lab::with(Settings { limits, silence, ..settings() }, 0, Memory::default()).await
}

#[tokio::test]
async fn too_many_looks_are_429_with_what_is_allowed_and_when_to_come_back() {
    let lab = limited(Figures::NONE.with_reads(1)).await;
    for left in ["1", "0"] {
        let reply = lab.get("/v1/devices").await;
        assert_eq!(reply.header("ratelimit-policy"), Some("\"reads\";q=2;w=2"));
        assert!(
            reply.header("ratelimit").is_some_and(|told| told.starts_with(&format!("\"reads\";r={left};t=")))
        );
    }
    let refused = lab.get("/v1/devices").await;
    assert_eq!((refused.status, refused.problem().1.as_str()), (429, "rate-limited"));
    assert_eq!(
        (refused.header("retry-after"), refused.header("ratelimit")),
        (Some("1"), Some("\"reads\";r=0;t=2"))
    );
    assert_eq!(lab.get("/livez").await.header("ratelimit"), None, "a supervisor is not counted");
}

#[tokio::test]
async fn a_burst_of_looks_as_a_page_makes_it_is_let_in() {
    let lab = limited(Figures::default()).await;
    for look in 0..120 {
        assert_eq!(lab.get("/v1/devices").await.status, 200, "{look}");
    }
}

#[tokio::test]
async fn commands_are_limited_for_each_device_and_for_each_asker() {
    let mut lab = limited(Figures::default()).await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let mut requests = std::mem::replace(&mut lab.requests, tokio::sync::mpsc::channel(1).1);
    let hub = tokio::spawn(async move {
        while let Some(envelope) = requests.recv().await {
            let taken = Arc::new(command(Action::Switch { on: true }));
            envelope.answer.send(Ok(Given::from(taken))).expect("somebody waits");
        }
    });
    let send = async |body: &str| {
        let line = "POST /v1/devices/dlt645_1/commands";
        ask(&lab, line, "Host: localhost\r\nContent-Type: application/json\r\n", body).await
    };
    let switch = r#"{"command":"switch","args":{"on":true}}"#;
    assert_eq!(send("{}").await.status, 422, "a bad command moves no relay");
    for _ in 0..5 {
        assert_eq!(send(switch).await.status, 202);
    }
    let refused = send(switch).await;
    assert_eq!((refused.status, refused.json()["limit"].as_str()), (429, Some("device")));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"commands\";q=20;w=4"));
    let mut replies = Vec::new();
    for _ in 0..40 {
        replies.push(send("{}").await);
    }
    let last = replies.iter().rfind(|reply| reply.status == 429).expect("forty are too many");
    assert_eq!(last.json()["limit"], "commands");
    hub.abort();
}

#[tokio::test]
async fn streams_and_waits_of_an_address_are_counted_and_a_closed_one_gives_its_place_back() {
    let lab = limited(Figures::NONE.with_streams_per_address(2)).await;
    let mut stream = lab.stream("/v1/events").await;
    stream.block().await.expect("hello");
    let mut wait = lab.open("/v1/events?wait=50", "").await;
    for accept in ["text/event-stream", "application/json"] {
        let refused = lab.open("/v1/events?wait=50", &format!("Accept: {accept}\r\n")).await;
        assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("5")));
    }
    assert_eq!(lab.get("/v1/events").await.status, 200, "a quick look needs no place");
    lab.reading("a");
    assert!(wait.rest().await.contains("events"));
    lab.open("/v1/events?wait=50&after=now", "").await;
    drop(stream);
    // The server learns of the end by itself.
    until("a place", || async { (lab.stream("/v1/events").await.status() == 200).then_some(()) }).await;
}

#[tokio::test]
async fn a_hot_loop_is_slowed_down_and_one_that_waits_is_not() {
    let lab = limited(Figures::default()).await;
    for look in 0..3 {
        let started = Instant::now();
        assert_eq!(lab.get("/v1/events?after=earliest").await.status, 200);
        assert!(started.elapsed() < DELAY, "{look}");
    }
    let started = Instant::now();
    assert_eq!(lab.get("/v1/events?after=earliest").await.status, 200);
    assert!(started.elapsed() >= DELAY);
    let waiting = lab.get_later("/v1/events?after=earliest&wait=50", "");
    lab.reading("a");
    assert_eq!(waiting.await.expect("no panic").seqs(), [1]);
}

#[tokio::test]
async fn guessing_tokens_keeps_the_address_out_and_asking_without_one_is_untouched() {
    let lab = lab().await;
    let guess = async |text: &str| {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {text}\r\n");
        ask(&lab, "GET /v1/devices", &headers, "").await
    };
    for number in 0..10 {
        assert_eq!(guess(&format!("plgu_{number:036}")).await.status, 401, "{number}");
    }
    let out = guess("plgu_anything").await;
    assert_eq!((out.status, out.problem().1.as_str()), (429, "rate-limited"));
    let seconds: u32 = out.header("retry-after").and_then(|text| text.parse().ok()).expect("a number");
    assert!((55..=60).contains(&seconds), "{seconds}");
    assert_eq!(lab.get("/v1/devices").await.status, 200);
}

#[tokio::test]
async fn guessing_tokens_through_a_listed_proxy_keeps_out_who_guesses_and_not_the_proxy() {
    let mut settings = guarded();
    settings.guard.proxies = vec![std::net::Ipv4Addr::LOCALHOST.into()];
    let lab = Lab::with(settings, 0, Memory::default()).await;
    let guess = async |seen: &str, number: u32| {
        // What stands before the last address is the guesser's own invention.
        let headers = format!(
            "Host: localhost\r\nX-Forwarded-For: 192.0.2.{number}, {seen}\r\n\
             Authorization: Bearer plgu_{number:036}\r\n"
        );
        ask(&lab, "GET /v1/devices", &headers, "").await.status
    };
    for number in 0..10 {
        assert_eq!(guess("198.51.100.7", number).await, 401, "{number}");
    }
    assert_eq!(guess("198.51.100.7", 10).await, 429);
    assert_eq!(guess("198.51.100.8", 11).await, 401);
}
