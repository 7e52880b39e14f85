//! The disk thread against real files: order, durability, gaps, crashes.

use tempfile::TempDir;

use super::*;
use crate::device::DeviceId;
use crate::record::samples::{command, device, gateway, reading};

const SEED: [u8; 32] = *b"plugline tests need some letters";

fn patient() -> Options {
    let hour = Duration::from_secs(3600);
    Options { sync_interval: hour, positions_interval: hour, ballast_bytes: 10_000, ..Options::default() }
}

fn begin(dir: &Path, options: Options) -> Started {
    start(dir, options, SEED, 1_795_000_000_000).unwrap()
}

fn entry(event: Event) -> Entry {
    Entry::new(event)
}

fn urgent(seq: u64) -> Entry {
    entry(gateway(seq, GatewayEvent::Stopping))
}

fn gap(seq: u64, from: u64, reason: GapReason) -> Entry {
    entry(gateway(seq, GatewayEvent::Gap { from, to: seq - 1, reason }))
}

/// What the disk tells next, notices about numbers apart.
fn told(started: &mut Started) -> Done {
    loop {
        match started.done.blocking_recv().expect("the thread runs") {
            Done::Ceiling(_) => {}
            other => return other,
        }
    }
}

fn some_device(number: u32) -> Record {
    Record::Device(Arc::new(device(&format!("dlt645_{number:012}"))))
}

fn some_command(last: char) -> Record {
    Record::Command(Arc::new(command(&format!("cmd_01jd2e3f4g5h6j7k8m9n0p1q2{last}"))))
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn a_first_start_mints_ids_that_stay() {
    let dir = tempfile::tempdir().unwrap();
    let first = begin(dir.path(), patient());
    let identity = first.restored.identity.clone();
    assert_eq!(identity.gateway.as_str().len(), 13);
    assert!(identity.gateway.as_str().starts_with("gw_"));
    assert_eq!(
        (first.restored.head, first.restored.ceiling, first.restored.gap),
        (0, 65_536, None),
        "{:?}",
        first.restored.reports
    );
    first.disk.stop();
    let again = start(dir.path(), patient(), [9; 32], 1).unwrap();
    assert_eq!(again.restored.identity, identity);
    assert!(again.restored.reports.is_empty(), "{:?}", again.restored.reports);
}

#[test]
fn tickets_are_reported_in_their_order_and_a_clean_stop_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.keep(Persisted(1), vec![some_device(1)]);
    run.disk.keep_quietly(vec![some_device(2), Record::Checkpoint(2)]);
    run.disk.keep(Persisted(2), vec![some_command('a')]);
    run.disk.append(&entry(reading(1, 5)));
    run.disk.append(&entry(reading(2, 5)));
    run.disk.positions(Positions::from([("mqtt".to_owned(), 2)]));
    assert_eq!([told(&mut run), told(&mut run)], [Done::Kept(Persisted(1)), Done::Kept(Persisted(2))]);
    run.disk.stop();
    let again = begin(dir.path(), patient()).restored;
    assert_eq!((again.head, again.gap, again.checkpoint), (2, None, 2));
    assert_eq!((again.devices.len(), again.commands.len(), again.positions["mqtt"]), (2, 1, 2));
    assert!(dir.path().join("registry.json").exists());
}

#[test]
fn readings_wait_for_company_and_everything_else_is_synced_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.append(&entry(reading(1, 5)));
    run.disk.append(&entry(reading(2, 5)));
    run.disk.append(&urgent(3));
    assert_eq!(told(&mut run), Done::Durable(3));
    drop(run);
    let mut run = begin(dir.path(), Options { sync_interval: Duration::from_millis(5), ..patient() });
    let seq = run.restored.head + 1;
    run.disk.append(&gap(seq, 3, GapReason::Crash));
    assert_eq!(told(&mut run), Done::Durable(seq));
    run.disk.append(&entry(reading(seq + 1, 5)));
    assert_eq!(told(&mut run), Done::Durable(seq + 1));
}

