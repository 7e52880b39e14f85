//! What is heard on the line: whose it is, whether it is genuine and new, and what it tells.

use std::time::Duration;

use plugline_protocol::frame::{Frame, FrameError, Kind, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::messages::{Extensions, Report, extension};
use plugline_protocol::reading::{Cause as Why, Reading as Figures};
use plugline_protocol::security::Verdict;
use plugline_protocol::timing::{TURNAROUND_MAX_US, TURNAROUND_MIN_US};
use plugline_protocol::{Eui64, ShortAddress};

use super::super::member::{Member, Minutes, spelled};
use super::Plugline;
use crate::device::{Moment, Now, Quantity, Reading};
use crate::line::{Cause, Happening};

const MINUTE: Duration = Duration::from_secs(60);
/// A REPORT of a minute further back is of the past: it may be a recorded one, from before a restart.
const CURRENT_MINUTES: u64 = 2;
/// Until a BEACON reached every socket after numbers were made anew, their minutes say nothing.
const SETTLING: Duration = Duration::from_secs(180);
/// 0.1 Wh in mWh.
const UNIT_MWH: i64 = 100;

/// The word under which a frame that is none is counted.
fn kind_of(error: &FrameError) -> &'static str {
    match error {
        FrameError::Version(_) => "version",
        FrameError::Kind(_) => "kind",
        FrameError::Length { .. } => "length",
        FrameError::Address { .. } => "address",
    }
}

/// Why the relay is as it is.
pub(super) fn cause_of(why: Why) -> Cause {
    match why {
        Why::PowerOn => Cause::PowerOn,
        Why::Command => Cause::Command,
        Why::Button => Cause::Button,
        Why::OverCurrent | Why::OverTemperature => Cause::Trip,
        Why::Other => Cause::Unknown,
    }
}

impl Plugline {
    pub(super) fn hear(&mut self, pdu: &[u8], end_us: u64, now: Now) {
        let frame = match Frame::parse(pdu) {
            Ok(frame) => frame,
            Err(error) => return self.count(kind_of(&error)),
        };
        if frame.kind() == Kind::JoinUp {
            return self.join_up(&frame, end_us, now);
        }
        if self.network.as_ref().is_none_or(|network| network.id != frame.network()) {
            return self.stranger(&frame, end_us, now.mono);
        }
        match frame.kind() {
            Kind::Report => self.report(&frame, end_us, now),
            Kind::Response => self.response(&frame, now),
            Kind::Answer => self.answer(&frame, now),
            Kind::Beacon => self.rival(&frame),
            Kind::ResumeUp | Kind::Bulk => self.count("ignored"),
            // Down frames of this network are our own, passed on.
            _ => self.count("not_for_us"),
        }
    }

    /// A frame of another network: shown, never acted on.
    fn stranger(&mut self, frame: &Frame<'_>, end_us: u64, now: Moment) {
        let network = frame.network();
        let airtime_us = self.airtime_us(frame.pdu().len());
        self.neighbour_heard(airtime_us, end_us, now);
        let address = match frame.kind() {
            Kind::Beacon | Kind::Bulk => format!("{:04x}", network.0),
            _ => format!("{:04x}/{:04x}", network.0, frame.short().0),
        };
        self.outputs.happen(Happening::Foreign { address: address.into() });
        if self.told_networks.len() < super::TOLD_MAX && self.told_networks.insert(network) {
            let detail = format!(
                "another Plugline network ({:04X}) is heard on this wiring; its sockets are left alone",
                network.0
            );
            self.notice("second_network", detail);
        }
    }

    /// A BEACON of this network that is not from here.
    fn rival(&mut self, frame: &Frame<'_>) {
        let Some(network) = &self.network else { return };
        let id = network.id.0;
        let channel = plugline_protocol::security::Channel::group(&network.group_key, network.id);
        let mut clear = [0; MAX_PAYLOAD];
        if channel.open(frame, &mut clear).is_err() {
            self.count("forged");
            let detail =
                format!("somebody else uses the name {id:04X} of this network, or plays its gateway");
            return self.notice_once("network_clash", "", detail);
        }
        self.count("rival");
        let detail = format!(
            "another gateway speaks for this network ({id:04X}) with its keys: one was restored from the other's backup; stop one of them"
        );
        self.notice_once("second_gateway", "", detail);
    }

    /// The socket that a frame claims to be from, if it is believed at all by now.
    fn claimed(&mut self, frame: &Frame<'_>) -> Option<ShortAddress> {
        let short = frame.short();
        match self.members.get(&short) {
            None => {
                self.unknown_socket(short);
                None
            }
            Some(member) if member.keeping.is_some() => None,
            Some(_) => Some(short),
        }
    }

    fn unknown_socket(&mut self, short: ShortAddress) {
        self.count("unknown");
        if let Some(eui) = self.former.get(&short).copied() {
            return self.two_of_one_label(eui);
        }
        let detail = format!(
            "a socket of this network (short address {:04X}) is not known: it was removed, or its joining was lost; hold its button for ten seconds and let it join again",
            short.0
        );
        self.notice_once("unknown_socket", &short.0.to_string(), detail);
    }

