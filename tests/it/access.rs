//! Who may do what, on the real gateway: attacks on tokens by their names, scopes row by row, device reach in every
//! representation, rights that end.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plugline::cli::client::{Client, Stream};
use serde_json::{Value, json};

use crate::gateway::{
    DESK, FRIDGE, KETTLE, Running, Site, curl, ended, plugline, port_of, publish, until, within,
};

/// Seen from outside: everybody is asked for a token.
const PUBLIC: &str = "names = [\"plugs.example.org\"]";

/// What a request shows.
#[derive(Clone, Copy)]
enum Show<'t> {
    Nothing,
    Token(&'t str),
    Cookie(&'t str),
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

async fn ask(http: &str, method: &str, path: &str, show: Show<'_>, body: Option<Value>) -> Answer {
    ask_with(http, method, path, show, body, &[]).await
}

async fn ask_with(
    http: &str,
    method: &str,
    path: &str,
    show: Show<'_>,
    body: Option<Value>,
    headers: &[&str],
) -> Answer {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (url, place) = (format!("{http}{path}"), file.path().display().to_string());
    let mut arguments: Vec<String> = ["-X", method, "-D", &place].into_iter().map(str::to_owned).collect();
    for header in headers {
        arguments.extend(["-H".to_owned(), (*header).to_owned()]);
    }
    match show {
        Show::Nothing => {}
        Show::Token(token) => arguments.extend(["-H".to_owned(), format!("Authorization: Bearer {token}")]),
        Show::Cookie(cookie) => arguments.extend(["-H".to_owned(), format!("Cookie: a=b; {cookie}")]),
    }
    if let Some(body) = body {
        arguments.extend(["-H".to_owned(), "Content-Type: application/json".to_owned()]);
        arguments.extend(["-d".to_owned(), body.to_string()]);
    }
    arguments.push(url);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (status, body) = curl(&arguments).await;
    Answer { status, head: std::fs::read_to_string(file.path()).expect("text"), body }
}

async fn get(http: &str, path: &str, show: Show<'_>) -> Answer {
    ask(http, "GET", path, show, None).await
}

/// The token that a gateway shows at its first start.
async fn first_token(running: &Running) -> String {
    let line = running.program.out.has("plga_").await;
    line.split_whitespace().find(|word| word.starts_with("plga_")).expect("a token").to_owned()
}

/// Makes a token; its id and text.
async fn mint(http: &str, admin: Show<'_>, body: Value) -> (String, String) {
    let answer = ask(http, "POST", "/v1/tokens", admin, Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let text = |name: &str| answer.body[name].as_str().expect("text").to_owned();
    (text("id"), text("token"))
}

async fn switch(http: &str, device: &str, show: Show<'_>) -> Answer {
    let body = json!({ "command": "switch", "args": { "on": true } });
    ask(http, "POST", &format!("/v1/devices/{device}/commands?wait=15"), show, Some(body)).await
}

async fn stream(http: &str, token: &str, path: &str) -> Stream {
    let client = Client::new(http).expect("an address").with_token(token).expect("a token");
    client.stream(path, None).await.expect("a stream")
}

#[tokio::test]
async fn no_token_is_asked_for_on_loopback_unless_something_stands_in_between() {
    let site = Site::new();
    let running = site.run().await;
    let http = &running.http;
    assert_eq!(get(http, "/v1/devices", Show::Nothing).await.status, 200);
    assert_eq!(get(http, "/v1/session", Show::Nothing).await.body["open"], true);
    for header in [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: plugs.example.org",
        "X-Real-IP: 192.0.2.1",
        "Via: 1.1 proxy",
        "x-forwarded-anything: 1",
    ] {
        let answer = ask_with(http, "GET", "/v1/devices", Show::Nothing, None, &[header]).await;
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{header}");
    }
    // What is sent is looked at even here.
    for bad in [Show::Token("plgu_x"), Show::Cookie("plugline_session=x")] {
        let answer = get(http, "/v1/devices", bad).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    let basic = ask_with(http, "GET", "/v1/devices", Show::Nothing, None, &["Authorization: Basic YTpi"]);
    assert_eq!(basic.await.status, 401);
    // A ticket that was made without a token is good where none is asked for.
    let made = ask(http, "POST", "/v1/tickets", Show::Nothing, Some(json!({ "path": "/v1/devices" }))).await;
    let path = format!("/v1/devices?ticket={}", made.body["ticket"].as_str().expect("a ticket"));
    assert_eq!(get(http, &path, Show::Nothing).await.status, 200);
    let from_afar = ask_with(http, "GET", &path, Show::Nothing, None, &["Via: 1.1 proxy"]).await;
    assert_eq!(from_afar.status, 401, "a ticket without a token lets nobody in from elsewhere");
}

#[tokio::test]
async fn the_first_token_is_shown_once_and_not_by_the_log() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let admin = first_token(&running).await;
    assert_eq!(get(&running.http, "/v1/tokens", Show::Token(&admin)).await.status, 200);
    assert!(running.program.log.all().iter().all(|line| !line.contains("plga_")));
    assert!(running.program.stop("TERM").await.success());
    let mut again = site.run().await;
    assert_eq!(get(&again.http, "/v1/tokens", Show::Token(&admin)).await.status, 200, "it is kept");
    assert!(again.program.runs());
    assert!(again.program.out.all().iter().all(|line| !line.contains("plga_")));
}

fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, into),
            path => into.push(path),
        }
    }
}

