//! The dialect of Plugline sockets behind a Plugline modem: `protocol-spec/`.
//!
//! | file | owns |
//! |---|---|
//! | `driver.rs` and its folder | the line: operations, joining, beacons, what sockets say |
//! | `host.rs` | the modem: requests by number, whether it answers |
//! | `clock.rs`, `slots.rs` | the modem's clock and superframes; who may speak when |
//! | `member.rs`, `energy.rs`, `kept.rs` | one joined socket; its registers; what is kept of all |
//! | `decode.rs` | frames as lists of fields |

mod clock;
pub mod decode;
mod driver;
mod energy;
mod host;
mod kept;
mod member;
pub mod options;
mod slots;

pub use driver::Plugline;
pub use options::{Entropy, NoEntropy, Options};