    pub(super) fn two_of_one_label(&mut self, eui: Eui64) {
        let name = spelled(eui);
        let detail = format!("two sockets have the label of {name}: only the one that joined last is let in");
        self.notice_once("two_of_one_label", &name, detail);
    }

    fn report(&mut self, frame: &Frame<'_>, end_us: u64, now: Now) {
        if self.commits(frame, end_us, now.mono) {
            return;
        }
        let Some(short) = self.claimed(frame) else { return };
        let mut clear = [0; MAX_PAYLOAD];
        let Some((clear, counter, newest)) = self.opened(short, frame, &mut clear) else { return };
        let Ok(report) = Report::parse(clear) else { return self.count("malformed") };
        let Some(verdict) = self.judged(short, counter, now.mono) else { return };
        let number = self.superframe(end_us).0;
        let Some(member) = self.members.get(&short) else { return };
        if let Some(slot) = member.own.slot {
            self.received.mark(number, slot);
        }
        if frame.header().ack_request {
            self.acknowledge(short, counter, end_us, now.mono);
        }
        // What was told before is not told again; what was overtaken is in the history of what overtook it.
        if verdict == Verdict::Fresh && counter > newest {
            if !report.reading.flags.booted {
                self.proven(short);
            }
            self.tell_report(short, &report, end_us, now);
        }
    }

    /// Opens a frame of a socket; gives the clear payload, its counter, and the newest counter before it.
    pub(super) fn opened<'c>(
        &mut self,
        short: ShortAddress,
        frame: &Frame<'_>,
        clear: &'c mut [u8],
    ) -> Option<(&'c [u8], u32, u32)> {
        let member = self.members.get(&short)?;
        let newest = member.own.window.newest();
        match (member.link.up.open(frame, clear), frame.counter()) {
            (Ok(clear), Some(counter)) => Some((clear, counter, newest)),
            _ => {
                self.count("forged");
                None
            }
        }
    }

    /// Judges a genuine counter; `None` for one that is too old.
    pub(super) fn judged(&mut self, short: ShortAddress, counter: u32, now: Moment) -> Option<Verdict> {
        let verdict = self.members.get_mut(&short)?.own.window.judge(counter);
        if verdict == Verdict::Replayed {
            self.count("replayed");
            return None;
        }
        if verdict == Verdict::Fresh {
            self.alive(short, now);
        } else {
            self.count("repeated");
        }
        Some(verdict)
    }

    /// A genuine new frame of a socket.
    pub(super) fn alive(&mut self, short: ShortAddress, now: Moment) {
        let Some(member) = self.members.get_mut(&short) else { return };
        member.heard = Some(now);
        if std::mem::take(&mut member.silent) {
            member.patience = Default::default();
        }
        member.ask_now |= std::mem::take(&mut member.unsure);
        if std::mem::take(&mut member.asked_again) {
            let eui = member.eui();
            self.two_of_one_label(eui);
        }
        let Some(member) = self.members.get(&short) else { return };
        let (target, leaving, known) = (member.target(), member.leaving, member.attached);
        if leaving {
            return;
        }
        if !known {
            // The registry lost it, or never had it: its keys say that it belongs here.
            self.outputs.happen(Happening::Joined { target: target.clone() });
        }
        self.outputs.happen(Happening::Heard { target: target.clone() });
        if let Some(reception) = self.reception.take() {
            self.outputs.happen(Happening::Received { target, reception });
        }
    }

    /// Acknowledges a REPORT; the same one again with the same octets.
    fn acknowledge(&mut self, short: ShortAddress, counter: u32, end_us: u64, now: Moment) {
        let Some(member) = self.members.get(&short) else { return };
        let mut room = [0; MAX_PDU];
        let Ok(pdu) = member.link.short.ack(Options::default(), counter, &mut room) else { return };
        let after = |us: u32| end_us.wrapping_add(us.into());
        let window = (after(TURNAROUND_MIN_US), after(TURNAROUND_MAX_US));
        if self.host.send(pdu, window, now, &mut self.outputs).is_none() {
            self.count("too_busy");
        }
    }

    fn tell_report(&mut self, short: ShortAddress, report: &Report<'_>, end_us: u64, now: Now) {
        let (number, into_us) = self.superframe(end_us);
        let plan = self.schedule.map(|schedule| schedule.plan);
        let settled =
            self.frames.is_some_and(|frames| frames.by_wall) || now.mono.since(self.frames_since) >= SETTLING;
        let Some(member) = self.members.get_mut(&short).filter(|member| !member.leaving) else { return };
        let flags = report.reading.flags;
        let counts = settled && !flags.free_running;
        let behind = (number as u8).wrapping_sub(report.minute);
        // A socket may be a moment ahead of us.
        let behind = if counts && behind < 0xF0 { u64::from(behind) } else { 0 };
        let minute = number.saturating_sub(behind);
        member.sync |= flags.sync;
        let (figures, total, extra) = member.figures(&report.reading, report.extensions);
        let first = member.minutes.is_none();
        let minutes = member.minutes.get_or_insert(Minutes::since(minute));
        minutes.take(minute);
        // With longer pauses between reports the minutes between them were not asked for.
        let fills = !first && counts && member.own.told.minutes == 1 && !flags.energy_reset;
        let deltas = report.history.deltas();
        let mut missing = Vec::new();
        if let Some((quantity, mut total)) = total.filter(|_| fills) {
            for (back, delta) in (1u64..).zip(deltas) {
                let Some(earlier) = delta.and_then(|delta| total.checked_sub(delta.into())) else { break };
                total = earlier;
                if minute.checked_sub(back).is_some_and(|minute| minutes.take(minute)) {
                    missing.push((behind + back, Reading::of(quantity, in_mwh(total))));
                }
            }
        }
        let target = member.target();
        // What is told late was read at the slot of its minute; this REPORT may be one of a button, at any other time.
        let slot_ms = member.own.told_slot.and_then(|slot| plan?.start_ms(slot));
        let slot = slot_ms.map_or(into_us, |slot_ms| u64::from(slot_ms) * 1_000);
        let (into, slot) = (Duration::from_micros(into_us), Duration::from_micros(slot));
        self.urgent |= extra;
        if behind <= CURRENT_MINUTES {
            self.tell_figures(short, &report.reading, figures);
        } else if let Some((quantity, total)) = total {
            missing.push((behind, Reading::of(quantity, in_mwh(total))));
        }
        // Behind the present one: a total of the past is judged against it.
        missing.sort_unstable_by_key(|(back, _)| std::cmp::Reverse(*back));
        for (back, reading) in missing {
            let age = (MINUTE * u32::try_from(back).unwrap_or(u32::MAX) + into).saturating_sub(slot);
            self.outputs.happen(Happening::LateReading { target: target.clone(), reading, age });
        }
    }

    /// Tells what a socket measured just now, and where its relay is.
    pub(super) fn tell_figures(&mut self, short: ShortAddress, raw: &Figures, figures: Reading) {
        let Some(member) = self.members.get_mut(&short).filter(|member| !member.leaving) else { return };
        let target = member.target();
        let flags = raw.flags;
        let alarms = [flags.locked_out, flags.hot];
        let before = std::mem::replace(&mut member.alarms, alarms);
        if member.own.capabilities.relay {
            let cause = cause_of(flags.cause);
            self.outputs.happen(Happening::Relay { target: target.clone(), on: flags.relay_on, cause });
        }
        if !figures.is_empty() {
            self.outputs.happen(Happening::Reading { target: target.clone(), reading: figures });
        }
        let address = target.address;
        if alarms[0] && !before[0] {
            let detail = format!(
                "{address} opened its relay because of too much current; it refuses to switch on until its button is pressed"
            );
            self.notice("over_current", detail);
        }
        if alarms[1] && !before[1] {
            self.notice("too_hot", format!("{address} says that it is too hot inside: see what hangs on it"));
        }
    }
}

