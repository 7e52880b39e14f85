//! A real nginx with nchan: configuration and folder of its own, one worker as the gateway has one thread, and the
//! connection on which events are published.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use memchr::memmem::Finder;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::timeout;

use crate::broker::{PATIENCE, accepts, free_port};

/// What to install where it is missing.
pub(crate) const MISSING: &str = "nginx with nchan is not installed (apt install nginx-light libnginx-mod-nchan): the gateway's figures alone";

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Starts the last line of every answer to a publisher.
const ANSWER_END: &[u8] = b"last message id:";

/// A running nginx; ended when dropped.
pub(crate) struct Nchan {
    child: Child,
    pub(crate) port: u16,
    publisher: TcpStream,
    request: Vec<u8>,
    _folder: TempDir,
}

fn config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    let subscribers: String = [("now", "newest"), ("earliest", "oldest")]
        .map(|(path, first)| {
            format!(
                "location = /{path} {{ nchan_subscriber; nchan_channel_id feed; \
                 nchan_subscriber_first_message {first}; nchan_eventsource_ping_interval 15; }}\n"
            )
        })
        .concat();
    // As it comes, but for limits that the figures would run into, and the comment against silence that we send too.
    // One worker: what more of them add on more cores, more gateways do not.
    format!(
        "load_module {MODULE};\ndaemon off;\nworker_processes 1;\nworker_rlimit_nofile 20000;\npid {folder}/pid;\n\
         error_log {folder}/error.log warn;\nevents {{ worker_connections 16000; }}\n\
         http {{\n{paths}access_log off;\nkeepalive_requests 100000000;\nkeepalive_timeout 600;\n\
         nchan_shared_memory_size 512M;\nnchan_message_buffer_length 100000;\nnchan_message_timeout 1h;\n\
         server {{\nlisten 127.0.0.1:{port} backlog=4096;\n\
         location = /publish {{ nchan_publisher; nchan_channel_id feed; }}\n{subscribers}}}\n}}\n"
    )
}

impl Nchan {
    /// Starts one that publishes `event`; `None` when it is not installed.
    pub(crate) async fn start(event: &str) -> anyhow::Result<Option<Self>> {
        if !Path::new(MODULE).exists() {
            return Ok(None);
        }
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config(folder.path(), port) + user())?;
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
            command.stdout(Stdio::null()).spawn()
        };
        let Ok(child) = start("nginx").or_else(|_| start("/usr/sbin/nginx")) else { return Ok(None) };
        accepts(port).await?;
        let publisher = TcpStream::connect(("127.0.0.1", port)).await?;
        publisher.set_nodelay(true)?;
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-EventSource-Event: reading\r\nContent-Length: {}\r\n\r\n{event}",
            event.len()
        );
        Ok(Some(Self { child, port, publisher, request: request.into_bytes(), _folder: folder }))
    }

    /// Master and worker.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let master = self.child.id();
        let path = format!("/proc/{master}/task/{master}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([master]).collect()
    }

    /// Publishes the event `count` times and waits until all are taken. The next requests are there before the
    /// last ones are answered, so that nginx never waits for us.
    pub(crate) async fn publish(&mut self, count: usize) -> anyhow::Result<()> {
        let (mut reading, mut writing) = self.publisher.split();
        let requests = self.request.repeat(count);
        let (written, answered) =
            tokio::join!(writing.write_all(&requests), timeout(PATIENCE * 6, answers(&mut reading, count)));
        written?;
        answered.context("nchan does not answer")?
    }
}

async fn answers(from: &mut ReadHalf<'_>, count: usize) -> anyhow::Result<()> {
    let (end, bad) = (Finder::new(ANSWER_END), [&b"HTTP/1.1 4"[..], b"HTTP/1.1 5"].map(Finder::new));
    let (mut text, mut found) = (Vec::new(), 0);
    while found < count {
        anyhow::ensure!(from.read_buf(&mut text).await? > 0, "nchan closes the connection");
        let refused = bad.iter().any(|bad| bad.find(&text).is_some());
        anyhow::ensure!(!refused, "nchan refuses: {}", String::from_utf8_lossy(&text));
        let seen = end.find_iter(&text).count();
        found += seen;
        if let Some(last) = end.find_iter(&text).last() {
            text.drain(..last + ANSWER_END.len());
        }
    }
    Ok(())
}

/// As root the worker would become somebody who may not enter the folder.
fn user() -> &'static str {
    if rustix::process::geteuid().is_root() { "user root;\n" } else { "" }
}

impl Drop for Nchan {
    fn drop(&mut self) {
        // Not killed: the worker would outlive its master.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
