//! The hub over an INSTEON line and a simulated modem, in virtual time: what only both together can show.

use std::time::Duration;

use plugline::device::{Device, DeviceId, LineName, Moment, Now, Quantity, Target};
use plugline::hub::command::{Action, State};
use plugline::hub::feed::Body;
use plugline::hub::{
    DeviceSetup, Effect, Hub, Kept, LineIndex, LineSetup, NewCommand, Persisted, Record, Request, RequestId,
    Wish,
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
    line_record: Option<Vec<u8>>,
}

impl Shelf {
    fn new(plm: Plm, kept: Kept) -> Self {
        let place = |address: &str, channel| DeviceSetup {
            target: Target { address: address.into(), channel },
            name: None,
        };
        let setup = LineSetup {
            name: LineName::parse("insteon").unwrap(),
            dialect: "insteon",
            line: Box::new(Insteon::new(Options::default())),
            devices: vec![
                place("1a777b", None),
                place("2c0d11", Some(1)),
                place("2c0d11", Some(2)),
                place("1987b7", None),
            ],
        };
        let now =
            Now { mono: Moment(Duration::from_secs(1)), unix_ms: 1_795_000_000_000, synchronised: true };
        let mut hub = Hub::new(vec![setup], "test", 1);
        hub.restore(kept, Vec::new(), now);
        hub.begin(now);
        hub.handle_port(LINE, Ok(()), now);
        let (devices, states, notes) = Default::default();
        let mut shelf = Self { hub, plm, now, devices, states, notes, line_record: None };
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
                Effect::Event(fresh) => {
                    if let Body::Notification(note) = fresh.body {
                        self.notes.push(note.code.to_string());
                    }
                }
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
