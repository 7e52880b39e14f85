//! What the doctor sees on this machine: configuration, ports, state folder, clock, open files. Looks only; nothing
//! is made, and no port is opened that anybody holds.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::finding::Finding;
use crate::cli::gateway;
use crate::config::{Config, LineConfig};
use crate::upkeep::process::Process;
use crate::{disk, http, port, run};

/// With less room than this neither registry nor log can be written for long.
const ROOM_MIN: u64 = 20 << 20;

const MB: u64 = 1_000_000;

/// Where systemd-timesyncd says that it runs, and that it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

/// The configuration, as far as it goes.
#[derive(Debug)]
pub(super) struct Configured {
    /// File and text, if one was found and read.
    pub(super) file: Option<(PathBuf, String)>,
    /// If it is good.
    pub(super) config: Option<Config>,
    pub(super) finding: Finding,
}

/// Looks for the configuration as `plugline run` does.
pub(super) fn configuration(given: Option<&Path>) -> Configured {
    const ABOUT: &str = "configuration";
    let (path, text) = match gateway::find(given) {
        Ok(found) => found,
        Err(error) => {
            let finding = Finding::trouble(ABOUT, format!("{error:#}"));
            return Configured { file: None, config: None, finding };
        }
    };
    let shown = path.display();
    let (config, finding) = match gateway::parse(&text) {
        Ok(config) => (Some(config), Finding::ok(ABOUT, format!("{shown} is good"))),
        Err(error) => (None, Finding::trouble(ABOUT, format!("{shown}: {error}"))),
    };
    Configured { file: Some((path, text)), config, finding }
}

/// The port of a line that no running gateway tells of.
pub(super) async fn line_port(line: &LineConfig) -> Finding {
    let about = format!("line {}", line.name);
    let (_, settings) = line.setup();
    match port::probe(&line.port, settings).await {
        Ok(()) => Finding::ok(about, format!("{} is there and can be opened", line.port)),
        Err(reason) => Finding::trouble(about, format!("{}: {reason}", line.port)),
    }
}

/// The state folder. `keep_mb` is how large the log may become.
pub(super) fn state_folder(folder: &Path, keep_mb: Option<u32>) -> Finding {
    const ABOUT: &str = "state folder";
    let shown = folder.display();
    let about = match std::fs::metadata(folder) {
        Ok(about) if !about.is_dir() => {
            return Finding::trouble(ABOUT, format!("{shown} is no folder; set [store] dir"));
        }
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return missing(folder),
        Err(error) => return Finding::trouble(ABOUT, format!("{shown}: {error}")),
    };
    let us = std::fs::metadata("/proc/self").map_or(0, |about| about.uid());
    if about.uid() != us && us != 0 {
        let text = format!(
            "{shown} belongs to user {} and this is user {us}; ask as that user: sudo -u '#{}' plugline doctor",
            about.uid(),
            about.uid()
        );
        return Finding::warning(ABOUT, text);
    }
    if let Err(error) = access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        return Finding::trouble(ABOUT, format!("{shown} cannot be written: {error}; chmod 700 {shown}"));
    }
    let mode = about.permissions().mode() & 0o777;
    let room = statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let free = room.map_or_else(String::new, |room| format!(", {} MB free", room / MB));
    match room {
        Some(room) if room < ROOM_MIN => Finding::trouble(
            ABOUT,
            format!("{shown}{free}: the disk is full; make room, or keep less by [store] keep_mb"),
        ),
        _ if mode & 0o077 != 0 => {
            let text = format!("{shown} can be looked into by others (mode {mode:o}); chmod 700 {shown}");
            Finding::warning(ABOUT, text)
        }
        Some(room) if keep_mb.is_some_and(|keep| room < u64::from(keep) * MB) => {
            let text =
                format!("{shown}{free}, and the log may grow to [store] keep_mb; make room, or set it lower");
            Finding::warning(ABOUT, text)
        }
        _ => Finding::ok(ABOUT, {
            let whose =
                if about.uid() == us { "ours".to_owned() } else { format!("of user {}", about.uid()) };
            format!("{shown} is {whose}, mode {mode:o}{free}")
        }),
    }
}

