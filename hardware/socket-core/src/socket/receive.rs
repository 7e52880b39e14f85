//! What comes from the line: judged, counted, handed on. Nothing acts before its tag was found right.
//! Spec: protocol-spec/line.md §3.6, security.md §5.

use plugline_protocol::frame::{Frame, Kind, MAX_PAYLOAD, without_crc};
use plugline_protocol::messages::Beacon;
use plugline_protocol::security::{Channel, OpenError, ShortKey, Verdict};

use super::Socket;
use crate::Board;
use crate::clock::Minutes;
use crate::counts::count;
use crate::time::ms;

impl<B: Board> Socket<B> {
    pub(super) fn receive(&mut self, octets: &[u8], received_us: u64) {
        let pdu = if self.factory.crc { without_crc(octets) } else { Some(octets) };
        let frame = match pdu.map(Frame::parse) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.outbox.heard(received_us, false);
                return self.counts.malformed_frame(error);
            }
            None => {
                self.outbox.heard(received_us, false);
                return count(&mut self.counts.crc);
            }
        };
        self.outbox.heard(received_us, is_answered(&frame) && !self.is_for_me(&frame));
        self.dispatch(&frame, received_us);
    }

    fn is_for_me(&self, frame: &Frame<'_>) -> bool {
        self.settings
            .place
            .as_ref()
            .is_some_and(|place| frame.network() == place.identity.network && frame.short() == place.short())
    }

    fn dispatch(&mut self, frame: &Frame<'_>, received_us: u64) {
        match (frame.kind(), &self.settings.place) {
            (Kind::JoinDown, None) => return self.on_join_down(frame),
            (Kind::JoinUp, _) => return,
            (_, None) => return count(&mut self.counts.foreign),
            (_, Some(place)) if frame.network() != place.identity.network => {
                return count(&mut self.counts.foreign);
            }
            (_, Some(_)) => {}
        }
        let mine = self.is_for_me(frame);
        match frame.kind() {
            Kind::Beacon => self.on_beacon(frame, received_us),
            Kind::Command if mine => self.on_command(frame, received_us),
            Kind::Ack if mine => self.on_ack(frame),
            Kind::JoinDown | Kind::ResumeAsk | Kind::ResumeDown if mine => count(&mut self.counts.ignored),
            Kind::Bulk => count(&mut self.counts.ignored),
            // Other sockets' frames, and what other sockets are told.
            Kind::Command
            | Kind::Ack
            | Kind::Report
            | Kind::Response
            | Kind::Answer
            | Kind::JoinUp
            | Kind::JoinDown
            | Kind::ResumeAsk
            | Kind::ResumeUp
            | Kind::ResumeDown => {}
        }
    }

    fn on_beacon(&mut self, frame: &Frame<'_>, received_us: u64) {
        let (Some(place), Some(counter)) = (&mut self.settings.place, frame.counter()) else { return };
        let mut clear = [0; MAX_PAYLOAD];
        let group = Channel::group(&place.group_key, place.identity.network);
        let payload = match group.open(frame, &mut clear) {
            Ok(payload) => payload,
            Err(OpenError::Forged) => return count(&mut self.counts.forged),
            Err(OpenError::NotForUs | OpenError::Full) => return,
        };
        let Some(gate) = &mut place.group else { return count(&mut self.counts.ignored) };
        match gate.judge(counter) {
            Verdict::Fresh => {}
            Verdict::TooFar => {
                count(&mut self.counts.too_far);
                return self.ask_for_sync();
            }
            Verdict::Repeat | Verdict::Replayed | Verdict::Stale => return count(&mut self.counts.replayed),
        }
        match Beacon::parse(payload) {
            Ok(beacon) => self.follow(&beacon, received_us),
            Err(_) => count(&mut self.counts.malformed),
        }
    }

    fn follow(&mut self, beacon: &Beacon<'_>, received_us: u64) {
        let minutes = self.clock.sync(beacon, received_us);
        self.turn_minutes();
        if minutes == Minutes::Anew {
            self.count_anew();
        }
        let slot = self.settings.place.as_ref().and_then(|place| place.slot);
        if slot.is_some_and(|slot| beacon.received.get(slot)) {
            self.reports_arrived();
        }
        if let Some(quiet_s) = beacon.quiet_s() {
            let until_us = received_us + ms(u32::from(quiet_s) * 1000);
            self.hold_us = self.hold_us.max(until_us);
            self.outbox.hold(until_us);
        }
        self.plan_report();
    }

    /// One REPORT asks; the flag stays in all others until a SYNC came.
    fn ask_for_sync(&mut self) {
        if !self.wants_sync {
            self.wants_sync = true;
            self.reports.event_at(self.now_us.max(self.hold_us));
        }
    }

    fn on_ack(&mut self, frame: &Frame<'_>) {
        let (Some(place), Some(counter)) = (&self.settings.place, self.reports.asked_counter()) else {
            return;
        };
        if ShortKey::new(&place.ack, &place.identity).is_ack(frame, counter) {
            self.acknowledged();
        } else if frame.counter_low() == Some(counter as u8) {
            count(&mut self.counts.forged);
        }
    }
}

/// Somebody will answer this frame at once.
fn is_answered(frame: &Frame<'_>) -> bool {
    match frame.kind() {
        Kind::Command | Kind::JoinUp => true,
        Kind::Report => frame.header().ack_request,
        _ => false,
    }
}
