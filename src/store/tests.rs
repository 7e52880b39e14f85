//! The registry against damage that was seen on real databases.

use tempfile::TempDir;

use super::*;
use crate::access::Token;
use crate::device::TokenId;
use crate::hub::days::{Edges, Point};
use crate::record::samples::{command, device, noted, session, token};

fn gateway() -> GatewayId {
    GatewayId::parse("gw_aaaaaaaaaa").unwrap()
}

fn open(dir: &TempDir) -> (Store, Vec<String>) {
    let mut reports = Vec::new();
    let store = Store::open(dir.path(), 77, &gateway(), &mut reports).unwrap();
    (store, reports)
}

fn id(number: u32) -> String {
    format!("dlt645_{number:012}")
}

fn some_device(number: u32) -> Record {
    Record::Device(Arc::new(device(&id(number))))
}

fn some_command(last: char) -> Record {
    Record::Command(Arc::new(command(&format!("cmd_01jd2e3f4g5h6j7k8m9n0p1q2{last}"))))
}

/// Two tokens, a session, and what was done with them.
fn access() -> Vec<Record> {
    let changes = [
        Change::Token(Arc::new(token("tok_a"))),
        Change::Token(Arc::new(token("tok_b"))),
        Change::Session(Arc::new(session("ses_a", "tok_a"))),
        Change::Noted(Arc::new(noted(9))),
        Change::Noted(Arc::new(noted(10))),
    ];
    changes.map(Record::Access).into()
}

/// A registry of three devices, a command, a line's record and a position; closed.
fn filled() -> (TempDir, Contents) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reports) = open(&dir);
    assert!(reports.is_empty(), "{reports:?}");
    let line = Record::Line(LineName::parse("plug").unwrap(), Arc::from([1, 2, 0xff]));
    store.stage_epoch(Epoch::parse("first000").unwrap(), 0);
    store.stage(vec![some_device(1), some_device(2), some_device(3), some_command('a'), line]);
    let point = Point { unix_ms: 7, total: 9 };
    let row = DayRow { energy: Some(Edges { first: point, last: point }), export: None };
    let day = |day, row| Record::Day(DeviceId::parse(&id(1)).unwrap(), day, row);
    store.stage(vec![day(-1, Some(row)), day(20_777, Some(row)), day(-1, None), Record::Checkpoint(41)]);
    store.stage_positions(&Positions::from([("mqtt".to_owned(), 40)]));
    store.stage(access());
    store.commit().unwrap();
    store.write_sidecar().unwrap();
    let contents = store.contents().clone();
    (dir, contents)
}

fn db_file(dir: &TempDir) -> PathBuf {
    dir.path().join("db/db")
}

#[test]
fn what_was_committed_is_there_after_a_restart_and_what_was_removed_is_not() {
    let (dir, contents) = filled();
    let (mut store, reports) = open(&dir);
    assert!(
        reports.is_empty() && !store.staged() && !store.sidecar_due() && !store.imported(),
        "{reports:?}"
    );
    assert_eq!(*store.contents(), contents);
    assert_eq!(contents.days.len(), 1);
    let gone = CommandId::parse("cmd_01jd2e3f4g5h6j7k8m9n0p1q2a").unwrap();
    store.stage(vec![Record::DeviceGone(DeviceId::parse(&id(2)).unwrap()), Record::CommandGone(gone)]);
    store.commit().unwrap();
    drop(store);
    let (store, reports) = open(&dir);
    assert!(reports.is_empty(), "{reports:?}");
    assert_eq!((store.contents().devices.len(), store.contents().commands.len()), (2, 0));
    assert!(store.sidecar_due(), "the file still holds the removed device");
}

#[test]
fn only_a_changed_registry_makes_the_sidecar_due() {
    let (dir, _) = filled();
    let (mut store, _) = open(&dir);
    let mut heard = device(&id(1));
    heard.relay = Some(true);
    heard.last_seen_unix_ms = Some(5);
    store.stage(vec![Record::Device(Arc::new(heard)), some_command('b'), Record::Checkpoint(50)]);
    assert!(store.staged() && !store.sidecar_due());
    let mut renamed = device(&id(1));
    renamed.name = "Boiler".into();
    store.stage(vec![Record::Device(Arc::new(renamed))]);
    assert!(store.sidecar_due());
}

