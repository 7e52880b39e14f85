//! One command to the modem and what it brings: the modem's echo, then perhaps an answer from the line.
//!
//! ```text
//! hold ─▶ write ─▶ echo 06 ─▶ answer           15: back off and write again · silence: write again, then give up
//! ```
//!
//! An answer is known by its sender and its command; the host link gives nothing else. Refuses to know why the
//! command is sent, and when lines are free.

use std::time::Duration;

use super::frame::{Command, Frame};
use super::message::{Address, Kind, METER_CMD1, Message, NakReason, Outgoing};
use crate::device::Moment;

/// An idle modem echoes at once.
pub(super) const ECHO: Duration = Duration::from_millis(500);
/// A command without echo is written so many times.
const WRITES_MAX: u8 = 3;
/// Waits after a modem that was not ready; each is twice the one before, from 10 ms to 640 ms.
const BACK_OFF: Duration = Duration::from_millis(10);
const BACK_OFFS: u8 = 7;
/// Wait before a modem that was not ready through all of them is told once more.
pub(super) const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// A device answers a standard message within 2.00 s or not at all, an extended one within 3.17 s.
const STANDARD_REPLY: Duration = Duration::from_millis(2_500);
const EXTENDED_REPLY: Duration = Duration::from_secs(4);
/// The modem sends a record right behind its echo.
const RECORD: Duration = Duration::from_secs(1);

const STATUS_BOTH_MAX: u8 = 3;
const SET_BUTTON: [u8; 2] = [0x01, 0x02];

/// What the command should bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// The echo is all.
    Echo,
    /// A record of the modem's link database.
    Record,
    /// The device's acknowledgement of this command.
    Ack,
    /// Its acknowledgement with the relay's level, whatever command that names; `both`: of two relays.
    Status { both: bool },
    /// Its acknowledgement, then its figures.
    Meter,
    /// Its acknowledgement, then a broadcast that names its product.
    Product,
    /// Its acknowledgement, then the modem's word that this link is made.
    Link { controls: bool, group: u8 },
    /// The modem's word that a link is made with anybody, until then.
    AnyLink { until: Moment },
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Hold(Moment),
    Echo(Moment),
    Reply(Moment),
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The modem took it, and that is all: its echo.
    Taken(Frame),
    /// The modem refused it, or has no (more) records.
    Refused,
    /// The modem was not ready through all back-offs.
    Busy,
    /// The modem did not echo.
    Mute,
    /// The modem took it, and nothing came.
    Silent,
    /// The device did it: cmd2 of its acknowledgement.
    Acknowledged(u8),
    /// The device refused.
    Nak(NakReason),
    /// The relay's level, or the bits of both.
    Level(u8),
    /// The meter's figures.
    Figures([u8; 14]),
    /// What the device is.
    Product([u8; 3]),
    /// A record of the link database.
    Record(super::message::LinkRecord),
    /// A link was made.
    Linked { controls: bool, group: u8, id: Address },
}

/// What a frame was to the command in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// The modem took the command; its answer is awaited.
    Echo,
    /// One more step towards the answer.
    Step,
    /// The modem was not ready; the command waits.
    NotReady,
    /// The end of it.
    Answer(Answer),
}

/// A command in flight.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) command: Command,
    wants: Wants,
    phase: Phase,
    /// From 1; one more each time the device stayed silent.
    pub(super) attempt: u8,
    writes: u8,
    not_ready: u8,
    pub(super) echoed: bool,
    acknowledged: bool,
    /// It was written, no echo came in time, and perhaps the modem took it all the same.
    unsure: bool,
}

impl Exchange {
    /// A command that waits for [`Exchange::hold`].
    pub(super) fn new(command: Command, wants: Wants) -> Self {
        Self {
            command,
            wants,
            phase: Phase::Hold(Moment::default()),
            attempt: 1,
            writes: 0,
            not_ready: 0,
            echoed: false,
            acknowledged: false,
            unsure: false,
        }
    }

