//! The log against crashes, damage and a reader at its side.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::device::DeviceId;
use crate::door::Past;
use crate::hub::erase::Erase;
use crate::hub::feed::{Body, GapReason, GatewayEvent};
use crate::record::samples::{gateway, reading};

fn epoch(text: &str) -> Epoch {
    Epoch::parse(text).unwrap()
}

fn small() -> Options {
    Options { segment_bytes: 600, block: 16, ..Options::default() }
}

fn start(dir: &Path, options: Options) -> Opened {
    open(&dir.join("log"), options, None, (epoch("first000"), 7)).unwrap()
}

fn append(log: &Opened, seqs: impl IntoIterator<Item = u64>) {
    seqs.into_iter().for_each(|seq| log.appender.append(&reading(seq, seq.cast_signed())).unwrap());
}

fn all(log: &Opened) -> Vec<Event> {
    let (mut after, mut events) = (0, Vec::new());
    loop {
        let page = log.reader.read(after, 7).unwrap();
        let Some(last) = page.last() else { return events };
        after = last.seq;
        events.extend(page);
    }
}

fn seqs(log: &Opened) -> Vec<u64> {
    all(log).iter().map(|event| event.seq).collect()
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("log")).unwrap();
    for file in std::fs::read_dir(from.join("log")).unwrap().flatten() {
        std::fs::copy(file.path(), to.path().join("log").join(file.file_name())).unwrap();
    }
    to
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir.join("log")).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| segment::first_of(path).is_some());
    paths.sort();
    paths
}

#[test]
fn a_new_log_is_empty_and_a_clean_stop_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), small());
    assert_eq!((log.head, log.gap, log.writer.ceiling(), log.reader.oldest()), (0, None, 16, 0));
    append(&log, 1..=5);
    log.writer.close(true).unwrap();
    let log = start(dir.path(), small());
    assert_eq!((log.head, log.gap, seqs(&log)), (5, None, vec![1, 2, 3, 4, 5]));
    assert!(log.reports.is_empty(), "{:?}", log.reports);
    log.writer.close(true).unwrap();
    assert_eq!(start(dir.path(), small()).gap, None);
}

#[test]
fn after_a_kill_what_was_written_stands_and_the_rest_of_the_block_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), small());
    append(&log, 1..=3);
    log.writer.write().unwrap();
    append(&log, 4..=5);
    drop(log);
    let log = start(dir.path(), small());
    assert_eq!((log.head, log.gap, seqs(&log)), (16, Some((3, 16)), vec![1, 2, 3]));
    assert!(log.writer.ceiling() >= 17, "the gap event has a number");
}

#[test]
fn a_gap_event_lost_in_a_second_crash_is_declared_again_and_covers_both() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), small());
    append(&log, 1..=3);
    log.writer.sync().unwrap();
    drop(log);
    let log = start(dir.path(), small());
    assert_eq!(log.gap, Some((3, 16)));
    log.appender
        .append(&gateway(17, GatewayEvent::Gap { from: 3, to: 16, reason: GapReason::Crash }))
        .unwrap();
    drop(log);
    let log = start(dir.path(), small());
    assert_eq!((log.gap, log.head), (Some((3, 32)), 32));
    // A clean stop does not hide a gap that nobody declared.
    log.writer.close(true).unwrap();
    assert_eq!(start(dir.path(), small()).gap, Some((3, 48)));
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_good_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options::default());
    append(&log, 1..=4);
    log.writer.sync().unwrap();
    drop(log);
    let name = segments(dir.path())[0].file_name().unwrap().to_owned();
    let whole = std::fs::read(&segments(dir.path())[0]).unwrap();
    let record = (whole.len() - 36) / 4;
    for len in 0..=whole.len() {
        for junk in [&b""[..], &[0; 40], &[0xff; 9]] {
            let torn = copy(dir.path());
            let bytes = [&whole[..len], junk].concat();
            std::fs::write(torn.path().join("log").join(&name), bytes).unwrap();
            let log = start(torn.path(), Options::default());
            let kept = (len.saturating_sub(36) / record) as u64;
            assert_eq!(seqs(&log), (1..=kept).collect::<Vec<_>>(), "cut at {len}");
            assert_eq!(log.gap, Some((kept, 65_536)));
            // What is appended now reads, and reads again after a clean stop.
            append(&log, [65_537]);
            log.writer.close(true).unwrap();
            assert_eq!(seqs(&start(torn.path(), Options::default())).last(), Some(&65_537));
        }
    }
}

