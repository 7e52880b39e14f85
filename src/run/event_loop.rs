//! The loop itself: what has happened goes in, the hub's outputs are carried out in order.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::device::Device;
use crate::disk::{Disk, Done};
use crate::door::{Envelope, Keeper};
use crate::hub::erase::Erase;
use crate::hub::feed::{Body, Fresh, GapReason, GatewayEvent, Notification};
use crate::hub::{
    Answer, Asked, Effect, Given, Hub, LineIndex, Output, Persisted, Record, Refused, Request, RequestId,
};
use crate::port::{Port, PortEvent};
use crate::run::Clock;
use crate::source::{Commands, Part, Source};
use crate::upkeep::Meters;
use crate::upkeep::backup::Export;

/// Port events handled before other work gets its turn.
const PORT_BURST: usize = 32;

/// Events that wait for a reserved number while the disk hangs. Beyond it the oldest are given up, which a
/// notification tells.
const UNNUMBERED_MAX: usize = 10_000;

/// The part of health that stands for the registry.
const STORE: &str = "store";

/// How often readers' positions go to disk.
const POSITIONS_PERIOD: std::time::Duration = std::time::Duration::from_secs(5);

/// Everything that the loop owns.
pub(super) struct EventLoop {
    pub(super) clock: Clock,
    pub(super) hub: Hub,
    pub(super) keeper: Keeper,
    pub(super) disk: Disk,
    pub(super) done: mpsc::UnboundedReceiver<Done>,
    pub(super) ports: Vec<Port>,
    pub(super) port_inbox: mpsc::Receiver<(LineIndex, PortEvent)>,
    /// Who wants the registry for a backup; `None` while nobody can.
    pub(super) exports: Option<mpsc::Receiver<Export>>,
    /// Where settled commands are counted.
    pub(super) meters: Arc<Meters>,
    /// Effects that wait for the disk, in the order of their tickets.
    held: VecDeque<(Persisted, Effect)>,
    on_disk: Persisted,
    /// The registry cannot be written: nothing new is promised until it can.
    store_broken: bool,
    unnumbered: VecDeque<Fresh>,
    given_up: u64,
    answers: VecDeque<(RequestId, oneshot::Sender<Answer>)>,
    last_request: RequestId,
}

/// One thing that woke the loop.
enum Woken {
    Port(LineIndex, PortEvent),
    Request(Envelope),
    Done(Done),
    Deadline,
    Positions,
    Export(Export),
}

impl EventLoop {
    pub(super) fn new(
        clock: Clock,
        hub: Hub,
        keeper: Keeper,
        (disk, done): (Disk, mpsc::UnboundedReceiver<Done>),
        port_inbox: mpsc::Receiver<(LineIndex, PortEvent)>,
    ) -> Self {
        Self {
            clock,
            hub,
            keeper,
            disk,
            done,
            ports: Vec::new(),
            port_inbox,
            exports: None,
            meters: Arc::default(),
            held: VecDeque::new(),
            on_disk: Persisted(0),
            store_broken: false,
            unnumbered: VecDeque::new(),
            given_up: 0,
            answers: VecDeque::new(),
            last_request: RequestId(0),
        }
    }

    /// Declares what a crash lost, then starts the hub.
    pub(super) fn begin(&mut self, gap: Option<(u64, u64)>, reports: &[String]) {
        let now = self.clock.now();
        for part in [STORE, "feed"] {
            self.keeper.door().set_part(part, Part::Good("".into()));
        }
        if let Some((from, to)) = gap {
            let about = GatewayEvent::Gap { from, to, reason: GapReason::Crash };
            self.number(fresh(now.unix_ms, Body::Gateway(about)));
        }
        for report in reports {
            let note = Notification { code: "store".into(), detail: report.as_str().into() };
            self.number(fresh(now.unix_ms, Body::Notification(note)));
        }
        self.hub.begin(now);
        self.carry_out();
    }