#[test]
fn a_value_that_does_not_read_goes_to_quarantine_and_its_device_comes_back_from_the_sidecar() {
    let (dir, contents) = filled();
    let (store, _) = open(&dir);
    let engine = store.engine.as_ref().unwrap();
    let mut damaged = record::seal_device(&device(&id(2)));
    damaged[20] ^= 1;
    engine.put_raw(Room::Devices, &id(2), &damaged);
    engine.put_raw(Room::Commands, "cmd_x", b"");
    engine.put_raw(Room::Positions, "uplink", &[9, 0, 0, 0, 0, 1]);
    drop(store);
    let (mut store, reports) = open(&dir);
    assert_eq!(reports.len(), 4, "{reports:?}");
    assert_eq!(
        (&store.contents().devices, &store.contents().commands),
        (&contents.devices, &contents.commands)
    );
    store.commit().unwrap();
    let wanted = ["commands/cmd_x".to_owned(), format!("devices/{}", id(2)), "positions/uplink".to_owned()];
    assert_eq!(store.engine.as_ref().unwrap().quarantined(), wanted);
    drop(store);
    assert!(open(&dir).1.is_empty(), "it is told once");
}

#[test]
fn the_gateways_id_outlives_its_own_record() {
    let (dir, contents) = filled();
    let (store, _) = open(&dir);
    store.engine.as_ref().unwrap().put_raw(Room::Meta, META_KEY, b"junk");
    drop(store);
    let other = GatewayId::parse("gw_bbbbbbbbbb").unwrap();
    let store = Store::open(dir.path(), 1, &other, &mut Vec::new()).unwrap();
    assert_eq!((&store.contents().meta.gateway, &store.contents().devices), (&gateway(), &contents.devices));
}

#[test]
fn torn_snapshots_do_not_keep_the_gateway_from_starting() {
    for garbage in [&b""[..], b"garbage", &[0; 4096]] {
        let (dir, contents) = filled();
        std::fs::write(dir.path().join("db/snap.00000000000003E8.generating"), garbage).unwrap();
        let (store, reports) = open(&dir);
        assert!(reports.is_empty() && !store.imported(), "{reports:?}");
        assert_eq!(*store.contents(), contents);
    }
}

#[test]
fn a_database_cut_anywhere_is_replaced_by_the_sidecar_unless_nothing_was_lost() {
    let (dir, contents) = filled();
    let whole = std::fs::read(db_file(&dir)).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut imports = 0;
    for part in 0..16 {
        let (dir, _) = filled();
        std::fs::write(db_file(&dir), &whole[..used * part / 16]).unwrap();
        let (mut store, reports) = open(&dir);
        imports += usize::from(store.imported());
        assert_eq!(store.imported(), dir.path().join("db.bad-77").is_dir(), "{reports:?}");
        assert_eq!(store.contents().devices, contents.devices, "part {part}: {reports:?}");
        assert_eq!(store.contents().lines, contents.lines);
        assert_eq!(store.contents().meta.gateway, contents.meta.gateway);
        store.commit().unwrap();
        drop(store);
        let (store, reports) = open(&dir);
        assert!(reports.is_empty() && !store.imported(), "{reports:?}");
        assert_eq!(store.contents().devices, contents.devices);
    }
    assert!(imports > 0);
}

#[test]
fn a_database_whose_bytes_rot_never_hides_a_device() {
    let (dir, contents) = filled();
    let whole = std::fs::read(db_file(&dir)).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for part in 0..40 {
        let (dir, _) = filled();
        let mut bytes = whole.clone();
        bytes[used * part / 40] ^= 0x20;
        std::fs::write(db_file(&dir), bytes).unwrap();
        let (store, reports) = open(&dir);
        assert_eq!(store.contents().devices, contents.devices, "part {part}: {reports:?}");
    }
}

#[test]
fn a_broken_newest_sidecar_leaves_the_one_before() {
    let (dir, contents) = filled();
    let (mut store, _) = open(&dir);
    store.write_sidecar().unwrap();
    drop(store);
    std::fs::write(dir.path().join("registry.json"), b"{\"schema\":1,").unwrap();
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    let (store, reports) = open(&dir);
    assert!(
        store.imported() && reports.iter().any(|told| told.contains("registry.json does not read")),
        "{reports:?}"
    );
    assert_eq!(store.contents().devices, contents.devices);
    assert!(store.contents().meta.generation > contents.meta.generation);
}