#[test]
fn rot_in_the_middle_costs_no_more_than_its_segment_and_nothing_reads_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), Options { block: 1000, ..small() });
    let mut log = log;
    for seq in 1..=40 {
        append(&log, [seq]);
        log.writer.write().unwrap();
    }
    let right = all(&log);
    log.writer.close(true).unwrap();
    let paths = segments(dir.path());
    assert!(paths.len() >= 4, "{paths:?}");
    let (rotten, next) = (&paths[1], segment::first_of(&paths[2]).unwrap());
    let first = segment::first_of(rotten).unwrap();
    let whole = std::fs::read(rotten).unwrap();
    for at in 36..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(rotten, &bytes).unwrap();
        let log = start(dir.path(), Options { block: 1000, ..small() });
        let read = all(&log);
        assert!(read.iter().all(|event| right.contains(event)), "byte {at}");
        let lost: Vec<u64> =
            right.iter().filter(|event| !read.contains(event)).map(|event| event.seq).collect();
        assert!(!lost.is_empty() && lost.iter().all(|seq| (first..next).contains(seq)), "{at}: {lost:?}");
        assert!(log.reader.damaged() > 0);
        log.writer.close(true).unwrap();
    }
}

#[test]
fn a_log_without_its_reserve_starts_a_new_epoch_and_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), small());
    append(&log, 1..=3);
    log.writer.close(true).unwrap();
    std::fs::remove_file(dir.path().join("log/reserve")).unwrap();
    let log = open(&dir.path().join("log"), small(), None, (epoch("second00"), 99)).unwrap();
    assert_eq!((log.epoch.as_str(), log.head, log.gap), ("second00", 0, None));
    assert_eq!(log.reports.len(), 1);
    assert!(dir.path().join("log.bad-99").is_dir());
    assert!(seqs(&log).is_empty());
}

#[test]
fn an_old_copy_of_the_log_is_told_by_what_the_registry_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), small());
    append(&log, 1..=3);
    log.writer.close(true).unwrap();
    let path = dir.path().join("log");
    let first = epoch("first000");
    let log = open(&path, small(), Some((&first, 3)), (epoch("second00"), 1)).unwrap();
    assert_eq!(log.epoch, first);
    log.writer.close(true).unwrap();
    let log = open(&path, small(), Some((&first, 4)), (epoch("second00"), 1)).unwrap();
    assert_eq!((log.epoch.as_str(), log.reports.len()), ("second00", 1));
}

#[test]
fn segments_that_are_gone_are_a_gap_and_not_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), small());
    append(&log, 1..=3);
    log.writer.close(true).unwrap();
    segments(dir.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let log = start(dir.path(), small());
    assert_eq!((log.epoch.as_str(), log.head, log.gap), ("first000", 3, Some((0, 3))));
    assert_eq!((log.reports.len(), log.reader.oldest()), (1, 3));
}

#[test]
fn numbers_are_reserved_before_half_a_block_is_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), small());
    assert_eq!(log.writer.reserve_ahead(8).unwrap(), None);
    assert_eq!(log.writer.reserve_ahead(9).unwrap(), Some(25));
    drop(log);
    assert_eq!(start(dir.path(), small()).head, 25);
}

fn at(seq: u64, unix_ms: i64) -> Event {
    let mut event = reading(seq, 0);
    event.fresh.unix_ms = unix_ms;
    event
}

