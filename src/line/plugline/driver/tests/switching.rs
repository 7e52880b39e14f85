//! Commands: gaps, repeats, answers, and their absence.

use super::*;
use plugline_protocol::frame::Kind;

// [PLG-5.4-2], [PLG-3.6-8]
#[test]
fn an_answer_with_the_relay_settles_a_command() {
    let (mut bench, mut socket) = Bench::joined();
    bench.switch(false);
    let sent = bench.next_frame();
    let (counter, command) = socket.command(&sent.pdu);
    assert_eq!((command.ask, command.reference), (Ask::Switch { on: false }, socket.up));
    bench.wait(ms(150));
    socket.relay = false;
    bench.hear(&socket.answer(counter, Ended::Done));
    assert_eq!(bench.progress(), done(1));
    assert_eq!(bench.relays(), [(false, Cause::Command)]);
    bench.hear(&socket.answer(counter, Ended::Done));
    assert_eq!((bench.counted("stray"), bench.relays().len()), (1, 1), "once");
}

// [PLG-4.4-2], [PLG-5.3-3]
#[test]
fn a_command_is_repeated_octet_for_octet_at_once_eight_times() {
    let (mut bench, _) = Bench::joined();
    bench.switch(true);
    bench.wait(10 * SECOND);
    let tries = bench.of_kind(Kind::Command);
    assert_eq!(tries.len(), 8);
    assert!(tries.iter().all(|sent| sent.pdu == tries[0].pdu));
    assert_eq!(bench.failed(), ("no_answer", Outcome::Unknown, true));
    // 120 ms of command, 24 ms in which nobody begins to answer, 0 … 5 ms.
    let steps = tries.windows(2).map(|pair| pair[1].not_before.max(pair[0].not_before) - pair[0].not_before);
    let steps: Vec<u64> = steps.map(|us| us / 1_000).collect();
    assert!(steps.iter().all(|step| (140..=900).contains(step)), "{steps:?}");
    assert!(
        steps.iter().filter(|step| **step < 155).count() >= 4,
        "at once where no slot is in the way: {steps:?}"
    );
}

// [PLG-4.4-4]
#[test]
fn a_command_and_its_answer_lie_between_the_slots_that_are_in_use() {
    let (mut bench, socket) = Bench::joined();
    let slot = socket.place().grant.slot.unwrap();
    let plan = bench.line.schedule.unwrap().plan;
    let start = u64::from(plan.start_ms(slot).unwrap()) * 1_000;
    let (_, into) = bench.line.superframe(bench.us());
    let until = (start + 60_000_000 - into) % 60_000_000;
    bench.wait(Duration::from_micros(until) + ms(10));
    bench.clear();
    bench.switch(true);
    let sent = bench.last().clone();
    let (_, begins) = bench.line.superframe(sent.not_before);
    assert!(begins >= start + 188_000, "behind the slot: {begins} for {start}");
}

#[test]
fn a_line_that_is_busy_costs_no_try() {
    let (mut bench, _) = Bench::joined();
    bench.confirms = false;
    bench.switch(true);
    for _ in 0..3 {
        let number = bench.last().number;
        bench.confirm(number, TxResult::Late, 0);
        bench.wait(ms(60));
    }
    assert_eq!(bench.progress(), []);
    assert_eq!(bench.of_kind(Kind::Command).len(), 4);
}

// [PLG-5.3-3], [PLG-4.4-3]
#[test]
fn stale_and_busy_are_asked_anew_under_another_counter() {
    let (mut bench, mut socket) = Bench::joined();
    bench.switch(true);
    let first = bench.next_frame();
    let (counter, _) = socket.command(&first.pdu);
    bench.answering = true;
    bench.wait(ms(150));
    bench.answering = false;
    bench.clear();
    socket.up += 10;
    let stale = socket.response(counter, Ended::Stale, false);
    bench.hear(&stale);
    let second = bench.next_frame();
    let (next, command) = socket.command(&second.pdu);
    assert_eq!((next, command.reference), (counter + 1, socket.up));
    bench.answering = true;
    bench.wait(ms(150));
    bench.answering = false;
    bench.clear();
    bench.hear(&socket.answer(next, Ended::Busy));
    bench.wait(ms(900));
    assert_eq!(bench.of_kind(Kind::Command).len(), 0, "not now");
    let third = bench.next_frame();
    let (last, _) = socket.command(&third.pdu);
    bench.answering = true;
    bench.wait(ms(150));
    bench.answering = false;
    bench.clear();
    bench.hear(&socket.answer(last, Ended::Done));
    assert_eq!((last, bench.progress().pop()), (counter + 2, Some(Progress::Done)));
}

