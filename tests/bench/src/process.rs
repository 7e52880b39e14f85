//! Another process as the kernel sees it: processor time, memory, what it wrote.

use std::fs;

use anyhow::Context;

/// Processor time of all threads so far, in seconds: exact, where `stat` counts in hundredths.
pub(crate) fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let mut nanos = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += stat.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(nanos as f64 / 1e9)
}

/// Resident memory in megabytes of 10^6 bytes.
pub(crate) fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(number(&status, "VmRSS:")? * 1024.0 / 1e6)
}

/// Resident memory in bytes; a page shared with other processes counts in parts.
pub(crate) fn pss(pid: u32) -> anyhow::Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(number(&rollup, "Pss:")? * 1024.0)
}

/// Bytes that this process handed to the kernel in writes, and bytes that it sent to devices.
pub(crate) fn own_writes() -> anyhow::Result<(f64, f64)> {
    let io = fs::read_to_string("/proc/self/io")?;
    Ok((number(&io, "wchar:")?, number(&io, "write_bytes:")?))
}

fn number(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| name.to_owned())?;
    Ok(line.split_whitespace().nth(1).context("a figure")?.parse()?)
}
