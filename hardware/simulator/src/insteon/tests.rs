//! The modem and its devices in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::device::reason;
use super::*;
use crate::Kind;

const MODEM: Id = Id([0x4A, 0x51, 0x0C]);
const LAMP: Id = Id([0x1A, 0x77, 0x7B]);
const RADIO: Id = Id([0x1A, 0x78, 0x10]);
const SHELF: Id = Id([0x2C, 0x0D, 0x11]);
const METER: Id = Id([0x19, 0x87, 0xB7]);

/// A host with a clock of its own.
struct Host {
    plm: Plm,
    now: Duration,
}

impl Host {
    fn new(plm: Plm) -> Self {
        let mut host = Self { plm, now: Duration::ZERO };
        host.pass(100);
        host
    }

    fn demo() -> Self {
        Self::new(demo_insteon(1))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.plm.handle_bytes(bytes, self.now);
    }

    /// What comes within the next `ms`, with the time since now in ms.
    fn hear(&mut self, ms: u64) -> Vec<(u128, Vec<u8>)> {
        let (start, end) = (self.now, self.now + Duration::from_millis(ms));
        let mut heard = Vec::new();
        while let Some(next) = self.plm.poll_timeout().filter(|next| *next <= end) {
            assert!(next >= self.now, "the next event is never in the past");
            self.now = next;
            while let Some(output) = self.plm.poll_output(self.now) {
                heard.push((output.due.saturating_sub(start).as_millis(), output.bytes));
            }
        }
        self.now = end;
        self.plm.advance(end);
        heard
    }

    fn frames(&mut self, ms: u64) -> Vec<Vec<u8>> {
        self.hear(ms).into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn ask(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.write(bytes);
        self.frames(6000)
    }

    fn send(&mut self, to: Id, cmd1: u8, cmd2: u8) -> Vec<Vec<u8>> {
        self.ask(&standard(to, cmd1, cmd2))
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.plm.advance(self.now);
    }

    fn device(&mut self, id: Id) -> &mut Device {
        self.plm.device_mut(id).unwrap()
    }
}

fn standard(to: Id, cmd1: u8, cmd2: u8) -> Vec<u8> {
    let [a, b, c] = to.0;
    vec![0x02, 0x62, a, b, c, 0x0F, cmd1, cmd2]
}

fn extended(to: Id, cmd1: u8, cmd2: u8, data: &[u8]) -> Vec<u8> {
    let mut all = [0; 14];
    all[..data.len()].copy_from_slice(data);
    let [a, b, c] = to.0;
    let mut out = vec![0x02, 0x62, a, b, c, 0x1F, cmd1, cmd2];
    out.extend(message::with_sum(cmd1, cmd2, all));
    out
}

/// The echo and one answer: cmd1 and cmd2 of the latter, and its flags' type.
fn answer(frames: &[Vec<u8>]) -> (u8, u8, u8) {
    assert_eq!(frames.len(), 2, "{frames:02x?}");
    let bytes = &frames[1];
    (bytes[8] >> 5, bytes[9], bytes[10])
}

const ACK: u8 = 0b001;
const NAK: u8 = 0b101;

#[test]
fn both_halves_of_a_dual_outlet_switch_apart() {
    let mut host = Host::demo();
    let told = |cmd1, bottom| if bottom { extended(SHELF, cmd1, 0, &[2]) } else { standard(SHELF, cmd1, 0) };
    for (command, status) in [
        (told(0x11, true), 2),
        (told(0x11, false), 3),
        (told(0x13, true), 1),
        (told(0x13, false), 0),
        (standard(SHELF, 0x32, 2), 2),
        (standard(SHELF, 0x32, 1), 3),
        (standard(SHELF, 0x33, 2), 1),
        (standard(SHELF, 0x14, 0), 0),
    ] {
        assert_eq!(answer(&host.ask(&command)).0, ACK);
        assert_eq!(answer(&host.send(SHELF, 0x19, 1)).2, status, "{command:02x?}");
    }
    assert_eq!(answer(&host.send(SHELF, 0x32, 3)), (NAK, 0x32, reason::ILLEGAL));
}

#[test]
fn an_answer_takes_the_time_of_its_hops() {
    let mut host = Host::demo();
    host.write(&standard(LAMP, 0x19, 0));
    let heard = host.hear(3000);
    assert_eq!(heard[0].0, 4, "nine bytes at 19200 baud");
    assert_eq!(heard[1].0, 405, "eight slots of 50 ms and eleven bytes");
    host.write(&extended(SHELF, 0x11, 0xFF, &[2]));
    assert_eq!(host.hear(3000)[1].0, 639, "four slots of 108.3 ms and four of 50 ms");
}

#[test]
fn nobody_answers_for_a_device_that_is_not_there_and_the_modem_gives_up_in_time() {
    let tries = |host: &mut Host| {
        let start = host.now;
        let mut last = start;
        while let Some(next) = host.plm.poll_timeout() {
            last = next;
            host.plm.poll_output(next);
        }
        host.now = last;
        last - start
    };
    let mut host = Host::demo();
    host.write(&standard(Id([9, 9, 9]), 0x11, 0xFF));
    assert_eq!(tries(&mut host), Duration::from_millis(2000));
    host.write(&extended(Id([9, 9, 9]), 0x11, 0xFF, &[]));
    assert_eq!(tries(&mut host), Duration::from_micros(3_166_660));
    host.device(LAMP).set_mains(false);
    assert_eq!(host.send(LAMP, 0x13, 0).len(), 1, "the echo alone");
    host.device(LAMP).set_mains(true);
    assert_eq!(answer(&host.send(LAMP, 0x19, 0)).2, 0xFF, "the relay is as it was before");
}

#[test]
fn a_new_message_ends_the_running_one_though_its_device_has_obeyed() {
    let mut host = Host::demo();
    host.write(&standard(LAMP, 0x13, 0));
    assert_eq!(host.frames(300).len(), 1);
    host.write(&standard(RADIO, 0x19, 0));
    let heard = host.frames(6000);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1][2..5], RADIO.0, "of the lamp nothing is heard");
    assert_eq!(host.device(LAMP).is_on(1), Some(false));
}

