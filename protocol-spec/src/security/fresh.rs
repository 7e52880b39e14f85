//! Freshness: who may be believed twice, and who not. `security.md` §5.5 and §5.6. Counters are judged only after
//! the tag was found right.

use crate::frame::TAG_LEN;

/// A socket stores a new ceiling whenever its up-counter has used this many: a day's reports cost two writes.
pub const STORE_EVERY: u32 = 1024;
/// Added to the stored ceiling at a start, so that nothing recorded before it is in reach of a reference.
pub const BOOT_JUMP: u32 = 16;
/// A COMMAND's reference may be this much behind the socket's up-counter.
pub const REFERENCE_LAG_MAX: u32 = 4;
/// The group counter may step by this much; beyond it the socket asks its gateway.
pub const GROUP_STEP_MAX: u32 = 4096;

const WINDOW: u32 = 64;

/// What a genuine frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// New: do it.
    Fresh,
    /// Seen before, and rightly repeated: answer as the first time, do nothing.
    Repeat,
    /// Old: count and drop.
    Replayed,
    /// New, and its reference is too old: answer so, do nothing.
    Stale,
    /// New, and too far ahead: ask before believing.
    TooFar,
}

/// Gateway: which up-counters of one socket were seen. A window of 64, because repeats overtake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    newest: u32,
    /// Bit k: `newest − k` was seen.
    seen: u64,
}

impl ReplayWindow {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { newest: 0, seen: 0 }
    }

    /// From a stored newest counter: everything up to it counts as too old, so that nothing is told twice.
    #[must_use]
    pub const fn restored(newest: u32) -> Self {
        Self { newest, seen: u64::MAX }
    }

    /// The newest counter; 0 when nothing was seen.
    #[must_use]
    pub const fn newest(&self) -> u32 {
        self.newest
    }

    /// Judges the counter of a genuine frame and remembers it: [`Verdict::Fresh`], [`Verdict::Repeat`] within the
    /// window, [`Verdict::Replayed`] behind it. Counter 0 is never used.
    pub fn judge(&mut self, counter: u32) -> Verdict {
        if counter > self.newest {
            let step = counter - self.newest;
            self.seen = if step < WINDOW { self.seen << step | 1 } else { 1 };
            self.newest = counter;
            return Verdict::Fresh;
        }
        let back = self.newest - counter;
        if counter == 0 || back >= WINDOW {
            Verdict::Replayed
        } else if self.seen >> back & 1 == 1 {
            Verdict::Repeat
        } else {
            self.seen |= 1 << back;
            Verdict::Fresh
        }
    }
}

/// Socket: which COMMANDs may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandGate {
    last: u32,
    tag: Option<[u8; TAG_LEN]>,
}

impl CommandGate {
    /// After a start, or with a new key set. Nothing is restored: what was recorded before a start has a reference that
    /// is too old.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0, tag: None }
    }

    /// The last counter that was accepted; 0 for none.
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Is this the last accepted frame again, octet for octet? Then the cached answer goes out once more; nothing
    /// need be opened for that.
    #[must_use]
    pub fn is_repeat(&self, counter: u32, tag: &[u8]) -> bool {
        counter == self.last && self.tag.is_some_and(|last| last == tag)
    }

    /// Judges a genuine COMMAND. `reference` is `None` when its payload was too short to have one; `sent` is the last
    /// up-counter that this socket used. Only [`Verdict::Fresh`] is remembered.
    pub fn judge(&mut self, counter: u32, tag: &[u8], reference: Option<u32>, sent: u32) -> Verdict {
        if self.is_repeat(counter, tag) {
            return Verdict::Repeat;
        }
        if counter <= self.last {
            return Verdict::Replayed;
        }
        let lag = reference.and_then(|reference| sent.checked_sub(reference));
        if lag.is_none_or(|lag| lag > REFERENCE_LAG_MAX) {
            return Verdict::Stale;
        }
        self.last = counter;
        self.tag = tag.try_into().ok();
        Verdict::Fresh
    }
}

/// Socket: which BEACONs and BULKs may be believed; they share one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupGate {
    last: u32,
}

impl GroupGate {
    /// From the floor that a grant or a SYNC names. After a start there is no gate, and no group frame is acted on,
    /// until there is a SYNC.
    #[must_use]
    pub const fn from_floor(last: u32) -> Self {
        Self { last }
    }

    /// The last counter that was accepted.
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Judges the counter of a genuine group frame: [`Verdict::Fresh`], [`Verdict::Replayed`], or
    /// [`Verdict::TooFar`], which is not believed until the gateway confirms it by unicast ([`Self::sync`]).
    pub fn judge(&mut self, counter: u32) -> Verdict {
        match counter.checked_sub(self.last) {
            None | Some(0) => Verdict::Replayed,
            Some(step) if step > GROUP_STEP_MAX => Verdict::TooFar,
            Some(_) => {
                self.last = counter;
                Verdict::Fresh
            }
        }
    }

    /// The gateway said by unicast where the counter is. It may go back: a forged BEACON may have moved it.
    pub fn sync(&mut self, group_counter: u32) {
        self.last = group_counter;
    }
}

/// Socket: its up-counter, kept over power cuts by a ceiling stored ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    sent: u32,
    ceiling: u32,
}

impl Counters {
    /// With a new key set: the first frame has counter 1. Store [`Self::ceiling`] before it is sent.
    #[must_use]
    pub const fn new() -> Self {
        Self { sent: 0, ceiling: STORE_EVERY }
    }

    /// After a start, from the stored ceiling. Store the new [`Self::ceiling`] before anything is sent. `None` when
    /// the counter is used up: the socket must join anew.
    #[must_use]
    pub const fn restored(ceiling: u32) -> Option<Self> {
        let Some(sent) = ceiling.checked_add(BOOT_JUMP) else { return None };
        let Some(ceiling) = sent.checked_add(STORE_EVERY) else { return None };
        Some(Self { sent, ceiling })
    }

    /// The last counter that was used; 0 for none.
    #[must_use]
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// No frame has a counter above this before a higher one is stored.
    #[must_use]
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// The counter of the next frame. `None` at the ceiling: call [`Self::raise`] first.
    pub fn take(&mut self) -> Option<u32> {
        let next = self.sent.checked_add(1).filter(|next| *next <= self.ceiling)?;
        self.sent = next;
        Some(next)
    }

    /// A higher ceiling, to be stored before the next [`Self::take`]. `None` when the counter is used up.
    pub fn raise(&mut self) -> Option<u32> {
        self.ceiling = self.sent.checked_add(STORE_EVERY)?;
        Some(self.ceiling)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}
