//! The window of messages in flight, and how far the feed is delivered for sure. Pure.
//!
//! The client names packets only when it sends them: the ids that it reports belong to the messages handed to it, in
//! that order. Acknowledgements may come in any order; the position waits for the oldest.

use std::collections::VecDeque;

/// Messages handed to the client and not yet acknowledged; also the client's own limit, whose default reserves 14 MB.
pub const IN_FLIGHT: usize = 64;

#[derive(Debug)]
struct Slot {
    seq: u64,
    packet: Option<u16>,
    acked: bool,
}

/// Messages in flight, oldest first.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
}

impl Window {
    /// Another message may be handed to the client.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.slots.len() < IN_FLIGHT
    }

    /// So many are in flight, or wait behind one that is.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Another message of the past may be handed over: the other half is for what happens now.
    #[must_use]
    pub fn has_room_for_past(&self) -> bool {
        self.slots.len() < IN_FLIGHT / 2
    }

    /// Nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A message made for the event `seq` was handed to the client.
    pub fn handed(&mut self, seq: u64) {
        self.slots.push_back(Slot { seq, packet: None, acked: false });
    }

    /// The client sent its next message as `packet`.
    pub fn sent(&mut self, packet: u16) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.packet.is_none()) {
            slot.packet = Some(packet);
        }
    }

    /// The broker has `packet`.
    pub fn acked(&mut self, packet: u16) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.packet == Some(packet) && !slot.acked) {
            slot.acked = true;
        }
        while self.slots.front().is_some_and(|slot| slot.acked) {
            self.slots.pop_front();
        }
    }

    /// The lowest event that a message was made for which the broker may not have.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.slots.iter().filter(|slot| !slot.acked).map(|slot| slot.seq).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_waits_for_its_own_acknowledgement() {
        let mut window = Window::default();
        for (seq, packet) in [(10, 1), (11, 2), (12, 3)] {
            window.handed(seq);
            window.sent(packet);
        }
        window.acked(2);
        window.acked(3);
        assert_eq!(window.oldest(), Some(10));
        // A message of the past was handed over behind younger ones.
        window.handed(4);
        assert_eq!(window.oldest(), Some(4));
        window.sent(9);
        window.acked(9);
        window.acked(1);
        assert_eq!(window.oldest(), None);
        assert!(window.is_empty());
    }

    #[test]
    fn a_packet_id_used_again_belongs_to_the_younger_message() {
        let mut window = Window::default();
        window.handed(1);
        window.handed(2);
        window.sent(7);
        window.sent(8);
        window.acked(8);
        window.handed(3);
        window.sent(8);
        window.acked(8);
        assert_eq!(window.oldest(), Some(1));
        window.acked(7);
        assert!(window.is_empty());
    }

    #[test]
    fn the_window_closes_at_its_limit() {
        let mut window = Window::default();
        for seq in 0..IN_FLIGHT as u64 {
            assert!(window.has_room());
            window.handed(seq);
        }
        assert!(!window.has_room());
    }
}
