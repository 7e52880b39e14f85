//! The feed through real proxies, over HTTP/2, and over connections that are cut anywhere; TLS with its certificate
//! renewed. Times are shortened in one ratio: where a proxy gives up after 60 s and the gateway is never silent for
//! longer than 15 s, here it is 1.6 s and 0.4 s.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plugline::access::{Change, Kind, RANDOM_BYTES, Scope, Token, TokenText};
use plugline::cli::client::Client;
use plugline::cli::tls::Trust;
use plugline::device::TokenId;
use plugline::http::Settings;
use plugline::http::guard::host::Hosts;
use plugline::http::tls::{Files, Keys};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::gateway::{Program, Site, curl, within};
use crate::http::lab::{Lab, Memory, settings};
use crate::parts::{PATIENCE, accepts, free_port};

const NGINX: &str = include_str!("../../protocol-spec/proxies/nginx.conf");
const HAPROXY: &str = include_str!("../../protocol-spec/proxies/haproxy.cfg");
/// The gateway's silence, and the proxies' patience with it.
const SILENCE: Duration = Duration::from_millis(400);
const LIMIT: &str = "1600ms";
/// Three times what a proxy bears.
const IDLE: Duration = Duration::from_millis(4800);

/// A proxy in front of a gateway; killed when dropped.
struct Proxy {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Proxy {
    async fn start(program: &str, arguments: &[&str], config: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("proxy.conf");
        std::fs::write(&file, config.replace("FOLDER", &folder.path().display().to_string()))
            .expect("written");
        let mut command = Command::new(program);
        command.args(arguments).arg(&file).current_dir(folder.path()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("it is installed; tests/run installs it");
        accepts(SocketAddr::from(([127, 0, 0, 1], port))).await;
        Self { child, port, _folder: folder }
    }

    /// Nginx with these lines for its server.
    async fn nginx(server: &str) -> Self {
        let port = free_port();
        let config = format!(
            "daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error;\nevents {{}}\nhttp {{ access_log off;\n\
             client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;\n\
             uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;\nserver {{ listen 127.0.0.1:{port};\n{server}\n}} }}\n"
        );
        Self::start("nginx", &["-p", "/", "-c"], &config, port).await
    }

    /// Nginx as it comes: buffering, HTTP/1.0 towards us; its patience shortened.
    async fn plain_nginx(to: SocketAddr) -> Self {
        Self::nginx(&format!("location / {{ proxy_pass http://{to}; proxy_read_timeout {LIMIT}; }}")).await
    }

    async fn our_nginx(to: SocketAddr) -> Self {
        let ours = changed(NGINX, &[("127.0.0.1:8480", &to.to_string()), ("60s", LIMIT)]);
        Self::nginx(&ours).await
    }

    async fn haproxy(to: SocketAddr) -> Self {
        let port = free_port();
        let here = format!("127.0.0.1:{port}");
        let ours = changed(
            HAPROXY,
            &[("127.0.0.1:8480", &to.to_string()), ("127.0.0.1:8443", &here), ("60s", LIMIT)],
        );
        Self::start("haproxy", &["-db", "-f"], &ours, port).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text with each of these replaced, all of which stand there.
fn changed(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} stands in the file");
        text.replace(from, to)
    })
}

/// Behind a proxy everybody is asked for a token: one that may read.
fn token() -> TokenText {
    TokenText::mint(Kind::User, [7; RANDOM_BYTES])
}

async fn lab() -> Lab {
    let lab = Lab::with(Settings { silence: SILENCE, ..settings() }, 0, Memory::default()).await;
    lab.keeper.show_access(Change::Token(Arc::new(Token {
        id: TokenId::parse("tok_a1b2c3d4e5").expect("an id"),
        name: "Reader".into(),
        digest: token().digest(),
        scope: Scope::Read,
        reach: None,
        created_unix_ms: 0,
        created_by: "local".into(),
        expires_unix_ms: None,
        retires_unix_ms: None,
        last_used_unix_ms: None,
    })));
    lab
}

/// A stream through something, line by line.
struct Lines(BufReader<TcpStream>);

impl Lines {
    async fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {}\r\n\r\n",
            token().expose()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        Self(BufReader::new(stream))
    }