/// Appends one event an hour and trims after each.
fn hourly(log: &mut Opened, seqs: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let mut told = Vec::new();
    for seq in seqs {
        log.appender.append(&at(seq, seq.cast_signed() * 3_600_000)).unwrap();
        log.writer.sync().unwrap();
        told.extend(log.writer.trim());
    }
    told
}

#[test]
fn events_are_removed_by_age_in_whole_segments_but_never_within_a_day() {
    for (keep_age_hours, least, most) in [(0, 24, 50), (48, 48, 75)] {
        let dir = tempfile::tempdir().unwrap();
        let keep_age = Duration::from_secs(keep_age_hours * 3600);
        let mut log = start(dir.path(), Options { keep_age, ..Options::default() });
        assert!(hourly(&mut log, 1..=200).is_empty());
        let kept = seqs(&log);
        assert_eq!(kept[0], log.reader.oldest() + 1);
        assert!((least..=most).contains(&kept.len()), "{} hours kept", kept.len());
        assert_eq!(kept, (log.reader.oldest() + 1..=200).collect::<Vec<_>>());
    }
}

#[test]
fn bytes_win_over_age_and_at_twice_the_limit_over_the_day_too_and_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options { keep_bytes: 2000, ..small() });
    assert!(hourly(&mut log, 1..=100).is_empty());
    let kept = seqs(&log).len();
    assert!((24..=60).contains(&kept), "{kept}");
    // A hundred events in one hour: four thousand bytes of them stay.
    let mut told = Vec::new();
    for seq in 101..=200 {
        log.appender.append(&at(seq, 101 * 3_600_000)).unwrap();
        log.writer.sync().unwrap();
        told.extend(log.writer.trim());
    }
    assert!(!told.is_empty());
    let bytes: u64 = segments(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!((2000..=4000).contains(&bytes), "{bytes}");
}

#[test]
fn a_reader_sees_every_event_once_while_the_log_grows_and_is_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options { keep_bytes: 20_000, block: 1 << 20, ..small() });
    let reader = log.reader.clone();
    let seen = std::thread::spawn(move || {
        let (mut after, mut seen) = (0, 0);
        while after < 20_000 {
            for event in reader.read(after, 50).unwrap() {
                // Only retention makes holes.
                assert!(event.seq == after + 1 || event.seq > after && reader.oldest() > after);
                assert_eq!(event, reading(event.seq, event.seq.cast_signed()));
                (after, seen) = (event.seq, seen + 1);
            }
        }
        (seen, reader.damaged())
    });
    for seq in 1..=20_000 {
        append(&log, [seq]);
        match seq % 7 {
            0 => log.writer.write().unwrap(),
            3 => drop(log.writer.sync().unwrap()),
            5 => drop(log.writer.trim()),
            _ => {}
        }
    }
    let (seen, damaged) = seen.join().unwrap();
    assert!(seen > 300 && damaged == 0, "{seen} {damaged}");
}

#[test]
fn a_stored_reading_costs_no_more_than_eighty_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options::default());
    for seq in 1..=40_000 {
        append(&log, [seq]);
        log.writer.write().unwrap();
        log.writer.reserve_ahead(seq).unwrap();
    }
    log.writer.sync().unwrap();
    let each = log.writer.bytes_written().div_ceil(40_000);
    assert!((50..=80).contains(&each), "{each} bytes");
}

#[test]
fn a_log_that_takes_nothing_for_long_refuses_and_does_not_grow_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options { block: 1 << 20, ..Options::default() });
    let refused = (1..).find(|seq| log.appender.append(&reading(*seq, 1)).is_err()).unwrap();
    assert!(refused > 100_000, "{refused}");
    assert_eq!(log.reader.read(refused - 3, 10).unwrap().len(), 2);
    log.writer.sync().unwrap();
    append(&log, [refused + 1]);
    assert_eq!(
        log.reader.read(refused - 2, 10).unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(),
        [refused - 1, refused + 1]
    );
}

