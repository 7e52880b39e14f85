//! The modem as its host sees it: packets on a serial line of 115,200 baud, in front of [`Modem`].
//! `protocol-spec/host-link.md`.
//!
//! Refuses to know what the frames say and who else is on the wire. Pure: times are µs of the line, handed in.

use std::collections::VecDeque;

use plugline_protocol::frame::MAX_PDU;
use plugline_protocol::hostlink::{
    Confirm, Deframer, Hello, LINK_VERSION, MAX_ENCODED, Message, ModemKind, Receive, Signal, StartReason,
    Status, Transmit, TxResult, encode,
};
use plugline_protocol::timing::LineRate;

use crate::mains::line::{Delivery, Line};
use crate::mains::modem::{BootReason, Modem, ModemEvent, TxRequest, TxResult as Radio};
use crate::mains::phy::Phy;

/// Start, eight data and stop bit of a byte at 115,200 baud, in ns.
const BYTE_NS: u64 = 10 * 1_000_000_000 / 115_200;
/// Numbers of TX-REQs that are remembered, beside those of requests that wait.
const REMEMBERED: usize = 16;

/// What came over the serial line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Packets from the host that were understood.
    pub packets: u32,
    /// Bytes between two zeros that were no packet, and packets of no known type.
    pub link_errors: u32,
    /// TX-REQs that came again under their number.
    pub repeats: u32,
}

/// What is known of one TX-REQ.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: u8,
    id: u32,
    confirm: Confirm,
}

/// One direction of the serial line: bytes follow one another, none overtakes.
#[derive(Clone, Debug, Default)]
struct Serial {
    free_ns: u64,
    pieces: VecDeque<(u64, Vec<u8>)>,
}

impl Serial {
    fn push(&mut self, bytes: &[u8], now_us: u64) {
        self.free_ns = self.free_ns.max(now_us * 1_000) + BYTE_NS * bytes.len() as u64;
        self.pieces.push_back((self.free_ns.div_ceil(1_000), bytes.to_vec()));
    }

    fn due_us(&self) -> Option<u64> {
        self.pieces.front().map(|(due_us, _)| *due_us)
    }

    fn pop(&mut self, now_us: u64) -> Option<(u64, Vec<u8>)> {
        self.pieces.pop_front_if(|(due_us, _)| *due_us <= now_us)
    }
}

/// A modem with its serial line.
#[derive(Clone, Debug)]
pub struct Host {
    modem: Modem,
    rate: LineRate,
    boot: u32,
    deframer: Deframer,
    to_modem: Serial,
    to_host: Serial,
    known: VecDeque<Known>,
    next_id: u32,
    /// Of the next packet that nobody asked for.
    number: u8,
    stats: HostStats,
}

impl Host {
    /// Puts a serial line before a modem on a wire of this kind.
    #[must_use]
    pub fn new(modem: Modem, phy: &Phy) -> Self {
        let overhead = u8::try_from(phy.overhead_bytes).unwrap_or(u8::MAX);
        Self {
            modem,
            rate: LineRate { bit_per_s: phy.bit_rate.max(1), overhead },
            boot: 0,
            deframer: Deframer::new(),
            to_modem: Serial::default(),
            to_host: Serial::default(),
            known: VecDeque::new(),
            next_id: 0,
            number: 0,
            stats: HostStats::default(),
        }
    }

    /// The modem.
    #[must_use]
    pub fn modem(&self) -> &Modem {
        &self.modem
    }

    /// What came over the serial line.
    #[must_use]
    pub fn stats(&self) -> HostStats {
        self.stats
    }

    /// Bytes that the host begins to write now; they arrive one after the other.
    pub fn handle_bytes(&mut self, bytes: &[u8], now_us: u64) {
        if !bytes.is_empty() {
            self.to_modem.push(bytes, now_us);
        }
    }

    /// A frame that came to the modem's node, at the time of the delivery.
    pub fn handle_delivery(&mut self, delivery: &Delivery) {
        self.modem.handle_delivery(delivery);
    }

