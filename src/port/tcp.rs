//! A serial port behind a TCP server that passes bytes as they are (ser2net, raw). Its baud rate and parity are set there.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};

use super::Opened;

/// A server that does not answer within this is asked again.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A silent connection is asked whether it lives after this, …
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(10);

/// … again each, …
const KEEP_ALIVE_PERIOD: Duration = Duration::from_secs(5);

/// … and is given up after so many: a host that lost its power is noticed within half a minute.
const KEEP_ALIVE_TRIES: u32 = 3;

/// Bytes that the far end does not acknowledge for this long mean that it is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// A server that refuses says so in a line of text, no longer than this.
const SAID_MAX: usize = 120;

/// Connects.
///
/// # Errors
/// One sentence with the way out.
pub(super) async fn open(host: &str, port: u16) -> Result<Opened, String> {
    let stream = tokio::time::timeout(CONNECT_MAX, connect(host, port)).await.unwrap_or_else(|_| {
        Err(format!(
            "no answer within {} s; is the host up, and does a firewall let port {port} through?",
            CONNECT_MAX.as_secs()
        ))
    })?;
    // A connection without these works; it only takes longer until trouble is seen.
    if let Err(error) = tune(&stream) {
        tracing::debug!(host, port, "connection is not tuned: {error}");
    }
    Ok(Opened {
        stream: Box::new(stream),
        gone: "the far end closed the connection",
        said: Some(Said::default()),
    })
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await;
    let addresses: Vec<_> = addresses
        .map_err(|error| format!("host `{host}` is not known ({error}); check the name or give an address"))?
        .collect();
    TcpStream::connect(&*addresses).await.map_err(|error| explain(&error, port))
}

fn explain(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("connection refused; does ser2net run there, and listen on port {port}?")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no way to the host ({error}); is it up, and in this network?")
        }
        _ => error.to_string(),
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE_IDLE).with_interval(KEEP_ALIVE_PERIOD);
    socket.set_tcp_keepalive(&keep_alive.with_retries(KEEP_ALIVE_TRIES))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// What a server said before it closed the connection, when it was a line of text and nothing else.
#[derive(Debug, Default)]
pub(super) struct Said {
    text: Vec<u8>,
    more: bool,
}

impl Said {
    /// Takes bytes that came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.more |= self.text.len() + bytes.len() > SAID_MAX;
        if !self.more {
            self.text.extend_from_slice(bytes);
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.text).ok().filter(|_| !self.more)?.trim();
        let plain = text.len() > 1 && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        plain.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&[u8]]) -> Option<String> {
        let mut said = Said::default();
        pieces.iter().for_each(|piece| said.push(piece));
        said.text().map(str::to_owned)
    }

    #[test]
    fn a_line_of_text_is_what_the_server_said_and_frames_are_not() {
        assert_eq!(said(&[b"Port already", b" in use\r\n"]).as_deref(), Some("Port already in use"));
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[b"\x68\x11\x47\x16"]), None);
        assert_eq!(said(&[&[b'a'; 100], &[b'a'; 100]]), None);
    }
}
