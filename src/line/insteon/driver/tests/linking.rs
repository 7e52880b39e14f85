//! Making links: by the label, by the button, and everything that goes wrong on the way.

use super::*;

const NEW: &str = "1006d0";

fn linking(channel: Option<u8>) -> Bench {
    let mut bench = Bench::new();
    bench.line.attach(&target(NEW, None));
    bench.begin(Operation::Link { target: target(NEW, channel) });
    bench
}

/// The device says that nobody is linked with it, as every i2CS device does.
fn unlinked(bench: &mut Bench) {
    assert_eq!(bench.last(), hex("02 62 10 06 D0 0F 0D 00"));
    bench.echo();
    bench.hear("02 50 10 06 D0 1A 77 7B AB 0D FF");
}

/// One link as captured in the i2CS notes.
fn leg(bench: &mut Bench, mode: u8, group: u8) {
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x64, mode, group]);
    bench.echo();
    bench.next_write();
    let sum = 0xF7 - group;
    let zeros = "00 ".repeat(13);
    assert_eq!(bench.last(), hex(&format!("02 62 10 06 D0 1F 09 {group:02x} {zeros} {sum:02x}")));
    bench.echo();
    bench.hear(&format!("02 50 10 06 D0 1A 77 7B 2B 09 {group:02x}"));
    bench.wait(ms(700));
    bench.hear(&format!("02 53 {mode:02x} {group:02x} 10 06 D0 00 00 00"));
}

#[test]
fn a_device_is_linked_by_its_label_both_ways() {
    let mut bench = linking(None);
    unlinked(&mut bench);
    leg(&mut bench, 1, 1);
    leg(&mut bench, 0, 1);
    assert_eq!(bench.joined(), [target(NEW, None)]);
    assert_eq!(bench.progress().last(), Some(&Progress::Done));
    let links: Vec<_> = bench.line.kept.links.iter().map(|link| (link.controller(), link.group)).collect();
    assert_eq!(links, [(true, 1), (false, 1)]);
    assert!(!bench.persisted.is_empty());
    assert_eq!(bench.noticed("not_linked"), 0, "that it did not know the modem is why it is linked");
}

#[test]
fn both_outlets_are_linked_and_join_as_two_devices() {
    let mut bench = linking(Some(1));
    unlinked(&mut bench);
    for group in [1, 2] {
        leg(&mut bench, 1, group);
        leg(&mut bench, 0, group);
    }
    assert_eq!(bench.joined(), [target(NEW, Some(1)), target(NEW, Some(2))]);
}

#[test]
fn a_device_that_nobody_described_is_asked_what_it_is_once_it_is_linked() {
    let mut bench = Bench::new();
    bench.begin(Operation::Link { target: target("2c0d11", None) });
    bench.echo();
    bench.hear("02 50 2C 0D 11 1A 77 7B AB 0D FF");
    bench.next_write();
    bench.echo();
    bench.next_write();
    bench.echo();
    bench.hear("02 53 01 01 2C 0D 11 00 00 00");
    bench.next_write();
    assert_eq!(bench.last(), hex("02 62 2C 0D 11 0F 10 00"));
    bench.echo();
    bench.hear("02 50 2C 0D 11 1A 77 7B 2B 10 00");
    bench.hear("02 50 2C 0D 11 02 39 46 8B 01 00");
    for wanted in [[0x02, 0x64, 0, 1], [0x02, 0x64, 1, 2], [0x02, 0x64, 0, 2]] {
        bench.next_write();
        assert_eq!(bench.last(), wanted);
        bench.echo();
        bench.next_write();
        bench.echo();
        bench.hear(&format!("02 53 {:02x} {:02x} 2C 0D 11 00 00 00", wanted[2], wanted[3]));
    }
    assert_eq!(bench.joined(), [target("2c0d11", Some(1)), target("2c0d11", Some(2))]);
    assert!(!bench.happenings.contains(&Happening::Foreign { address: "2c0d11".into() }));
}

#[test]
fn an_old_device_is_asked_to_link_by_a_standard_message() {
    let mut bench = linking(None);
    bench.echo();
    bench.hear("02 50 10 06 D0 1A 77 7B 2B 0D 00");
    bench.next_write();
    bench.echo();
    bench.next_write();
    assert_eq!(bench.last(), hex("02 62 10 06 D0 0F 09 01"));
}

