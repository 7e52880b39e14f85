//! The hub over an INSTEON line and a simulated modem, in virtual time: what only both together can show.

use std::time::Duration;

use plugline::device::{Device, DeviceId, LineName, Moment, Now, OptionValue, Quantity, Target};
use plugline::hub::command::{Action, State};
use plugline::hub::feed::{Body, GatewayEvent, JoiningNews};
use plugline::hub::{
    Answer, DeviceSetup, Effect, Given, Hub, Kept, LineIndex, LineSetup, NewCommand, Persisted, Record,
    Refused, Request, RequestId, Wish,
};
use plugline::line::insteon::{Insteon, Options};
use plugline_simulator::insteon::{Id, Plm, demo_insteon};

const LINE: LineIndex = LineIndex(0);
const MINUTE: Duration = Duration::from_secs(60);

struct Shelf {
    hub: Hub,
    plm: Plm,
    now: Now,
    devices: std::collections::BTreeMap<DeviceId, Device>,
    states: Vec<State>,
    notes: Vec<String>,
    joining: Vec<JoiningNews>,
    foreign: Vec<String>,
    answers: Vec<Answer>,
    line_record: Option<Vec<u8>>,
}

impl Shelf {
    fn new(plm: Plm, kept: Kept) -> Self {
        let places = [("1a777b", None), ("2c0d11", Some(1)), ("2c0d11", Some(2)), ("1987b7", None)];
        Self::with(plm, kept, &places)
    }

    fn with(plm: Plm, kept: Kept, places: &[(&str, Option<u8>)]) -> Self {
        let place = |address: &str, channel| DeviceSetup {
            target: Target { address: address.into(), channel },
            name: None,
        };
        let setup = LineSetup {
            name: LineName::parse("insteon").unwrap(),
            dialect: "insteon",
            line: Box::new(Insteon::new(Options::default())),
            devices: places.iter().map(|(address, channel)| place(address, *channel)).collect(),
        };
        let now =
            Now { mono: Moment(Duration::from_secs(1)), unix_ms: 1_795_000_000_000, synchronised: true };
        let mut hub = Hub::new(vec![setup], "test", 1);
        hub.restore(kept, Vec::new(), now);
        hub.begin(now);
        hub.handle_port(LINE, Ok(()), now);
        let (devices, states, notes, joining, foreign, answers) = Default::default();
        let mut shelf =
            Self { hub, plm, now, devices, states, notes, joining, foreign, answers, line_record: None };
        shelf.carry_out();
        shelf
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output.effect {
                Effect::Write(_, bytes) => self.plm.handle_bytes(&bytes, self.now.mono.0),
                Effect::Persist(ticket, records) => self.persist(ticket, &records),
                Effect::ShowDevice(device) => {
                    self.devices.insert(device.id.clone(), (*device).clone());
                }
                Effect::ShowCommand(command) => self.states.push(command.state),
                Effect::Event(fresh) => match fresh.body {
                    Body::Notification(note) => self.notes.push(note.code.to_string()),
                    Body::Gateway(GatewayEvent::Joining { news, .. }) => self.joining.push(news),
                    Body::Gateway(GatewayEvent::ForeignDevice { address, .. }) => {
                        self.foreign.push(address.to_string());
                    }
                    _ => {}
                },
                Effect::HideDevice(id) => {
                    self.devices.remove(&id);
                }
                Effect::Answer(_, answer) => self.answers.push(answer),
                _ => {}
            }
        }
    }

    fn persist(&mut self, ticket: Persisted, records: &[Record]) {
        for record in records {
            if let Record::Line(_, bytes) = record {
                self.line_record = Some(bytes.to_vec());
            }
        }
        self.hub.handle_persisted(ticket, self.now);
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            let next =
                self.plm.poll_timeout().map_or(end, Moment).min(self.hub.poll_timeout()).max(self.now.mono);
            if next >= end {
                break;
            }
            self.now.mono = next;
            while let Some(output) = self.plm.poll_output(next.0) {
                self.hub.handle_bytes(LINE, &output.bytes, self.now);
                self.carry_out();
            }
            if self.hub.poll_timeout() <= next {
                self.hub.handle_timeout(self.now);
                self.carry_out();
            }
        }
        self.now.mono = end;
    }

    fn device(&self, id: &str) -> &Device {
        &self.devices[&DeviceId::parse(id).unwrap()]
    }

    fn ask(&mut self, request: Request) -> Answer {
        self.hub.handle_request(RequestId(1), request, self.now);
        self.carry_out();
        self.answers.pop().expect("every request has its answer")
    }

    fn open(&mut self, seconds: u64, address: Option<&str>) {
        let duration = Duration::from_secs(seconds);
        let opened =
            self.ask(Request::OpenJoining { line: None, duration, address: address.map(Into::into) });
        assert!(matches!(opened, Ok(Given::Joining(..))), "{opened:?}");
    }

    fn hold_set(&mut self, address: &str, group: u8) {
        assert!(self.plm.hold_set(Id::parse(address).unwrap(), group));
    }

    /// What was told of the window since it was last asked.
    fn told(&mut self) -> Vec<String> {
        let word = |news: JoiningNews| match news {
            JoiningNews::Opened { .. } => "open".to_owned(),
            JoiningNews::Joined { device } => format!("joined {device}"),
            JoiningNews::Failed { code, .. } => format!("failed {code}"),
            JoiningNews::Closed { reason } => format!("closed {reason}"),
        };
        self.joining.drain(..).map(word).collect()
    }

    fn switch(&mut self, id: &str, on: bool) {
        self.states.clear();
        let new = NewCommand {
            device: DeviceId::parse(id).unwrap(),
            wish: Wish::Do(Action::Switch { on }),
            ttl: MINUTE,
            requested_by: "test".into(),
            idempotency: None,
            reply_to: Default::default(),
        };
        self.hub.handle_request(RequestId(1), Request::Command(new), self.now);
        self.carry_out();
        self.run_for(Duration::from_secs(10));
    }
}

