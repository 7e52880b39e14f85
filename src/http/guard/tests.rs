//! Requests and answers made by hand.

use axum::http::Request;

use super::host::Host;
use super::*;

fn rules() -> Rules {
    let origins = vec![Origin::parse("https://panel.example.org").expect("an origin")];
    Rules {
        hosts: Hosts::new(Some("box"), &[Host::Name("plugs.example.org".to_owned())]),
        origins,
        ..Rules::default()
    }
}

fn peer() -> Peer {
    let address = "127.0.0.1".parse().expect("an address");
    Peer { address, local: address, secure: false }
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// The status of the refusal; 0 when it is let in.
fn status(request: &Parts, has_body: bool) -> u16 {
    refuse(&rules(), request, has_body, peer()).map_or(0, |refused| refused.status().as_u16())
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const HERE: (&str, &str) = ("host", "localhost:8480");
const PANEL: (&str, &str) = ("origin", "https://panel.example.org");

#[test]
fn a_request_to_another_name_is_misdirected_whatever_it_asks_for() {
    for path in ["/", "/healthz", "/livez", "/v1/devices", "/nothing"] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            assert_eq!(
                status(&request(method, path, &[("host", "evil.example"), JSON]), false),
                421,
                "{path}"
            );
        }
    }
}

#[test]
fn a_host_that_is_missing_doubled_or_damaged_is_a_bad_request() {
    assert_eq!(status(&request("GET", "/", &[]), false), 400);
    assert_eq!(status(&request("GET", "/", &[HERE, HERE]), false), 400);
    assert_eq!(status(&request("GET", "/", &[("host", "a b")]), false), 400);
    let mut old = request("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(status(&old, false), 0);
    old.headers.insert("host", HeaderValue::from_static("evil.example"));
    assert_eq!(status(&old, false), 421);
}

#[test]
fn a_name_in_the_first_line_is_looked_at_beside_host() {
    assert_eq!(status(&request("GET", "http://evil.example/", &[HERE]), false), 421);
    assert_eq!(status(&request("GET", "http://localhost/", &[("host", "evil.example")]), false), 421);
    // So HTTP/2 says it.
    assert_eq!(status(&request("GET", "https://plugs.example.org/", &[]), false), 0);
}

#[test]
fn a_change_with_a_body_needs_json_and_without_one_needs_nothing() {
    let kinds = |kind| [HERE, ("content-type", kind)];
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
    {
        assert_eq!(status(&request("POST", "/v1/devices", &kinds(kind)), true), 415, "{kind}");
    }
    assert_eq!(status(&request("POST", "/v1/devices", &[HERE]), true), 415);
    assert_eq!(status(&request("POST", "/v1/devices", &[HERE, JSON]), true), 0);
    assert_eq!(status(&request("DELETE", "/v1/commands/x", &[HERE]), false), 0);
    assert_eq!(status(&request("POST", "/v1/restore", &kinds("text/plain")), true), 415);
    assert_eq!(status(&request("POST", "/v1/restore", &kinds("application/octet-stream")), true), 0);
}

#[test]
fn a_change_by_a_strangers_page_is_refused_and_a_look_is_not() {
    for from in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:5000"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(status(&request("POST", "/v1/devices", &[HERE, JSON, from]), true), 403, "{from:?}");
        assert_eq!(status(&request("DELETE", "/v1/devices/x", &[HERE, from]), false), 403, "{from:?}");
        assert_eq!(status(&request("GET", "/v1/devices", &[HERE, from]), false), 0, "{from:?}");
    }
    for from in [("origin", "http://localhost:8480"), PANEL, ("sec-fetch-site", "same-origin")] {
        assert_eq!(status(&request("POST", "/v1/devices", &[HERE, JSON, from]), true), 0, "{from:?}");
    }
}

#[test]
fn a_preflight_of_a_listed_page_is_told_what_it_may_do_and_another_is_refused() {
    let ask = [HERE, PANEL, ("access-control-request-method", "POST")];
    let private = ("access-control-request-private-network", "true");
    let answer = |headers: &[(&str, &str)]| {
        refuse(&rules(), &request("OPTIONS", "/v1/devices", headers), false, peer()).expect("an answer")
    };
    let told = answer(&ask);
    assert_eq!(told.status(), 204);
    assert!(told.headers()["access-control-allow-headers"].to_str().expect("text").contains("Content-Type"));
    assert!(!told.headers().contains_key(ALLOW_PRIVATE));
    assert_eq!(answer(&[&ask[..], &[private]].concat()).headers()[ALLOW_PRIVATE], "true");
    let mut stranger = ask;
    stranger[1].1 = "https://evil.example";
    let refused = answer(&[&stranger[..], &[private]].concat());
    assert_eq!(refused.status(), 403);
    assert!(!refused.headers().contains_key(ALLOW_PRIVATE));
}

fn dressed(origin: Option<&str>, kind: &'static str) -> HeaderMap {
    let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
    let mut response = ([(header::CONTENT_TYPE, kind), (header::VARY, "Accept")], "").into_response();
    dress(&rules(), reader(&rules(), &request("GET", "/", &headers)), &mut response);
    response.headers().clone()
}

#[test]
fn only_a_listed_page_may_read_an_answer_and_never_everybody() {
    let listed = dressed(Some(PANEL.1), "application/json");
    assert_eq!(listed["access-control-allow-origin"], PANEL.1);
    assert!(listed["access-control-expose-headers"].to_str().expect("text").contains("RateLimit"));
    for origin in [None, Some("null"), Some("*"), Some("https://evil.example"), Some("http://localhost:8480")]
    {
        let other = dressed(origin, "application/json");
        assert!(!other.contains_key("access-control-allow-origin"), "{origin:?}");
        let vary: Vec<_> = other.get_all("vary").iter().collect();
        assert_eq!(vary, ["Accept", "Origin"]);
    }
}

#[test]
fn every_answer_forbids_guessing_and_a_page_forbids_frames_and_foreign_scripts() {
    let json = dressed(None, "application/json");
    assert_eq!(
        (&json["x-content-type-options"], &json["referrer-policy"]),
        (&HeaderValue::from_static("nosniff"), &HeaderValue::from_static("no-referrer"))
    );
    assert!(!json.contains_key("content-security-policy"));
    let page = dressed(None, "text/html; charset=utf-8");
    let policy = page["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}
