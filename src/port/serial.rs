//! A serial device file: opening it, what is set on it, and what went wrong with it in words with the way out.

use std::io;
use std::path::{Path, PathBuf};

use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt, SerialStream};

use super::Opened;
use crate::line::{Parity, SerialSettings};

/// Where Linux shows the drivers of USB adapters; FTDI's has a `latency_timer` in milliseconds.
const USB_SERIAL: &str = "/sys/bus/usb-serial/devices";

/// Shortest time that an FTDI adapter holds bytes back to send them together, in milliseconds; it starts with 16.
const LATENCY_MS: &str = "1";

/// Opens a port and throws away what came before: replies to another program must not pass for replies to us.
///
/// # Errors
/// One sentence with the way out.
pub(super) fn open(path: &str, settings: SerialSettings) -> Result<Opened, String> {
    let stream = open_device(path, settings).map_err(|error| explain(path, &error))?;
    if let Err(error) = stream.clear(ClearBuffer::Input) {
        tracing::debug!(path, "old input is not thrown away: {error}");
    }
    if let Some(timer) = std::fs::canonicalize(path).ok().and_then(|device| latency_timer(&device)) {
        match lower_latency(&timer) {
            Ok(()) => tracing::debug!(path, "low latency"),
            Err(error) => tracing::debug!(path, "{}: {error}", timer.display()),
        }
    }
    Ok(Opened { stream: Box::new(stream), gone: "the cable was pulled (end of input)", said: None })
}

/// Whether a port could be opened. One that somebody holds is not touched: opening it would move its lines. A pseudo
/// terminal has none, and whoever plays the device behind it may hold this end too.
///
/// # Errors
/// One sentence with the way out.
pub(super) fn probe(path: &str, settings: SerialSettings) -> Result<(), String> {
    let pseudo = std::fs::canonicalize(path).is_ok_and(|device| device.starts_with("/dev/pts"));
    if let Some(holders) = holders(path).filter(|_| !pseudo) {
        return Err(format!("in use{holders}"));
    }
    open_device(path, settings).map(drop).map_err(|error| explain(path, &error))
}

/// The file that sets how long the driver of this device holds bytes back; whether it exists is the driver's choice.
fn latency_timer(device: &Path) -> Option<PathBuf> {
    let name = device.strip_prefix("/dev").ok()?.to_str()?;
    let number = name.strip_prefix("ttyUSB")?;
    let numbered = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    numbered.then(|| Path::new(USB_SERIAL).join(name).join("latency_timer"))
}

fn lower_latency(timer: &Path) -> io::Result<()> {
    // Never creates it: sysfs would refuse, and anywhere else it would be litter.
    let mut file = std::fs::OpenOptions::new().write(true).open(timer)?;
    io::Write::write_all(&mut file, LATENCY_MS.as_bytes())
}

fn open_device(path: &str, settings: SerialSettings) -> Result<SerialStream, tokio_serial::Error> {
    let parity = match settings.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
    };
    tokio_serial::new(path, settings.baud).parity(parity).open_native_async()
}

/// What went wrong with a port, and the way out.
fn explain(path: &str, error: &tokio_serial::Error) -> String {
    let kind = match error.kind() {
        tokio_serial::ErrorKind::Io(kind) => kind,
        // What serialport makes of EBUSY, and of a lock that another program holds.
        tokio_serial::ErrorKind::NoDevice => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    let text = error.to_string();
    if kind == io::ErrorKind::NotFound || !Path::new(path).exists() {
        return format!("no such port; {}", existing_ports());
    }
    if kind == io::ErrorKind::PermissionDenied {
        return "permission denied; add the user to the `dialout` group (sudo usermod -aG dialout $USER) and log in again".into();
    }
    if kind == io::ErrorKind::ResourceBusy {
        return format!("in use{}", holders(path).as_deref().unwrap_or(" by another program"));
    }
    if text.contains("typewriter") || text.contains("ioctl") {
        return "not a serial port".into();
    }
    text
}

fn existing_ports() -> String {
    let by_id = names_in("/dev/serial/by-id", "");
    let plain = ["ttyUSB", "ttyACM", "ttyAMA"].iter().flat_map(|prefix| names_in("/dev", prefix));
    let ports: Vec<String> = by_id.into_iter().chain(plain).collect();
    if ports.is_empty() {
        return "no serial adapter is plugged in".into();
    }
    format!("there are: {}", ports.join(", "))
}

fn names_in(folder: &str, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut paths: Vec<String> =
        names.filter(|name| name.starts_with(prefix)).map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    paths
}

/// Who holds a port open, as far as `/proc` shows it to us.
fn holders(path: &str) -> Option<String> {
    let device = std::fs::canonicalize(path).ok()?;
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let holding = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        let held = files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == device));
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        (held && pid != std::process::id()).then(|| (pid, name.trim().to_owned()))
    });
    let mut text = String::new();
    for (pid, name) in holding {
        text += &format!(" by {name} (pid {pid})");
        if name == "ModemManager" {
            text += "; tell ModemManager to leave it alone with a udev rule: ENV{ID_MM_DEVICE_IGNORE}=\"1\"";
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usb_adapter_has_a_latency_timer() {
        let timer = |device: &str| latency_timer(Path::new(device));
        let want = Path::new("/sys/bus/usb-serial/devices/ttyUSB12/latency_timer");
        assert_eq!(timer("/dev/ttyUSB12").as_deref(), Some(want));
        for other in
            ["/dev/ttyACM0", "/dev/pts/3", "/dev/ttyUSB", "/dev/ttyUSB0/x", "/tmp/ttyUSB0", "ttyUSB0"]
        {
            assert_eq!(timer(other), None, "{other}");
        }
    }

    #[test]
    fn a_latency_timer_is_set_where_there_is_one_and_never_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let timer = folder.path().join("latency_timer");
        assert!(lower_latency(&timer).is_err() && !timer.exists());
        std::fs::write(&timer, "16").expect("written");
        lower_latency(&timer).expect("it is writable");
        assert!(std::fs::read_to_string(&timer).expect("read").starts_with('1'));
    }
}
