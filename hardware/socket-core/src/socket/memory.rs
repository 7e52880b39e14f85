//! What the socket remembers: settings and energy on their way to the board and back. Knows no frames.

use super::report::{News, Reports};
use super::{Socket, Start};
use crate::log::{Held, Log};
use crate::relay::Relay;
use crate::{Board, SETTINGS_LEN};

/// Pages of the settings; the journal has the others.
const SETTINGS_PAGES: usize = 2;
/// Octets of a journal record: energy, relay and minute.
const JOURNAL_LEN: usize = 16;

impl<B: Board> Socket<B> {
    /// `true` when the board had settings. Not inlined: its stack is gone when the next step comes.
    #[inline(never)]
    pub(super) fn recall_settings(&mut self) -> bool {
        let mut record = [0; SETTINGS_LEN];
        let (log, held) = Log::open(&self.board, 0, SETTINGS_PAGES, &mut record);
        self.settings_log = log;
        let damaged = held == Held::Damaged;
        let known =
            held != Held::Nothing && self.settings.restore(Log::body(&record), self.factory.eui, damaged);
        self.settings.starts = self.settings.starts.saturating_add(1);
        known
    }

    #[inline(never)]
    pub(super) fn recall_journal(&mut self, known: bool, start: Start) {
        let mut record = [0; JOURNAL_LEN];
        let (log, held) = Log::open(&self.board, SETTINGS_PAGES, B::PAGES - SETTINGS_PAGES, &mut record);
        self.journal = log;
        let kept = Kept::of(Log::body(&record)).filter(|_| held != Held::Nothing);
        if known && kept.is_none() {
            self.reports = Reports::new(News::BOOTED.with(News::ENERGY_RESET));
        }
        let (import, export) = kept.as_ref().map_or((0, 0), |kept| (kept.import, kept.export));
        self.meter.restore(import, export, self.factory.capabilities.export);
        self.relay = Relay::restored(kept.map(|kept| kept.relay), self.settings.options.power_on, start);
    }

    /// Writes the settings; `true` when the board has them.
    pub(super) fn save(&mut self) -> bool {
        let mut record = [0; SETTINGS_LEN];
        self.settings.write(!self.leave.is_set(), Log::body_mut(&mut record));
        self.fault = !self.settings_log.append(&mut self.board, &mut record);
        !self.fault
    }

    /// Writes energy and relay to the journal.
    pub(super) fn store_energy(&mut self) {
        let (import, export) = self.meter.registers();
        let kept = Kept { import, export, minute: self.clock.minute(), relay: self.relay };
        let mut record = [0; JOURNAL_LEN];
        Log::body_mut(&mut record).copy_from_slice(&kept.octets());
        let stored = self.journal.append(&mut self.board, &mut record);
        self.stored = stored.then_some((import, export));
    }

    /// The journal has the registers as they are now. What is told was stored before.
    pub(super) fn stored_energy(&mut self) -> bool {
        if self.stored != Some(self.meter.registers()) {
            self.store_energy();
        }
        self.stored.is_some()
    }
}

/// The body of a journal record: one interval reading, and all that a start needs to know of energy and relay.
struct Kept {
    import: u32,
    export: u32,
    minute: u8,
    relay: Relay,
}

impl Kept {
    fn octets(&self) -> [u8; 10] {
        let [i0, i1, i2, i3] = self.import.to_be_bytes();
        let [e0, e1, e2, e3] = self.export.to_be_bytes();
        [i0, i1, i2, i3, e0, e1, e2, e3, self.minute, self.relay.octet()]
    }

    fn of(body: &[u8]) -> Option<Self> {
        let [i0, i1, i2, i3, e0, e1, e2, e3, minute, relay] = *body.first_chunk()?;
        Some(Self {
            import: u32::from_be_bytes([i0, i1, i2, i3]),
            export: u32::from_be_bytes([e0, e1, e2, e3]),
            minute,
            relay: Relay::of(relay),
        })
    }
}
