//! The modem: bringing it up, its links, its silence.

use super::*;

fn modem(happenings: &[Happening]) -> Vec<bool> {
    let answers = happenings.iter().filter_map(|happening| match happening {
        Happening::Modem { answers } => Some(*answers),
        _ => None,
    });
    answers.collect()
}

fn steps(happenings: &[Happening], wanted: &str) -> usize {
    let fits = |happening: &&Happening| matches!(happening, Happening::Recovery { step } if *step == wanted);
    happenings.iter().filter(fits).count()
}

/// Brought up until the modem may be given commands.
fn up(options: Options, record: Option<&[u8]>) -> Bench {
    let mut bench = Bench::opened(options);
    if let Some(record) = record {
        bench.line.restore(record);
    }
    bench.hear(INFO);
    bench.next_write();
    bench.hear("02 73 00 00 00 06");
    bench
}

/// Answers the next question for a link with this record.
fn link(bench: &mut Bench, record: &str) {
    bench.next_write();
    bench.echo();
    bench.hear(&format!("02 57 {record}"));
}

#[test]
fn the_modem_is_asked_who_it_is_before_anything_else() {
    let mut bench = Bench::opened(Options::default());
    assert_eq!(bench.last(), [0x02, 0x60]);
    assert!(!bench.line.ready());
    bench.hear(INFO);
    assert_eq!(modem(&bench.happenings), [true]);
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x73]);
    bench.hear("02 73 00 00 00 06");
    assert!(bench.line.ready());
}

#[test]
fn the_dead_man_is_switched_on_where_it_is_off() {
    let mut bench = Bench::opened(Options::default());
    bench.hear(INFO);
    bench.next_write();
    bench.hear("02 73 D0 00 00 06");
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x6B, 0xC0]);
    bench.echo();
    assert!(bench.line.ready());
}

#[test]
fn a_modem_without_the_question_for_its_configuration_works_all_the_same() {
    let mut bench = Bench::opened(Options::default());
    bench.hear(INFO);
    for _ in 0..8 {
        bench.next_write();
        bench.hear("02 73 15");
        bench.wait(ms(240));
    }
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x69], "it is up, and its links are read");
}

#[test]
fn links_are_read_one_by_one_kept_and_not_read_again() {
    let mut bench = up(Options::default(), None);
    bench.line.attach(&target(SOCKET, None));
    link(&mut bench, "E2 01 00 00 04 02 37 46");
    assert_eq!(bench.last(), [0x02, 0x69]);
    link(&mut bench, "62 01 3A 29 84 01 0E 43");
    assert_eq!(bench.last(), [0x02, 0x6A]);
    link(&mut bench, "A2 01 10 06 D0 00 00 00");
    for _ in 0..2 {
        bench.next_write();
        bench.hear("02 6A 15");
    }
    assert_eq!(bench.line.kept.links.len(), 2, "a hole is not a link");
    let gaps = bench.written.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.into_iter().all(|gap| gap >= ms(500)));
    let foreign: Vec<_> =
        bench.happenings.iter().filter(|h| matches!(h, Happening::Foreign { .. })).collect();
    assert_eq!(foreign, [&Happening::Foreign { address: "1006d0".into() }]);
    let record = bench.persisted.pop().unwrap();
    let mut again = up(Options::default(), Some(&record));
    again.wait(60 * SECOND);
    assert_eq!(again.written.len(), 2, "60 and 73");
    assert_eq!(again.line.kept, bench.line.kept);
}

#[test]
fn an_operation_goes_before_the_next_link() {
    let mut bench = Bench::opened(Options::default());
    bench.hear(INFO);
    bench.next_write();
    bench.line.attach(&target("22920d", Some(1)));
    bench.hear("02 73 00 00 00 06");
    assert!(bench.line.ready());
    bench.start(Operation::Read { target: target("22920d", Some(1)) });
    bench.next_write();
    assert_eq!(bench.last()[1], 0x62);
    bench.echo();
    bench.hear("02 50 22 92 0D 1A 77 7B 2B 03 03");
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x69]);
}