#[test]
fn devices_that_nobody_described_say_what_they_are_and_are_used_as_such() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(2 * MINUTE);
    assert!(shelf.device("insteon_1a777b").abilities.relay);
    assert_eq!(shelf.device("insteon_1a777b").relay, Some(true));
    let meter = shelf.device("insteon_1987b7");
    assert!(!meter.abilities.relay && meter.last_reading.unwrap().reading.get(Quantity::Energy).is_some());
    assert_eq!(meter.measured.len(), 2);
    shelf.switch("insteon_2c0d11_2", true);
    let wanted = [State::Accepted, State::Queued, State::Sent, State::Acknowledged, State::Confirmed];
    assert_eq!(shelf.states, wanted);
    let id = Id::parse("2c0d11").unwrap();
    assert_eq!(
        shelf.plm.device(id).map(|device| (device.is_on(1), device.is_on(2))),
        Some((Some(false), Some(true)))
    );
    assert_eq!(shelf.device("insteon_2c0d11").relay, Some(false));
}

#[test]
fn what_the_line_keeps_spares_a_restarted_gateway_the_questions() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(2 * MINUTE);
    let record = shelf.line_record.take().expect("the links were kept");
    let lines = vec![(LineName::parse("insteon").unwrap(), record.into())];
    let mut again = Shelf::new(demo_insteon(1), Kept { lines, ..Kept::default() });
    assert!(again.device("insteon_1a777b").abilities.relay, "known before a byte was heard");
    again.run_for(2 * MINUTE);
    let asked = |code: u8| again.plm.requests().filter(|request| request.bytes[1] == code).count();
    assert_eq!((asked(0x60), asked(0x69), asked(0x6A)), (1, 0, 0));
}

#[test]
fn a_factory_reset_of_the_modem_reaches_people() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(MINUTE);
    shelf.plm.press_reset();
    shelf.run_for(MINUTE);
    assert_eq!(shelf.notes, ["modem_reset"]);
}

const SECOND: Duration = Duration::from_secs(1);