#[test]
fn a_meter_counts_what_runs_through_it_and_starts_again_when_told() {
    let mut host = Host::demo();
    let wattage = Kind::Constant { power_mw: 120_000, power_factor_milli: 1000 };
    *host.device(METER) = Device::new(METER, Model::EnergyMeter).with_appliance(wattage, 1);
    host.plm.advance(host.now);
    host.pass(3600);
    let count = |heard: &[Vec<u8>]| u32::from_be_bytes(heard[2][19..23].try_into().unwrap());
    let heard = host.send(METER, 0x82, 0);
    assert_eq!(heard[2][17..19], [0, 120]);
    // 120 Wh in the hour, and what ran in the hundred seconds before.
    assert_eq!(count(&heard), (120_000 + 3_333) * 216 / 65_535);
    assert_eq!(heard[2].len(), 25);
    assert_eq!(answer(&host.send(METER, 0x80, 0)), (ACK, 0x80, 0));
    host.pass(60);
    assert!(count(&host.send(METER, 0x82, 0)) < 10);
    assert_eq!(answer(&host.send(METER, 0x11, 0xFF)).0, NAK, "it has no relay");
}

#[test]
fn each_generation_answers_in_its_own_way() {
    let device = |engine| Device::new(LAMP, Model::OnOff).with_engine(engine);
    for (engine, version) in
        [(Engine::I1, (ACK, 0x0D, 0)), (Engine::I2, (ACK, 0x0D, 1)), (Engine::I2cs, (NAK, 0x0D, 0xFF))]
    {
        let mut host = Host::new(Plm::new(MODEM, 1, vec![device(engine)]));
        assert_eq!(answer(&host.send(LAMP, 0x0D, 0)), version);
        let mut bad = extended(LAMP, 0x2F, 0, &[0, 0, 0x0F, 0xFF, 1]);
        *bad.last_mut().unwrap() ^= 1;
        let heard = host.ask(&bad);
        match engine {
            Engine::I1 => assert_eq!(heard.len(), 1, "it cannot hear extended messages"),
            Engine::I2 => assert_eq!(heard.len(), 3, "it looks at no sum"),
            Engine::I2cs => assert_eq!(answer(&heard), (NAK, 0x2F, 0xFD)),
        }
    }
}

