//! What a connection runs over: TCP, or TLS with the certificates that the files hold now. Reads them; knows nothing
//! of what is in them.

use std::path::Path;

use rumqttc::{TlsConfiguration, Transport};

use super::settings::{Address, Tls};
use super::tls::{self, Client, Roots};

/// What the next connection to `address` runs over; else why there cannot be one, for people.
pub(super) async fn of(address: &Address) -> Result<Transport, String> {
    let Some(files) = address.tls.clone() else { return Ok(Transport::Tcp) };
    // The system's roots are some 150 files or one of 200 KB, perhaps on a slow card.
    let read = tokio::task::spawn_blocking(move || load(&files)).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
}

fn load(files: &Tls) -> Result<Transport, String> {
    let roots = match &files.ca_file {
        Some(path) => of_file(path, Roots::parse)?,
        None => of_system()?,
    };
    let client = match &files.client {
        None => None,
        Some(client) => {
            let chain = of_file(&client.cert, tls::certificates)?;
            let key = of_file(&client.key, tls::key)?;
            let whole = Client::new(chain, key);
            Some(whole.map_err(|error| format!("{}: {error}", client.key.display()))?)
        }
    };
    let config = tls::config(roots, client).map_err(|error| error.to_string())?;
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(config)))
}

fn of_file<T>(path: &Path, parse: fn(&str) -> Result<T, tls::BadPem>) -> Result<T, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    parse(&text).map_err(|error| format!("{shown}: {error}"))
}

/// Single bad ones among the system's roots are the system's business.
fn of_system() -> Result<Roots, String> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a root certificate of the system cannot be read");
    }
    Roots::of_system(found.certs).ok_or_else(|| {
        "this system has no CA certificates; install them (Debian: ca-certificates) or set `ca_file`"
            .to_owned()
    })
}
