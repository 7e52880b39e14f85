//! The embedded broker: crate `mqtt5`, of which nothing else knows; its interface moves fast. Serves MQTT 3.1.1 and 5,
//! keeps retained messages in memory (the gateway says everything again at every connect).

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::{AuthConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{AuthProvider, AuthResult, BrokerConfig, BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::task::JoinHandle;

use crate::door::Door;
use crate::source::Part;

use super::backoff::Backoff;
use super::session;
use super::settings::{Address, Login, Secret, Settings};
use super::{PART, stopped};

/// Largest packet. Not the crate's own default: Home Assistant's client refuses a broker that announces 256 MiB.
const PACKET_MAX: usize = 1 << 20;
/// Programs of one house.
const CLIENTS_MAX: usize = 256;
/// How long a client that went away keeps its session; everything it may miss is retained or said again.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// What waits for such a client: a day of readings of a small house, and no more memory than a small box can spare.
const QUEUE_MESSAGES: usize = 10_000;
/// The same in bytes.
const QUEUE_BYTES: usize = 4 << 20;
/// A wrong password costs this much time, so that guessing is slow.
const WRONG_PASSWORD: Duration = Duration::from_millis(500);

/// Why the broker does not serve.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be had.
    #[error("the MQTT broker cannot listen on {listen}: {why}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// The system's words.
        why: String,
    },
    /// Open to the network without users.
    #[error("the MQTT broker would be open to everybody on {0}: list users, or listen on 127.0.0.1")]
    Open(SocketAddr),
    /// The system gives no random numbers.
    #[error("no random numbers for the gateway's own login: {0}")]
    Random(#[from] getrandom::Error),
    /// Anything else of the broker's.
    #[error("the MQTT broker failed: {0}")]
    Failed(String),
}

/// A running broker; ends when dropped or stopped.
pub struct BrokerHandle {
    /// Where it listens, with its real port.
    pub addr: SocketAddr,
    /// The gateway's own way in.
    pub address: Address,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<String>,
}

/// Starts the broker; it serves when this returns. Port 0 takes a free one.
///
/// # Errors
/// [`BrokerError`] when the address is taken, or would be open to the network without users.
pub async fn start(listen: SocketAddr, users: &[Login]) -> Result<BrokerHandle, BrokerError> {
    if users.is_empty() && !listen.ip().is_loopback() {
        return Err(BrokerError::Open(listen));
    }
    // Bound once beforehand for an error in the system's words; the broker's own lists hints for another product.
    let probe = tokio::net::TcpListener::bind(listen).await;
    drop(probe.map_err(|error| BrokerError::Listen { listen, why: error.to_string() })?);
    let own = own_login(users)?;
    let guests = Guests { logins: users.iter().cloned().chain(own.clone()).collect() };
    let broker = MqttBroker::with_config(config(listen)).await;
    let broker = broker.map_err(|error| BrokerError::Listen { listen, why: error.to_string() })?;
    let mut broker = broker.with_auth_provider(Arc::new(guests));
    let addr = broker.local_addr().ok_or_else(|| BrokerError::Failed("it has no address".into()))?;
    let shutdown = broker.shutdown_handle();
    let mut ready = broker.ready_receiver();
    let task = tokio::spawn(async move {
        match broker.run().await {
            Ok(()) => "it was stopped".to_owned(),
            Err(error) => error.to_string(),
        }
    });
    let address = Address { host: reach(addr.ip()).to_string(), port: addr.port(), login: own, tls: None };
    let handle = BrokerHandle { addr, address, shutdown, task };
    if ready.wait_for(|ready| *ready).await.is_err() {
        return Err(BrokerError::Failed(handle.stop().await));
    }
    Ok(handle)
}

impl BrokerHandle {
    /// Waits until it ended by itself, and says why.
    pub async fn ended(&mut self) -> String {
        (&mut self.task).await.unwrap_or_else(|error| error.to_string())
    }

    /// Ends it in good order.
    pub async fn stop(mut self) -> String {
        self.shutdown.shutdown();
        self.ended().await
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(listen: SocketAddr) -> BrokerConfig {
    let mut config = BrokerConfig::new()
        .with_bind_address(listen)
        .with_max_clients(CLIENTS_MAX)
        .with_session_expiry(SESSION_EXPIRY)
        .with_max_packet_size(PACKET_MAX);
    config.sys_topics_enabled = false;
    config.auth_config = AuthConfig::new().with_allow_anonymous(true);
    config.storage_config = StorageConfig::new()
        .with_backend(StorageBackend::Memory)
        .with_max_queued_messages_per_client(QUEUE_MESSAGES)
        .with_max_queued_bytes_per_client(QUEUE_BYTES);
    config
}

/// Where we reach a broker that listens on `ip`.
fn reach(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The gateway's own login, where one is needed: made anew at every start, told nobody.
fn own_login(users: &[Login]) -> Result<Option<Login>, BrokerError> {
    if users.is_empty() {
        return Ok(None);
    }
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)?;
    let password = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Login { user: "plugline gateway".into(), password: Secret(password) }))
}

/// Who may come in; whoever is in may publish and subscribe everything but `$…`.
struct Guests {
    logins: Vec<Login>,
}

impl Guests {
    fn know(&self, user: Option<&str>, password: Option<&[u8]>) -> bool {
        let (Some(user), Some(password)) = (user, password) else { return self.logins.is_empty() };
        self.logins.is_empty()
            || self
                .logins
                .iter()
                .any(|login| login.user == user && same(login.password.0.as_bytes(), password))
    }
}

/// Compares in a time that does not tell where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

type Answered<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Guests {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _from: SocketAddr,
    ) -> Answered<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            let user = connect.username.as_deref();
            if self.know(user, connect.password.as_deref()) {
                return Ok(user.map_or_else(AuthResult::success, AuthResult::success_with_user));
            }
            tokio::time::sleep(WRONG_PASSWORD).await;
            Ok(AuthResult::fail(ReasonCode::BadUsernameOrPassword))
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        _client: &str,
        _user: Option<&'a str>,
        topic: &'a str,
    ) -> Answered<'a, bool> {
        Box::pin(async move { !topic.starts_with('$') })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client: &str,
        _user: Option<&'a str>,
        _filter: &'a str,
    ) -> Answered<'a, bool> {
        Box::pin(async { true })
    }
}

