//! `store`: what a reading costs on disk, in bytes, time and syncs, beside sled for the same job.

use std::path::Path;
use std::time::Duration;

use plugline::device::{Epoch, Moment};
use plugline::disk;
use plugline::hub::Record;
use plugline::log::{self, Opened};
use plugline::record;
use plugline::source::Entry;
use tokio::time::Instant;

use crate::house::{self, READINGS_PER_HOUR};
use crate::process;
use crate::report::{Report, Row};
use crate::rounds::{least, ms_since};

const SLED: &str = "sled, same records and syncs";
/// How often devices go to the registry.
const CHECKPOINTS_PER_HOUR: u64 = 12;

pub(crate) fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    appends(quick, report)?;
    hour_of_a_house(report)?;
    for sockets in [20, 250] {
        for sync_s in [5, 60] {
            device_writes(sockets, sync_s, report)?;
        }
    }
    reopen(quick, report)
}

fn opened(folder: &Path) -> anyhow::Result<Opened> {
    let epoch = Epoch::parse("k3f9q2mz").expect("an epoch");
    Ok(log::open(&folder.join("log"), log::Options::default(), None, (epoch, 0))?)
}

/// Bytes handed to the kernel and to devices meanwhile.
fn writes_of(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<(f64, f64)> {
    let before = process::own_writes()?;
    work()?;
    let after = process::own_writes()?;
    Ok((after.0 - before.0, after.1 - before.1))
}

/// Each reading appended and written on its own, a sync every hundred: the log, then sled.
fn appends(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, count) = if quick { (1, 2_000) } else { (3, 20_000) };
    let (mut own, mut peer) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..rounds {
        for (out, append) in [(&mut own, append_log as Append), (&mut peer, append_sled as Append)] {
            let folder = tempfile::tempdir()?;
            let start = Instant::now();
            let (bytes, _) = writes_of(|| append(folder.path(), count))?;
            out.0.push(ms_since(start) * 1e3 / count as f64);
            out.1.push(bytes / count as f64);
        }
    }
    let mut row = |case: &str, (value, other), unit, goal| {
        let against = Some((SLED, other));
        report.row(Row { bench: "store", case: case.into(), value, unit, against, goal });
    };
    row("append, write, sync every 100", (least(own.0), least(peer.0)), "µs/reading", "");
    row("the same, bytes by the process", (least(own.1), least(peer.1)), "B/reading", "≤ 120");
    Ok(())
}

type Append = fn(&Path, u64) -> anyhow::Result<()>;

fn append_log(folder: &Path, count: u64) -> anyhow::Result<()> {
    let mut log = opened(folder)?;
    for seq in 1..=count {
        log.appender.append(&house::event(log.head + seq, 20)).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        log.writer.write()?;
        if seq.is_multiple_of(100) {
            log.writer.sync()?;
        }
    }
    Ok(log.writer.close(true)?)
}

fn append_sled(folder: &Path, count: u64) -> anyhow::Result<()> {
    let database = sled::Config::new().path(folder.join("sled")).flush_every_ms(None).open()?;
    for seq in 1..=count {
        let mut stored = Vec::new();
        record::append_event(&house::event(seq, 20), &mut stored);
        database.insert(seq.to_be_bytes(), stored)?;
        if seq.is_multiple_of(100) {
            database.flush()?;
        }
    }
    database.flush()?;
    Ok(())
}

/// What the gateway really does in an hour with 20 sockets: log, checkpoints, positions, on its own thread.
fn hour_of_a_house(report: &mut Report) -> anyhow::Result<()> {
    const SOCKETS: usize = 20;
    let folder = tempfile::tempdir()?;
    let readings = SOCKETS as u64 * READINGS_PER_HOUR;
    let (bytes, _) = writes_of(|| {
        let started = disk::start(folder.path(), disk::Options::default(), [7; 32], 0)?;
        let mut disk = started.disk;
        for seq in 1..=readings {
            disk.append(&Entry::new(house::event(started.restored.head + seq, SOCKETS)));
            if seq.is_multiple_of(readings / CHECKPOINTS_PER_HOUR) {
                let devices = (0..SOCKETS).map(|index| Record::Device(house::device(index, seq)));
                disk.keep_quietly(devices.chain([Record::Checkpoint(seq)]).collect());
            }
            if seq.is_multiple_of(readings / 60) {
                disk.positions([("mqtt".to_owned(), seq)].into());
            }
        }
        disk.stop();
        Ok(())
    })?;
    let case = "an hour of 20 sockets with checkpoints, bytes by the process".into();
    let value = bytes / readings as f64;
    report.row(Row { bench: "store", case, value, unit: "B/reading", against: None, goal: "≤ 120" });
    Ok(())
}

/// An hour in virtual time, synced as the disk's thread does: this long after the first reading that is not.
fn device_writes(sockets: usize, sync_s: u64, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut log = opened(folder.path())?;
    let readings = sockets as u64 * READINGS_PER_HOUR;
    let mut syncs = 0;
    let (_, device) = writes_of(|| {
        let mut due: Option<Moment> = None;
        for seq in 1..=readings {
            let now = Moment(Duration::from_secs(3600).mul_f64(seq as f64 / readings as f64));
            if due.is_some_and(|due| due <= now) {
                log.writer.sync()?;
                (syncs, due) = (syncs + 1, None);
            }
            log.appender
                .append(&house::event(log.head + seq, sockets))
                .map_err(|why| anyhow::anyhow!("{why:?}"))?;
            log.writer.write()?;
            due.get_or_insert(now + Duration::from_secs(sync_s));
        }
        Ok(())
    })?;
    let mut row = |what: &str, value, unit| {
        let case = format!("{sockets} sockets, sync every {sync_s} s: {what}");
        report.row(Row { bench: "store", case, value, unit, against: None, goal: "" });
    };
    row("syncs", f64::from(syncs), "an hour");
    row("bytes to the device", device / 1e6, "MB an hour");
    Ok(())
}

/// Opening what holds many events, as a start does.
fn reopen(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let count: u64 = if quick { 20_000 } else { 100_000 };
    let (own, peer) = (tempfile::tempdir()?, tempfile::tempdir()?);
    append_log(own.path(), count)?;
    append_sled(peer.path(), count)?;
    let (mut own_ms, mut peer_ms) = (Vec::new(), Vec::new());
    for _ in 0..if quick { 1 } else { 5 } {
        let start = Instant::now();
        let log = opened(own.path())?;
        own_ms.push(ms_since(start));
        log.writer.close(true)?;
        let start = Instant::now();
        let database = sled::Config::new().path(peer.path().join("sled")).flush_every_ms(None).open()?;
        peer_ms.push(ms_since(start));
        drop(database);
    }
    let against = Some((SLED, least(peer_ms)));
    let case = format!("open with {count} events");
    report.row(Row { bench: "store", case, value: least(own_ms), unit: "ms", against, goal: "" });
    Ok(())
}
