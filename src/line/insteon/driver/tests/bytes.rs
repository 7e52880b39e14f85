//! What goes wrong between the modem and the devices: timers, repeats, refusals, silence.

use super::*;

fn on() -> Bench {
    let mut bench = Bench::new();
    bench.switch(SOCKET, None, true);
    bench
}

#[test]
fn commands_stand_half_a_second_apart_and_wait_for_answers() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    let first = bench.written[0].0;
    bench.start(Operation::Read { target: target(SOCKET, None) });
    assert_eq!(bench.written.len(), 1);
    bench.wait(SECOND);
    assert_eq!(bench.written[1].0, first + ms(500));
}

#[test]
fn a_modem_that_does_not_repeat_a_command_is_told_again_and_then_asked_who_it_is() {
    let mut bench = on();
    bench.wait(ms(1_499));
    let times: Vec<_> = bench.written.iter().map(|(at, _)| *at - bench.written[0].0).collect();
    assert_eq!(times, [ms(0), ms(500), ms(1_000)]);
    bench.wait(ms(1));
    assert_eq!(bench.failed(), ("modem_silent", Outcome::Unknown, false));
    assert!(!bench.line.ready());
    assert_eq!(bench.last(), [0x02, 0x60]);
    bench.hear(INFO);
    bench.wait(SECOND);
    bench.hear("02 73 00 00 00 06");
    assert!(bench.line.ready());
}

#[test]
fn a_modem_that_is_not_ready_is_given_time_and_nothing_counts_as_sent() {
    for nak in ["15", "02 15", "02 62 00 00 04 0F 11 FF 15"] {
        let mut bench = on();
        let begun = bench.now;
        bench.hear(nak);
        bench.wait(ms(10));
        assert_eq!(bench.written[1].0, begun + ms(10), "{nak}");
        bench.hear(nak);
        bench.wait(ms(20));
        assert_eq!(bench.written[2].0, begun + ms(30), "{nak}");
        bench.echo();
        bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
        assert_eq!(bench.progress(), done());
    }
}

#[test]
fn a_modem_that_refuses_for_ever_fails_the_command_as_not_done() {
    let mut bench = on();
    for _ in 0..23 {
        bench.hear("15");
        bench.next_write();
    }
    assert_eq!(bench.progress(), []);
    bench.hear("15");
    assert_eq!(bench.failed(), ("modem_busy", Outcome::NotApplied, false));
    assert_eq!(bench.progress().len(), 1, "it settles once, and was never sent");
}

#[test]
fn an_echo_that_comes_twice_is_one() {
    let mut bench = on();
    bench.echo();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    assert_eq!((bench.progress(), bench.malformed("echo_twice")), (done(), 1));
}

#[test]
fn a_device_that_stays_silent_was_perhaps_switched() {
    let mut bench = on();
    for attempt in 1..=3 {
        bench.echo();
        assert_eq!(bench.progress().last(), Some(&Progress::Sent { attempt }));
        bench.wait(ms(2_499));
        assert_eq!(bench.written.len(), usize::from(attempt));
        bench.wait(ms(1));
    }
    assert_eq!(bench.failed(), ("no_answer", Outcome::Unknown, true));
    assert!(bench.relays().is_empty());
}

#[test]
fn another_devices_answer_settles_nothing() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 05 1A 77 7B 27 11 FF");
    bench.hear("02 50 00 00 04 1A 77 7C 27 11 FF");
    assert_eq!(bench.progress(), [Progress::Sent { attempt: 1 }]);
    assert!(bench.happenings.contains(&Happening::Foreign { address: "000005".into() }));
    assert_eq!(bench.relays(), []);
}

#[test]
fn a_level_that_was_not_asked_is_looked_after() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 00");
    assert_eq!(bench.progress(), [Progress::Sent { attempt: 1 }, Progress::Acknowledged]);
    bench.wait(SECOND);
    assert_eq!(bench.last(), hex("02 62 00 00 04 0F 19 00"));
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 2B 00 FF");
    assert_eq!(bench.progress(), done());
    assert_eq!(bench.relays(), [(target(SOCKET, None), true, Cause::Command)]);
}