/// Runs the broker and our session with it until `stop`; what cannot be had now is tried again.
pub(super) async fn serve(
    door: &Door,
    settings: &Settings,
    (listen, users): (SocketAddr, &[Login]),
    told: super::Told,
) {
    let mut stop = told.stop.clone();
    let mut backoff = Backoff::new(told.seed);
    let mut down = false;
    loop {
        let why = match start(listen, users).await {
            Ok(mut broker) => {
                tracing::info!(listen = %broker.addr, "the embedded MQTT broker serves");
                down = false;
                backoff.reset();
                let address = broker.address.clone();
                told.listening.send_replace(Some(address.url()));
                tokio::select! {
                    () = session::run(door, settings, &address, &told) => {
                        broker.stop().await;
                        return;
                    }
                    why = broker.ended() => format!("the MQTT broker ended: {why}"),
                }
            }
            Err(error) => error.to_string(),
        };
        let wait = backoff.wait();
        let text = format!("{why}; next try in {:.1} s", wait.as_secs_f32());
        if !std::mem::replace(&mut down, true) {
            tracing::warn!("{why}; it is tried again for ever");
        }
        door.set_part(PART, Part::Broken(text.into()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: Secret(password.into()) }
    }

    #[test]
    fn only_listed_users_with_their_passwords_come_in() {
        let guests = Guests { logins: vec![login("ha", "hush")] };
        assert!(guests.know(Some("ha"), Some(b"hush")));
        assert!(!guests.know(Some("ha"), Some(b"hus")));
        assert!(!guests.know(Some("ha"), Some(b"husk")));
        assert!(!guests.know(Some("you"), Some(b"hush")));
        assert!(!guests.know(None, None));
        assert!(Guests { logins: Vec::new() }.know(None, None));
    }

    #[tokio::test]
    async fn a_broker_open_to_the_network_without_users_is_refused() {
        let open = start("0.0.0.0:0".parse().expect("an address"), &[]).await;
        assert!(matches!(open, Err(BrokerError::Open(_))));
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = taken.local_addr().expect("an address");
        let error = start(listen, &[]).await.err().expect("taken").to_string();
        assert!(error.contains(&listen.to_string()), "{error}");
    }
}