#[test]
fn a_database_that_breaks_while_running_is_built_anew_without_loss() {
    let (dir, _) = filled();
    let (mut store, _) = open(&dir);
    store.stage(vec![some_device(4), Record::DeviceGone(DeviceId::parse(&id(1)).unwrap())]);
    let wanted = store.contents().clone();
    engine::close(store.engine.take());
    let whole = std::fs::read(db_file(&dir)).unwrap();
    std::fs::write(db_file(&dir), &whole[..whole.len() / 2]).unwrap();
    assert!(store.commit().is_err() && store.staged());
    let report = store.recover(5).unwrap();
    store.commit().unwrap();
    assert!(report.is_none_or(|_| dir.path().join("db.bad-5").is_dir()));
    drop(store);
    let (store, reports) = open(&dir);
    assert!(reports.is_empty(), "{reports:?}");
    assert_eq!(*store.contents(), wanted);
}

#[test]
fn a_second_opener_is_refused_and_breaks_nothing() {
    let (dir, contents) = filled();
    let (store, _) = open(&dir);
    let second = Store::open(dir.path(), 1, &gateway(), &mut Vec::new());
    assert!(second.err().unwrap().to_string().contains(&dir.path().display().to_string()));
    drop(store);
    assert_eq!(*open(&dir).0.contents(), contents);
}

/// Enough churn that the database has many segments: its snapshot then speaks of pages that a cut takes away.
fn churned() -> (TempDir, Contents) {
    let (dir, _) = filled();
    let (mut store, _) = open(&dir);
    for round in 0..60 {
        let commands = ('a'..='z').map(some_command);
        let line = vec![round; 20_000];
        store.stage(commands.chain([Record::Line(LineName::parse("plug").unwrap(), line.into())]).collect());
        store.commit().unwrap();
    }
    store.write_sidecar().unwrap();
    let contents = store.contents().clone();
    (dir, contents)
}

#[test]
fn a_database_cut_beside_its_snapshot_is_replaced_by_the_sidecar() {
    for part in [1, 3, 4, 6] {
        let (dir, contents) = churned();
        let whole = std::fs::read(db_file(&dir)).unwrap();
        std::fs::write(db_file(&dir), &whole[..whole.len() * part / 8]).unwrap();
        let (store, reports) = open(&dir);
        assert!(store.imported() && reports.len() == 2, "{reports:?}");
        assert_eq!(
            (&store.contents().devices, &store.contents().lines),
            (&contents.devices, &contents.lines)
        );
    }
}

#[test]
fn a_panic_of_sled_while_opening_is_an_answer_like_any_other() {
    let answer = engine::in_a_thread::<()>(|| panic!("as serialization.rs:662 does on a cut file"));
    assert!(matches!(answer, Err(Failure::Corrupt(_))));
}

#[test]
fn a_token_that_was_removed_stays_removed_and_its_use_alone_leaves_the_sidecar() {
    let (dir, contents) = filled();
    let (mut store, _) = open(&dir);
    assert_eq!(store.contents().book, contents.book);
    let used = Token { last_used_unix_ms: Some(60_000), ..token("tok_b") };
    store.stage(vec![Record::Access(Change::Token(Arc::new(used)))]);
    store.commit().unwrap();
    assert!(!store.sidecar_due());
    let gone = TokenId::parse("tok_a").unwrap();
    store.stage(vec![Record::Access(Change::TokenGone(gone.clone())), Record::Access(Change::NotedGone(9))]);
    store.commit().unwrap();
    assert!(store.sidecar_due(), "a database that is taken back must not bring it back");
    drop(store);
    let (store, _) = open(&dir);
    let book = &store.contents().book;
    assert_eq!((book.token(&gone), book.next_number()), (None, 11));
    assert_eq!(book.noted().count(), 1);
}

#[test]
fn a_token_that_does_not_read_lets_nobody_in_and_is_reported() {
    let (dir, _) = filled();
    let (store, _) = open(&dir);
    store.engine.as_ref().unwrap().put_raw(Room::Access, "tok_a", b"{}");
    drop(store);
    let (store, reports) = open(&dir);
    assert!(reports.iter().any(|told| told.contains("access/tok_a")), "{reports:?}");
    assert!(store.contents().book.token(&TokenId::parse("tok_a").unwrap()).is_none());
    assert_eq!(store.contents().book.tokens().count(), 1);
    assert_eq!(store.engine.as_ref().unwrap().quarantined(), ["access/tok_a"]);
}