#[tokio::test]
async fn a_dump_of_the_state_folder_contains_no_usable_token() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = running.http.clone();
    let admin = first_token(&running).await;
    let (id, user) = mint(&http, Show::Token(&admin), json!({ "name": "Tablet", "scope": "switch" })).await;
    let rotated = ask(&http, "POST", &format!("/v1/tokens/{id}/rotate"), Show::Token(&admin), None).await;
    let rotated = rotated.body["token"].as_str().expect("a token").to_owned();
    let body = json!({ "token": user });
    let opened = ask(&http, "POST", "/v1/session", Show::Nothing, Some(body)).await;
    let cookie = opened.header("set-cookie").expect("a cookie").split(';').next().expect("a pair");
    let session = cookie.strip_prefix("plugline_session=").expect("ours").to_owned();
    let cli = site.store.join("cli.token");
    assert_eq!(std::fs::metadata(&cli).expect("it is there").permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&cli).expect("text");
    let of_run = text.lines().nth(1).expect("the token of this run").to_owned();
    assert_eq!(get(&http, "/v1/tokens", Show::Token(&of_run)).await.status, 200);
    // As pulling the plug: everything that is on the disk stays there.
    running.program.kill().await;
    let mut paths = Vec::new();
    files(&site.store, &mut paths);
    assert!(paths.len() > 4, "{paths:?}");
    let mut digits = BTreeSet::new();
    for path in &paths {
        let bytes = std::fs::read(path).expect("readable");
        for secret in [&admin, &user, &rotated, &session] {
            let found = bytes.windows(30).any(|window| window == &secret.as_bytes()[5..35]);
            assert!(!found, "{} holds a secret", path.display());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        digits.extend(
            text.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).map(str::to_owned),
        );
    }
    assert!(digits.len() >= 3, "their digests are there: {digits:?}");
    let again = site.run().await;
    for digest in &digits {
        for text in [digest.clone(), format!("plga_{}", &digest[..36])] {
            assert_eq!(get(&again.http, "/v1/devices", Show::Token(&text)).await.status, 401, "{text}");
        }
    }
    assert_eq!(get(&again.http, "/v1/devices", Show::Token(&of_run)).await.status, 401, "of another run");
    assert_eq!(get(&again.http, "/v1/devices", Show::Token(&user)).await.status, 200, "the secret itself");
}