#[test]
fn numbers_are_raised_before_they_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.append(&entry(reading(40_000, 5)));
    assert_eq!(run.done.blocking_recv(), Some(Done::Ceiling(40_000 + 65_536)));
}

#[test]
fn a_second_gateway_on_the_folder_is_told_which_folder() {
    let dir = tempfile::tempdir().unwrap();
    let run = begin(dir.path(), patient());
    let error = start(dir.path(), patient(), SEED, 1).unwrap_err();
    assert!(matches!(error, StartError::InUse(_)));
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    run.disk.stop();
    assert!(start(dir.path(), patient(), SEED, 1).is_ok());
}

#[test]
fn a_crash_after_any_acknowledged_step_loses_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    for step in 0..12_u32 {
        let seq = u64::from(step) + 1;
        run.disk.keep(Persisted(seq), vec![some_device(step), Record::Checkpoint(seq - 1)]);
        assert_eq!(told(&mut run), Done::Kept(Persisted(seq)));
        run.disk.append(&urgent(seq));
        assert_eq!(told(&mut run), Done::Durable(seq));
        // As a kill at this point leaves it.
        let copy = tempfile::tempdir().unwrap();
        copy_all(dir.path(), copy.path());
        let after = begin(copy.path(), patient());
        assert_eq!(after.restored.devices.len() as u64, seq);
        assert_eq!(after.restored.gap, Some((seq, 65_536)));
        assert_eq!(after.reader.read(0, 100).unwrap().len() as u64, seq);
        assert_eq!((after.restored.checkpoint, after.restored.rolled_back.is_empty()), (seq - 1, true));
    }
}

#[test]
fn a_lost_log_begins_a_new_epoch_and_old_positions_mean_nothing_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    let old = run.restored.identity.clone();
    run.disk.append(&urgent(1));
    run.disk.keep(Persisted(1), vec![some_device(1), Record::Checkpoint(1)]);
    run.disk.positions(Positions::from([("mqtt".to_owned(), 1)]));
    run.disk.stop();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let again = start(dir.path(), patient(), [3; 32], 1).unwrap().restored;
    assert_eq!(again.identity.gateway, old.gateway);
    assert_ne!(again.identity.epoch, old.epoch);
    assert_eq!((again.head, again.checkpoint, again.gap), (0, 0, None));
    assert!(again.positions.is_empty() && again.devices.len() == 1);
    assert_eq!(again.reports.len(), 1, "{:?}", again.reports);
}

#[test]
fn a_database_replaced_by_its_sidecar_is_told_as_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.append(&urgent(1));
    let line = Record::Line(LineName::parse("plug").unwrap(), std::sync::Arc::from([1]));
    run.disk.keep(Persisted(1), vec![some_device(1), line, Record::Checkpoint(1)]);
    run.disk.stop();
    std::fs::write(dir.path().join("db/db"), b"not a database").unwrap();
    let again = begin(dir.path(), patient()).restored;
    assert!(!again.rolled_back.is_empty() && !again.reports.is_empty());
    assert_eq!((again.devices.len(), again.head, again.gap), (1, 1, None));
    let id = DeviceId::parse("dlt645_000000000001").unwrap();
    assert_eq!(again.devices[0].id, id);
}

/// Takes the log's folder away, so that no segment can be made.
fn break_log(dir: &TempDir) -> PathBuf {
    let hidden = dir.path().join("hidden");
    std::fs::rename(dir.path().join("log"), &hidden).unwrap();
    hidden
}