#[test]
fn remote_linking_makes_records_at_both_ends_in_both_directions() {
    let mut host = Host::new(Plm::new(MODEM, 1, vec![Device::new(SHELF, Model::DualOutlet)]));
    let link = |host: &mut Host, mode, button: u8| {
        host.ask(&[0x02, 0x64, mode, button]);
        host.ask(&extended(SHELF, 0x09, button, &[]))
    };
    for (mode, button) in [(0x01, 1), (0x01, 2), (0x00, 1), (0x00, 2)] {
        let heard = link(&mut host, mode, button);
        assert_eq!(heard[2], [0x02, 0x53, mode, button, 0x2C, 0x0D, 0x11, 0x02, 0x39, 0x46]);
        assert!(!host.plm.is_linking());
    }
    let ours: Vec<_> = host.plm.links().in_use().map(|link| (link.flags, link.group, link.id)).collect();
    assert_eq!(ours, [(0xE2, 1, SHELF), (0xE2, 2, SHELF), (0xA2, 1, SHELF), (0xA2, 2, SHELF)]);
    let theirs: Vec<_> =
        host.device(SHELF).links().in_use().map(|link| (link.flags, link.group, link.id)).collect();
    assert_eq!(theirs, [(0xA2, 1, MODEM), (0xA2, 2, MODEM), (0xE2, 1, MODEM), (0xE2, 2, MODEM)]);
    assert_eq!(answer(&host.send(SHELF, 0x19, 0)).1, 4, "four changes of its database");
    assert!(host.plm.press(SHELF, 2));
    assert_eq!(host.frames(3000).len(), 3, "it tells the modem");

    link(&mut host, 0xFF, 1);
    assert_eq!(host.plm.links().in_use().filter(|link| link.group == 1).count(), 1, "one record at a time");
}

#[test]
fn linking_by_the_set_button_works_too_and_ends_after_four_minutes() {
    let mut host = Host::new(Plm::new(MODEM, 1, vec![Device::new(LAMP, Model::OnOff)]));
    host.ask(&[0x02, 0x64, 0x03, 0x01]);
    host.pass(240);
    assert!(host.plm.hold_set(LAMP, 1));
    assert_eq!(host.frames(2000).len(), 1, "it says what it is, and nobody links it");
    host.ask(&[0x02, 0x64, 0x03, 0x01]);
    let heard = host.frames(2000);
    assert!(heard.is_empty(), "the echo and the 53 came already: {heard:02x?}");
    assert_eq!(host.plm.links().slot(0).flags, AS_RESPONDER, "the device began, so it commands");
    host.ask(&[0x02, 0x64, 0x01, 0x01]);
    assert_eq!(host.ask(&[0x02, 0x65]), [[0x02, 0x65, 0x06]]);
    assert!(!host.plm.is_linking());
}

#[test]
fn a_full_database_at_either_end_links_nobody() {
    for full_modem in [true, false] {
        let mut host = Host::new(Plm::new(MODEM, 1, vec![Device::new(LAMP, Model::OnOff)]));
        let links = if full_modem { host.plm.links_mut() } else { host.device(LAMP).links_mut() };
        links.set_capacity(0);
        host.ask(&[0x02, 0x64, 0x01, 0x01]);
        assert_eq!(answer(&host.ask(&extended(LAMP, 0x09, 1, &[]))).0, ACK);
        assert_eq!(host.plm.links().in_use().count(), 0);
        assert_eq!(host.device(LAMP).links().in_use().count(), 0);
        let put = [0x02, 0x6F, 0x41, 0xA2, 1, 1, 2, 3, 0, 0, 0];
        assert_eq!(*host.ask(&put)[0].last().unwrap(), if full_modem { 0x15 } else { 0x06 });
    }
}