#[test]
fn what_a_socket_will_not_do_fails_and_surely_was_not_done() {
    for (outcome, code) in
        [(Ended::Refused, "refused"), (Ended::Unsupported, "unsupported"), (Ended::Other, "refused")]
    {
        let (mut bench, mut socket) = Bench::joined();
        socket.relay = false;
        bench.switch(true);
        let sent = bench.next_frame();
        let (counter, _) = socket.command(&sent.pdu);
        bench.wait(ms(150));
        bench.hear(&socket.answer(counter, outcome));
        assert_eq!(bench.failed(), (code, Outcome::NotApplied, false));
        assert_eq!(bench.relays(), []);
    }
}

#[test]
fn a_relay_that_stays_where_it_was_is_no_success() {
    let (mut bench, mut socket) = Bench::joined();
    socket.relay = false;
    bench.switch(true);
    let sent = bench.next_frame();
    let (counter, _) = socket.command(&sent.pdu);
    bench.wait(ms(150));
    bench.hear(&socket.answer(counter, Ended::Done));
    assert_eq!(bench.failed(), ("not_shown", Outcome::NotApplied, false));
    assert_eq!(bench.relays(), [(false, Cause::Command)]);
}

#[test]
fn a_reading_that_was_asked_for_comes_as_one() {
    let (mut bench, mut socket) = Bench::joined();
    bench.start(Operation::Read { target: target() });
    let sent = bench.next_frame();
    let (counter, command) = socket.command(&sent.pdu);
    assert_eq!(command.ask, Ask::Read);
    bench.wait(ms(150));
    let response = socket.response(counter, Ended::Done, true);
    bench.hear(&response);
    bench.hear(&response);
    assert_eq!((bench.progress(), bench.readings().len()), (done(1), 1));
}

// [PLG-5.4-3]
#[test]
fn sixteen_guessed_answers_end_all_belief_in_them_and_the_relay_is_asked_for() {
    let (mut bench, mut socket) = Bench::joined();
    bench.switch(true);
    let sent = bench.next_frame();
    let (counter, _) = socket.command(&sent.pdu);
    bench.wait(ms(150));
    let genuine = socket.answer(counter, Ended::Done);
    for guess in 1..=16 {
        let mut forged = genuine.clone();
        let last = forged.len() - 1;
        forged[last] ^= guess;
        bench.hear(&forged);
    }
    bench.hear(&genuine);
    assert_eq!((bench.counted("forged"), bench.progress().contains(&Progress::Done)), (16, false));
    bench.wait(ms(200));
    let (counter, command) = socket.command(&bench.of_kind(Kind::Command).pop().unwrap().pdu);
    assert_eq!(command.ask, Ask::Read);
    let response = socket.response(counter, Ended::Done, true);
    bench.hear(&response);
    assert_eq!(bench.progress().pop(), Some(Progress::Done));
}

#[test]
fn options_are_told_between_operations_and_kept() {
    let (mut bench, socket) = Bench::joined();
    let word = |name: &str, word: &str| (name.into(), crate::device::OptionValue::Word(word.into()));
    bench.line.set_options(&target(), &[word("power_on", "off"), word("report_every_min", "5")].into());
    bench.line.handle_timeout(bench.clock());
    bench.drain();
    let mut asked = Vec::new();
    for _ in 0..2 {
        bench.wait(ms(150));
        let (counter, command) = socket.command(&bench.last().pdu);
        asked.push(command.ask);
        bench.hear(&socket.answer(counter, Ended::Done));
    }
    assert_eq!(
        asked,
        [Ask::PowerOn(plugline_protocol::messages::PowerOn::Off), Ask::Interval { minutes: 5 }]
    );
    assert!(bench.happenings.contains(&Happening::Learned { target: target() }));
    assert_eq!(bench.line.attach(&target()).push_period, Some(5 * MINUTE));
    let (_, sockets) = kept::parse(bench.records.last().unwrap()).unwrap();
    assert_eq!(sockets[0].told.minutes, 5);
}

#[test]
fn a_command_goes_before_what_the_driver_has_to_tell() {
    let (mut bench, socket) = Bench::joined();
    let options = [("power_on".into(), crate::device::OptionValue::Word("off".into()))].into();
    bench.line.set_options(&target(), &options);
    bench.line.handle_timeout(bench.clock());
    bench.drain();
    assert!(bench.line.ready());
    bench.switch(false);
    assert!(matches!(socket.command(&bench.last().pdu).1.ask, Ask::Switch { on: false }));
}

#[test]
fn no_command_leaves_before_its_counter_is_on_disk_and_none_is_used_twice() {
    let (bench, mut socket) = Bench::joined();
    let record = bench.records.last().unwrap().clone();
    let used = bench.line.members.values().next().unwrap().own.down.used;
    let mut again = Bench::silent(Options::default());
    again.now = bench.now;
    again.keeps = false;
    again.line = Plugline::new(Options::default(), Box::new(Counting(9)));
    again.line.restore(&record);
    again.line.attach(&target());
    again.open();
    again.hello(StartReason::Asked);
    again.switch(true);
    again.wait(SECOND);
    assert!(again.of_kind(Kind::Command).is_empty(), "the disk has not kept the new ceiling");
    again.keep();
    again.drain();
    let (counter, _) = socket.command(&again.of_kind(Kind::Command)[0].pdu);
    assert!(counter > used);
    again.wait(ms(300));
    socket.up += 100;
    let stale = socket.response(counter, Ended::Stale, false);
    again.hear(&stale);
    let (next, command) = socket.command(&again.of_kind(Kind::Command).pop().unwrap().pdu);
    assert_eq!((next, command.reference), (counter + 1, socket.up), "and the socket is caught up with");
}

