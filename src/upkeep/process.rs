//! What the kernel says of this process: memory, processor time, open files. Source: proc(5).

use std::fs;

/// Clock ticks per second in `/proc`: fixed for programs on Linux, whatever the kernel's own clock does.
const TICKS_PER_S: f64 = 100.0;

/// This process as the kernel sees it; what cannot be read is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory that is in RAM.
    pub resident_bytes: Option<u64>,
    /// Addresses that are taken.
    pub virtual_bytes: Option<u64>,
    /// Processor time, user and system.
    pub cpu_s: Option<f64>,
    /// Open files and sockets.
    pub open_fds: Option<u64>,
    /// As many are allowed.
    pub max_fds: Option<u64>,
    /// When it started, seconds since 1970 UTC.
    pub start_unix_s: Option<f64>,
}

impl Process {
    /// Looks now.
    #[must_use]
    pub fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (status, stat) = (read("/proc/self/status"), read("/proc/self/stat"));
        let started_s = field(&stat, 22).map(|ticks| ticks / TICKS_PER_S);
        let booted_s = worth(&read("/proc/stat"), "btime").map(f64::from);
        Self {
            resident_bytes: kib(&status, "VmRSS:"),
            virtual_bytes: kib(&status, "VmSize:"),
            cpu_s: field(&stat, 14).zip(field(&stat, 15)).map(|(user, system)| (user + system) / TICKS_PER_S),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: limit(&read("/proc/self/limits"), "Max open files"),
            start_unix_s: started_s.zip(booted_s).map(|(started, booted)| started + booted),
        }
    }
}

/// A field of `/proc/self/stat`, from 1. The second holds the program's name, which may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let value: u64 = words(status, key)?.next()?.parse().ok()?;
    Some(value * 1024)
}

fn worth(text: &str, key: &str) -> Option<u32> {
    words(text, key)?.next()?.parse().ok()
}

fn limit(limits: &str, key: &str) -> Option<u64> {
    words(limits, key)?.next()?.parse().ok()
}

fn words<'t>(text: &'t str, key: &str) -> Option<impl Iterator<Item = &'t str>> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(rest.split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_everything_of_this_process() {
        let seen = Process::look();
        assert!(seen.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{seen:?}");
        assert!(seen.virtual_bytes >= seen.resident_bytes && seen.cpu_s.is_some(), "{seen:?}");
        assert!(seen.open_fds.is_some_and(|open| open > 2 && Some(open) < seen.max_fds), "{seen:?}");
        // 2024: later than that it was for sure.
        assert!(seen.start_unix_s.is_some_and(|start| start > 1_700_000_000.0), "{seen:?}");
    }

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14";
        assert_eq!((field(stat, 14), field(stat, 15)), (Some(250.0), Some(150.0)));
        assert_eq!(field("", 14), None);
    }
}
