//! How sockets come, and who does not.

use super::*;
use plugline_protocol::frame::Kind;

fn link(bench: &mut Bench) {
    let address = bench.line.take_code(LABEL).expect("a label");
    bench.start(Operation::Link { target: Target { address, channel: None } });
}

// [PLG-7.4-2], [PLG-5.2-3]
#[test]
fn a_socket_with_a_known_label_is_let_in_and_told_only_when_its_keys_are_on_disk() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    link(&mut bench);
    bench.hear(&socket.join_up());
    bench.wait(ms(300));
    assert_eq!(bench.last().kind(), Kind::JoinDown);
    socket.take(&bench.last().pdu.clone());
    assert_eq!(bench.has_joined(), 0, "nothing is proven yet");
    bench.keeps = false;
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    assert_eq!((bench.has_joined(), bench.of_kind(Kind::Ack).len(), bench.readings().len()), (0, 0, 0));
    bench.keep();
    bench.drain();
    assert_eq!((bench.has_joined(), bench.of_kind(Kind::Ack).len(), bench.readings().len()), (1, 1, 1));
    assert_eq!(bench.progress(), [Progress::Done]);
    let place = socket.place();
    let ack = bench.of_kind(Kind::Ack).remove(0).pdu;
    let frame = plugline_protocol::frame::Frame::parse(&ack).unwrap();
    assert!(ShortKey::new(&place.keys.ack, &place.identity).is_ack(&frame, 1));
    assert_eq!(place.grant.slot, bench.line.schedule.unwrap().order().next());
}

// [PLG-7.3-2]
#[test]
fn a_repeated_question_gets_the_same_answer_and_a_new_one_another() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    link(&mut bench);
    for _ in 0..2 {
        bench.hear(&socket.join_up());
        bench.wait(ms(500));
    }
    socket.nonce = [6; 8];
    bench.hear(&socket.join_up());
    bench.wait(ms(500));
    let downs = bench.of_kind(Kind::JoinDown);
    assert_eq!(downs[0].pdu, downs[1].pdu);
    assert_ne!(downs[0].pdu[14..22], downs[2].pdu[14..22], "Ng is drawn anew");
    let first = downs[0].clone();
    assert_eq!(first.not_before, AHEAD_US + first.at.as_micros() as u64 + 5_000);
    assert_eq!(first.not_after - first.not_before, 995_000);
}

// [PLG-7.2-3], [PLG-7.2-4], [PLG-1.1-5]
#[test]
fn nobody_is_answered_without_a_window_a_code_or_the_right_one() {
    let mut bench = Bench::new();
    let socket = Socket::new(EUI, install());
    bench.hear(&socket.join_up());
    assert_eq!((bench.foreign(), bench.noticed("awaits_code")), (vec!["02a0b1fffe001234"], 1));
    bench.line.take_code(LABEL).unwrap();
    bench.hear(&socket.join_up());
    assert_eq!(bench.noticed("window_closed"), 1);
    link(&mut bench);
    bench.hear(&Socket::new(EUI, Key::new([9; 16])).join_up());
    assert_eq!((bench.noticed("wrong_code"), bench.counted("wrong_code")), (1, 1));
    bench.hear(&Socket::new(OTHER, install()).join_up());
    assert_eq!(bench.noticed("awaits_code"), 2, "this one is another");
    bench.wait(12 * SECOND);
    assert_eq!(bench.failed(), ("wrong_code", Outcome::NotApplied, false), "what concerns this window");
    assert!(bench.sent.is_empty() && bench.nothing_came_of_it());
}

#[test]
fn the_window_closes_with_a_little_grace_and_says_that_nobody_came() {
    let mut bench = Bench::new();
    link(&mut bench);
    bench.wait(11 * SECOND);
    assert_eq!(bench.failed(), ("no_device", Outcome::NotApplied, false));
    bench.wait(6 * SECOND);
    bench.hear(&Socket::new(EUI, install()).join_up());
    assert!(bench.sent.is_empty());
}