#[test]
fn the_modems_links_are_read_over_their_holes_and_managed_one_by_one() {
    let mut host = Host::demo();
    assert!(host.plm.links_mut().remove(|link| link.id == RADIO));
    let wanted: Vec<_> = host.plm.links().in_use().map(|link| link.bytes().to_vec()).collect();
    let mut got = Vec::new();
    let mut heard = host.ask(&[0x02, 0x69]);
    while let [echo, record] = &heard[..] {
        assert_eq!(echo[2], 0x06);
        got.push(record[2..].to_vec());
        heard = host.ask(&[0x02, 0x6A]);
    }
    assert_eq!(heard, [[0x02, 0x6A, 0x15]]);
    assert_eq!(got, wanted);
    let manage = |action, flags| {
        let [a, b, c] = SHELF.0;
        vec![0x02, 0x6F, action, flags, 2, a, b, c, 1, 2, 3]
    };
    assert_eq!(host.ask(&manage(0x00, 0))[1][2..4], [0xE2, 2]);
    assert_eq!(host.ask(&manage(0x01, 0))[1][2..4], [0xA2, 2]);
    assert_eq!(*host.ask(&manage(0x01, 0))[0].last().unwrap(), 0x15);
    for wanted in [0x06, 0x06, 0x15] {
        assert_eq!(*host.ask(&manage(0x80, 0))[0].last().unwrap(), wanted);
    }
    host.ask(&manage(0x40, 0xA2));
    let link = host.plm.links().in_use().find(|link| (link.id, link.group) == (SHELF, 2)).unwrap();
    assert_eq!((link.flags, link.data), (AS_CONTROLLER, [1, 2, 3]));
}

#[test]
fn a_devices_links_are_read_with_holes_and_end_and_written_back() {
    let mut host = Host::demo();
    host.device(SHELF).links_mut().remove(|link| link.group == 2 && link.is_controller());
    let heard = host.ask(&extended(SHELF, 0x2F, 0, &[0, 0, 0, 0, 0]));
    let records: Vec<(u8, u8)> = heard[2..].iter().map(|frame| (frame[14], frame[16])).collect();
    assert_eq!(records, [(0xFF, 0xA2), (0xF7, 0xE2), (0xEF, 0xA2), (0xE7, 0x62), (0xDF, 0x00)]);
    let write = [0, 2, 0x0F, 0xE7, 8, 0xE2, 2, 0x4A, 0x51, 0x0C, 3, 0x1C, 2];
    assert_eq!(answer(&host.ask(&extended(SHELF, 0x2F, 0, &write))).0, ACK);
    assert_eq!(host.device(SHELF).links().slot(3), Link::controller(2, MODEM, [3, 0x1C, 2]));
    let beyond = [0, 2, 0x00, 0x07, 8, 0xE2, 2, 0x4A, 0x51, 0x0C, 3, 0x1C, 2];
    assert_eq!(answer(&host.ask(&extended(SHELF, 0x2F, 0, &beyond))).0, NAK);
}

#[test]
fn a_button_is_told_three_times_to_those_it_is_linked_with_only() {
    let mut host = Host::demo();
    assert!(host.plm.press(LAMP, 1));
    let heard = host.frames(3000);
    let told: Vec<_> = heard.iter().map(|frame| (frame[8] & 0xE0, frame[9], frame[10])).collect();
    assert_eq!(told, [(0xC0, 0x13, 0), (0x40, 0x13, 1), (0xC0, 0x06, 0)]);
    assert_eq!(heard[0][5..8], [0, 0, 1]);
    host.plm.unlink_all();
    assert!(host.plm.press(LAMP, 1));
    assert!(host.frames(3000).is_empty());
    assert_eq!(host.device(LAMP).is_on(1), Some(true), "it has switched all the same");
    assert!(!host.plm.press(METER, 1));
}