#[test]
fn a_relay_that_does_not_follow_is_shown_where_it_stands() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 00");
    for delta in 0..2 {
        bench.next_write();
        bench.echo();
        bench.hear(&format!("02 50 00 00 04 1A 77 7B 2B 0{delta} 00"));
    }
    assert_eq!(bench.failed(), ("not_shown", Outcome::NotApplied, false));
    assert!(bench.relays().iter().all(|(_, on, cause)| !on && *cause == Cause::Poll));
}

#[test]
fn each_refusal_has_its_name() {
    for (cmd2, code) in [("FE", "no_load"), ("FB", "illegal_value"), ("F0", "refused"), ("FF", "not_linked")]
    {
        let mut bench = on();
        bench.echo();
        bench.hear(&format!("02 50 00 00 04 1A 77 7B A7 11 {cmd2}"));
        assert_eq!(bench.failed(), (code, Outcome::NotApplied, false));
    }
}

#[test]
fn a_sum_that_the_device_finds_wrong_is_sent_once_more() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B A7 11 FD");
    assert_eq!(bench.progress(), [Progress::Sent { attempt: 1 }]);
    bench.next_write();
    bench.echo();
    bench.wait(SECOND);
    bench.hear("02 50 00 00 04 1A 77 7B A7 11 FD");
    assert_eq!(bench.failed().0, "checksum");
    assert_eq!(bench.written.len(), 2);
}

#[test]
fn a_device_that_searches_its_links_is_waited_for() {
    let mut bench = on();
    bench.echo();
    bench.wait(SECOND);
    bench.hear("02 50 00 00 04 1A 77 7B A7 11 FC");
    bench.wait(2 * SECOND);
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    assert_eq!(bench.progress(), done());
    assert_eq!(bench.written.len(), 1);
}

#[test]
fn a_late_acknowledgement_is_no_level() {
    let mut bench = on();
    for _ in 0..3 {
        bench.echo();
        bench.wait(ms(2_500));
    }
    bench.clear();
    bench.start(Operation::Read { target: target(SOCKET, None) });
    bench.wait(ms(500));
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    assert_eq!((bench.relays(), bench.malformed("late")), (vec![], 1));
    bench.hear("02 50 00 00 04 1A 77 7B 27 05 00");
    assert_eq!(bench.relays(), [(target(SOCKET, None), false, Cause::Poll)]);
}

#[test]
fn a_level_is_not_believed_while_somebody_else_asks_the_same_device() {
    let mut bench = Bench::new();
    bench.read("22920d", Some(1));
    bench.echo();
    bench.hear("02 62 22 92 0D 0F 19 00 06");
    bench.hear("02 50 22 92 0D 1A 77 7B 2B 03 00");
    assert_eq!((bench.relays(), bench.malformed("foreign_echo")), (vec![], 1));
    bench.wait(3 * SECOND);
    bench.echo();
    bench.hear("02 50 22 92 0D 1A 77 7B 2B 03 03");
    assert_eq!(bench.relays().len(), 2);
    assert_eq!(bench.progress().last(), Some(&Progress::Done));
}

#[test]
fn a_message_heard_over_two_ways_is_one() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77 7B 2B 11 FF");
    bench.clear();
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    assert_eq!(bench.happenings, []);
}

#[test]
fn half_a_frame_is_given_up_after_240_ms() {
    let mut bench = on();
    bench.echo();
    bench.hear("02 50 00 00 04 1A 77");
    bench.wait(ms(240));
    assert_eq!(bench.malformed("truncated"), 1);
    bench.hear("02 50 00 00 04 1A 77 7B 27 11 FF");
    assert_eq!(bench.progress(), done());
}

#[test]
fn an_operation_ends_at_its_deadline_and_with_its_port() {
    let mut bench = Bench::new();
    let switch = || Operation::Switch { target: target(SOCKET, None), on: true };
    bench.line.start(switch(), Ticket(7), Moment(bench.now + ms(700)), bench.clock());
    bench.drain();
    bench.wait(ms(500));
    bench.echo();
    bench.wait(SECOND);
    assert_eq!(bench.failed(), ("no_answer", Outcome::Unknown, true));
    bench.wait(SECOND);
    bench.start(switch());
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert_eq!(bench.failed(), ("port_lost", Outcome::Unknown, false));
    assert!(!bench.line.ready());
    assert_eq!(bench.line.poll_timeout(), None);
}