#[test]
fn what_a_failing_disk_refused_is_in_the_readers_view_and_is_written_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), Options::default());
    append(&log, 1..=3);
    log.writer.sync().unwrap();
    append(&log, 4..=5);
    log.writer.write().unwrap();
    // A handle that cannot be written stands for the failing disk.
    let good = log.writer.file.replace(File::open(&segments(dir.path())[0]).unwrap());
    append(&log, 6..=7);
    assert!(log.writer.sync().is_err());
    append(&log, [8]);
    assert!(log.writer.write().is_err());
    assert_eq!(seqs(&log), (1..=8).collect::<Vec<_>>());
    log.writer.file = good;
    assert_eq!(log.writer.sync().unwrap(), 8);
    drop(log);
    assert_eq!(seqs(&start(dir.path(), Options::default())), (1..=8).collect::<Vec<_>>());
}

#[test]
fn readings_of_one_device_are_found_in_files_and_memory_and_the_rest_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), small());
    for seq in 1..=60 {
        let mut event = reading(seq, 5);
        event.fresh.device = DeviceId::parse(if seq % 3 == 0 { "b" } else { "a" });
        log.appender.append(&event).unwrap();
        if seq == 30 || seq == 31 {
            log.writer.sync().unwrap();
        }
    }
    log.appender.append(&gateway(61, GatewayEvent::Stopping)).unwrap();
    let device = DeviceId::parse("b").unwrap();
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let (events, upto) = log.reader.readings(&device, after, 7).unwrap();
        assert!(events.len() <= 7);
        found.extend(events.iter().map(|event| event.seq));
        if upto == after {
            break;
        }
        after = upto;
    }
    assert_eq!((after, found), (61, (3..=60).step_by(3).collect()));
}

#[test]
fn a_search_by_time_starts_in_the_segment_that_was_open_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = start(dir.path(), small());
    for seq in 1..=60 {
        let mut event = reading(seq, 5);
        event.fresh.unix_ms = 1_000_000 + seq.cast_signed() * 1000;
        log.appender.append(&event).unwrap();
        log.writer.sync().unwrap();
    }
    assert!(segments(dir.path()).len() > 3);
    assert_eq!(log.reader.before(0), 0);
    for seq in 1..=60 {
        let start = log.reader.before(1_000_000 + seq * 1000);
        assert!(start < seq.unsigned_abs(), "{start} is not before {seq}");
        assert!(seq.unsigned_abs() - start < 25, "{start} is far before {seq}");
    }
    assert!(log.reader.before(i64::MAX) > 40);
}

fn erase_all(log: &mut Opened, what: Erase, upto: u64) -> u64 {
    let mut erasing = log.writer.begin_erasing(what, upto).unwrap();
    loop {
        if let Some(erased) = log.writer.erase_on(&mut erasing).unwrap() {
            return erased;
        }
    }
}

fn odd(seq: u64) -> bool {
    seq % 2 == 1
}

/// Forty readings of `gone` (odd numbers) and `stays`, in several segments and in memory.
fn mixed(dir: &Path) -> Opened {
    let mut log = start(dir, Options { block: 1000, ..small() });
    for seq in 1..=40 {
        let mut event = reading(seq, seq.cast_signed());
        event.fresh.device = DeviceId::parse(if odd(seq) { "gone" } else { "stays" });
        event.fresh.unix_ms = seq.cast_signed();
        log.appender.append(&event).unwrap();
        if seq < 38 {
            log.writer.sync().unwrap();
        }
    }
    log
}

fn gone() -> Erase {
    Erase::Of(DeviceId::parse("gone").unwrap())
}

