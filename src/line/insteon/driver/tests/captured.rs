//! The captured conversations of `power-line.md` §A.1, end to end. Sources: the maker's notes of the 2663-222 (1 to 8,
//! 13 to 15) and of i2CS (9 to 12), home-controller test/Meter.js (16, 17).

use super::*;

#[test]
fn an_outlet_goes_on_and_off_as_captured() {
    let mut bench = Bench::new();
    for (on, asked, answer) in [
        (true, "02 62 00 00 04 0F 11 FF", "02 50 00 00 04 1A 77 7B 27 11 FF"),
        (false, "02 62 00 00 04 0F 13 00", "02 50 00 00 04 1A 77 7B 2B 13 00"),
    ] {
        bench.switch(SOCKET, None, on);
        assert_eq!(bench.last(), hex(asked));
        assert_eq!(bench.progress(), [], "nothing is sent before the modem says so");
        bench.echo();
        assert_eq!(bench.progress(), [Progress::Sent { attempt: 1 }]);
        bench.wait(ms(400));
        bench.hear(answer);
        assert_eq!(bench.progress(), done());
        assert_eq!(bench.relays(), [(target(SOCKET, None), on, Cause::Command)]);
        assert_eq!(bench.written.len(), 1);
    }
}

#[test]
fn the_lower_outlet_is_switched_apart_from_the_upper_one() {
    let mut bench = Bench::new();
    let zeros = "00 ".repeat(12);
    for (channel, on, asked, answer) in [
        (2, true, format!("02 62 22 92 0D 1F 11 01 02 {zeros} EC"), "02 50 22 92 0D 1A 77 7B 2B 11 01"),
        (2, false, format!("02 62 22 92 0D 1F 13 00 02 {zeros} EB"), "02 50 22 92 0D 1A 77 7B 2B 13 00"),
        (1, true, "02 62 22 92 0D 0F 11 FF".to_owned(), "02 50 22 92 0D 1A 77 7B 2B 11 FF"),
    ] {
        bench.switch("22920d", Some(channel), on);
        assert_eq!(bench.last(), hex(&asked));
        bench.echo();
        bench.hear(answer);
        assert_eq!(bench.progress(), done());
        assert_eq!(bench.relays(), [(target("22920d", Some(channel)), on, Cause::Command)]);
    }
}

#[test]
fn a_status_reply_is_read_whatever_its_first_command_says() {
    let mut bench = Bench::new();
    for (answer, on) in
        [("02 50 00 00 04 1A 77 7B 2B 00 FF", true), ("02 50 00 00 04 1A 77 7B 27 01 00", false)]
    {
        bench.read(SOCKET, None);
        assert_eq!(bench.last(), hex("02 62 00 00 04 0F 19 00"));
        bench.echo();
        bench.hear(answer);
        assert_eq!(bench.relays(), [(target(SOCKET, None), on, Cause::Poll)]);
        assert_eq!(bench.progress().last(), Some(&Progress::Done));
    }
}

#[test]
fn one_question_shows_both_outlets() {
    let mut bench = Bench::new();
    for (bits, top, bottom) in
        [("03", true, true), ("01", true, false), ("02", false, true), ("00", false, false)]
    {
        bench.read("22920d", Some(2));
        assert_eq!(bench.last(), hex("02 62 22 92 0D 0F 19 01"));
        bench.echo();
        bench.hear(&format!("02 50 22 92 0D 1A 77 7B 2B 03 {bits}"));
        let shown =
            [(1, top), (2, bottom)].map(|(channel, on)| (target("22920d", Some(channel)), on, Cause::Poll));
        assert_eq!(bench.relays(), shown);
    }
}

#[test]
fn a_device_that_does_not_know_the_modem_is_named_with_the_way_out() {
    let mut bench = Bench::new();
    bench.line.attach(&target("1006d0", None));
    bench.switch("1006d0", None, true);
    bench.echo();
    bench.hear("02 50 10 06 D0 1A 77 7B AB 11 FF");
    assert_eq!(bench.failed(), ("not_linked", Outcome::NotApplied, false));
    assert!(bench.failure().detail.contains("label"), "{}", bench.failure().detail);
    assert_eq!(bench.noticed("not_linked"), 1);
    bench.switch("1006d0", None, true);
    bench.echo();
    bench.hear("02 50 10 06 D0 1A 77 7B AB 11 FF");
    assert_eq!(bench.noticed("not_linked"), 0, "people are told once");
}