#[test]
fn events_that_a_failing_disk_did_not_take_become_a_declared_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.keep(Persisted(1), vec![]);
    assert_eq!(told(&mut run), Done::Kept(Persisted(1)));
    assert!(dir.path().join("ballast").exists());
    let hidden = break_log(&dir);
    run.disk.append(&entry(reading(1, 5)));
    assert!(matches!(told(&mut run), Done::Broken { part: "feed", .. }));
    assert!(!dir.path().join("ballast").exists(), "it makes room when something fails");
    let mut seq = 1;
    while run.disk.lost_from.is_none() {
        seq += 1;
        run.disk.append(&entry(reading(seq, 5)));
    }
    let from = seq - 1;
    run.disk.append(&entry(reading(seq + 1, 5)));
    std::fs::rename(hidden, dir.path().join("log")).unwrap();
    let mut after = vec![told(&mut run), told(&mut run), told(&mut run)];
    after.sort_by_key(|done| matches!(done, Done::Mended { .. }));
    assert_eq!(after, [Done::Durable(from), Done::Lost { from }, Done::Mended { part: "feed" }]);
    run.disk.append(&gap(seq + 2, from, GapReason::Storage));
    assert_eq!(told(&mut run), Done::Durable(seq + 2));
    let read = run.reader.read(from - 1, 10).unwrap();
    assert_eq!(read.iter().map(|event| event.seq).collect::<Vec<_>>(), [from, seq + 2]);
    run.disk.stop();
    assert_eq!(begin(dir.path(), patient()).restored.gap, None);
}

#[test]
fn a_stop_while_events_are_left_out_is_no_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = begin(dir.path(), patient());
    run.disk.append(&urgent(1));
    assert_eq!(told(&mut run), Done::Durable(1));
    run.disk.lose(2, NotTaken::Full);
    run.disk.append(&entry(reading(2, 5)));
    run.disk.stop();
    assert_eq!(begin(dir.path(), patient()).restored.gap, Some((1, 65_536)));
}

#[test]
fn an_erasure_is_told_when_it_is_done_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = crate::log::Options { segment_bytes: 4096, ..Default::default() };
    let mut run = begin(dir.path(), Options { log, ..patient() });
    for seq in 1..=2_000 {
        run.disk.append(&entry(reading(seq, 5)));
    }
    run.disk.append(&urgent(2_001));
    run.disk.erase(RequestId(7), Erase::Before(i64::MAX), 2_001);
    run.disk.append(&urgent(2_002));
    run.disk.keep(Persisted(1), vec![Record::Device(Arc::new(device("dlt645_000000004711")))]);
    let mut seen = Vec::new();
    while !seen.contains(&Done::Erased(RequestId(7), Ok(2_000))) {
        seen.push(told(&mut run));
    }
    let place = |wanted: &Done| seen.iter().position(|done| done == wanted);
    assert!(place(&Done::Kept(Persisted(1))) < place(&Done::Erased(RequestId(7), Ok(2_000))), "{seen:?}");
    let read = run.reader.read(1_990, 20).unwrap();
    assert_eq!(read.iter().map(|event| event.seq).collect::<Vec<_>>(), (1_991..=2_002).collect::<Vec<_>>());
    assert_eq!(read.iter().filter(|event| event.fresh.body == Body::Erased).count(), 10);
    run.disk.stop();
    assert_eq!(begin(dir.path(), patient()).restored.gap, None);
}

/// A state of one device, and the backup of another gateway's two staged in it.
fn about_to_be_restored() -> TempDir {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut run = begin(dir.path(), patient());
    run.disk.append(&urgent(1));
    run.disk.keep(Persisted(1), vec![some_device(1), Record::Checkpoint(1)]);
    run.disk.stop();
    let run = start(other.path(), patient(), [9; 32], 1).unwrap();
    let line = Record::Line(LineName::parse("plug").unwrap(), std::sync::Arc::from([1]));
    run.disk.keep(Persisted(1), vec![some_device(7), some_device(8), line]);
    let (answer, entries) = oneshot::channel();
    run.disk.export(answer);
    let entries = entries.blocking_recv().unwrap();
    run.disk.stop();
    let gateway = run.restored.identity.gateway.to_string();
    let whole =
        backup::Backup { made: "now".into(), version: "1".into(), gateway, entries, configuration: None };
    std::fs::write(dir.path().join(crate::store::STAGED), backup::framed(&whole.lines())).unwrap();
    dir
}