#[test]
fn what_a_device_cannot_do_is_refused_without_a_byte() {
    let mut bench = Bench::new();
    for (operation, code) in [
        (Operation::Switch { target: target(METER, None), on: true }, "unsupported"),
        (Operation::Switch { target: target("123456", None), on: true }, "not_attached"),
        (Operation::Switch { target: target("22920d", Some(3)), on: true }, "not_attached"),
        (Operation::Discover, "unsupported"),
        (Operation::Link { target: target("kitchen", None) }, "bad_address"),
    ] {
        bench.begin(operation);
        assert_eq!((bench.failed(), bench.written.len()), ((code, Outcome::NotApplied, false), 0));
    }
}

#[test]
fn a_device_of_unknown_kind_is_asked_what_it_is() {
    let mut bench = Bench::new();
    let profile = bench.line.attach(&target("1aced1", None));
    assert_eq!(profile.plan[0].name, "identity");
    bench.begin(Operation::Poll { target: target("1aced1", None), item: 0 });
    assert_eq!(bench.last(), hex("02 62 1A CE D1 0F 10 00"));
    bench.echo();
    bench.hear("02 50 1A CE D1 1A 77 7B 2B 10 00");
    bench.hear("02 50 1A CE D1 09 07 40 8B 01 00");
    assert_eq!(bench.progress().last(), Some(&Progress::Done));
    assert!(bench.happenings.contains(&Happening::Learned { target: target("1aced1", None) }));
    assert_eq!(bench.line.attach(&target("1aced1", None)).plan[0].name, "meter");
}

#[test]
fn a_device_beeps_until_its_time_is_over() {
    let mut bench = Bench::new();
    bench.begin(Operation::Identify { target: target(SOCKET, None), seconds: 5 });
    for _ in 0..3 {
        assert_eq!(bench.last(), hex("02 62 00 00 04 0F 30 00"));
        bench.echo();
        bench.hear("02 50 00 00 04 1A 77 7B 23 30 00");
        bench.wait(2 * SECOND);
    }
    assert_eq!((bench.written.len(), bench.progress().last()), (3, Some(&Progress::Done)));
}

#[test]
fn addresses_are_spelled_one_way() {
    let line = Insteon::new(Options::default());
    for text in ["1A.77.7B", "1A777B", "1a:77:7b", "1a777b"] {
        assert_eq!(line.canonical_address(text).unwrap().as_ref(), "1a777b", "{text}");
    }
    for bad in ["", "1a777", "000000", "kitchen", "000000004711"] {
        assert!(line.canonical_address(bad).unwrap_err().to_string().contains(bad), "{bad}");
    }
}

#[test]
fn a_message_to_a_device_is_what_the_codec_says() {
    let mut bench = on();
    let address = Address::parse(SOCKET).unwrap();
    let wanted =
        super::super::super::frame::Command::Send(Outgoing::standard(address, 0x11, 0xFF)).to_bytes();
    assert_eq!(bench.last(), wanted);
    assert_eq!(bench.line.serial_settings(), SETTINGS);
    bench.line.handle_bytes(&[], bench.clock());
    assert!(bench.line.poll_output().is_none());
}

#[test]
fn the_repeats_on_a_messages_way_are_told_of_each_relay() {
    let mut bench = Bench::new();
    let hops = |bench: &Bench| -> Vec<(Target, Option<u8>)> {
        let told = bench.happenings.iter().filter_map(|happening| match happening {
            Happening::Received { target, reception } => Some((target.clone(), reception.hops)),
            _ => None,
        });
        told.collect()
    };
    // Sent with three repeats, two of them left.
    bench.hear("02 50 22 92 0D 1A 77 7B 2B 11 FF");
    assert_eq!(hops(&bench), [(target("22920d", Some(1)), Some(1)), (target("22920d", Some(2)), Some(1))]);
    // Nobody's: nothing is told of it.
    bench.clear();
    bench.hear("02 50 00 00 99 1A 77 7B 27 11 FF");
    assert_eq!(hops(&bench), []);
}