/// The demo's shelf as from the factory, and a gateway that knows none of it.
fn bare_shelf() -> Shelf {
    let mut plm = demo_insteon(1);
    plm.unlink_all();
    let mut shelf = Shelf::with(plm, Kept::default(), &[]);
    shelf.run_for(30 * SECOND);
    shelf
}

#[test]
fn whoever_is_held_while_a_window_is_open_joins_and_obeys() {
    let mut shelf = bare_shelf();
    shelf.open(60, None);
    shelf.run_for(25 * SECOND);
    shelf.hold_set("1a777b", 1);
    shelf.run_for(60 * SECOND);
    assert_eq!(shelf.told(), ["open", "joined insteon_1a777b", "closed time"]);
    shelf.switch("insteon_1a777b", false);
    assert_eq!(shelf.states.last(), Some(&State::Confirmed));
}

#[test]
fn a_window_with_a_code_links_that_device_untouched_and_closes_behind_it() {
    let mut shelf = bare_shelf();
    shelf.open(60, Some("2C.0D.11"));
    shelf.run_for(60 * SECOND);
    let both = ["open", "joined insteon_2c0d11", "joined insteon_2c0d11_2", "closed joined"];
    assert_eq!(shelf.told(), both);
    shelf.switch("insteon_2c0d11_2", true);
    assert_eq!(shelf.states.last(), Some(&State::Confirmed));
}

#[test]
fn a_window_for_a_device_that_is_not_there_says_why_once_and_closes_in_time() {
    let mut shelf = bare_shelf();
    shelf.open(60, Some("123456"));
    shelf.run_for(90 * SECOND);
    assert_eq!(shelf.told(), ["open", "failed no_answer", "closed time"]);
    assert!(shelf.devices.is_empty());
}

#[test]
fn a_full_link_database_fails_a_join_by_name_and_leaves_nothing_behind() {
    let mut shelf = bare_shelf();
    shelf.plm.links_mut().set_capacity(0);
    shelf.open(30, Some("1a777b"));
    shelf.run_for(60 * SECOND);
    let told = shelf.told();
    assert!(told.iter().any(|news| news.starts_with("failed ")), "{told:?}");
    assert!(shelf.devices.is_empty(), "{:?}", shelf.devices.keys());
}

#[test]
fn a_window_for_one_device_is_not_closed_by_another_that_comes_in_the_window_before() {
    let mut shelf = bare_shelf();
    shelf.open(60, None);
    shelf.run_for(3 * SECOND);
    shelf.open(60, Some("2C.0D.11"));
    shelf.hold_set("1a777b", 1);
    shelf.run_for(60 * SECOND);
    let told = shelf.told();
    let wanted = ["joined insteon_2c0d11", "joined insteon_2c0d11_2", "closed joined"];
    assert_eq!(told[told.len() - 3..], wanted, "{told:?}");
    assert!(!told.contains(&"joined insteon_1a777b".to_owned()), "{told:?}");
}

#[test]
fn commands_do_not_wait_for_a_window() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(2 * MINUTE);
    shelf.open(600, None);
    shelf.run_for(3 * SECOND);
    shelf.states.clear();
    let new = NewCommand {
        device: DeviceId::parse("insteon_1a777b").unwrap(),
        wish: Wish::Do(Action::Switch { on: false }),
        ttl: MINUTE,
        requested_by: "test".into(),
        idempotency: None,
        reply_to: Default::default(),
    };
    shelf.ask(Request::Command(new)).unwrap();
    shelf.run_for(4 * SECOND);
    assert_eq!(shelf.states.last(), Some(&State::Confirmed), "{:?}", shelf.states);
    shelf.run_for(2 * MINUTE);
    let polled = shelf.device("insteon_1987b7").last_reading.unwrap();
    assert!(shelf.now.unix_ms - polled.unix_ms < 90_000, "meters are asked during a window");
    shelf.ask(Request::CloseJoining { line: None }).unwrap();
    shelf.run_for(5 * SECOND);
    assert_eq!(shelf.told(), ["open", "closed request"]);
    assert!(!shelf.plm.is_linking(), "the modem waits for nobody any more");
}