fn ids(restored: &Restored) -> Vec<&str> {
    restored.devices.iter().map(|device| device.id.as_str()).collect()
}

const NEW: [&str; 2] = ["dlt645_000000000007", "dlt645_000000000008"];

#[test]
fn a_staged_backup_is_the_state_of_the_next_start_and_of_those_after_it() {
    let dir = about_to_be_restored();
    let run = begin(dir.path(), patient());
    assert_eq!(ids(&run.restored), NEW);
    assert_eq!((run.restored.head, run.restored.gap, run.restored.rolled_back.len()), (0, None, 1));
    assert!(
        run.restored.reports.iter().any(|told| told.contains("was restored")),
        "{:?}",
        run.restored.reports
    );
    let epoch = run.restored.identity.epoch.clone();
    run.disk.stop();
    let again = begin(dir.path(), patient()).restored;
    assert_eq!((ids(&again), &again.identity.epoch), (NEW.to_vec(), &epoch));
    assert!(again.reports.is_empty(), "{:?}", again.reports);
}

#[test]
fn a_restore_that_was_broken_off_anywhere_is_done_by_the_next_start() {
    let staged = crate::store::STAGED;
    // As a crash leaves the folder after each step.
    type Step<'a> = &'a dyn Fn(&Path, &Path);
    let steps: [Step<'_>; 7] = [
        &|_, _| {},
        &|dir, aside| std::fs::rename(dir.join("log"), aside.join("log")).unwrap(),
        &|dir, _| std::fs::create_dir(dir.join("db.restoring")).unwrap(),
        &|dir, _| std::fs::write(dir.join("db.restoring/db"), b"half a database").unwrap(),
        &|dir, aside| std::fs::rename(dir.join("db"), aside.join("db")).unwrap(),
        &|dir, aside| std::fs::rename(dir.join("registry.json"), aside.join("registry.json")).unwrap(),
        &|dir, _| {
            // All but the last: the new state is there, and the backup is still staged.
            let text = std::fs::read(dir.join(staged)).unwrap();
            begin(dir, patient()).disk.stop();
            std::fs::write(dir.join(staged), text).unwrap();
        },
    ];
    for end in 0..steps.len() {
        let dir = about_to_be_restored();
        let about = std::fs::metadata(dir.path().join(staged)).unwrap();
        let aside =
            dir.path().join(format!("before-restore-{}", std::os::unix::fs::MetadataExt::mtime(&about)));
        std::fs::create_dir(&aside).unwrap();
        steps[..=end].iter().for_each(|step| step(dir.path(), &aside));
        let run = begin(dir.path(), patient());
        assert_eq!(ids(&run.restored), NEW, "after step {end}");
        assert!(
            !dir.path().join(staged).exists() && !run.restored.rolled_back.is_empty(),
            "after step {end}"
        );
    }
}

#[test]
fn a_staged_backup_that_does_not_read_leaves_the_old_state() {
    let dir = about_to_be_restored();
    let staged = dir.path().join(crate::store::STAGED);
    let text = std::fs::read_to_string(&staged).unwrap();
    std::fs::write(&staged, &text[..text.len() / 2]).unwrap();
    let run = begin(dir.path(), patient());
    assert_eq!(ids(&run.restored), ["dlt645_000000000001"]);
    assert_eq!((run.restored.head, run.restored.rolled_back.len()), (1, 0));
    assert!(
        run.restored.reports[0].contains("refused, nothing was changed: line "),
        "{:?}",
        run.restored.reports
    );
    assert!(!staged.exists() && dir.path().join("restore.refused").exists());
}