impl Member {
    /// Figures in the hub's units; the total in 0.1 Wh; whether something is to be kept now.
    pub(super) fn figures(
        &mut self,
        raw: &Figures,
        extensions: Extensions<'_>,
    ) -> (Reading, Option<(Quantity, u64)>, bool) {
        let mut reading = Reading::default();
        let mut set = |quantity, value: Option<i64>| {
            if let Some(value) = value {
                reading.set(quantity, value);
            }
        };
        set(Quantity::Power, raw.power_mw().map(i64::from));
        set(Quantity::Voltage, raw.voltage_mv().map(i64::from));
        set(Quantity::Current, raw.current_ma.map(i64::from));
        set(Quantity::Temperature, raw.temperature_c.map(|value| i64::from(value) * 10));
        let pair = |kind| extensions.get(kind).and_then(|value| <[u8; 2]>::try_from(value).ok());
        let frequency = pair(extension::FREQUENCY).map(u16::from_be_bytes);
        let power_factor = pair(extension::POWER_FACTOR).map(i16::from_be_bytes);
        set(Quantity::Frequency, frequency.map(|value| i64::from(value) * 10));
        set(Quantity::PowerFactor, power_factor.map(|value| i64::from(value) / 10));
        let (quantity, register) = match raw.flags.export {
            true => (Quantity::EnergyExport, &mut self.own.export),
            false => (Quantity::Energy, &mut self.own.import),
        };
        let mut keep = false;
        let total = raw.energy_100mwh.map(|value| {
            let (total, moved) = register.take(value, raw.flags.energy_reset);
            keep |= moved;
            (quantity, total)
        });
        if let Some((quantity, total)) = total {
            reading.set(quantity, in_mwh(total));
        }
        let extras = [frequency.is_some(), power_factor.is_some()];
        for (known, seen) in self.own.extras.iter_mut().zip(extras) {
            keep |= seen && !*known;
            *known |= seen;
        }
        (reading, total, keep)
    }
}

fn in_mwh(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(UNIT_MWH)
}