#[test]
fn a_device_added_by_its_address_is_linked_and_one_that_cannot_be_is_said() {
    let mut shelf = bare_shelf();
    let add = |address: &str| Request::Add {
        line: LineName::parse("insteon").unwrap(),
        address: address.into(),
        channel: None,
        name: None,
    };
    shelf.ask(add("1A.77.7B")).unwrap();
    shelf.run_for(30 * SECOND);
    assert_eq!(shelf.notes, ["linked"]);
    shelf.switch("insteon_1a777b", false);
    assert_eq!(shelf.states.last(), Some(&State::Confirmed));
    shelf.ask(add("12.34.56")).unwrap();
    shelf.run_for(30 * SECOND);
    assert_eq!(shelf.notes, ["linked", "link_failed"]);
}

#[test]
fn a_removed_device_is_foreign_is_shown_once_and_is_foreign_no_more_when_added_again() {
    let mut shelf = Shelf::with(demo_insteon(1), Kept::default(), &[]);
    shelf.run_for(MINUTE);
    let press = |shelf: &mut Shelf| {
        shelf.plm.press(Id::parse("1a777b").unwrap(), 1);
        shelf.run_for(20 * SECOND);
    };
    let linked = ["1987b7", "1a777b", "1a7810", "2c0d11"];
    assert_eq!(shelf.foreign, linked, "the modem has links with them");
    press(&mut shelf);
    press(&mut shelf);
    assert_eq!(shelf.foreign, linked, "each is told once");
    assert!(shelf.devices.is_empty(), "and never published");
    let line = LineName::parse("insteon").unwrap();
    let add = Request::Add { line, address: "1a777b".into(), channel: None, name: None };
    shelf.ask(add).unwrap();
    shelf.run_for(MINUTE);
    assert!(shelf.device("insteon_1a777b").relay.is_some());
    shelf.ask(Request::Remove(DeviceId::parse("insteon_1a777b").unwrap())).unwrap();
    press(&mut shelf);
    assert_eq!(shelf.foreign[linked.len()..], ["1a777b"], "it is foreign again");
    assert!(shelf.devices.is_empty());
}

#[test]
fn a_kind_that_a_person_chooses_counts_at_once_and_nonsense_is_refused() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(2 * MINUTE);
    let id = DeviceId::parse("insteon_1a777b").unwrap();
    let change = |name: &str, value: Option<&str>| Request::Change {
        device: DeviceId::parse("insteon_1a777b").unwrap(),
        name: None,
        options: [(name.into(), value.map(|word| OptionValue::Word(word.into())))].into(),
    };
    shelf.ask(change("kind", Some("meter"))).unwrap();
    assert!(!shelf.devices[&id].abilities.relay, "it is asked for figures now");
    assert!(matches!(shelf.ask(change("kind", Some("lamp"))), Err(Refused::BadOption { .. })));
    assert!(matches!(shelf.ask(change("kynd", Some("meter"))), Err(Refused::BadOption { .. })));
    shelf.ask(change("kind", None)).unwrap();
    assert!(shelf.devices[&id].abilities.relay && shelf.devices[&id].options.is_empty());
}

#[test]
fn a_device_that_shows_itself_is_told_to_and_a_meter_cannot() {
    let mut shelf = Shelf::new(demo_insteon(1), Kept::default());
    shelf.run_for(2 * MINUTE);
    let identify = |id: &str| {
        Request::Command(NewCommand {
            device: DeviceId::parse(id).unwrap(),
            wish: Wish::Do(Action::Identify { seconds: 3 }),
            ttl: MINUTE,
            requested_by: "test".into(),
            idempotency: None,
            reply_to: Default::default(),
        })
    };
    shelf.plm.clear_requests();
    shelf.ask(identify("insteon_1a777b")).unwrap();
    shelf.run_for(15 * SECOND);
    assert_eq!(shelf.states.last(), Some(&State::Confirmed));
    let beeps = shelf.plm.requests().filter(|request| request.bytes.get(6) == Some(&0x30)).count();
    assert!(beeps >= 1, "a beep was sent");
    assert!(matches!(shelf.ask(identify("insteon_1987b7")), Err(Refused::NotSupported { .. })));
}