#[test]
fn what_is_erased_leaves_its_number_and_nothing_of_it_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = mixed(dir.path());
    let aside = [dir.path().join("log.bad-99"), dir.path().join("log")];
    std::fs::create_dir(&aside[0]).unwrap();
    for folder in &aside {
        std::fs::write(folder.join("7.bad"), "gone").unwrap();
    }
    // Nothing behind the asked-for end goes.
    assert_eq!(erase_all(&mut log, gone(), 37), 19);
    assert!(!aside[0].exists() && !aside[1].join("7.bad").exists(), "what cannot be searched is kept");
    assert_eq!(erase_all(&mut log, gone(), 37), 0);
    append(&log, 41..=45);
    log.writer.sync().unwrap();
    let check = |log: &Opened| {
        let events = all(log);
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=45).collect::<Vec<_>>());
        for event in &events {
            assert_eq!(event.fresh.body == Body::Erased, odd(event.seq) && event.seq <= 37, "{event:?}");
        }
        assert_eq!(log.reader.damaged(), 0);
    };
    check(&log);
    assert_eq!(erase_all(&mut log, Erase::Before(40), 45), 20);
    log.writer.close(true).unwrap();
    let bytes: Vec<u8> = segments(dir.path()).iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let holds = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    assert!(!holds(b"gone") && holds(b"stays"));
    let log = start(dir.path(), small());
    assert_eq!((seqs(&log), log.gap), ((1..=45).collect(), None));
    assert!(log.reports.is_empty(), "{:?}", log.reports);
}

#[test]
fn a_crash_in_the_middle_of_erasing_leaves_each_record_whole_in_one_of_its_states() {
    let steps = {
        let dir = tempfile::tempdir().unwrap();
        mixed(dir.path()).writer.begin_erasing(gone(), 40).unwrap().segments.len()
    };
    assert!(steps > 2, "{steps}");
    for crash_after in 0..=steps {
        let dir = tempfile::tempdir().unwrap();
        let mut log = mixed(dir.path());
        let mut erasing = log.writer.begin_erasing(gone(), 40).unwrap();
        for _ in 0..crash_after {
            log.writer.erase_on(&mut erasing).unwrap();
        }
        // The next segment was being written anew.
        let half = segments(dir.path())[0].with_extension(erase::UNFINISHED);
        std::fs::write(&half, b"PLGLOG half of a segment with gone in it").unwrap();
        drop(log);
        let log = start(dir.path(), small());
        assert!(!half.exists());
        let events = all(&log);
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        let erased = events.iter().filter(|event| event.fresh.body == Body::Erased).count();
        assert!(events.iter().all(|event| event.fresh.body != Body::Erased || odd(event.seq)));
        assert_eq!(erased == 20, crash_after == steps, "{erased} after {crash_after} of {steps}");
        assert!(log.reports.is_empty(), "{:?}", log.reports);
    }
}

#[test]
fn a_reader_in_the_middle_of_a_segment_goes_on_while_it_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = mixed(dir.path());
    let mut erasing = log.writer.begin_erasing(gone(), 40).unwrap();
    let mut after = 0;
    while log.writer.erase_on(&mut erasing).unwrap().is_none() {
        let page = log.reader.read(after, 3).unwrap();
        assert_eq!(page.iter().map(|event| event.seq).collect::<Vec<_>>(), [after + 1, after + 2, after + 3]);
        after += 3;
    }
    assert_eq!(log.reader.damaged(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Append(u8),
    Write,
    Sync,
    /// Readings up to this part of 255 of all numbers are erased.
    Erase(u8),
    /// The power goes; so many of 255 parts of what was not synced reach the disk, then so many bytes of junk.
    Crash(u8, u8),
    Stop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (1..12_u8).prop_map(Op::Append),
        3 => Just(Op::Write),
        2 => Just(Op::Sync),
        2 => (any::<u8>(), 0..20_u8).prop_map(|(part, junk)| Op::Crash(part, junk)),
        1 => any::<u8>().prop_map(Op::Erase),
        1 => Just(Op::Stop),
    ];
    prop::collection::vec(op, 1..60)
}

/// Everything that anybody was ever shown, held against what the log says.
struct World {
    dir: TempDir,
    log: Option<Opened>,
    given: BTreeMap<u64, Event>,
    durable: BTreeSet<u64>,
    /// Appended and not synced.
    pending: Vec<u64>,
    head: u64,
    life: i64,
}

impl World {
    fn log(&mut self) -> &mut Opened {
        self.log.as_mut().unwrap()
    }