#[test]
fn tokens_are_taken_back_from_the_sidecar_and_sessions_are_not() {
    let (dir, contents) = filled();
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    let (store, reports) = open(&dir);
    assert!(store.imported(), "{reports:?}");
    let book = &store.contents().book;
    assert!(book.tokens().eq(contents.book.tokens()));
    assert_eq!(book.sessions().count(), 0);
}

use crate::record::backup::{Backup, Lines, framed};
use proptest::prelude::*;

fn text_of(store: &Store) -> String {
    let (made, version, gateway) =
        ("2026-11-21T10:00:00.000Z".into(), "0.1.0".into(), "gw_aaaaaaaaaa".into());
    framed(&Backup { made, version, gateway, entries: store.entries(), configuration: None }.lines())
}

fn restored(text: &str) -> Contents {
    contents_of(&Lines::of(text).unwrap().backup().unwrap().entries).unwrap()
}

#[test]
fn a_registry_made_of_a_backup_is_the_same_without_its_feed() {
    let (dir, contents) = filled();
    let (store, _) = open(&dir);
    let text = text_of(&store);
    drop(store);
    let (other, aside) = (tempfile::tempdir().unwrap(), dir.path().join("aside"));
    replace(other.path(), restored(&text), &aside).unwrap();
    let (store, reports) = open(&other);
    assert!(reports.is_empty() && !store.imported(), "{reports:?}");
    let got = store.contents();
    assert_eq!((&got.devices, &got.lines, &got.days), (&contents.devices, &contents.lines, &contents.days));
    assert_eq!(
        (got.meta.gateway.as_str(), &got.meta.epoch, got.meta.checkpoint),
        ("gw_aaaaaaaaaa", &None, 0)
    );
    assert!(got.commands.is_empty() && got.positions.is_empty());
    assert_eq!(got.meta.resume, contents.lines.keys().cloned().collect());
}

#[test]
fn a_line_resumes_until_it_has_kept_a_record_of_its_own() {
    let (dir, contents) = filled();
    replace(dir.path(), contents, &dir.path().join("aside")).unwrap();
    let line = LineName::parse("plug").unwrap();
    let (mut store, _) = open(&dir);
    assert!(store.contents().meta.resume.contains(&line));
    drop(store);
    // A start that ends before anything was kept leaves it so.
    (store, _) = open(&dir);
    assert!(store.contents().meta.resume.contains(&line));
    store.stage(vec![Record::Line(line, Arc::from([3]))]);
    store.commit().unwrap();
    drop(store);
    (store, _) = open(&dir);
    assert!(store.contents().meta.resume.is_empty());
}

#[test]
fn what_does_not_belong_into_a_registry_is_refused_by_name_and_line() {
    let (dir, _) = filled();
    let (store, _) = open(&dir);
    let entries = Lines::of(&text_of(&store)).unwrap().backup().unwrap().entries;
    let refused = |change: &dyn Fn(&mut Vec<crate::record::backup::Entry>)| {
        let mut entries = entries.clone();
        change(&mut entries);
        contents_of(&entries).unwrap_err().to_string()
    };
    let at = |room: &str| entries.iter().position(|entry| entry.room == room).unwrap();
    let line = |room: &str| entries[at(room)].line;
    let told = refused(&|entries| entries[at("devices")].room = "spells".into());
    assert!(told.starts_with(&format!("line {}: `spells`", line("devices"))), "{told}");
    let told = refused(&|entries| entries[at("devices")].value = record::seal_number(3));
    assert!(told.starts_with(&format!("line {}: devices/", line("devices"))), "{told}");
    assert!(refused(&|entries| drop(entries.remove(at("devices")))).contains("2 devices of 3"));
    assert!(refused(&|entries| drop(entries.remove(at("meta")))).contains("`meta` is missing"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_registry_comes_back_from_its_text(
        devices in proptest::collection::vec(record::samples::any_device(), 0..6),
        record in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(&dir);
        store.stage(devices.into_iter().map(|device| Record::Device(Arc::new(device))).collect());
        store.stage(vec![Record::Line(LineName::parse("plug").unwrap(), record.into())]);
        let got = restored(&text_of(&store));
        prop_assert_eq!((&got.devices, &got.lines, &got.meta), (&store.contents().devices, &store.contents().lines, &store.contents().meta));
    }
}