#[test]
fn a_group_command_reaches_its_members_and_names_those_that_failed() {
    let mut host = Host::demo();
    host.device(RADIO).set_mains(false);
    let heard = host.ask(&[0x02, 0x61, 0x01, 0x11, 0x00]);
    assert_eq!(host.device(SHELF).is_on(1), Some(true));
    assert_eq!(host.device(SHELF).is_on(2), Some(false));
    assert!(heard.contains(&vec![0x02, 0x56, 0x01, 0x01, 0x1A, 0x78, 0x10]));
    assert_eq!(heard.iter().filter(|frame| frame[1] == 0x50 && frame[8] & 0xE0 == 0x60).count(), 3);
    assert_eq!(*heard.last().unwrap(), [0x02, 0x58, 0x06]);

    host.write(&[0x02, 0x61, 0x01, 0x13, 0x00]);
    host.frames(700);
    host.write(&standard(LAMP, 0x19, 0));
    assert_eq!(host.frames(700)[0], [0x02, 0x58, 0x15], "the modem gives the group up");
}

#[test]
fn a_reset_takes_twenty_seconds_and_refuses_everything_meanwhile() {
    let mut host = Host::demo();
    assert!(host.ask(&[0x02, 0x67]).is_empty());
    assert_eq!(host.ask(&[0x02, 0x60]), [[0x15]]);
    assert_eq!(host.hear(10_000), [(8001, vec![0x02, 0x67, 0x06])]);
    assert_eq!(host.plm.links().in_use().count(), 0);
    assert_eq!(host.ask(&[0x02, 0x69]), [[0x02, 0x69, 0x15]]);
}

#[test]
fn the_configuration_is_kept_and_bit_four_lets_the_host_type_slowly() {
    let mut host = Host::demo();
    let slowly = |host: &mut Host| {
        host.write(&[0x02]);
        host.frames(300);
        host.ask(&[0x60]).len()
    };
    assert_eq!(slowly(&mut host), 0);
    assert_eq!(host.plm.junk_bytes(), 2);
    assert_eq!(host.ask(&[0x02, 0x6B, 0x50]), [[0x02, 0x6B, 0x50, 0x06]]);
    assert_eq!(host.ask(&[0x02, 0x73]), [[0x02, 0x73, 0x50, 0, 0, 0x06]]);
    assert_eq!(slowly(&mut host), 1);
    assert_eq!(host.ask(&[0x02, 0x7E]), [[0x02, 0x7E, 0x15]], "a code that it does not have");
}

#[test]
fn who_is_there_is_told_by_ping_and_by_name() {
    let mut host = Host::demo();
    assert_eq!(answer(&host.send(SHELF, 0x0F, 0)), (ACK, 0x0F, 0));
    let heard = host.send(SHELF, 0x10, 0);
    assert_eq!(heard[2][5..8], [0x02, 0x39, 0x46]);
    assert_eq!((heard[2][8] & 0xE0, heard[2][9]), (0x80, 0x01));
    assert_eq!(host.ask(&[0x02, 0x60]), [[0x02, 0x60, 0x4A, 0x51, 0x0C, 0x03, 0x15, 0x9B, 0x06]]);
    assert_eq!(host.ask(&[0x02, 0x6C])[1][4..7], SHELF.0, "the record of who spoke last");
}

#[test]
fn refusals_of_the_modem_come_in_three_forms() {
    let ask = [0x02, 0x60];
    for (form, wanted) in [
        (NakForm::Echoed, vec![0x02, 0x60, 0x15]),
        (NakForm::Named, vec![0x02, 0x60, 0x15]),
        (NakForm::Lone, vec![0x15]),
    ] {
        let mut host = Host::demo();
        host.plm.set_fault_times(Fault::Nak(form), 2);
        assert_eq!([host.ask(&ask), host.ask(&ask)].concat(), [&wanted[..], &wanted].map(<[u8]>::to_vec));
        assert_eq!(host.ask(&ask)[0].len(), 9);
    }
}

