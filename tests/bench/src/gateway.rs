//! The real program, started as people start it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::PATIENCE;
use crate::frames::Dialect;

/// No questions to meters: what comes is what the bench sends.
pub(crate) const QUIET: &str = "periods = { energy = 0, power = 0, voltage = 0, current = 0, relay = 0, power_factor = 0, frequency = 0 }\n";
pub(crate) const QUIET_INSTEON: &str = "periods = { meter = 0 }\n";

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    state: PathBuf,
}

/// Its folder and configuration.
pub(crate) struct Home {
    folder: TempDir,
    program: PathBuf,
}

impl Home {
    /// A new home: `meters` DL/T 645 meters on `port`, the broker at `mqtt`, further keys of the line in `line`.
    pub(crate) fn new(port: &Path, mqtt: u16, meters: usize, line: &str) -> anyhow::Result<Self> {
        Self::with(Dialect::Dlt645, (port, mqtt), meters, ("", line))
    }

    /// The same with meters of another dialect, and further keys of `[http]` before those of the line.
    pub(crate) fn with(
        dialect: Dialect,
        (port, mqtt): (&Path, u16),
        meters: usize,
        (http, line): (&str, &str),
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut text = format!(
            "[store]\ndir = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{http}\n[mqtt]\nbroker = \"mqtt://127.0.0.1:{mqtt}\"\n\
             [[line]]\ndialect = \"{}\"\nport = \"{}\"\n{line}",
            folder.path().join("state").display(),
            dialect.name(),
            port.display()
        );
        text.extend((0..meters).map(|index| dialect.device(index)));
        std::fs::write(folder.path().join("plugline.toml"), text)?;
        Ok(Self { folder, program: program()? })
    }

    /// Starts it; it goes on where it was.
    pub(crate) fn start(&self) -> anyhow::Result<Gateway> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(self.folder.path().join("plugline.toml"));
        let quiet = std::env::var_os("PLUGLINE_LOG").is_none();
        let log = if quiet { Stdio::null() } else { Stdio::inherit() };
        let child = command.stderr(log).spawn().with_context(|| self.program.display().to_string())?;
        Ok(Gateway { child, state: self.folder.path().join("state") })
    }
}

/// A program in the folder of this one. Making programs anew may have put another file in this one's place.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("the bench lies in a folder")?.join(name))
}

/// The program beside this one; made first where cargo is at hand, since running the bench does not make it.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let program = beside("plugline")?;
    let release = program.parent().is_some_and(|folder| folder.ends_with("release"));
    let profile = if release { "release" } else { "dev" };
    if let Some(cargo) = std::env::var_os("CARGO") {
        let packages = ["-p", "plugline", "-p", "plugline-bench"];
        let made =
            Command::new(cargo).args(["build", "--quiet", "--profile", profile]).args(packages).status()?;
        anyhow::ensure!(made.success(), "the gateway cannot be built");
    }
    Ok(program)
}

impl Gateway {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says where its API is.
    pub(crate) async fn http(&self) -> anyhow::Result<u16> {
        let asking = async {
            loop {
                let told = std::fs::read_to_string(self.state.join("cli.token")).unwrap_or_default();
                if let Some(port) = told
                    .lines()
                    .next()
                    .and_then(|url| url.rsplit(':').next())
                    .and_then(|port| port.parse().ok())
                {
                    return port;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.context("the gateway does not come up")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A start after this one must not find the address of this one.
        let _ = std::fs::remove_file(self.state.join("cli.token"));
    }
}

/// The number of the newest event.
pub(crate) async fn head(http: u16) -> anyhow::Result<u64> {
    Ok(latest(http).await?.1)
}

/// The life of its log, as cursors name it.
pub(crate) async fn epoch(http: u16) -> anyhow::Result<String> {
    Ok(latest(http).await?.0)
}

async fn latest(http: u16) -> anyhow::Result<(String, u64)> {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).await?;
    stream.write_all(b"GET /v1/gateway HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split("\r\n\r\n").nth(1).context("an answer has a body")?;
    let about: serde_json::Value = serde_json::from_str(body)?;
    let latest = about["feed"]["latest"].as_str().and_then(|cursor| cursor.split_once('.'));
    let (epoch, seq) = latest.context("the gateway names its newest event")?;
    Ok((epoch.to_owned(), seq.parse()?))
}