    async fn next(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("a line in time");
        assert_ne!(read.expect("read"), 0, "the stream ended");
        line.trim_end().to_owned()
    }

    async fn until(&mut self, start: &str) -> String {
        loop {
            let line = self.next().await;
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Reads what comes for so long; the stream must not end.
    async fn idle(&mut self, time: Duration) {
        let _ = timeout(time, async {
            loop {
                self.next().await;
            }
        })
        .await;
    }
}

async fn a_feed_passes(lab: &Lab, proxy: &Proxy) {
    let mut stream = Lines::open(proxy.port).await;
    stream.until("event: hello").await;
    let started = Instant::now();
    let first = lab.reading("a");
    assert!(stream.until("id: ").await.ends_with(&format!(".{first}")));
    // At rest it is some milliseconds; what buffers holds it for as long as the stream lives.
    assert!(started.elapsed() < SILENCE, "{:?}", started.elapsed());
    stream.idle(IDLE).await;
    let second = lab.reading("a");
    assert!(stream.until("id: ").await.ends_with(&format!(".{second}")));
    let url = |query: &str| format!("http://127.0.0.1:{}/v1/events?{query}", proxy.port);
    // The proxy's patience ends before this wait does.
    let bearer = format!("Authorization: Bearer {}", token().expose());
    let (status, page) = curl(&["-H", &bearer, &url("wait=3&kind=gateway")]).await;
    assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(0)));
    assert!(page["cursor"].as_str().is_some_and(|cursor| cursor.ends_with(&format!(".{second}"))), "{page}");
    let (status, page) = curl(&["-H", &bearer, &url("after=earliest&wait=3")]).await;
    assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(2)), "{page}");
}

#[tokio::test]
async fn a_stream_and_a_wait_pass_nginx_as_it_comes() {
    let lab = lab().await;
    a_feed_passes(&lab, &Proxy::plain_nginx(lab.address).await).await;
}

#[tokio::test]
async fn a_stream_and_a_wait_pass_nginx_as_we_advise() {
    let lab = lab().await;
    a_feed_passes(&lab, &Proxy::our_nginx(lab.address).await).await;
}

#[tokio::test]
async fn a_stream_and_a_wait_pass_haproxy_as_we_advise() {
    let lab = lab().await;
    a_feed_passes(&lab, &Proxy::haproxy(lab.address).await).await;
}

/// Numbers that a reader in Python saw, which loses its connection at random bytes while events come.
async fn cut(lab: &Lab, port: u16, way: &str, seed: u32) {
    const EVENTS: u64 = 60;
    let before = lab.head();
    for _ in 0..EVENTS / 2 {
        lab.reading("a");
    }
    let last = before + EVENTS;
    let mut command = tokio::process::Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cut_reader.py"));
    command.args(["127.0.0.1", &port.to_string(), way, &last.to_string(), &seed.to_string()]);
    command.arg(token().expose());
    let program = Program::start(&mut command);
    program.out.first("a first event", |_| true).await;
    for _ in 0..EVENTS / 2 {
        lab.reading("a");
        tokio::task::yield_now().await;
    }
    let seen = program.out.end().await;
    let wanted: Vec<String> = (1..=last).map(|seq| seq.to_string()).collect();
    assert_eq!(seen, wanted, "{way} with seed {seed}: {:?}", program.log.all());
}

#[tokio::test]
async fn a_reader_cut_at_random_bytes_misses_nothing_and_sees_nothing_twice() {
    let lab = lab().await;
    let nginx = Proxy::our_nginx(lab.address).await;
    for seed in 0..6 {
        for way in ["sse", "poll"] {
            let port = if seed % 2 == 0 { lab.address.port() } else { nginx.port };
            cut(&lab, port, way, seed).await;
        }
    }
}