#[test]
fn faults_of_the_modems_own_voice_do_what_they_say() {
    let mut host = Host::demo();
    let status = standard(LAMP, 0x19, 0);
    host.plm.set_fault_times(Fault::EchoTwice, 1);
    let heard = host.ask(&status);
    assert_eq!((heard.len(), &heard[0]), (3, &heard[1]));
    host.plm.set_fault_times(Fault::EchoLate(Duration::from_millis(700)), 1);
    let heard = host.ask(&status);
    assert_eq!((heard[0][1], heard[1][1]), (0x50, 0x62), "the answer overtakes the echo");
    host.plm.set_fault(Fault::Mute);
    assert!(host.ask(&status).is_empty());
    host.plm.clear_faults();
    host.plm.set_fault_times(Fault::Split { gap: Duration::from_millis(300) }, 2);
    let heard = host.ask(&status);
    assert!((3..=4).contains(&heard.len()), "{heard:02x?}");
    assert_eq!(heard.concat().len(), 20, "half frames, and no byte lost");
    host.plm.set_fault(Fault::Cut { percent: 100 });
    assert!(host.ask(&status).concat().len() < 20);
}

#[test]
fn faults_of_devices_do_what_they_say() {
    let mut host = Host::demo();
    host.plm.set_fault_times(Fault::LoseReplies(LAMP), 1);
    assert_eq!(host.send(LAMP, 0x13, 0).len(), 1);
    assert_eq!(host.device(LAMP).is_on(1), Some(false), "it did as told");
    host.plm.set_fault_times(Fault::AnswerForAnother { asked: LAMP, answers_as: RADIO }, 1);
    assert_eq!(host.send(LAMP, 0x19, 0)[1][2..5], RADIO.0);
    host.plm.set_fault_times(Fault::Repeat(Duration::from_millis(50)), 1);
    let heard = host.send(LAMP, 0x19, 0);
    assert_eq!(
        (heard.len(), heard[1][8], heard[2][8]),
        (3, 0x2B, 0x27),
        "fewer hops are left the second time"
    );
    host.plm.set_fault_times(Fault::PreNak(LAMP), 1);
    let heard = host.send(LAMP, 0x19, 0);
    assert_eq!((heard[1][10], heard[2][10]), (reason::PRE_NAK, 0x00));
    host.plm.set_fault_times(Fault::BadCrc, 1);
    assert_ne!(host.send(METER, 0x82, 0)[2][24], host.send(METER, 0x82, 0)[2][24]);
    host.plm.set_fault_times(Fault::Late(Duration::from_secs(3)), 1);
    host.write(&standard(LAMP, 0x19, 0));
    assert_eq!(host.hear(6000)[1].0, 3405);
    host.plm.set_fault(Fault::EngineByTurns(LAMP));
    let versions: Vec<_> = (0..3).map(|_| answer(&host.send(LAMP, 0x0D, 0)).2).collect();
    assert_eq!(versions, [0, 1, 2]);
    host.plm.set_fault(Fault::HopsVary);
    let flags: BTreeSet<u8> = (0..40).map(|_| host.send(RADIO, 0x19, 0)[1][8]).collect();
    assert_eq!(flags, BTreeSet::from([0x23, 0x27, 0x2B, 0x2F]));
}

#[test]
fn noise_costs_time_and_rarely_an_answer() {
    let mut host = Host::demo();
    host.plm.set_fault(Fault::Noise { percent: 30 });
    let mut answered = 0;
    let mut late = 0;
    for _ in 0..100 {
        host.write(&standard(LAMP, 0x19, 0));
        let heard = host.hear(3000);
        answered += usize::from(heard.len() == 2);
        late += usize::from(heard.get(1).is_some_and(|(ms, _)| *ms > 500));
    }
    assert!((90..=100).contains(&answered), "{answered}");
    assert!((30..=70).contains(&late), "{late}");
}

#[test]
fn a_reset_in_the_middle_of_a_link_read_is_said_or_seen_as_garbage() {
    let mut host = Host::demo();
    host.plm.set_fault_times(Fault::ResetInLinkRead { forgets: false }, 1);
    assert_eq!(host.ask(&[0x02, 0x69]).len(), 2);
    host.write(&[0x02, 0x6A]);
    let heard = host.hear(3000);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].0 >= 2000, "away for two seconds");
    assert_eq!(host.ask(&[0x02, 0x6A]), [[0x02, 0x6A, 0x15]], "the place in the list is lost");
    assert_eq!(host.ask(&[0x02, 0x69]).len(), 2, "the links are not");
    host.plm.set_fault_times(Fault::ResetInLinkRead { forgets: true }, 1);
    assert_eq!(host.ask(&[0x02, 0x6A]), [[0x02, 0x55]]);
    assert_eq!(host.ask(&[0x02, 0x69]), [[0x02, 0x69, 0x15]]);
}