#[test]
fn a_wrong_sum_is_sent_once_more_and_then_named_and_the_modem_waits_no_longer() {
    let mut bench = linking(None);
    unlinked(&mut bench);
    bench.next_write();
    bench.echo();
    for _ in 0..2 {
        bench.next_write();
        bench.echo();
        bench.wait(ms(400));
        bench.hear("02 50 10 06 D0 1A 77 7B A3 09 FD");
    }
    assert_eq!(bench.failed().0, "checksum");
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x65]);
    assert!(!bench.line.ready());
    bench.echo();
    assert!(bench.line.ready());
    assert_eq!(bench.joined(), []);
}

#[test]
fn a_full_modem_is_named_and_the_first_half_is_taken_back() {
    let mut bench = linking(Some(1));
    unlinked(&mut bench);
    leg(&mut bench, 1, 1);
    leg(&mut bench, 0, 1);
    for _ in 0..3 {
        bench.next_write();
        assert_eq!(bench.last(), [0x02, 0x64, 1, 2], "from the start each time");
        bench.echo();
        bench.next_write();
        bench.echo();
        bench.hear("02 50 10 06 D0 1A 77 7B 2B 09 02");
        bench.wait(ms(3_999));
    }
    for flags in [0xA2, 0xE2] {
        bench.next_write();
        assert_eq!(bench.last(), [0x02, 0x6F, 0x80, flags, 1, 0x10, 0x06, 0xD0, 0, 0, 0]);
        bench.echo();
    }
    assert_eq!(bench.failed(), ("link_incomplete", Outcome::NotApplied, false));
    assert_eq!((bench.joined(), bench.line.kept.links.len()), (vec![], 0));
}

#[test]
fn a_modem_that_refuses_to_link_is_named() {
    let mut bench = linking(None);
    unlinked(&mut bench);
    bench.next_write();
    bench.hear("02 64 01 01 15");
    assert_eq!(bench.failed().0, "modem_refused");
}

#[test]
fn a_device_that_will_not_tell_of_presses_is_joined_and_a_person_told() {
    let mut bench = linking(None);
    unlinked(&mut bench);
    leg(&mut bench, 1, 1);
    bench.next_write();
    bench.echo();
    bench.next_write();
    bench.echo();
    bench.hear("02 50 10 06 D0 1A 77 7B A3 09 FB");
    assert_eq!((bench.joined(), bench.noticed("presses_unheard")), (vec![target(NEW, None)], 1));
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x65]);
}

#[test]
fn a_device_that_is_not_there_is_not_linked_with() {
    let mut bench = linking(None);
    for _ in 0..3 {
        bench.echo();
        bench.wait(ms(2_500));
    }
    assert_eq!(bench.failed(), ("no_answer", Outcome::NotApplied, true));
    assert!(bench.written.iter().all(|(_, bytes)| bytes[1] == 0x62), "the modem was not made to wait");
}

#[test]
fn a_window_joins_the_device_whose_button_is_held() {
    let mut bench = Bench::new();
    bench.begin(Operation::Join { seconds: 20 });
    assert_eq!(bench.last(), [0x02, 0x64, 0x03, 0x01]);
    bench.echo();
    assert_eq!(bench.progress(), [Progress::Sent { attempt: 1 }]);
    bench.wait(12 * SECOND);
    bench.hear("02 53 00 01 1A CE D1 02 37 C2");
    bench.next_write();
    assert_eq!(bench.last(), hex("02 62 1A CE D1 0F 0D 00"));
    bench.echo();
    bench.hear("02 50 1A CE D1 1A 77 7B 2B 0D 02");
    bench.next_write();
    assert_eq!(bench.last(), [0x02, 0x64, 0x01, 0x01], "the other way");
    bench.echo();
    bench.next_write();
    bench.echo();
    bench.hear("02 53 01 01 1A CE D1 02 37 C2");
    assert_eq!(bench.joined(), [target("1aced1", None)]);
    assert!(bench.line.attach(&target("1aced1", None)).abilities.relay, "its category told");
}

#[test]
fn a_window_that_nobody_used_is_closed() {
    let mut bench = Bench::new();
    bench.begin(Operation::Join { seconds: 20 });
    bench.echo();
    bench.wait(ms(19_999));
    assert_eq!(bench.progress().len(), 1);
    bench.wait(ms(1));
    assert_eq!(bench.failed(), ("no_device", Outcome::NotApplied, false));
    assert_eq!(bench.last(), [0x02, 0x65]);
}

#[test]
fn a_link_made_at_the_modem_by_hand_is_shown_and_not_joined() {
    let mut bench = Bench::new();
    bench.hear("02 53 01 01 1A CE D1 02 37 C2");
    assert_eq!(bench.joined(), []);
    assert!(bench.happenings.contains(&Happening::Foreign { address: "1aced1".into() }));
}
