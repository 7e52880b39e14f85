//! Keys, sealing and opening, short tags, freshness. `security.md`. One suite: AES-128-CCM with tags of 8 octets, and
//! AES-CMAC. Knows no payload but the ones that carry keys.

mod channel;
mod fresh;
mod joining;
mod keys;
mod resume;
mod short;

pub use channel::{Channel, OpenError};
pub use fresh::{
    BOOT_JUMP, CommandGate, Counters, GROUP_STEP_MAX, GroupGate, REFERENCE_LAG_MAX, ReplayWindow,
    STORE_EVERY, Verdict,
};
pub use joining::{JoinError, Joined, accept_join, answer_join, ask_to_join, is_from_label};
pub use keys::{Key, KeySet, Nonces};
pub use resume::{accept_resume, answer_resume, ask_resume, finish_resume, is_resume_ask, is_resume_up};
pub use short::ShortKey;