    /// Turns until `stop` is over.
    pub(super) async fn turn_until(&mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut positions = tokio::time::interval(POSITIONS_PERIOD);
        let mut last_positions = self.keeper.positions();
        loop {
            let deadline: Instant = self.clock.instant(self.hub.poll_timeout());
            let woken = tokio::select! {
                () = &mut stop => return,
                Some(done) = self.done.recv() => Woken::Done(done),
                Some((line, event)) = self.port_inbox.recv() => Woken::Port(line, event),
                Some(envelope) = self.keeper.requests.recv() => Woken::Request(envelope),
                () = tokio::time::sleep_until(deadline) => Woken::Deadline,
                _ = positions.tick() => Woken::Positions,
                Some(export) = asked(&mut self.exports) => Woken::Export(export),
            };
            match woken {
                Woken::Done(done) => self.disk_did(done),
                Woken::Port(line, event) => self.port_burst(line, event),
                Woken::Request(envelope) => self.ask(envelope),
                Woken::Export(answer) => self.disk.export(answer),
                Woken::Deadline => self.hub.handle_timeout(self.clock.now()),
                Woken::Positions => {
                    self.hub.handle_uses(self.keeper.take_uses());
                    let positions = self.keeper.positions();
                    if positions != last_positions {
                        self.disk.positions(positions.clone());
                        last_positions = positions;
                    }
                }
            }
            self.carry_out();
        }
    }

    /// The last words, while readers still listen.
    pub(super) fn say_stopping(&mut self) {
        self.hub.handle_uses(self.keeper.take_uses());
        self.hub.handle_stop(self.clock.now());
        self.carry_out();
    }

    /// Lets readers' last positions go to disk and ends its thread; the log ends cleanly.
    pub(super) fn close(self) {
        self.disk.positions(self.keeper.positions());
        self.disk.stop();
    }

    fn port_burst(&mut self, line: LineIndex, event: PortEvent) {
        self.port_says(line, event);
        for _ in 1..PORT_BURST {
            let Ok((line, event)) = self.port_inbox.try_recv() else { return };
            self.port_says(line, event);
        }
    }

    fn port_says(&mut self, line: LineIndex, event: PortEvent) {
        let now = self.clock.now();
        match event {
            PortEvent::Open => self.hub.handle_port(line, Ok(()), now),
            PortEvent::Lost(reason) => self.hub.handle_port(line, Err(reason), now),
            PortEvent::Bytes(bytes) => self.hub.handle_bytes(line, &bytes, now),
        }
    }

    fn ask(&mut self, envelope: Envelope) {
        if self.store_broken && !matches!(envelope.request, Request::Ping) {
            // The caller may have gone; it has nothing to lose here.
            let _ = envelope.answer.send(Err(Refused::StoreBroken));
            return;
        }
        self.last_request.0 += 1;
        self.answers.push_back((self.last_request, envelope.answer));
        let asked = Asked { by: envelope.by, request: envelope.request };
        self.hub.handle_request(self.last_request, asked, self.clock.now());
    }