    /// When it wants to be called next; may be earlier than needed, never later.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.modem.poll_timeout().into_iter().chain(self.to_modem.due_us()).min()
    }

    /// When the next bytes are complete at the host's end.
    #[must_use]
    pub fn output_due_us(&self) -> Option<u64> {
        self.to_host.due_us()
    }

    /// Does what is due. The line must have been advanced to `now_us`.
    pub fn handle_timeout(&mut self, now_us: u64, line: &mut Line) {
        while let Some((_, bytes)) = self.to_modem.pop(now_us) {
            let mut deframer = self.deframer.clone();
            for byte in bytes {
                match deframer.push(byte) {
                    None => {}
                    Some(Err(_)) => self.stats.link_errors += 1,
                    Some(Ok(packet)) => match Message::parse(&packet) {
                        Ok(message) => {
                            self.stats.packets += 1;
                            self.obey(packet.seq, &message, now_us, line);
                        }
                        Err(_) => self.stats.link_errors += 1,
                    },
                }
            }
            self.deframer = deframer;
        }
        self.modem.handle_timeout(now_us, line);
        self.tell_events(now_us);
    }

    /// The next bytes for the host that are complete by now, with the time at which they were.
    pub fn poll_output(&mut self, now_us: u64) -> Option<(u64, Vec<u8>)> {
        self.to_host.pop(now_us)
    }

    fn obey(&mut self, number: u8, message: &Message<'_>, now_us: u64, line: &mut Line) {
        if !self.modem.is_running() {
            // One that hangs is helped by its watchdog, which the host link's RESET triggers; one that boots is deaf.
            if matches!(message, Message::Reset { .. }) {
                self.known.clear();
                self.modem.reset(now_us, line);
            }
            return;
        }
        match message {
            Message::Reset { .. } => {
                self.modem.cancel_all();
                self.known.clear();
                self.hello(StartReason::Asked, now_us);
            }
            Message::Transmit(transmit) => self.transmit(number, transmit, now_us),
            Message::Cancel { number: which } => self.cancel(number, *which, now_us),
            Message::StatusAsk => {
                let status = self.status(now_us, line);
                self.write(number, &Message::Status(status), now_us);
            }
            // Only modems say the others.
            _ => self.stats.link_errors += 1,
        }
    }

    fn transmit(&mut self, number: u8, transmit: &Transmit<'_>, now_us: u64) {
        if let Some(known) = self.known.iter().rfind(|known| known.number == number) {
            let confirm = known.confirm;
            self.stats.repeats += 1;
            return self.write(number, &Message::Confirm(confirm), now_us);
        }
        let Transmit { not_before_us, not_after_us, pdu } = *transmit;
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        self.forget();
        self.known.push_back(Known { number, id, confirm: unsent(TxResult::Queued) });
        if pdu.is_empty() || pdu.len() > MAX_PDU || not_after_us < not_before_us {
            return self.settle(id, unsent(TxResult::Bad), now_us);
        }
        self.modem.request(TxRequest { id, not_before_us, not_after_us, frame: pdu.to_vec() }, now_us);
        self.tell_events(now_us);
        if self.known.back().is_some_and(|known| known.confirm.result == TxResult::Queued) {
            self.write(number, &Message::Confirm(unsent(TxResult::Queued)), now_us);
        }
    }

    /// Makes room for one more number: the oldest goes whose request ended.
    fn forget(&mut self) {
        let ended = |known: &Known| known.confirm.result != TxResult::Queued;
        if self.known.iter().filter(|known| ended(known)).count() >= REMEMBERED
            && let Some(at) = self.known.iter().position(ended)
        {
            self.known.remove(at);
        }
    }

    fn cancel(&mut self, number: u8, which: u8, now_us: u64) {
        let known = self.known.iter().rfind(|known| known.number == which).copied();
        if let Some(known) = known.filter(|known| self.modem.cancel(known.id)) {
            self.settle(known.id, unsent(TxResult::Cancelled), now_us);
        }
        let stands = self.known.iter().rfind(|known| known.number == which);
        let confirm = stands.map_or(unsent(TxResult::Bad), |known| known.confirm);
        self.write(number, &Message::Confirm(confirm), now_us);
    }

    /// A request ended: it is told, and remembered for those who ask again.
    fn settle(&mut self, id: u32, confirm: Confirm, now_us: u64) {
        let Some(known) = self.known.iter_mut().find(|known| known.id == id) else { return };
        known.confirm = confirm;
        let number = known.number;
        self.write(number, &Message::Confirm(confirm), now_us);
    }

    fn tell_events(&mut self, now_us: u64) {
        while let Some(event) = self.modem.poll_event() {
            match event {
                ModemEvent::Garbage(bytes) => self.to_host.push(&bytes, now_us),
                ModemEvent::Started { boot_id, reason } => {
                    self.boot = boot_id;
                    self.known.clear();
                    self.deframer.reset();
                    self.hello(
                        match reason {
                            BootReason::PowerOn => StartReason::Power,
                            BootReason::Fault => StartReason::Fault,
                            BootReason::Host => StartReason::Watchdog,
                        },
                        now_us,
                    );
                }
                ModemEvent::Received { end_us, snr_db, frame, .. } => {
                    let signal = Signal { snr_db: Some(snr_db.min(126)), level: None };
                    let number = self.numbered();
                    self.write(number, &Message::Receive(Receive { signal, end_us, pdu: &frame }), now_us);
                }
                ModemEvent::Confirmed { id, result, started_us, airtime_us } => {
                    self.settle(id, confirm_of(result, started_us, airtime_us), now_us);
                }
            }
        }
    }

    fn hello(&mut self, reason: StartReason, now_us: u64) {
        let hello = Hello {
            version: LINK_VERSION,
            boot: self.boot,
            kind: ModemKind::Simulated,
            reason,
            rate: self.rate,
            own_check: !self.modem.has_crc(),
            no_slots: false,
            max_pdu: u8::try_from(MAX_PDU).unwrap_or(u8::MAX),
            queue: u8::try_from(self.modem.queue_max()).unwrap_or(u8::MAX),
            clock_us: self.modem.clock_us(now_us),
        };
        let number = self.numbered();
        self.write(number, &Message::Hello(hello), now_us);
    }

    fn status(&self, now_us: u64, line: &Line) -> Status {
        let stats = self.modem.stats();
        // They wrap.
        let low = |count: u64| (count & u64::from(u32::MAX)) as u32;
        Status {
            clock_us: self.modem.clock_us(now_us),
            received: low(stats.received),
            bad: low(stats.crc_errors),
            sent: low(stats.sent),
            link_errors: self.stats.link_errors,
            busy_ms: low(line.stats().busy_us / 1_000),
            queued: u8::try_from(self.modem.queued()).unwrap_or(u8::MAX),
        }
    }

    fn numbered(&mut self) -> u8 {
        let number = self.number;
        self.number = number.wrapping_add(1);
        number
    }

    fn write(&mut self, number: u8, message: &Message<'_>, now_us: u64) {
        let mut room = [0; MAX_ENCODED];
        // Too long is only a frame of somebody else that no packet can hold: a modem has no room for it either.
        if let Ok(bytes) = encode(number, message, &mut room) {
            self.to_host.push(bytes, now_us);
        }
    }
}

fn unsent(result: TxResult) -> Confirm {
    Confirm { result, end_us: 0, airtime_us: 0 }
}

fn confirm_of(result: Radio, started_us: u64, airtime_us: u64) -> Confirm {
    match result {
        Radio::Sent => Confirm {
            result: TxResult::Sent,
            end_us: started_us + airtime_us,
            airtime_us: u32::try_from(airtime_us).unwrap_or(u32::MAX),
        },
        Radio::Busy => unsent(TxResult::Full),
        Radio::Late | Radio::ChannelBusy => unsent(TxResult::Late),
        Radio::BadFrame => unsent(TxResult::Bad),
    }
}

#[cfg(test)]
mod tests;