#[test]
fn who_has_not_joined_cannot_be_switched() {
    let mut bench = Bench::new();
    assert_eq!(bench.line.attach(&target()), Profile::default());
    bench.switch(true);
    assert_eq!(bench.failed(), ("not_joined", Outcome::NotApplied, false));
    bench.start(Operation::Switch { target: target_of(OTHER), on: true });
    assert_eq!(bench.failed().0, "not_attached");
}

#[test]
fn a_lost_port_fails_what_was_on_its_way() {
    let (mut bench, _) = Bench::joined();
    bench.switch(true);
    bench.next_frame();
    bench.wait(ms(130));
    bench.line.handle_port(false, bench.clock());
    bench.drain();
    assert_eq!(bench.failed(), ("port_lost", Outcome::Unknown, false));
    assert!(!bench.line.ready());
}

// [PLG-5.6-9]
#[test]
fn a_socket_that_never_answered_a_command_is_asked_how_its_relay_is_when_it_is_next_heard() {
    let (mut bench, mut socket) = Bench::joined();
    bench.switch(true);
    bench.wait(10 * SECOND);
    assert_eq!(bench.failed(), ("no_answer", Outcome::Unknown, true));
    bench.clear();
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    let read = bench.next_frame();
    let (counter, command) = socket.command(&read.pdu);
    assert_eq!((command.ask, command.reference), (Ask::Read, socket.up));
    bench.answering = true;
    bench.wait(ms(150));
    bench.answering = false;
    bench.clear();
    let response = socket.response(counter, Ended::Done, true);
    bench.hear(&response);
    bench.wait(SECOND);
    assert_eq!(bench.of_kind(Kind::Command).len(), 0, "once");
}

/// The ops that the text gives version 1.0, reserved ones and experiments apart: those with a name and no word of it.
fn ops_of_the_text() -> Vec<u8> {
    let text = include_str!("../../../../../protocol-spec/messages.md");
    let (_, table) = text.split_once("| op | name | argument |").expect("§6.3 has a table of ops");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.filter(|row| !row.contains("reserved") && !row.contains("experiments"));
    rows.map(|row| u8::from_str_radix(row.split('`').nth(1).expect("an op"), 16).expect("two digits"))
        .collect()
}

// [PLG-2.1-1]
#[test]
fn through_a_whole_life_a_socket_of_version_1_0_is_asked_only_ops_that_it_has() {
    let known = ops_of_the_text();
    assert_eq!(known.len(), 11);
    let (mut bench, mut socket) = Bench::joined();
    let ops = |bench: &mut Bench, socket: &mut Socket, seen: &mut Vec<u8>| {
        for _ in 0..40 {
            bench.wait(ms(500));
            for sent in bench.of_kind(Kind::Command) {
                let (counter, command) = socket.command(&sent.pdu);
                seen.push(command.ask.op());
                let answer = match command.ask {
                    Ask::Read => socket.response(counter, Ended::Done, true),
                    _ => socket.answer(counter, Ended::Done),
                };
                bench.hear(&answer);
            }
            bench.clear();
        }
    };
    let mut seen = Vec::new();
    let word = |name: &str, word: &str| (name.into(), crate::device::OptionValue::Word(word.into()));
    let options = [word("power_on", "off"), word("report_every_min", "5"), word("current_limit_a", "10")];
    bench.line.set_options(&target(), &options.into());
    ops(&mut bench, &mut socket, &mut seen);
    for on in [false, true] {
        bench.start(Operation::Switch { target: target(), on });
        socket.relay = on;
        ops(&mut bench, &mut socket, &mut seen);
    }
    for operation in
        [Operation::Read { target: target() }, Operation::Identify { target: target(), seconds: 5 }]
    {
        bench.start(operation);
        ops(&mut bench, &mut socket, &mut seen);
    }
    socket.flags.sync = true;
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    socket.flags.sync = false;
    ops(&mut bench, &mut socket, &mut seen);
    bench.line.detach(&target());
    bench.line.handle_timeout(bench.clock());
    bench.drain();
    ops(&mut bench, &mut socket, &mut seen);
    assert!(seen.iter().all(|op| known.contains(op)), "{seen:02X?}");
    let distinct: BTreeSet<u8> = seen.into_iter().collect();
    assert!(distinct.len() >= 8, "{distinct:02X?}");
}
