//! The gateway as one caller sees it: his devices and what belongs to them, asked for in his name. Every handler holds
//! this in place of the source itself, so what he may not see is not there, whatever the handler does.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::access::{Book, By, Grant, Principal};
use crate::device::{CommandId, Device, DeviceId};
use crate::hub::command::Command;
use crate::hub::feed::{Body, Event, GatewayEvent};
use crate::hub::history::{Page, Wanted};
use crate::hub::{AccessRequest, Answer, Given, LineHealth, Refused, Request};
use crate::source::{Access, Commands, Energy, Entry, History, Identity, Part, ReadBroken, Source, Span};

/// A right that ends at a time of day is looked at this often: the clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A source in the eyes of one caller.
#[derive(Clone)]
pub(super) struct Seen<S> {
    inner: S,
    who: Arc<Principal>,
}

/// Milliseconds since 1970 UTC, now.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl<S> Seen<S> {
    pub(super) fn new(inner: S, who: Arc<Principal>) -> Self {
        Self { inner, who }
    }

    /// Who sees it.
    pub(super) fn who(&self) -> &Principal {
        &self.who
    }
}

impl<S: Commands> Seen<S> {
    fn reaches(&self, device: &DeviceId) -> bool {
        self.who.reaches(device, |group| members(&self.inner, group))
    }

    fn bound(&self) -> bool {
        self.who.reach.is_some()
    }

    /// Ready when the caller's right is revoked or over.
    pub(super) async fn over(&self) {
        if matches!(self.who.grant, Grant::Local | Grant::Run) {
            return pending().await;
        }
        let mut rights = self.inner.rights();
        loop {
            rights.mark_unchanged();
            let now = now_ms();
            let Some(holder) = self.inner.book(|book| book.holder(&self.who.grant, now)) else { return };
            let left = holder.ends_unix_ms.map(|ends| u64::try_from(ends - now).unwrap_or(0));
            let ends = async {
                match left {
                    Some(left_ms) => sleep(Duration::from_millis(left_ms).min(LOOK_AGAIN)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = rights.changed() => if changed.is_err() { return },
                () = ends => {}
            }
        }
    }

    /// What is given, without what is not his.
    fn less(&self, given: Given) -> Given {
        match given {
            Given::Quality(mut view) => {
                view.devices.retain(|of| self.reaches(&of.device));
                Given::Quality(view)
            }
            given => given,
        }
    }

    /// Why the hub is not even asked.
    fn refusal(&self, request: &Request) -> Option<Refused> {
        if !self.bound() {
            return None;
        }
        match request {
            Request::Ping
            | Request::Quality { .. }
            | Request::Access(AccessRequest::OpenSession { .. } | AccessRequest::CloseSession(_)) => None,
            Request::Command(new) => {
                (!self.reaches(&new.device)).then(|| Refused::UnknownDevice(new.device.clone()))
            }
            Request::Cancel(id) => self.command(id).is_none().then(|| Refused::UnknownCommand(id.clone())),
            _ => Some(Refused::OutOfReach),
        }
    }
}

/// Whom a group has.
fn members<S: Commands>(source: &S, group: &DeviceId) -> Vec<DeviceId> {
    let members = source.device(group).and_then(|group| group.members.clone());
    members.map_or_else(Vec::new, |members| members.to_vec())
}

impl<S: Source + Commands> Source for Seen<S> {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn span(&self) -> Span {
        self.inner.span()
    }

    fn bytes(&self) -> Option<u64> {
        self.inner.bytes()
    }

    async fn since(&self, after: u64, limit: usize) -> Result<Vec<Arc<Entry>>, ReadBroken> {
        self.inner.since(after, limit).await
    }

    async fn wait(&self, after: u64) {
        self.inner.wait(after).await;
    }

    /// Numbers stay whole for everybody, so a reader skips what is not his as he skips what he filters.
    fn shows(&self, event: &Event) -> bool {
        match &event.fresh.device {
            _ if !self.bound() => true,
            Some(device) => self.reaches(device),
            None => matches!(
                event.fresh.body,
                Body::Gateway(
                    GatewayEvent::Started { .. }
                        | GatewayEvent::Stopping
                        | GatewayEvent::LineUp { .. }
                        | GatewayEvent::LineDown { .. }
                        | GatewayEvent::ClockStep { .. }
                        | GatewayEvent::Gap { .. }
                )
            ),
        }
    }
}

impl<S: Source + Commands> History for Seen<S> {
    async fn readings(&self, wanted: Wanted, rows_max: usize) -> Result<Page, ReadBroken> {
        if self.reaches(&wanted.device) {
            self.inner.readings(wanted, rows_max).await
        } else {
            Ok(Page::default())
        }
    }

    async fn remembers(&self, device: &DeviceId) -> Result<bool, ReadBroken> {
        Ok(self.reaches(device) && self.inner.remembers(device).await?)
    }

    fn energy(&self, device: &DeviceId, days: u16, unix_ms: i64) -> Energy {
        let mut energy = self.inner.energy(device, days, unix_ms);
        if !self.reaches(device) {
            energy.days.clear();
        }
        energy
    }
}

impl<S: Commands> Commands for Seen<S> {
    fn devices(&self) -> Vec<Arc<Device>> {
        let mut devices = self.inner.devices();
        devices.retain(|device| self.reaches(&device.id));
        devices
    }

    fn device(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.inner.device(id).filter(|device| self.reaches(&device.id))
    }

    fn command(&self, id: &CommandId) -> Option<Arc<Command>> {
        self.inner.command(id).filter(|command| self.reaches(&command.device))
    }

    fn open_commands(&self) -> Vec<Arc<Command>> {
        let mut commands = self.inner.open_commands();
        commands.retain(|command| self.reaches(&command.device));
        commands
    }

    /// Who is bound to devices is not told of others on their line.
    fn lines(&self) -> Vec<Arc<LineHealth>> {
        let lines = self.inner.lines();
        if !self.bound() {
            return lines;
        }
        let hide = |line: &Arc<LineHealth>| {
            Arc::new(LineHealth { foreign: Default::default(), joining: None, ..LineHealth::clone(line) })
        };
        lines.iter().map(hide).collect()
    }

    fn parts(&self) -> Vec<(&'static str, Part)> {
        self.inner.parts()
    }

    fn by(&self) -> By {
        self.who.by.clone()
    }

    async fn ask(&self, by: By, request: Request) -> Answer {
        match self.refusal(&request) {
            Some(refused) => Err(refused),
            None => self.inner.ask(by, request).await.map(|given| self.less(given)),
        }
    }

    async fn command_after(
        &self,
        id: &CommandId,
        version: Option<u32>,
        wait: Duration,
    ) -> Option<Arc<Command>> {
        self.command(id)?;
        self.inner.command_after(id, version, wait).await
    }
}

impl<S: Access> Access for Seen<S> {
    fn book<R>(&self, look: impl FnOnce(&Book) -> R) -> R {
        self.inner.book(look)
    }

    fn used(&self, grant: &Grant, unix_ms: i64) {
        self.inner.used(grant, unix_ms);
    }

    fn rights(&self) -> watch::Receiver<u64> {
        self.inner.rights()
    }
}