/// Whether the first start can make it.
fn missing(folder: &Path) -> Finding {
    let shown = folder.display();
    let above = folder
        .ancestors()
        .skip(1)
        .map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let nearest = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("/"));
    match access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok("state folder", format!("{shown} is made by the first start")),
        Err(_) => {
            let text = format!(
                "{shown} is not there and cannot be made by this user; sudo install -d -m 700 -o $USER {shown}"
            );
            Finding::trouble("state folder", text)
        }
    }
}

/// A gateway holds the folder, whether it answers or not.
pub(super) fn is_held(folder: &Path) -> bool {
    disk::is_held(folder)
}

/// The folder is somebody else's, and what is in it cannot be seen.
pub(super) fn is_closed(folder: &Path) -> bool {
    folder.exists() && access(folder, Access::READ_OK | Access::EXEC_OK).is_err()
}

/// Whether a gateway left word there of where it listens; one that ends in order takes it away.
pub(super) fn left_word(folder: &Path) -> bool {
    folder.join(run::CLI_FILE).exists()
}

/// The clock.
pub(super) fn clock(now_unix_ms: i64) -> Option<Finding> {
    if now_unix_ms < run::COMMITTED_UNIX_MS {
        let text =
            "it is before the day this program was made; set it, and keep it by systemd-timesyncd or chrony";
        return Some(Finding::trouble("clock", text));
    }
    let told = Path::new(TIMESYNC);
    if !told.exists() {
        // Somebody else may keep it, who leaves no word.
        return None;
    }
    Some(if told.join("synchronized").exists() {
        Finding::ok("clock", "set by the network")
    } else {
        Finding::warning("clock", "not set by the network yet; `timedatectl timesync-status` says why")
    })
}

/// The limit of open files against the connections that are allowed. `limit` is the running gateway's own, if known.
pub(super) fn open_files(config: Option<&Config>, limit: Option<u64>) -> Option<Finding> {
    let limit = limit.or_else(|| Process::look().max_fds)?;
    let connections = config.and_then(|config| config.http_connections).unwrap_or(http::CONNECTIONS);
    let told = format!("{limit} may be open, for {connections} connections");
    Some(if limit <= connections as u64 {
        let text =
            format!("{told}; allow more by LimitNOFILE= or `ulimit -n`, or set [http] connections lower");
        Finding::warning("open files", text)
    } else {
        Finding::ok("open files", told)
    })
}

/// What system this is, without its name.
pub(super) fn system() -> String {
    let kernel = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let wanted = ["PRETTY_NAME=", "ID=", "VERSION_ID="];
    let release = release.lines().filter(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
    let release: String = release.map(|line| format!("{line}\n")).collect();
    let [kind, number, built] = ["ostype", "osrelease", "version"].map(kernel);
    format!("{release}{kind} {number} {built} {}\n", std::env::consts::ARCH)
}

/// This machine's name.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Grade;

    #[test]
    fn a_state_folder_that_others_can_look_into_or_that_is_a_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("a/state");
        assert_eq!(state_folder(&state, None).grade, Grade::Ok, "it can be made");
        assert!(!state.exists(), "and nothing was made");
        std::fs::create_dir_all(&state).expect("made");
        for (mode, grade) in [(0o700, Grade::Ok), (0o750, Grade::Warning)] {
            std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(state_folder(&state, None).grade, grade);
        }
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("set");
        assert_eq!(state_folder(&state, Some(u32::MAX)).grade, Grade::Warning, "no disk has that much room");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert_eq!(state_folder(&file, None).grade, Grade::Trouble);
    }

    #[test]
    fn a_clock_of_before_the_program_and_too_few_files_are_told() {
        assert!(run::COMMITTED_UNIX_MS == 0 || clock(0).is_some_and(|told| told.grade == Grade::Trouble));
        let grade = |limit| open_files(None, Some(limit)).map(|finding| finding.grade);
        assert_eq!((grade(1000), grade(1001)), (Some(Grade::Warning), Some(Grade::Ok)));
    }
}