#[test]
fn a_link_that_does_not_come_makes_the_list_be_read_again() {
    let mut bench = up(Options::default(), None);
    link(&mut bench, "E2 01 00 00 04 02 37 46");
    bench.next_write();
    bench.echo();
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x69], "from the start");
    for _ in 0..3 {
        bench.echo();
        bench.wait(ms(1_100));
    }
    bench.wait(10 * SECOND);
    assert_eq!(bench.malformed("link_database"), 1);
    assert!(!bench.line.kept.whole);
}

#[test]
fn another_modem_is_told_and_its_links_are_read() {
    let mut bench = Bench::new();
    bench.persisted.clear();
    let record = bench.line.kept.emit();
    let mut bench = Bench::opened(Options::default());
    bench.line.restore(&record);
    bench.hear("02 60 1a 77 7c 03 15 9b 06");
    assert_eq!(bench.noticed("modem_changed"), 1);
    bench.next_write();
    bench.hear("02 73 00 00 00 06");
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x69]);
}

#[test]
fn a_record_of_another_version_is_not_taken() {
    let mut line = Insteon::new(Options::default());
    line.restore(b"something else");
    assert_eq!(line.kept, Kept::default());
}

#[test]
fn a_factory_reset_in_the_middle_of_the_links_is_told_and_starts_anew() {
    let mut bench = up(Options::default(), None);
    link(&mut bench, "E2 01 00 00 04 02 37 46");
    bench.next_write();
    bench.hear("02 55");
    assert_eq!(bench.noticed("modem_reset"), 1);
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x60]);
    bench.hear(INFO);
    bench.next_write();
    bench.hear("02 73 00 00 00 06");
    for _ in 0..2 {
        bench.next_write();
        bench.hear("02 69 15");
    }
    assert!(bench.line.kept.whole && bench.line.kept.links.is_empty());
}

#[test]
fn a_relay_whose_presses_reach_nobody_is_asked_more_often() {
    let devices = [(SOCKET.into(), DeviceOptions { kind: Some(Kind::Outlet) })].into();
    let mut bench = up(Options { devices, ..Options::default() }, None);
    let before = bench.line.attach(&target(SOCKET, None));
    link(&mut bench, "E2 01 00 00 04 02 37 46");
    for _ in 0..2 {
        bench.next_write();
        bench.hear("02 6A 15");
    }
    assert!(bench.happenings.contains(&Happening::Learned { target: target(SOCKET, None) }));
    assert!(bench.line.attach(&target(SOCKET, None)).plan[0].period < before.plan[0].period);
}

#[test]
fn a_silent_modem_is_probed_ever_later_and_its_port_opened_anew() {
    let mut bench = Bench::opened(Options::default());
    bench.wait(ms(1_500));
    assert_eq!((modem(&bench.happenings), steps(&bench.happenings, "probe")), (vec![false], 1));
    bench.wait(600 * SECOND);
    assert_eq!(modem(&bench.happenings), [false], "told once");
    let probes = steps(&bench.happenings, "probe");
    assert_eq!((bench.reopened, steps(&bench.happenings, "reopen")), (probes / 3, probes / 3));
    assert!((6..=14).contains(&probes), "{probes} probes in ten minutes");
    assert_eq!(bench.noticed("modem_silent"), 1);
    assert!(
        bench.written.iter().all(|(_, bytes)| *bytes == [0x02, 0x60]),
        "nothing else, above all no reset"
    );
    bench.next_write();
    bench.hear(INFO);
    assert_eq!(modem(&bench.happenings), [false, true]);
}

#[test]
fn the_ladder_goes_on_behind_a_port_that_was_opened_anew() {
    let mut bench = Bench::opened(Options::default());
    while bench.reopened == 0 {
        bench.next_write();
    }
    bench.clear();
    bench.line.handle_port(true, bench.clock());
    bench.drain();
    assert_eq!(bench.last(), [0x02, 0x60]);
    bench.wait(ms(1_500));
    assert_eq!((modem(&bench.happenings), steps(&bench.happenings, "probe")), (vec![], 1));
    assert_eq!(bench.reopened, 1);
}

#[test]
fn a_message_from_the_line_makes_the_next_probe_come_at_once() {
    let mut bench = Bench::opened(Options::default());
    bench.wait(30 * SECOND);
    let before = bench.written.len();
    bench.hear("02 50 00 00 04 00 00 01 CB 11 00");
    assert_eq!(bench.written.len(), before + 1);
}