// [PLG-7.2-4]
#[test]
fn a_socket_that_is_heard_and_does_not_hear_is_told_as_such() {
    let mut bench = Bench::new();
    link(&mut bench);
    bench.hear(&Socket::new(EUI, install()).join_up());
    bench.wait(MINUTE);
    bench.clear();
    link(&mut bench);
    bench.wait(11 * SECOND);
    assert_eq!(bench.failed(), ("no_report", Outcome::NotApplied, false));
}

#[test]
fn sockets_of_the_label_file_come_in_any_window() {
    let labels = vec![Label::parse(LABEL).unwrap()];
    let mut bench = Bench::with(Options { labels, ..Options::default() });
    bench.start(Operation::Join { seconds: 10 });
    let mut socket = Socket::new(EUI, install());
    bench.join(&mut socket, None);
    assert_eq!((bench.has_joined(), bench.progress()), (1, vec![Progress::Done]));
}

#[test]
fn a_waiting_window_gives_way_to_a_command() {
    let mut bench = Bench::new();
    link(&mut bench);
    assert!(!bench.line.ready());
    bench.line.give_way(bench.clock());
    bench.drain();
    assert!(bench.line.ready());
    bench.hear(&Socket::new(EUI, install()).join_up());
    assert_eq!(bench.sent.len(), 1, "the window is open until its next turn");
}

#[test]
fn a_code_with_a_fault_is_refused_without_repeating_it() {
    let mut bench = Bench::new();
    for (code, part) in [
        ("PLG2:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y6", "starts with PLG1:"),
        ("PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1W:08Y7", "mistyped"),
        ("PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1:08Y6", "too short"),
        ("PLG1:02A0B1FFFE001234:000G40R40M30E209185GR38E1_:08Y6", "does not belong"),
    ] {
        let told = bench.line.take_code(code).unwrap_err().to_string();
        assert!(told.contains(part) && !told.contains("000G40R40"), "{told}");
    }
    let told = bench.line.canonical_address(LABEL).unwrap_err().to_string();
    assert!(told.contains("joining window") && !told.contains("000G40R40"), "{told}");
    assert_eq!(&*bench.line.canonical_address("02-A0-B1-FF-FE-00-12-34").unwrap(), "02a0b1fffe001234");
}

// [PLG-7.3-3], [PLG-5.2-4]
#[test]
fn a_socket_that_was_reset_joins_again_with_its_code_and_its_total_goes_on() {
    let (mut bench, mut socket) = Bench::joined();
    let before = socket.place().identity.short;
    socket.energy = 4;
    socket.flags.energy_reset = true;
    socket.nonce = [7; 8];
    bench.hear(&socket.join_up());
    assert_eq!(bench.noticed("joined_already"), 1);
    bench.clear();
    bench.join(&mut socket, Some(LABEL));
    assert_ne!(socket.place().identity.short, before);
    let energy = bench.readings()[0].get(crate::device::Quantity::Energy);
    assert_eq!(energy, Some((123_456 + 4) * 100));
}

// [PLG-7.4-2]
#[test]
fn a_socket_that_heard_no_acknowledgement_is_let_in_again_without_anybody() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    socket.flags.booted = true;
    bench.join(&mut socket, Some(LABEL));
    assert_eq!(bench.has_joined(), 1);
    let first = socket.place().identity.short;
    // It hears nothing for five minutes, gives its place up and asks again; nobody holds a window open any more.
    bench.wait(5 * MINUTE);
    bench.clear();
    socket.nonce = [6; 8];
    bench.join(&mut socket, None);
    assert_ne!(socket.place().identity.short, first);
    assert_eq!((bench.has_joined(), bench.noticed("joined_already")), (1, 0));
    // It has heard that it is in: from now on its code is wanted.
    socket.flags.booted = false;
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    assert!(bench.line.joining.labels.is_empty());
    bench.clear();
    socket.nonce = [7; 8];
    bench.hear(&socket.join_up());
    bench.wait(ms(300));
    assert_eq!((bench.of_kind(Kind::JoinDown).len(), bench.noticed("joined_already")), (0, 1));
}