/// A folder with a certificate of our own making.
fn keys(folder: &Path) -> Arc<Keys> {
    let bound = "127.0.0.1".parse().expect("an address");
    Keys::open(Files::own(folder, Hosts::default().iter(), bound).expect("made")).expect("good")
}

async fn secured(folder: &Path) -> (Lab, Arc<Keys>) {
    let keys = keys(folder);
    let tls = Some(Arc::clone(&keys));
    let settings = Settings { tls, tls_look: Duration::ZERO, silence: SILENCE, ..settings() };
    (Lab::with(settings, 0, Memory::default()).await, keys)
}

#[tokio::test]
async fn over_tls_curl_speaks_http_2_and_http_1_and_both_hold_streams_and_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lab, _) = secured(folder.path()).await;
    let ca = folder.path().join("http-cert.pem").display().to_string();
    let url = |path: &str| format!("https://localhost:{}{path}", lab.address.port());
    lab.reading("a");
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let (status, told) = curl(&[
            "--cacert",
            &ca,
            flag,
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}\n%{http_code}",
            &url("/"),
        ])
        .await;
        assert_eq!((status, told.to_string().trim_matches('"').trim()), (200, version));
        let (status, page) = curl(&["--cacert", &ca, flag, &url("/v1/events?wait=1")]).await;
        assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(0)), "{page}");
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sN", "--cacert", &ca, flag, "-H", "Accept: text/event-stream"]);
        let stream = Program::start(command.arg(url("/v1/events?after=earliest")));
        stream.out.has("event: reading").await;
        stream.out.has(":").await;
        let seq = lab.reading("b");
        stream.out.has(&format!("id: k3f9q2mz.{seq}")).await;
    }
    let (status, _) = curl(&["--cacert", &ca, "-H", "Host: evil.example", &url("/")]).await;
    assert_eq!(status, 421, "the guard stands before HTTP/2 too");
}

#[tokio::test]
async fn a_page_of_a_hundred_waits_is_no_way_around_the_limits_of_http_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys(folder.path());
    let limits = settings().limits.with_streams_per_address(3);
    let lab = Lab::with(Settings { tls: Some(keys), limits, ..settings() }, 0, Memory::default()).await;
    let url = format!("https://localhost:{}/v1/events?wait=1&x=[1-8]", lab.address.port());
    let mut command = tokio::process::Command::new("curl");
    command.args(["-skZ", "--http2", "-o", "/dev/null", "-w", "%{http_code}\n", &url]);
    let output = within("curl", command.output()).await.expect("curl is installed");
    let codes = String::from_utf8(output.stdout).expect("text");
    assert_eq!((codes.matches("200").count(), codes.matches("429").count()), (3, 5), "{codes}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_connects_and_open_connections_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lab, keys) = secured(folder.path()).await;
    let url = format!("https://127.0.0.1:{}", lab.address.port());
    let first = keys.fingerprint();
    let client = Client::trusting(&url, Some(Trust::pinned(&first).expect("one"))).expect("an address");
    let mut stream = client.stream("/v1/events", None).await.expect("a stream");
    assert_eq!(stream.next().await.expect("no cut").expect("a message").event, "hello");

    let old: Vec<(PathBuf, String)> = ["http-cert.pem", "http-key.pem"]
        .map(|name| folder.path().join(name))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("there")))
        .collect();
    std::fs::write(&old[0].0, "half a cert").expect("written");
    assert_eq!(client.get("/v1/devices", PATIENCE).await.expect("the old one").status, 200);
    old.iter().for_each(|(path, _)| std::fs::remove_file(path).expect("removed"));
    let second = self::keys(folder.path()).fingerprint();
    assert_ne!(first, second);
    let refused = client.get("/v1/devices", PATIENCE).await.expect_err("another certificate");
    assert!(format!("{refused:#}").contains("another fingerprint"), "{refused:#}");
    assert_eq!(keys.fingerprint(), second);
    let anew =
        Client::trusting(&url, Some(Trust::by_ca(&old[0].0).expect("a certificate"))).expect("an address");
    assert_eq!(anew.get("/v1/devices", PATIENCE).await.expect("the new one").status, 200);
    lab.reading("a");
    assert_eq!(stream.next().await.expect("it stayed open").expect("a message").event, "reading");
}