#[tokio::test]
async fn tokens_that_are_cut_mistyped_expired_revoked_or_rotated_out_are_refused() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let text = first_token(&running).await;
    let admin = Show::Token(&text);
    let (id, user) = mint(http, admin, json!({ "name": "Tablet", "scope": "read" })).await;
    assert_eq!(get(http, "/v1/devices", Show::Token(&user)).await.status, 200);
    let flipped = if user.ends_with('0') { "1" } else { "0" };
    for bad in [
        &user[..user.len() - 1],
        &user[5..],
        &format!("{}{flipped}", &user[..40]),
        &format!("{user}0"),
        &user.to_uppercase(),
        "",
    ] {
        let answer = get(http, "/v1/devices", Show::Token(bad)).await;
        assert_eq!(
            (answer.status, answer.body["type"].as_str()),
            (401, Some("/problems/unauthorized")),
            "{bad}"
        );
    }
    let twice = format!("Authorization: Bearer {user}");
    let twice = ask_with(http, "GET", "/v1/devices", Show::Token(&user), None, &[&twice]).await;
    assert_eq!(twice.status, 401, "two of them");
    let in_query = get(http, &format!("/v1/devices?token={user}&access_token={user}"), Show::Nothing).await;
    assert_eq!(in_query.status, 401, "never in a URL");

    let path = format!("/v1/tokens/{id}");
    let rotated = ask(http, "POST", &format!("{path}/rotate"), admin, None).await;
    assert_eq!(rotated.status, 201, "{}", rotated.body);
    assert_eq!(
        rotated.header("location"),
        Some(&*format!("/v1/tokens/{}", rotated.body["id"].as_str().unwrap()))
    );
    let fresh = rotated.body["token"].as_str().expect("a token").to_owned();
    for good in [&user, &fresh] {
        assert_eq!(get(http, "/v1/devices", Show::Token(good)).await.status, 200, "both for a day");
    }
    assert!(get(http, &path, admin).await.body["retires_at"].is_string());
    let again = ask(http, "POST", &format!("{path}/rotate"), admin, None).await;
    assert_eq!((again.status, again.body["type"].as_str()), (409, Some("/problems/token-retires")));
    assert_eq!(ask(http, "DELETE", &path, admin, None).await.status, 204);
    assert_eq!(get(http, "/v1/devices", Show::Token(&user)).await.status, 401, "revoked");
    assert_eq!(get(http, "/v1/devices", Show::Token(&fresh)).await.status, 200, "the new one lives");
    assert_eq!(get(http, &path, admin).await.status, 404);

    let body = json!({ "name": "Guest", "scope": "read", "expires_in_s": 1 });
    let (_, brief) = mint(http, admin, body).await;
    until("its end", || async {
        (get(http, "/v1/devices", Show::Token(&brief)).await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_row_of_the_index_asks_strangers_for_a_token_and_readers_for_more_where_it_changes_anything() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let admin = first_token(&running).await;
    let (_, reader) = mint(http, Show::Token(&admin), json!({ "name": "Display", "scope": "read" })).await;
    let (status, index) = curl(&[&format!("{http}/")]).await;
    assert_eq!(status, 200);
    let index = index.as_str().expect("text").to_owned();
    let open = [
        "/livez",
        "/healthz",
        "/problems/{name}",
        "/",
        "/openapi.json",
        "/docs",
        "/ui/{*file}",
        "/v1/session",
    ];
    let admins = ["/v1/tokens", "/v1/tokens/{id}", "/v1/tokens/{id}/rotate", "/v1/audit"];
    let mut rows = 0;
    for row in index.lines().skip(2) {
        let mut words = row.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { continue };
        if open.contains(&path) {
            continue;
        }
        rows += 1;
        let place = path.replace("{id}", "x").replace("{name}", "x").replace("{line}", "x");
        let stranger = ask(http, method, &place, Show::Nothing, None).await;
        assert_eq!(stranger.status, 401, "{row}");
        assert_eq!(stranger.header("www-authenticate"), Some("Bearer"), "{row}");
        let looks = method == "GET" || ["/v1/events", "/v1/tickets"].contains(&path);
        if !looks || admins.contains(&path) {
            let short = ask(http, method, &place, Show::Token(&reader), None).await;
            assert_eq!(
                (short.status, short.body["type"].as_str()),
                (403, Some("/problems/insufficient-scope")),
                "{row}"
            );
            let challenge = short.header("www-authenticate").expect("a challenge");
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        }
    }
    assert!(rows >= 20, "the index is a list: {index}");
    assert_eq!(get(http, "/livez", Show::Nothing).await.status, 200);
    assert_eq!(get(http, "/healthz", Show::Nothing).await.body.as_object().expect("an object").len(), 1);
    assert!(get(http, "/healthz", Show::Token(&reader)).await.body["parts"].is_object());
    let nobody = get(http, "/v1/session", Show::Nothing).await;
    assert_eq!(nobody.body, json!({ "open": false, "scopes": [], "token": null, "devices": null }));
    let mine = get(http, "/v1/session", Show::Token(&reader)).await.body;
    assert_eq!(
        (&mine["open"], &mine["scopes"], &mine["token"]["name"]),
        (&json!(false), &json!(["read"]), &json!("Display"))
    );
}

#[tokio::test]
async fn who_is_bound_to_a_device_sees_and_commands_this_one_alone() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let admin = first_token(&running).await;
    let admin = Show::Token(&admin);
    until("meters that were heard", || async {
        let heard = get(http, "/v1/devices", admin).await.body;
        let all = heard["devices"].as_array().cloned().unwrap_or_default();
        (all.len() == 3 && all.iter().all(|device| device["state"]["relay"].is_boolean())).then_some(())
    })
    .await;
    let body = json!({ "name": "Child", "scope": "switch", "devices": [DESK] });
    let (_, text) = mint(http, admin, body).await;
    let child = Show::Token(&text);
    // Something of all three stands in the feed.
    for device in [KETTLE, DESK] {
        assert_eq!(switch(http, device, admin).await.status, 200);
    }
    let ids = |list: &Value| -> Vec<String> {
        let devices = list.as_array().expect("a list").iter();
        devices.map(|device| device["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&get(http, "/v1/devices", child).await.body["devices"]), [DESK]);
    let snapshot = get(http, "/v1/snapshot", child).await.body;
    assert_eq!(ids(&snapshot["devices"]), [DESK]);
    for other in [KETTLE, FRIDGE] {
        for path in [format!("/v1/devices/{other}"), format!("/v1/devices/{other}/readings")] {
            let answer = get(http, &path, child).await;
            assert_eq!(
                (answer.status, answer.body["type"].as_str()),
                (404, Some("/problems/unknown-device")),
                "{path}"
            );
        }
        assert_eq!(switch(http, other, child).await.status, 404);
    }
    assert_eq!(get(http, &format!("/v1/devices/{DESK}/readings"), child).await.status, 200);
    let strange = switch(http, KETTLE, admin).await.body;
    let path = format!("/v1/commands/{}", strange["id"].as_str().expect("an id"));
    assert_eq!(get(http, &path, child).await.status, 404);
    assert_eq!(get(http, &path, admin).await.status, 200);
    assert_eq!(ask(http, "DELETE", &path, child, None).await.status, 404, "nor taken back");

    let page = get(http, "/v1/events?after=earliest&limit=1000", child).await.body;
    let events = page["events"].as_array().expect("events").clone();
    let devices: BTreeSet<&str> = events.iter().filter_map(|event| event["device"].as_str()).collect();
    assert_eq!(devices, BTreeSet::from([DESK]));
    assert!(!Value::from(events).to_string().contains(KETTLE));
    let asked = get(http, &format!("/v1/events?after=earliest&device={KETTLE}"), child).await.body;
    assert_eq!(asked["events"], json!([]), "asking by name does not help");

    let mut feed = stream(http, &text, "/v1/events?after=earliest").await;
    let own = switch(http, DESK, child).await;
    assert_eq!((own.status, &own.body["requested_by"]), (200, &json!("token:Child")));
    let wanted = own.body["id"].as_str().expect("an id").to_owned();
    let mut told = String::new();
    within("its own command in the stream", async {
        while !told.contains(&wanted) {
            let message = feed.next().await.expect("it lives").expect("it goes on");
            told.push_str(&format!("{message:?}"));
        }
    })
    .await;
    assert!(told.contains(DESK) && !told.contains(KETTLE) && !told.contains(FRIDGE));
    let (status, metrics) =
        curl(&["-H", &format!("Authorization: Bearer {text}"), &format!("{http}/metrics")]).await;
    let metrics = metrics.as_str().expect("text");
    assert!(status == 200 && metrics.contains(DESK) && !metrics.contains(KETTLE), "{metrics}");
}

#[tokio::test]
async fn who_is_bound_to_a_group_reaches_its_members_as_they_are_now() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let admin = first_token(&running).await;
    let admin = Show::Token(&admin);
    until("meters that can be switched", || async {
        let devices =
            get(http, "/v1/devices", admin).await.body["devices"].as_array().cloned().unwrap_or_default();
        (devices.len() == 3 && devices.iter().all(|device| device["state"]["relay"].is_boolean()))
            .then_some(())
    })
    .await;
    let made =
        ask(http, "POST", "/v1/groups", admin, Some(json!({ "name": "Attic", "members": [DESK] }))).await;
    let group = made.body["id"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    let (_, text) =
        mint(http, admin, json!({ "name": "Child", "scope": "switch", "devices": [group] })).await;
    let child = Show::Token(&text);
    let seen = || async {
        let devices =
            get(http, "/v1/devices", child).await.body["devices"].as_array().cloned().expect("a list");
        devices.iter().map(|device| device["id"].as_str().expect("an id").to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(seen().await, BTreeSet::from([DESK.to_owned(), group.clone()]));
    assert_eq!(switch(http, &group, child).await.body["state"], "confirmed");
    assert_eq!(switch(http, KETTLE, child).await.status, 404);
    let path = format!("/v1/groups/{group}");
    assert_eq!(ask(http, "PATCH", &path, admin, Some(json!({ "members": [FRIDGE] }))).await.status, 200);
    assert_eq!(seen().await, BTreeSet::from([FRIDGE.to_owned(), group.clone()]));
    assert_eq!(get(http, &format!("/v1/devices/{DESK}"), child).await.status, 404);
}

#[tokio::test]
async fn streams_and_held_requests_end_when_their_token_is_revoked() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = running.http.clone();
    let admin = first_token(&running).await;
    let (id, text) =
        mint(&http, Show::Token(&admin), json!({ "name": "Tablet", "scope": "read", "devices": [DESK] }))
            .await;
    let mut feed = stream(&http, &text, "/v1/events?kind=notification").await;
    feed.next().await.expect("it lives").expect("hello");
    let mut ticketed = {
        let body = json!({ "path": "/v1/events" });
        let made = ask(&http, "POST", "/v1/tickets", Show::Token(&text), Some(body)).await;
        let path = format!("/v1/events?kind=notification&ticket={}", made.body["ticket"].as_str().unwrap());
        Client::new(&http).expect("an address").stream(&path, None).await.expect("a stream")
    };
    ticketed.next().await.expect("it lives").expect("hello");
    let held = {
        let (http, text) = (http.clone(), text.clone());
        tokio::spawn(
            async move { get(&http, "/v1/events?wait=50&kind=notification", Show::Token(&text)).await },
        )
    };
    // Its use is told, so it was let in before what follows.
    assert_eq!(
        ask(&http, "DELETE", &format!("/v1/tokens/{id}"), Show::Token(&admin), None).await.status,
        204
    );
    for stream in [&mut feed, &mut ticketed] {
        within("the end of the stream", async { while let Ok(Some(_)) = stream.next().await {} }).await;
    }
    let held = within("the end of the held request", held).await.expect("asked");
    // It may have come too late to be let in.
    assert!(held.status == 401 || held.body["events"] == json!([]), "{} {}", held.status, held.body);
}

#[tokio::test]
async fn a_session_survives_a_restart_and_ends_with_its_token() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let admin = first_token(&running).await;
    let (id, text) =
        mint(&running.http, Show::Token(&admin), json!({ "name": "Phone", "scope": "switch" })).await;
    let body = json!({ "token": text });
    let opened = ask(&running.http, "POST", "/v1/session", Show::Nothing, Some(body.clone())).await;
    assert_eq!(opened.status, 204);
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.split("; ").any(|has| has == part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "not over plain HTTP: {cookie}");
    let behind = ["X-Forwarded-Proto: https"];
    let secure = ask_with(&running.http, "POST", "/v1/session", Show::Nothing, Some(body), &behind).await;
    assert!(secure.header("set-cookie").expect("a cookie").ends_with("; Secure"));
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let mine = get(&running.http, "/v1/session", Show::Cookie(&pair)).await.body;
    assert_eq!((&mine["token"]["name"], &mine["scopes"]), (&json!("Phone"), &json!(["read", "switch"])));
    let secret = pair.split_once('=').expect("a pair").1;
    assert_eq!(get(&running.http, "/v1/devices", Show::Token(secret)).await.status, 401, "no token");
    let as_cookie = format!("plugline_session={text}");
    assert_eq!(get(&running.http, "/v1/devices", Show::Cookie(&as_cookie)).await.status, 401, "no cookie");
    assert!(running.program.stop("TERM").await.success());
    let again = site.run().await;
    assert_eq!(get(&again.http, "/v1/devices", Show::Cookie(&pair)).await.status, 200);
    let revoked = ask(&again.http, "DELETE", &format!("/v1/tokens/{id}"), Show::Token(&admin), None).await;
    assert_eq!(revoked.status, 204);
    let over = get(&again.http, "/v1/devices", Show::Cookie(&pair)).await;
    assert_eq!(over.status, 401);
    assert!(over.header("set-cookie").expect("it is cleared").contains("Max-Age=0"));
    for bad in [json!({ "token": text }), json!({ "token": secret }), json!({ "token": "x" })] {
        assert_eq!(ask(&again.http, "POST", "/v1/session", Show::Nothing, Some(bad)).await.status, 401);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_not_the_token() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let admin = first_token(&running).await;
    let opened = ask(http, "POST", "/v1/session", Show::Nothing, Some(json!({ "token": admin }))).await;
    let pair = opened.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    assert_eq!(get(http, "/v1/tokens", Show::Cookie(&pair)).await.status, 200);
    let out = ask(http, "DELETE", "/v1/session", Show::Cookie(&pair), None).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").expect("cleared").contains("Max-Age=0"));
    assert_eq!(get(http, "/v1/tokens", Show::Cookie(&pair)).await.status, 401);
    assert_eq!(get(http, "/v1/tokens", Show::Token(&admin)).await.status, 200);
}

#[tokio::test]
async fn a_ticket_is_good_for_its_path_alone_and_not_in_another_run() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let admin = first_token(&running).await;
    let body = json!({ "path": "/v1/devices" });
    let made = ask(&running.http, "POST", "/v1/tickets", Show::Token(&admin), Some(body)).await;
    assert_eq!((made.status, made.body["path"].as_str()), (201, Some("/v1/devices")));
    let ticket = made.body["ticket"].as_str().expect("a ticket").to_owned();
    assert!(ticket.starts_with("plgt_"));
    for _ in 0..2 {
        let answer = get(&running.http, &format!("/v1/devices?ticket={ticket}"), Show::Nothing).await;
        assert_eq!(answer.status, 200, "as often as wanted");
    }
    for path in ["/v1/tokens", "/v1/snapshot", "/v1/devices/x"] {
        assert_eq!(get(&running.http, &format!("{path}?ticket={ticket}"), Show::Nothing).await.status, 401);
    }
    assert_eq!(get(&running.http, "/v1/devices", Show::Token(&ticket)).await.status, 401, "no token");
    for bad in [json!({ "path": "v1" }), json!({ "path": "/v1/x?y" }), json!({ "path": 1 }), json!({})] {
        let answer = ask(&running.http, "POST", "/v1/tickets", Show::Token(&admin), Some(bad)).await;
        assert_eq!((answer.status, &answer.body["field"]), (422, &json!("path")));
    }
    running.program.kill().await;
    let again = site.run().await;
    let path = format!("/v1/devices?ticket={ticket}");
    assert_eq!(get(&again.http, &path, Show::Nothing).await.status, 401);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_token_is_said_by_field_and_none_is_made() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let admin = first_token(&running).await;
    let before = get(&running.http, "/v1/tokens", Show::Token(&admin)).await.body;
    for (body, field) in [
        (json!({ "scope": "read" }), "name"),
        (json!({ "name": " ", "scope": "read" }), "name"),
        (json!({ "name": "x" }), "scope"),
        (json!({ "name": "x", "scope": "root" }), "scope"),
        (json!({ "name": "x", "scope": "admin", "devices": [DESK] }), "scope"),
        (json!({ "name": "x", "scope": "read", "devices": [] }), "devices"),
        (json!({ "name": "x", "scope": "read", "devices": ["nobody"] }), "devices"),
        (json!({ "name": "x", "scope": "read", "expires_in_s": 0 }), "expires_in_s"),
        (json!({ "name": "x", "scope": "read", "scopes": ["admin"] }), "scopes"),
    ] {
        let shown = body.to_string();
        let answer = ask(&running.http, "POST", "/v1/tokens", Show::Token(&admin), Some(body)).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (422, Some(field)), "{shown}");
    }
    let after = get(&running.http, "/v1/tokens", Show::Token(&admin)).await.body;
    assert_eq!(before["tokens"].as_array().map(Vec::len), after["tokens"].as_array().map(Vec::len));
    assert!(!after.to_string().contains(&admin[5..]), "texts are never shown again");
}

#[tokio::test]
async fn every_change_is_written_down_with_who_asked_for_it_and_survives_a_restart() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let http = &running.http;
    let admin = first_token(&running).await;
    let (id, text) = mint(http, Show::Token(&admin), json!({ "name": "Phone", "scope": "manage" })).await;
    let phone = Show::Token(&text);
    until("the desk is heard", || async {
        let desk = get(http, &format!("/v1/devices/{DESK}"), phone).await.body;
        desk["state"]["relay"].is_boolean().then_some(())
    })
    .await;
    let switched = switch(http, DESK, phone).await.body;
    let path = format!("/v1/devices/{DESK}");
    let renamed = ask(http, "PATCH", &path, phone, Some(json!({ "name": "Lamp" }))).await;
    assert_eq!(renamed.status, 200, "{}", renamed.body);
    assert_eq!(ask(http, "PATCH", &path, phone, Some(json!({ "name": "" }))).await.status, 422);
    let about = get(http, "/v1/gateway", phone).await.body;
    let topic = format!("plugline/{}/device/{KETTLE}/set", about["id"].as_str().expect("an id"));
    publish(port_of(&running.mqtt), &topic, "ON").await;
    let audit = |show| get(http, "/v1/audit?limit=100", show);
    let entries = until("the broker's command in the list", || async {
        let entries = audit(Show::Token(&admin)).await.body["entries"].as_array().cloned().expect("a list");
        entries.iter().any(|entry| entry["by"] == "mqtt").then_some(entries)
    })
    .await;
    let told: Vec<(String, String)> = entries
        .iter()
        .map(|entry| {
            let by = entry["by"]["name"].as_str().or(entry["by"].as_str()).expect("who");
            (by.to_owned(), entry["action"].as_str().expect("what").to_owned())
        })
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(by, what)| (&**by, &**what)).collect();
    assert_eq!(
        told,
        [
            ("mqtt", "command.switch_on"),
            ("Phone", "device.change"),
            ("Phone", "command.switch_on"),
            ("first", "token.add"),
        ],
        "newest first, and nothing that was refused"
    );
    assert_eq!((&entries[2]["command"], &entries[2]["outcome"]), (&switched["id"], &json!("confirmed")));
    assert_eq!((&entries[3]["target"], &entries[2]["target"]), (&json!(id), &json!(DESK)));
    assert_eq!(audit(phone).await.status, 403);
    running.program.kill().await;
    let again = site.run().await;
    let kept = get(&again.http, "/v1/audit?limit=3", Show::Token(&admin)).await.body;
    assert_eq!(kept["entries"].as_array().map(Vec::len), Some(3));
    assert_eq!(kept["entries"][0]["by"], "mqtt");
}

#[tokio::test]
async fn the_command_line_makes_lists_rotates_and_removes_tokens() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let state = site.store.display().to_string();
    let run = |arguments: &'static [&'static str]| {
        let mut command = plugline(arguments);
        command.args(["--state", &state]);
        async move { ended(&mut command).await }
    };
    let added = run(&["token", "add", "Tablet", "--scope", "read", "--device", "Desk", "--days", "3"]).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    assert!(added.out.lines().next().expect("a line").contains(DESK), "{}", added.out);
    let text = added.out.lines().nth(1).expect("the token").to_owned();
    let listed = run(&["token", "list", "--json"]).await;
    let tokens: Value = serde_json::from_str(&listed.out).expect("JSON");
    let names: BTreeSet<&str> =
        tokens.as_array().unwrap().iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["first", "Tablet"]));
    assert!(!listed.out.contains("plgu_"));

    // From elsewhere: with the token in a file, or in the environment.
    let file = site.folder().join("token");
    std::fs::write(&file, format!("{text}\n")).expect("written");
    let mut far = plugline(&["sockets", "--url", &running.http, "--token-file"]);
    let far = ended(far.arg(&file)).await;
    assert!(
        far.code == Some(0) && far.out.contains(DESK) && !far.out.contains(KETTLE),
        "{}{}",
        far.out,
        far.err
    );
    let mut named = plugline(&["sockets", "--url", &running.http]);
    assert_eq!(ended(named.env("PLUGLINE_TOKEN", &text)).await.code, Some(0));
    let without = ended(&mut plugline(&["sockets", "--url", &running.http])).await;
    assert!(without.code == Some(1) && without.err.contains("token is needed"), "{}", without.err);

    let rotated = run(&["token", "rotate", "Tablet"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    let two = run(&["token", "remove", "Tablet"]).await;
    assert!(two.err.contains("several tokens"), "{}", two.err);
    let listed: Value = serde_json::from_str(&run(&["token", "list", "--json"]).await.out).expect("JSON");
    let old =
        listed.as_array().unwrap().iter().find(|token| token["retires_at"].is_string()).expect("it retires");
    let mut remove = plugline(&["token", "remove", old["id"].as_str().unwrap(), "--state", &state]);
    assert_eq!(ended(&mut remove).await.code, Some(0));
    assert_eq!(get(&running.http, "/v1/devices", Show::Token(&text)).await.status, 401);
    let audit = run(&["audit"]).await;
    assert!(audit.out.contains("cli  token.add") && audit.out.contains("cli  token.remove"), "{}", audit.out);
}

#[tokio::test]
async fn the_minute_of_a_tokens_last_use_is_told() {
    let site = Site::new().with_http(PUBLIC);
    let running = site.run().await;
    let admin = first_token(&running).await;
    let used = until("its use in the list", || async {
        let tokens = get(&running.http, "/v1/tokens", Show::Token(&admin)).await.body;
        tokens["tokens"][0]["last_used_at"].as_str().map(str::to_owned)
    })
    .await;
    assert!(used.ends_with(":00.000Z"), "{used}");
}