#[test]
fn a_meters_figures_come_behind_its_acknowledgement() {
    let mut bench = Bench::new();
    for (frame, mw, mwh) in [
        ("00 00 02 01 0D 00 91 00 03 00 00 00 2A 74 D8", 3_000, 12_743),
        ("00 00 02 01 10 00 81 00 02 00 00 00 6F A3 45", 2_000, 33_678),
    ] {
        bench.read(METER, None);
        assert_eq!(bench.last(), hex("02 62 19 87 B7 0F 82 00"));
        bench.echo();
        bench.wait(ms(400));
        bench.hear("02 50 19 87 B7 1A 77 7B 2F 82 00");
        bench.wait(ms(3_900));
        assert_eq!(bench.readings(), []);
        bench.hear(&format!("02 51 19 87 B7 1A 77 7B 1B 82 {frame}"));
        let [reading] = bench.readings()[..] else { panic!("{:?}", bench.happenings) };
        assert_eq!(reading.get(Quantity::Power), Some(mw));
        assert_eq!(reading.get(Quantity::Energy), Some(mwh));
        assert_eq!(bench.progress().last(), Some(&Progress::Done));
    }
}

#[test]
fn figures_with_a_wrong_crc_are_counted_and_asked_for_again() {
    let mut bench = Bench::new();
    bench.read(METER, None);
    bench.echo();
    bench.hear("02 50 19 87 B7 1A 77 7B 2F 82 00");
    bench.hear("02 51 19 87 B7 1A 77 7B 1B 82 00 00 02 01 0D 00 91 00 03 00 00 00 2B 74 D8");
    assert_eq!((bench.malformed("checksum"), bench.readings().len()), (1, 0));
    bench.wait(ms(4_000));
    assert_eq!(bench.written.len(), 2, "once more");
    bench.echo();
    bench.hear("02 51 19 87 B7 1A 77 7B 1B 82 00 00 02 01 0D 00 91 00 03 00 00 00 2A 74 D8");
    assert_eq!(bench.readings().len(), 1);
    assert_eq!(bench.progress().last(), Some(&Progress::Done));
}

#[test]
fn a_press_is_told_once_by_whichever_message_comes_first() {
    let mut bench = Bench::new();
    let messages = [
        "02 50 22 92 0D 00 00 02 CB 11 00",
        "02 50 22 92 0D 1A 77 7B 41 11 02",
        "02 50 22 92 0D 11 01 02 CB 06 00",
    ];
    let bottom = [(target("22920d", Some(2)), true, Cause::Button)];
    for first in 0..messages.len() {
        bench.wait(4 * SECOND);
        bench.clear();
        for message in &messages[first..] {
            bench.hear(message);
            bench.wait(ms(400));
        }
        assert_eq!(bench.relays(), bottom, "from message {first} on");
    }
}

#[test]
fn dimming_and_unknown_groups_are_heard_and_nothing_more() {
    let mut bench = Bench::new();
    for message in ["02 50 00 00 04 00 00 01 CB 17 01", "02 50 00 00 04 00 00 05 CB 11 00"] {
        bench.hear(message);
    }
    assert_eq!(bench.relays(), []);
    let heard = Happening::Heard { target: target(SOCKET, None) };
    assert_eq!(bench.happenings.iter().filter(|happening| **happening == heard).count(), 2);
    bench.hear("02 50 00 00 04 00 00 01 CB 14 00");
    assert_eq!(bench.relays(), [(target(SOCKET, None), false, Cause::Button)], "fast off is off");
}

#[test]
fn a_button_that_is_held_says_what_the_device_is() {
    let mut bench = Bench::new();
    let profile = bench.line.attach(&target("1aced1", None));
    assert!(!profile.abilities.relay);
    bench.hear("02 50 1A CE D1 02 37 C2 8B 01 00");
    assert!(bench.happenings.contains(&Happening::Learned { target: target("1aced1", None) }));
    assert!(bench.line.attach(&target("1aced1", None)).abilities.relay);
    assert_eq!(bench.persisted.len(), 1);
}