    fn disk_did(&mut self, done: Done) {
        match done {
            Done::Kept(ticket) => {
                self.on_disk = self.on_disk.max(ticket);
                while self.held.front().is_some_and(|(after, _)| *after <= self.on_disk) {
                    if let Some((_, effect)) = self.held.pop_front() {
                        self.perform(effect);
                    }
                }
                self.hub.handle_persisted(ticket, self.clock.now());
            }
            Done::Durable(seq) => self.keeper.set_durable(seq),
            Done::Ceiling(ceiling) => {
                self.keeper.raise_ceiling(ceiling);
                self.number_waiting();
            }
            Done::Lost { from } => {
                let to = self.keeper.door().span().head;
                let about = GatewayEvent::Gap { from, to, reason: GapReason::Storage };
                self.number(fresh(self.clock.now().unix_ms, Body::Gateway(about)));
            }
            Done::Notice(detail) => {
                tracing::warn!("{detail}");
                let note = Notification { code: "store".into(), detail: detail.into() };
                self.number(fresh(self.clock.now().unix_ms, Body::Notification(note)));
            }
            Done::Erased(id, told) => {
                self.answer(id, told.map(Given::Erased).map_err(Refused::NotErased));
            }
            Done::Broken { part, detail } => {
                self.store_broken |= part == STORE;
                self.keeper.door().set_part(part, Part::Broken(detail.into()));
            }
            Done::Mended { part } => {
                self.store_broken &= part != STORE;
                self.keeper.door().set_part(part, Part::Good("".into()));
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(Output { after, effect }) = self.hub.poll_output() {
            match after.filter(|after| *after > self.on_disk) {
                Some(after) => self.held.push_back((after, effect)),
                None => {
                    if let Effect::ShowDevice(device) = &effect {
                        self.renew_held(device);
                    }
                    self.perform(effect);
                }
            }
        }
    }

    /// A device that waits for the disk is shown as it is then, not as it was when it began to wait.
    fn renew_held(&mut self, device: &Arc<Device>) {
        for (_, effect) in &mut self.held {
            if let Effect::ShowDevice(held) = effect
                && held.id == device.id
            {
                *held = Arc::clone(device);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Write(line, bytes) => self.ports[line.0].write(bytes),
            Effect::Reopen(line, settings) => self.ports[line.0].reopen(settings),
            Effect::Persist(ticket, records) => self.disk.keep(ticket, records),
            Effect::Checkpoint(mut records) => {
                let head = self.keeper.door().span().head;
                let days = self.keeper.settle_days(self.clock.now().unix_ms);
                records.extend(days.into_iter().map(|(device, day, row)| Record::Day(device, day, row)));
                records.push(Record::Checkpoint(head));
                self.disk.keep_quietly(records);
            }
            Effect::Event(fresh) => self.number(fresh),
            Effect::ShowDevice(device) => self.keeper.show_device(device),
            Effect::HideDevice(id) => self.keeper.hide_device(&id),
            Effect::ShowCommand(command) => {
                // One that had settled before the start was counted then.
                let before = self.keeper.door().command(&command.id);
                if command.state.settled() && before.is_some_and(|before| !before.state.settled()) {
                    self.meters.settled(command.state);
                }
                self.keeper.show_command(command);
            }
            Effect::HideCommand(id) => self.keeper.hide_command(&id),
            Effect::ShowLine(health) => self.keeper.show_line(health),
            Effect::ShowAccess(change) => self.keeper.show_access(change),
            Effect::Erase(id, what) => self.erase(id, what),
            Effect::Answer(id, answer) => self.answer(id, answer),
        }
    }

    /// From memory at once, from disk soon.
    fn erase(&mut self, id: RequestId, what: Erase) {
        let days = self.keeper.erase(&what);
        let gone = days.into_iter().map(|(device, day)| Record::Day(device, day, None));
        self.disk.keep_quietly(gone.collect());
        let head = self.keeper.door().span().head;
        self.disk.erase(id, what, head);
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        if let Some(at) = self.answers.iter().position(|(waiting, _)| *waiting == id)
            && let Some((_, caller)) = self.answers.remove(at)
        {
            // The caller may have gone; what was asked is done all the same.
            let _ = caller.send(answer);
        }
    }

    fn number(&mut self, fresh: Fresh) {
        if !self.unnumbered.is_empty() || self.keeper.reserve_left() == 0 {
            if self.unnumbered.len() == UNNUMBERED_MAX {
                self.unnumbered.pop_front();
                self.given_up += 1;
            }
            self.unnumbered.push_back(fresh);
            return;
        }
        if let Some(entry) = self.keeper.append(fresh) {
            self.disk.append(&entry);
        }
    }

    fn number_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.unnumbered);
        if self.given_up > 0 {
            let detail = format!("{} events were given up while the disk hung", self.given_up);
            tracing::error!("{detail}");
            self.given_up = 0;
            let note = Notification { code: "events_given_up".into(), detail: detail.into() };
            self.number(fresh(self.clock.now().unix_ms, Body::Notification(note)));
        }
        for fresh in waiting {
            self.number(fresh);
        }
    }
}

/// The next who wants the registry; never, when nobody can.
async fn asked(exports: &mut Option<mpsc::Receiver<Export>>) -> Option<Export> {
    match exports {
        Some(exports) => exports.recv().await,
        None => None,
    }
}

fn fresh(unix_ms: i64, body: Body) -> Fresh {
    Fresh { unix_ms, t_estimated: false, late: false, estimated: false, device: None, body }
}