    fn append(&mut self) {
        let (seq, life, gap) = (self.head + 1, self.life, self.log().gap.take());
        self.log().writer.reserve_ahead(seq).unwrap();
        let event = match gap {
            Some((from, to)) => gateway(seq, GatewayEvent::Gap { from, to, reason: GapReason::Crash }),
            None => reading(seq, life),
        };
        assert!(seq <= self.log().writer.ceiling());
        self.log().appender.append(&event).unwrap();
        self.given.insert(seq, event);
        self.pending.push(seq);
        self.head = seq;
    }

    fn sync(&mut self) {
        let synced = self.log().writer.sync().unwrap();
        assert!(self.pending.last().is_none_or(|last| *last == synced));
        self.durable.extend(self.pending.drain(..));
    }

    fn crash(&mut self, part: u8, junk: u8) {
        self.pending.clear();
        let log = self.log.take().unwrap();
        let (active, base) = {
            let state = log.reader.0.lock();
            (state.active.as_ref().map(|active| active.path.clone()), state.base)
        };
        drop(log);
        let Some(path) = active else { return };
        let mut bytes = std::fs::read(&path).unwrap();
        let synced = usize::try_from(base).unwrap();
        bytes.truncate(synced + (bytes.len() - synced) * usize::from(part) / 255);
        bytes.extend(vec![part; usize::from(junk)]);
        std::fs::write(&path, bytes).unwrap();
    }

    fn reopen(&mut self, clean: bool) {
        let log = start(self.dir.path(), small());
        self.life += 1;
        assert_eq!(log.epoch.as_str(), "first000");
        assert!(log.head >= self.head, "numbers up to {} were given, {} is the head", self.head, log.head);
        assert!(!clean || log.gap.is_none(), "a clean stop left {:?}", log.gap);
        let read = all(&log);
        let mut declared: Vec<(u64, u64)> = log.gap.into_iter().collect();
        for event in &read {
            assert_eq!(Some(event), self.given.get(&event.seq), "another content came back");
            if let crate::hub::feed::Body::Gateway(GatewayEvent::Gap { from, to, .. }) = event.fresh.body {
                assert_eq!(to + 1, event.seq);
                declared.push((from, to));
            }
        }
        let there: BTreeSet<u64> = read.iter().map(|event| event.seq).collect();
        for seq in 1..=log.head {
            let missing = declared.iter().any(|(from, to)| (from + 1..=*to).contains(&seq));
            assert!(there.contains(&seq) != missing, "seq {seq}: there and missing, or neither");
            assert!(there.contains(&seq) || !self.durable.contains(&seq), "durable {seq} is gone");
        }
        self.head = log.head;
        self.log = Some(log);
    }

    fn erase(&mut self, part: u8) {
        let upto = self.head * u64::from(part) / 255;
        let what = Erase::Before(i64::MAX);
        erase_all(self.log(), what.clone(), upto);
        self.durable.extend(self.pending.drain(..));
        for event in self.given.values_mut().filter(|event| event.seq <= upto) {
            *event = what.applied(event).unwrap_or_else(|| event.clone());
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Erase(part) => self.erase(part),
            Op::Append(n) => (0..n).for_each(|_| self.append()),
            Op::Write => self.log().writer.write().unwrap(),
            Op::Sync => self.sync(),
            Op::Crash(part, junk) => {
                self.crash(part, junk);
                self.reopen(false);
            }
            Op::Stop => {
                let clean = self.log().gap.is_none();
                self.sync();
                self.log.take().unwrap().writer.close(true).unwrap();
                self.reopen(clean);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_number_ever_comes_back_with_other_content_and_nothing_is_missing_undeclared(ops in ops()) {
        let dir = tempfile::tempdir().unwrap();
        let log = Some(start(dir.path(), small()));
        let mut world = World { dir, log, given: BTreeMap::new(), durable: BTreeSet::new(), pending: vec![], head: 0, life: 0 };
        ops.iter().for_each(|op| world.step(op));
        world.crash(255, 0);
        world.reopen(false);
    }
}