#[test]
fn the_answer_to_a_command_shows_that_a_socket_knows_of_its_place() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    (socket.flags.booted, socket.flags.sync) = (true, true);
    bench.join(&mut socket, Some(LABEL));
    assert_eq!(bench.line.joining.labels.len(), 1);
    bench.wait(ms(300));
    let sync = bench.of_kind(Kind::Command).remove(0);
    let (counter, _) = socket.command(&sync.pdu);
    bench.hear(&socket.answer(counter, Ended::Done));
    assert!(bench.line.joining.labels.is_empty());
}

// [PLG-7.4-2]
#[test]
fn the_old_keys_count_until_the_new_ones_are_proven() {
    let (mut bench, mut socket) = Bench::joined();
    link(&mut bench);
    let mut twin = Socket::new(EUI, install());
    bench.hear(&twin.join_up());
    bench.wait(ms(300));
    twin.take(&bench.last().pdu.clone());
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    assert_eq!(bench.readings().len(), 1, "the old ones");
    let report = twin.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    assert_eq!((bench.readings().len(), bench.has_joined()), (2, 1));
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    assert_eq!((bench.readings().len(), bench.noticed("two_of_one_label")), (2, 1));
}

#[test]
fn a_joined_socket_that_asks_and_reports_all_the_same_is_two() {
    let (mut bench, mut socket) = Bench::joined();
    bench.hear(&Socket::new(EUI, install()).join_up());
    assert_eq!((bench.noticed("joined_already"), bench.noticed("two_of_one_label")), (1, 0));
    let report = socket.report(bench.minute(), false, [None; 4]);
    bench.hear(&report);
    assert_eq!(bench.noticed("two_of_one_label"), 1);
}

// [PLG-3.2-1], [PLG-3.6-3], [PLG-3.6-4]
#[test]
fn beside_another_network_a_new_one_is_started_only_when_that_was_said() {
    let neighbour = |bench: &mut Bench| {
        let id =
            plugline_protocol::Identity { eui: OTHER, network: NetworkId(0x0BAD), short: ShortAddress(3) };
        let mut room = [0; MAX_PDU];
        let channel = Channel::up(&Key::new([1; 16]), &id);
        let pdu = channel.seal(FrameOptions::default(), 5, &Report::default(), &mut room).unwrap().to_vec();
        bench.hear(&pdu);
        bench.hear(&pdu);
    };
    let mut bench = Bench::new();
    neighbour(&mut bench);
    assert_eq!((bench.foreign(), bench.noticed("second_network")), (vec!["0bad/0003"; 2], 1));
    link(&mut bench);
    bench.hear(&Socket::new(EUI, install()).join_up());
    bench.wait(11 * SECOND);
    assert_eq!(bench.failed().0, "second_network");
    assert!(bench.sent.is_empty() && bench.nothing_came_of_it());

    let mut bench = Bench::with(Options { beside_others: true, ..Options::default() });
    neighbour(&mut bench);
    bench.join(&mut Socket::new(EUI, install()), Some(LABEL));
    assert_eq!(bench.has_joined(), 1);
}

