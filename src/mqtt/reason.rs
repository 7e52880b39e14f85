//! Why there is no connection, for people: what health and the log say. Pure.

use std::io::{Error as IoError, ErrorKind};

use rumqttc::TlsError;
use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rumqttc::v5::{ConnectionError, StateError};

use super::settings::Address;
use super::tls;

/// Why the connection ended, or never `was_connected`.
pub(super) fn reason(error: &ConnectionError, address: &Address, was_connected: bool) -> String {
    if let Some(io) = io_error(error) {
        return match io.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => tls::words(error, address),
            None if !was_connected && is_end(io) => early_end(error, address),
            None => io.to_string(),
        };
    }
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code, address),
        ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::Deserialization(_)) => {
            NOT_MQTT_5.to_owned()
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let words = reason_string.as_deref().unwrap_or("no words");
            format!("the broker ended the connection: {reason_code:?}, {words}")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) if !was_connected => {
            early_end(error, address)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            "the broker closed the connection".to_owned()
        }
        ConnectionError::Timeout(_) if address.tls.is_some() => {
            "no answer in time; is this the broker's port with TLS (mostly 8883)?".to_owned()
        }
        ConnectionError::Timeout(_) => "no answer in time".to_owned(),
        other => other.to_string(),
    }
}

const NOT_MQTT_5: &str = "the answer is not MQTT 5; is this a broker that speaks MQTT 5, and a port without TLS \
    (for one with TLS write `mqtts://`)?";

fn refused(code: ConnectReturnCode, address: &Address) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            let as_whom = match &address.login {
                Some(login) => format!("user `{}`", login.user),
                None => "a client without user and password".to_owned(),
            };
            format!("the broker refuses {as_whom}: wrong user or password")
        }
        ConnectReturnCode::UnsupportedProtocolVersion => NOT_MQTT_5.to_owned(),
        code => format!("the broker refuses the connection: {code:?}"),
    }
}

/// The library wraps it in four ways.
fn io_error(error: &ConnectionError) -> Option<&IoError> {
    match error {
        ConnectionError::Io(io)
        | ConnectionError::Tls(TlsError::Io(io))
        | ConnectionError::MqttState(StateError::Io(io) | StateError::Deserialization(PacketError::Io(io))) => {
            Some(io)
        }
        _ => None,
    }
}

fn is_end(io: &IoError) -> bool {
    let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    ends.contains(&io.kind())
}

/// The broker hung up before it said a word of MQTT. With TLS 1.3 a client is through with the handshake before the
/// broker has seen its certificate, and the alert with the reason may be lost to the reset behind it.
fn early_end(error: &ConnectionError, address: &Address) -> String {
    let during_handshake = matches!(error, ConnectionError::Tls(_));
    match &address.tls {
        None => {
            "the broker closed the connection without an answer; for a port with TLS write `mqtts://`".into()
        }
        Some(_) if during_handshake => {
            "the broker closed the connection in the TLS handshake; is this its port with TLS (mostly 8883)?"
                .into()
        }
        Some(tls) => match &tls.client {
            Some(client) => format!(
                "the broker closed the connection after the TLS handshake; perhaps it refuses our client certificate {}",
                client.cert.display()
            ),
            None => "the broker closed the connection after the TLS handshake; perhaps it demands a client \
                     certificate: set `client_cert_file` and `client_key_file`"
                .into(),
        },
    }
}