#[tokio::test]
async fn the_program_makes_its_certificate_once_keeps_it_to_itself_and_tells_its_fingerprint() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let start = async || {
        let program = Program::start(site.command().env("PLUGLINE__HTTP__TLS", "self_signed"));
        program.log.has(r#""message":"running""#).await;
        let url = std::fs::read_to_string(site.store.join("cli.token")).expect("written");
        (program, url.lines().next().expect("a URL").to_owned())
    };
    let (program, url) = start().await;
    let (_, fingerprint) = url.split_once("/#sha256=").expect("a fingerprint");
    program.log.has(fingerprint).await;
    let health = Client::new(&url).expect("an address").get("/healthz", PATIENCE).await.expect("an answer");
    assert_eq!(health.body["tls"]["sha256"], fingerprint);
    for name in ["http-cert.pem", "http-key.pem"] {
        let mode = std::fs::metadata(site.store.join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(program.stop("TERM").await.success());
    let (again, url_again) = start().await;
    assert_eq!(url_again.split_once("/#sha256=").expect("a fingerprint").1, fingerprint);
    assert!(again.stop("TERM").await.success());
}

/// Bytes that are no request, or a bad one, all different.
fn malformed(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut chance = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    let good = b"POST /v1/devices/x/commands?wait=0 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 41\r\nConnection: close\r\n\r\n{\"command\":\"switch\",\"args\":{\"on\":\"maybe\"}}";
    let mut bytes = match chance(4) {
        0 => (0..chance(200) + 1).map(|_| u8::try_from(chance(256)).expect("a byte")).collect(),
        _ => good.to_vec(),
    };
    for _ in 0..chance(6) + 1 {
        let at = chance(bytes.len());
        match chance(4) {
            0 => bytes[at] = u8::try_from(chance(256)).expect("a byte"),
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, b"\r\n\0: {"[chance(6)]),
            _ => drop(bytes.splice(at..at, b"%00..%2f\xff\xfe{\"a\":[[[[".iter().copied())),
        }
    }
    bytes
}

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

async fn status_of(address: &str, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // It may hang up before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    let text = String::from_utf8_lossy(&answer);
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok())
}

#[tokio::test]
async fn ten_thousand_malformed_requests_meet_no_5xx_and_leave_no_memory_behind() {
    let site = Site::new();
    let mut command = site.command();
    command.env("PLUGLINE__HTTP__READS_PER_S", "0").env("PLUGLINE__HTTP__COMMANDS_PER_S", "0");
    let program = Program::start(&mut command);
    program.log.has(r#""message":"running""#).await;
    let url = std::fs::read_to_string(site.store.join("cli.token")).expect("written");
    let address = url.lines().next().expect("a URL").trim_start_matches("http://").to_owned();
    let mut before = 0;
    let mut codes = std::collections::BTreeMap::new();
    for number in 0..10_000 {
        if number == 2_000 {
            // What it takes once is taken by now.
            before = resident(program.pid());
        }
        let code = status_of(&address, &malformed(number)).await;
        *codes.entry(code).or_insert(0) += 1;
        assert!(code.is_none_or(|code| (400..500).contains(&code) || code == 200), "{number}: {code:?}");
    }
    let grown = resident(program.pid()).saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB more; {codes:?}");
    assert!(codes.len() > 3, "they were malformed in many ways: {codes:?}");
    assert_eq!(curl(&[&format!("http://{address}/livez")]).await.0, 200);
}