// [PLG-5.2-5]
#[test]
fn a_removed_socket_is_told_to_leave_and_the_others_get_a_new_group_key() {
    let (mut bench, socket) = Bench::joined();
    let other_label = {
        let label = Label { eui: OTHER, install_key: Key::new([3; 16]) };
        let mut text = String::new();
        label.print(&mut text).unwrap();
        text
    };
    let mut other = Socket::new(OTHER, Key::new([3; 16]));
    bench.join(&mut other, Some(&other_label));
    bench.wait(SECOND);
    bench.clear();
    let old_key = bench.line.network.as_ref().unwrap().group_key.clone();
    bench.line.detach(&target());
    bench.line.handle_timeout(bench.clock());
    bench.drain();
    let (_, sockets) = kept::parse(bench.records.last().unwrap()).unwrap();
    assert_eq!(sockets.len(), 1, "its keys are gone from the disk at once");
    bench.wait(ms(10));
    let leave = bench.of_kind(Kind::Command).remove(0);
    let (counter, command) = socket.command(&leave.pdu);
    assert_eq!(command.ask, Ask::Leave);
    bench.wait(ms(400));
    bench.hear(&socket.answer(counter, Ended::Done));
    bench.wait(SECOND);
    let asks: Vec<Ask> = bench
        .of_kind(Kind::Command)
        .iter()
        .filter(|sent| sent.pdu[4..6] == other.place().identity.short.0.to_be_bytes())
        .map(|sent| other.command(&sent.pdu).1.ask)
        .collect();
    let network = bench.line.network.as_ref().unwrap();
    assert_ne!(network.group_key, old_key);
    assert!(
        asks.iter().any(|ask| matches!(ask, Ask::GroupKey { key, .. } if *key == network.group_key)),
        "{asks:?}"
    );
}

// [PLG-7.4-3]
#[test]
fn of_two_attempts_only_the_last_one_counts() {
    let mut bench = Bench::new();
    let mut socket = Socket::new(EUI, install());
    link(&mut bench);
    bench.hear(&socket.join_up());
    bench.wait(ms(500));
    socket.take(&bench.last().pdu.clone());
    let mut twin = Socket::new(EUI, install());
    twin.nonce = [6; 8];
    bench.hear(&twin.join_up());
    bench.wait(ms(500));
    let report = socket.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    assert!(bench.nothing_came_of_it());
    twin.take(&bench.last().pdu.clone());
    let report = twin.report(bench.minute(), true, [None; 4]);
    bench.hear(&report);
    assert_eq!(bench.has_joined(), 1);
}

/// Notes what it gives; at last it has none.
struct Noting(std::sync::Arc<std::sync::Mutex<Vec<u8>>>, usize);

impl Entropy for Noting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.1 = self.1.checked_sub(1).ok_or(NoEntropy)?;
        let mut given = self.0.lock().unwrap();
        for byte in bytes {
            *byte = (given.len() as u8).wrapping_mul(29).wrapping_add(11);
            given.push(*byte);
        }
        Ok(())
    }
}

// [PLG-5.2-2]
#[test]
fn nonces_and_group_keys_are_what_the_random_source_gave_and_without_it_nobody_is_let_in() {
    let given = std::sync::Arc::default();
    for draws in 0..8 {
        let mut bench = Bench::silent(Options::default());
        bench.line =
            Plugline::new(Options::default(), Box::new(Noting(std::sync::Arc::clone(&given), draws)));
        bench.open();
        bench.hello(StartReason::Asked);
        let mut socket = Socket::new(EUI, install());
        link(&mut bench);
        bench.hear(&socket.join_up());
        bench.wait(ms(300));
        let downs = bench.of_kind(Kind::JoinDown);
        let Some(down) = downs.first().map(|sent| sent.pdu.clone()) else {
            assert!(draws < 3 && bench.noticed("no_entropy") == 1 && bench.sent.is_empty(), "{draws}");
            continue;
        };
        assert!(draws >= 3, "a name, a group key and Ng are drawn");
        socket.take(&down);
        let given: &[u8] = &given.lock().unwrap();
        let drawn = |octets: &[u8]| given.windows(octets.len()).any(|window| window == octets);
        assert!(drawn(&down[14..22]) && drawn(socket.place().grant.group_key.octets()));
        assert!(drawn(&down[2..4]));
    }
}
