//! A gateway's disk, killed for real: this test binary starts itself as the child that is killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use plugline::device::{DeviceId, Quantity, Reading};
use plugline::disk::{self, Done, Options, Started};
use plugline::door::Past;
use plugline::hub::feed::{Body, Event, Fresh, GapReason, GatewayEvent};
use plugline::hub::{Persisted, Record};
use plugline::source::Entry;

/// Folder of the child; its presence makes this process one.
const FOLDER: &str = "PLUGLINE_TEST_CRASH_FOLDER";
const SEED: [u8; 32] = *b"seed of exactly thirty-two bytes";
const ROUNDS: u64 = 12;
const READINGS: u64 = 10_000;

fn event(seq: u64, body: Body) -> Entry {
    let device = DeviceId::parse("dlt645_000000004711");
    let fresh =
        Fresh { unix_ms: 1_795_000_000_000, t_estimated: false, late: false, estimated: false, device, body };
    Entry::new(Event { seq, fresh })
}

fn reading(seq: u64) -> Entry {
    let mut reading = Reading::of(Quantity::Power, seq.cast_signed());
    reading.set(Quantity::Energy, 1_234_567_890);
    reading.set(Quantity::Voltage, 231_400);
    reading.set(Quantity::Current, 1_804);
    event(seq, Body::Reading(reading))
}

fn gap(from: u64, to: u64) -> Entry {
    event(to + 1, Body::Gateway(GatewayEvent::Gap { from, to, reason: GapReason::Crash }))
}

fn line_record(number: u64) -> Record {
    let line = plugline::device::LineName::parse("plug").expect("a name");
    Record::Line(line, Arc::from(number.to_le_bytes()))
}

fn start(dir: &Path) -> Started {
    disk::start(dir, Options::default(), SEED, 1).expect("it starts")
}

fn child(role: &str, dir: &Path) -> Child {
    let program = std::env::current_exe().expect("this binary");
    let mut command = Command::new(program);
    command.args(["--exact", role, "--nocapture", "--test-threads=1"]).env(FOLDER, dir);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Appends and keeps as fast as it can, and says what was acknowledged, until it is killed.
fn keep_for_ever(dir: &Path) {
    let mut run = start(dir);
    let mut head = run.restored.head;
    if let Some((from, to)) = run.restored.gap {
        run.disk.append(&gap(from, to));
        head = to + 1;
    }
    loop {
        for _ in 0..5 {
            head += 1;
            run.disk.append(&reading(head));
        }
        run.disk.keep(Persisted(head), vec![line_record(head)]);
        head += 1;
        run.disk.append(&event(head, Body::Gateway(GatewayEvent::Stopping)));
        let (mut kept, mut durable) = (false, false);
        while !kept || !durable {
            match run.done.blocking_recv() {
                Some(Done::Kept(Persisted(number))) => {
                    println!("\nkept {number}");
                    kept = true;
                }
                Some(Done::Durable(seq)) => {
                    println!("\ndurable {seq}");
                    durable = seq >= head;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_every_kill() {
    if let Some(dir) = std::env::var_os(FOLDER) {
        return keep_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = child("crash::what_was_acknowledged_outlives_every_kill", dir.path());
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let words = lines.map_while(Result::ok).filter_map(|line| {
            let (word, number) = line.split_once(' ')?;
            let number = number.parse::<u64>().ok().filter(|_| matches!(word, "kept" | "durable"))?;
            Some((word.to_owned(), number))
        });
        acknowledged.extend(words.take(usize::try_from(6 + round * 7).expect("small")));
        child.kill().expect("it runs");
        child.wait().expect("it ends");

        let run = start(dir.path());
        let (kept, durable) = (acknowledged["kept"], acknowledged["durable"]);
        let line = u64::from_le_bytes(run.restored.lines[0].1[..].try_into().expect("eight bytes"));
        assert!(line >= kept, "{line} < {kept}: {:?}", run.restored.reports);
        let (mut next, mut last) = (1, 0);
        while let Some(page) =
            Some(run.reader.read(last, 500).expect("it reads")).filter(|page| !page.is_empty())
        {
            for event in page {
                if let Body::Gateway(GatewayEvent::Gap { from, to, .. }) = event.fresh.body {
                    assert_eq!((from + 1, to + 1), (next, event.seq));
                } else {
                    assert_eq!(event.seq, next);
                }
                (last, next) = (event.seq, event.seq + 1);
            }
        }
        assert!(last >= durable, "{last} < {durable}");
        assert_eq!(run.restored.gap.map(|(from, _)| from), Some(last));
    }
}

/// A house of 20 sockets: a reading each minute, positions moving, the registry checkpointed now and then.
fn store_readings(dir: &Path) {
    let written = || -> u64 {
        let io = std::fs::read_to_string("/proc/self/io").expect("Linux tells");
        let line = io.lines().find(|line| line.starts_with("wchar")).expect("it stands there");
        line.trim_start_matches("wchar: ").parse().expect("a number")
    };
    // The ballast is written once in the life of a disk.
    let options = Options { ballast_bytes: 0, ..Options::default() };
    let mut run = disk::start(dir, options, SEED, 1).expect("it starts");
    let before = written();
    for seq in 1..=READINGS {
        run.disk.append(&reading(seq));
        if seq % 20 == 0 {
            run.disk.positions([("mqtt".to_owned(), seq)].into());
            run.disk.keep(Persisted(seq), vec![Record::Checkpoint(seq)]);
            while run.done.blocking_recv() != Some(Done::Kept(Persisted(seq))) {}
        }
    }
    run.disk.stop();
    println!("\nbytes {}", written() - before);
}

#[test]
fn the_whole_process_writes_at_most_120_bytes_for_a_reading() {
    if let Some(dir) = std::env::var_os(FOLDER) {
        return store_readings(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = child("crash::the_whole_process_writes_at_most_120_bytes_for_a_reading", dir.path());
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let bytes = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("bytes ")?.parse::<u64>().ok());
    child.wait().expect("it ends");
    let each = bytes.expect("the child tells").div_ceil(READINGS);
    assert!((50..=120).contains(&each), "{each} bytes for a reading");
}
