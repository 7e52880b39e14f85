//! Real parts that tests start: a mosquitto, and a proxy that can be cut, on free ports and ended by their own hand.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody has right now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A running mosquitto with an empty memory; killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts one on `port`, open to everybody or only to `user` with `password`, and waits until it accepts.
    pub(crate) async fn start(port: u16, login: Option<(&str, &str)>) -> Self {
        Self::configured(port, login, "", &[]).await
    }

    /// As [`Mosquitto::start`], with more lines for its listener, and more environment.
    pub(crate) async fn configured(
        port: u16,
        login: Option<(&str, &str)>,
        more: &str,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        let mut text =
            format!("listener {port} 127.0.0.1\nuser root\npersistence false\nmax_queued_messages 0\n");
        match login {
            None => text.push_str("allow_anonymous true\n"),
            Some((user, password)) => {
                let file = folder.path().join("passwords");
                std::fs::File::create(&file).expect("a file");
                let done =
                    Command::new("mosquitto_passwd").arg("-b").arg(&file).args([user, password]).status();
                assert!(done.expect("mosquitto_passwd").success());
                text.push_str(&format!("allow_anonymous false\npassword_file {}\n", file.display()));
            }
        }
        text.push_str(more);
        std::fs::write(&config, text).expect("written");
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&config).envs(environment.iter().cloned()).stderr(Stdio::null());
        let child = command.spawn();
        let child = child.expect("mosquitto is installed; tests/run installs it");
        let broker = Self { child, _folder: folder };
        accepts(SocketAddr::from(([127, 0, 0, 1], port))).await;
        broker
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a word to its clients.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something accepts connections at `addr`.
pub(crate) async fn accepts(addr: SocketAddr) {
    let knocking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while TcpStream::connect(addr).await.is_err() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, knocking).await.expect("it accepts");
}

/// A wire to a server that can be cut and mended.
pub(crate) struct Wire {
    /// Where its near end is.
    pub(crate) port: u16,
    open: Arc<Mutex<Option<JoinSet<()>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// A whole wire to `port`.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = listener.local_addr().expect("an address").port();
        let open = Arc::new(Mutex::new(Some(JoinSet::new())));
        let shared = Arc::clone(&open);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if let Some(carried) = shared.lock().expect("no panic").as_mut() {
                    carried.spawn(async move {
                        if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        }
                    });
                }
            }
        });
        Self { port: near, open, task }
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) fn cut(&self) {
        *self.open.lock().expect("no panic") = None;
    }

    /// Carries new connections again.
    pub(crate) fn mend(&self) {
        *self.open.lock().expect("no panic") = Some(JoinSet::new());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}
