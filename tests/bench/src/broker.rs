//! A real mosquitto on a port of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How long a part may take to come up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running mosquitto; killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

/// A port that nobody has right now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Mosquitto {
    /// Starts one; `None` when the program is not installed.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let config = folder.path().join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nuser root\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n"
        );
        std::fs::write(&config, text)?;
        let start =
            |program: &str| Command::new(program).arg("-c").arg(&config).stderr(Stdio::null()).spawn();
        let Ok(child) = start("mosquitto").or_else(|_| start("/usr/sbin/mosquitto")) else { return Ok(None) };
        let broker = Self { child, port, _folder: folder };
        accepts(port).await?;
        Ok(Some(broker))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something accepts connections at `port`.
pub(crate) async fn accepts(port: u16) -> anyhow::Result<()> {
    let knocking = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, knocking).await.context("nobody listens")
}