    /// A message to a device.
    pub(super) fn send(outgoing: Outgoing, wants: Wants) -> Self {
        Self::new(Command::Send(outgoing), wants)
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Moment {
        match self.phase {
            Phase::Hold(due) | Phase::Echo(due) | Phase::Reply(due) => due,
        }
    }

    /// Lets it go out (again) at `at`.
    pub(super) fn hold(&mut self, at: Moment) {
        self.phase = Phase::Hold(at);
    }

    /// The device was silent: the same once more, from the start.
    pub(super) fn again(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
        (self.writes, self.not_ready) = (0, 0);
        (self.echoed, self.acknowledged) = (false, false);
    }

    /// It is written now.
    pub(super) fn written(&mut self, now: Moment) {
        self.writes = self.writes.saturating_add(1);
        self.phase = Phase::Echo(now + ECHO);
    }

    /// It went out and its fate is open.
    pub(super) fn in_flight(&self) -> bool {
        self.unsure || matches!(self.phase, Phase::Echo(_) | Phase::Reply(_))
    }

    /// It may have been carried out without anybody knowing.
    pub(super) fn unsure(&self) -> bool {
        self.unsure
    }

    /// To whom it goes.
    pub(super) fn to(&self) -> Option<Address> {
        match &self.command {
            Command::Send(outgoing) => Some(outgoing.to),
            _ => None,
        }
    }

    fn sent(&self) -> Option<&Outgoing> {
        match &self.command {
            Command::Send(outgoing) => Some(outgoing),
            _ => None,
        }
    }

    /// When it wants to be written.
    pub(super) fn held_until(&self) -> Option<Moment> {
        match self.phase {
            Phase::Hold(at) => Some(at),
            Phase::Echo(_) | Phase::Reply(_) => None,
        }
    }

    /// Its time has come: `None` when it is to be written.
    pub(super) fn wake(&mut self) -> Option<Answer> {
        match self.phase {
            Phase::Echo(_) if self.writes >= WRITES_MAX => return Some(Answer::Mute),
            Phase::Echo(due) => (self.phase, self.unsure) = (Phase::Hold(due), true),
            Phase::Hold(_) => {}
            Phase::Reply(_) => return Some(Answer::Silent),
        }
        None
    }

    fn reply_max(&self) -> Duration {
        let extended = self.sent().is_some_and(|outgoing| outgoing.data.is_some());
        match self.wants {
            Wants::Record => RECORD,
            Wants::Ack | Wants::Status { .. } if !extended => STANDARD_REPLY,
            _ => EXTENDED_REPLY,
        }
    }

    /// An echo of this very command. The modem may write another hop count into it.
    pub(super) fn echoes(&self, command: &Command) -> bool {
        match (&self.command, command) {
            (Command::Send(sent), Command::Send(echo)) => {
                (sent.to, sent.cmd1, sent.cmd2, sent.data) == (echo.to, echo.cmd1, echo.cmd2, echo.data)
            }
            (sent, echo) => sent == echo,
        }
    }

    /// The modem repeated this command with its word to it.
    pub(super) fn echo(&mut self, frame: &Frame, ack: bool, now: Moment) -> Heard {
        let late = self.unsure && !self.echoed && matches!(self.phase, Phase::Hold(_));
        if !late && !matches!(self.phase, Phase::Echo(_)) {
            return Heard::Nothing;
        }
        let refuses = !matches!(self.command, Command::Send(_) | Command::GetInfo | Command::GetConfig);
        match (ack, self.wants) {
            (false, _) if refuses => return Heard::Answer(Answer::Refused),
            (false, _) => return self.not_ready(now),
            (true, Wants::Echo) => return Heard::Answer(Answer::Taken(*frame)),
            (true, Wants::AnyLink { until }) => self.phase = Phase::Reply(until),
            (true, _) => self.phase = Phase::Reply(now + self.reply_max()),
        }
        self.echoed = true;
        Heard::Echo
    }

    /// Ends the wait for somebody's button.
    pub(super) fn wait_no_longer(&mut self, now: Moment) {
        if let Wants::AnyLink { until } = &mut self.wants {
            *until = now.min(*until);
            if let Phase::Reply(due) = &mut self.phase {
                *due = now.min(*due);
            }
        }
    }

    /// The modem was not ready for a command with this code; `None`: for whatever it was told.
    pub(super) fn refused(&mut self, code: Option<u8>, now: Moment) -> Heard {
        let mine = code.is_none_or(|code| code == self.command.code());
        if !mine || !matches!(self.phase, Phase::Echo(_)) {
            return Heard::Nothing;
        }
        self.not_ready(now)
    }

    fn not_ready(&mut self, now: Moment) -> Heard {
        if self.not_ready >= BACK_OFFS {
            return Heard::Answer(Answer::Busy);
        }
        self.phase = Phase::Hold(now + BACK_OFF * (1 << self.not_ready));
        self.not_ready += 1;
        self.writes = self.writes.saturating_sub(1);
        Heard::NotReady
    }

    /// A record of the link database.
    pub(super) fn record(&self, record: super::message::LinkRecord) -> Heard {
        match (self.wants, self.in_flight()) {
            (Wants::Record, true) => Heard::Answer(Answer::Record(record)),
            _ => Heard::Nothing,
        }
    }

    /// The modem made a link.
    pub(super) fn linked(&self, controls: bool, group: u8, id: Address) -> Heard {
        let mine = match self.wants {
            Wants::Link { controls: role, group: wanted } => {
                (role, wanted, self.to()) == (controls, group, Some(id))
            }
            Wants::AnyLink { .. } => true,
            _ => false,
        };
        if mine && self.in_flight() {
            return Heard::Answer(Answer::Linked { controls, group, id });
        }
        Heard::Nothing
    }

    /// A message from the line.
    pub(super) fn message(&mut self, message: &Message, data: Option<&[u8; 14]>, now: Moment) -> Heard {
        // A device that answers was told, even if the echo was lost on the way.
        let Some(sent) = self.sent().copied().filter(|sent| sent.to == message.from && self.in_flight())
        else {
            return Heard::Nothing;
        };
        match (message.flags.kind(), data, self.wants) {
            (Kind::DirectNak, None, wants) => {
                let named = message.cmd1 == sent.cmd1 || matches!(wants, Wants::Status { .. });
                self.nak(NakReason::of(message.cmd2), named, now)
            }
            (Kind::DirectAck, None, Wants::Status { both }) => {
                let fits = !both || message.cmd2 <= STATUS_BOTH_MAX;
                if fits { Heard::Answer(Answer::Level(message.cmd2)) } else { Heard::Nothing }
            }
            (Kind::DirectAck, None, wants) if message.cmd1 == sent.cmd1 => match wants {
                Wants::Ack => Heard::Answer(Answer::Acknowledged(message.cmd2)),
                _ => {
                    self.acknowledged = true;
                    self.phase = Phase::Reply(now + EXTENDED_REPLY);
                    Heard::Step
                }
            },
            (Kind::Direct | Kind::DirectAck, Some(data), Wants::Meter) if message.cmd1 == METER_CMD1 => {
                Heard::Answer(Answer::Figures(*data))
            }
            (Kind::Broadcast, None, Wants::Product) if SET_BUTTON.contains(&message.cmd1) => {
                Heard::Answer(Answer::Product(message.to.0))
            }
            _ => Heard::Nothing,
        }
    }

    fn nak(&mut self, reason: NakReason, named: bool, now: Moment) -> Heard {
        match reason {
            _ if !named => Heard::Nothing,
            NakReason::PreNak => {
                self.phase = Phase::Reply(now + self.reply_max());
                Heard::Step
            }
            reason => Heard::Answer(Answer::Nak(reason)),
        }
    }

    /// The device acknowledged, and what should follow has not come.
    pub(super) fn acknowledged(&self) -> bool {
        self.acknowledged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::insteon::message::Flags;

    const MODEM: Address = Address([0x1A, 0x77, 0x7B]);
    const SOCKET: Address = Address([0, 0, 4]);

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn reply(flags: u8, cmd1: u8, cmd2: u8) -> Message {
        Message { from: SOCKET, to: MODEM, flags: Flags(flags), cmd1, cmd2 }
    }

    fn echoed(cmd1: u8, cmd2: u8, wants: Wants) -> Exchange {
        let mut exchange = Exchange::send(Outgoing::standard(SOCKET, cmd1, cmd2), wants);
        exchange.written(at(0));
        let frame = Frame::Reply { command: exchange.command, ack: true };
        assert_eq!(exchange.echo(&frame, true, at(20)), Heard::Echo);
        exchange
    }

    #[test]
    fn a_modem_that_is_not_ready_is_told_seven_times_more_with_doubled_waits() {
        let mut exchange = Exchange::send(Outgoing::standard(SOCKET, 0x11, 0xFF), Wants::Ack);
        let mut now = at(0);
        let mut waits = Vec::new();
        loop {
            exchange.written(now);
            match exchange.refused(None, now) {
                Heard::NotReady => waits.push(exchange.due().since(now).as_millis()),
                heard => break assert_eq!(heard, Heard::Answer(Answer::Busy)),
            }
            now = exchange.due();
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640]);
    }

    #[test]
    fn a_command_without_echo_is_written_three_times() {
        let mut exchange = Exchange::new(Command::GetInfo, Wants::Echo);
        for _ in 0..3 {
            assert_eq!(exchange.wake(), None);
            exchange.written(at(0));
        }
        assert_eq!(exchange.wake(), Some(Answer::Mute));
    }

    #[test]
    fn the_status_reply_is_known_by_its_sender_and_not_by_its_command() {
        let mut exchange = echoed(0x19, 0, Wants::Status { both: false });
        let other = Message { from: Address([9, 9, 9]), ..reply(0x2B, 0x19, 0) };
        assert_eq!(exchange.message(&other, None, at(30)), Heard::Nothing);
        assert_eq!(exchange.message(&reply(0x27, 1, 0), None, at(30)), Heard::Answer(Answer::Level(0)));
        let mut both = echoed(0x19, 1, Wants::Status { both: true });
        assert_eq!(both.message(&reply(0x2B, 3, 0xFF), None, at(30)), Heard::Nothing, "no such bits");
    }

    #[test]
    fn a_pre_nak_makes_the_wait_longer_and_the_other_naks_end_it() {
        let mut exchange = echoed(0x11, 0xFF, Wants::Ack);
        assert_eq!(exchange.message(&reply(0xAB, 0x11, 0xFC), None, at(2_000)), Heard::Step);
        assert_eq!(exchange.due(), at(4_500));
        let nak = Heard::Answer(Answer::Nak(NakReason::NotLinked));
        assert_eq!(exchange.message(&reply(0xAB, 0x11, 0xFF), None, at(2_100)), nak);
    }

    #[test]
    fn an_echo_counts_once_and_with_any_hops() {
        let mut exchange = Exchange::send(Outgoing::standard(SOCKET, 0x11, 0xFF), Wants::Ack);
        let mut echo = Outgoing::standard(SOCKET, 0x11, 0xFF);
        echo.flags = Flags(0x05);
        assert!(exchange.echoes(&Command::Send(echo)));
        exchange.written(at(0));
        let frame = Frame::Reply { command: exchange.command, ack: true };
        assert_eq!(exchange.echo(&frame, true, at(1)), Heard::Echo);
        assert_eq!(exchange.echo(&frame, true, at(2)), Heard::Nothing);
        assert_eq!(exchange.due(), at(2_501));
    }
}