#[test]
fn traffic_of_others_comes_and_goes_with_its_fault() {
    let mut host = Host::demo();
    host.plm.set_fault(Fault::Foreign { every: Duration::from_secs(2) });
    let heard = host.frames(600_000);
    assert!((250..350).contains(&heard.len()), "{}", heard.len());
    let kinds: BTreeSet<u8> = heard.iter().map(|frame| frame[1]).collect();
    assert_eq!(kinds, BTreeSet::from([0x50, 0x51, 0x52]));
    assert!(heard.iter().all(|frame| frame[1] == 0x52 || frame[2] >= 0xF0), "of nobody here");
    host.plm.clear_faults();
    host.frames(10_000);
    assert!(host.frames(60_000).is_empty());

    host.plm.set_fault(Fault::SecondHost { every: Duration::from_secs(4) });
    let heard = host.frames(600_000);
    let kinds: BTreeSet<u8> = heard.iter().map(|frame| frame[1]).collect();
    assert_eq!(kinds, BTreeSet::from([0x50, 0x57, 0x60, 0x62, 0x69, 0x73]));
    assert_eq!(host.plm.requests().count(), 0, "none of it is ours");
}

#[test]
fn the_seed_alone_decides_an_hour_of_everything_going_wrong() {
    let day = |seed| {
        let mut host = Host::new(demo_insteon(seed));
        for fault in [
            Fault::Noise { percent: 20 },
            Fault::Cut { percent: 3 },
            Fault::HopsVary,
            Fault::EngineByTurns(SHELF),
            Fault::Foreign { every: Duration::from_secs(20) },
            Fault::SecondHost { every: Duration::from_secs(45) },
        ] {
            host.plm.set_fault(fault);
        }
        let mut heard = Vec::new();
        for turn in 0..720_u16 {
            let id = [LAMP, RADIO, SHELF, METER][usize::from(turn % 4)];
            host.write(&standard(id, if id == METER { 0x82 } else { 0x19 }, 0));
            if turn % 50 == 7 {
                host.plm.press(SHELF, 2);
            }
            heard.extend(host.hear(5000));
        }
        assert!(heard.len() > 1400);
        heard
    };
    assert_eq!(day(7), day(7));
    assert_ne!(day(7), day(8));
}

#[test]
fn a_script_that_cannot_be_read_is_named_by_its_line() {
    for line in ["> 0x", "< 60", "when x", "<", "> 02 6", "what"] {
        let text = format!("# fine\n> 02 60\n{line}\n");
        let error = Script::parse(&text).unwrap_err();
        assert_eq!((error.line, &*error.got), (3, line));
    }
}

#[test]
fn recorded_relays_are_told_as_they_were_switched() {
    let mut script = recorded();
    let mut now = Duration::ZERO;
    let mut ask = |bytes: &[u8]| {
        now += Duration::from_secs(5);
        script.handle_bytes(bytes, now);
        std::iter::from_fn(|| script.poll_output(now + Duration::from_secs(4)))
            .map(|output| output.bytes)
            .collect::<Vec<_>>()
    };
    let dual = Id([0, 0, 4]);
    for (command, status) in [
        (standard(dual, 0x11, 0xFF), 1),
        (extended(dual, 0x11, 0x01, &[2]), 3),
        (standard(dual, 0x13, 0), 2),
        (extended(dual, 0x13, 0, &[2]), 0),
    ] {
        assert_eq!(answer(&ask(&command)).0, ACK);
        assert_eq!(answer(&ask(&standard(dual, 0x19, 1))).2, status);
    }
    assert_eq!(ask(&standard(Id([9, 9, 9]), 0x19, 0)).len(), 1, "the echo alone");
    let mut records = 0;
    let mut heard = ask(&[0x02, 0x69]);
    while heard.len() == 2 {
        records += 1;
        heard = ask(&[0x02, 0x6A]);
    }
    assert_eq!(records, 10);
}
