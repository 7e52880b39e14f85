//! The verbs of a line: one state machine per dialect, fed with bytes and time, drained of outputs.
//!
//! A line owns one operation in flight, its link retries and its timers. What to ask next, and for whom, is the
//! hub's business. Polled meters and pushing modems fit the same verbs: a push is a [`Happening`] without an
//! operation. Pure: no clock, no I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::device::{Abilities, Decimal, DeviceOptions, Moment, Now, OptionRow, Quantity, Reading, Target};

pub mod dlt645;
pub mod framing;
pub mod insteon;
pub mod plugline;

/// Serial settings that a dialect asks of its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// Symbol rate in baud.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
}

/// Parity of a serial character; eight data bits, one stop bit always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit (8N1).
    None,
    /// Even parity (8E1).
    Even,
}

/// Names an operation between [`Line::start`] and its last [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One thing asked of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Ask for item `item` of the target's poll plan.
    Poll {
        /// Whom to ask.
        target: Target,
        /// Index into [`Profile::plan`].
        item: usize,
    },
    /// Ask for every item of the plan.
    Read {
        /// Whom to ask.
        target: Target,
    },
    /// Open or close the relay and see it done.
    Switch {
        /// Whose relay.
        target: Target,
        /// `true` closes the relay (power on).
        on: bool,
    },
    /// Look for devices that the line can name by itself.
    Discover,
    /// Wait for one device whose button a person holds, and make its link. Holds the line: a longer window is
    /// several of these, one after the other. Ends with [`Happening::Joined`], or fails with `no_device`.
    Join {
        /// How long to wait, at most until shortly before the deadline.
        seconds: u16,
    },
    /// Make the links with the device of this address, without anybody touching it. Ends with
    /// [`Happening::Joined`] for each of its relays; a failure leaves no half of it.
    Link {
        /// Which; it need not be attached.
        target: Target,
    },
    /// Make the device show itself.
    Identify {
        /// Which.
        target: Target,
        /// How long, at most until shortly before the deadline.
        seconds: u16,
    },
}

/// One item of a device's poll plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollItem {
    /// Short name for logs: `energy`.
    pub name: &'static str,
    /// Quantities that the answer carries.
    pub quantities: &'static [Quantity],
    /// The answer shows the relay.
    pub relay: bool,
    /// How often to ask.
    pub period: Duration,
    /// Airtime that one question and its answer take.
    pub cost: Duration,
}

/// What a line knows about an attached device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Relay and dimmer.
    pub abilities: Abilities,
    /// What to ask, how often; empty for devices that only push.
    pub plan: Arc<[PollItem]>,
    /// Quantities that arrive unasked, beside those of the plan.
    pub pushed: Arc<[Quantity]>,
    /// How often those arrive; `None` when they come as they please.
    pub push_period: Option<Duration>,
}

/// How devices come to a line beside being added by their address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joins {
    /// A call finds them ([`Operation::Discover`]).
    pub by_call: bool,
    /// A person holds the button of one ([`Operation::Join`]).
    pub by_button: bool,
    /// They must be linked before they listen, and their address is enough for it ([`Operation::Link`]).
    pub by_address: bool,
    /// They ask to be let in, and are if the code of their label is known ([`Line::take_code`]): one that was named
    /// ([`Operation::Link`]), or any of them ([`Operation::Join`]).
    pub by_label: bool,
}

impl Joins {
    /// Devices come by themselves or by a person's hand, and the line waits for them ([`Operation::Join`]).
    #[must_use]
    pub fn waits(self) -> bool {
        self.by_button || self.by_label
    }

    /// What is printed on a device, its address or its label's code, is enough to let it in ([`Operation::Link`]).
    #[must_use]
    pub fn takes_code(self) -> bool {
        self.by_address || self.by_label
    }
}

/// An address that is not one in this dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address `{given}`: {want}")]
pub struct BadAddress {
    /// The text as given.
    pub given: String,
    /// What the dialect expects.
    pub want: &'static str,
}

/// Why the relay changed, as far as the line can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command from here.
    Command,
    /// A person pressed the button.
    Button,
    /// The device came back to power.
    PowerOn,
    /// Seen by asking; the reason is not known.
    Poll,
    /// A group command.
    Group,
    /// A protection tripped.
    Trip,
    /// Not known.
    Unknown,
}

/// Whether a failed command may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Surely not done.
    NotApplied,
    /// Sent, and silent since.
    Unknown,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// May the effect have happened?
    pub outcome: Outcome,
    /// Nobody answered: counts as a missed poll.
    pub silent: bool,
    /// Stable word for programs: `no_answer`, `refused`, `unsupported`, `awaits_button`, …
    pub code: &'static str,
    /// One sentence for people.
    pub detail: String,
}

/// How an operation goes on. [`Progress::Done`] and [`Progress::Failed`] end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its bytes went to the port, for the `attempt`th time (from 1).
    Sent {
        /// From 1.
        attempt: u8,
    },
    /// The device acknowledged it.
    Acknowledged,
    /// Done, and the line showed it.
    Done,
    /// Not done.
    Failed(Failure),
}

/// How well a message was heard, as far as the dialect tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Signal-to-noise ratio in dB.
    pub snr_db: Option<i8>,
    /// Level in dBµV.
    pub level_dbuv: Option<u8>,
    /// Times that it was repeated on its way.
    pub hops: Option<u8>,
}

/// Something the line tells, in words that no dialect owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Quantities were measured.
    Reading {
        /// By whom.
        target: Target,
        /// What.
        reading: Reading,
    },
    /// Quantities that were measured earlier and were missing until now.
    LateReading {
        /// By whom.
        target: Target,
        /// What.
        reading: Reading,
        /// How long ago it was measured.
        age: Duration,
    },
    /// The relay was shown.
    Relay {
        /// Whose.
        target: Target,
        /// Closed (power on).
        on: bool,
        /// Why, as far as known.
        cause: Cause,
    },
    /// A good frame of the device, without figures.
    Heard {
        /// Whose.
        target: Target,
    },
    /// How well a message of the device was heard; comes with what the message told.
    Received {
        /// Whose.
        target: Target,
        /// How well.
        reception: Reception,
    },
    /// A device that should speak unasked has been silent for too long: it counts as offline.
    Silent {
        /// Which.
        target: Target,
        /// Why it is thought so, for people.
        reason: String,
    },
    /// A device named itself while discovery was on.
    Joined {
        /// Its address.
        target: Target,
    },
    /// A good frame of somebody who is not attached.
    Foreign {
        /// Its address in the dialect's spelling.
        address: Arc<str>,
    },
    /// The operation named by the ticket went on.
    Progress {
        /// From [`Line::start`].
        ticket: Ticket,
        /// How.
        progress: Progress,
    },
    /// The modem (or, without one to ask, anybody on the line) answers.
    Modem {
        /// It does.
        answers: bool,
    },
    /// Bytes that are no frame, by kind: counted, dropped.
    Malformed {
        /// Stable word: `checksum`, `garbage`, `truncated`, …
        kind: &'static str,
    },
    /// The line learned what an attached device is: [`Line::attach`] gives another profile now.
    Learned {
        /// Which.
        target: Target,
    },
    /// A step was taken to bring a silent modem back: counted.
    Recovery {
        /// Stable word: `probe`, `reopen`.
        step: &'static str,
    },
    /// Something that a person should know.
    Notice {
        /// Stable word for programs: `modem_reset`, …
        code: &'static str,
        /// One sentence.
        detail: String,
    },
}

/// What a line wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOutput {
    /// Bytes for the port.
    Write(Vec<u8>),
    /// Close the port and open it again, with these settings.
    Reopen(SerialSettings),
    /// An opaque record to keep; comes back through [`Line::restore`]. That it is on disk is told by
    /// [`Line::handle_kept`].
    Persist(Vec<u8>),
    /// Something happened.
    Happening(Happening),
}

/// A dialect on a port. Drain [`Line::poll_output`] after every other call.
pub trait Line: Send {
    /// Serial settings to open the port with.
    fn serial_settings(&self) -> SerialSettings;

    /// Takes back the record last persisted.
    fn restore(&mut self, record: &[u8]);

    /// Behind [`Line::restore`]: the record is from a backup or a copy, and more was sent since it was made. Whatever
    /// must not be used twice goes on far above it.
    fn resume(&mut self) {}

    /// Spells an address the dialect's way.
    ///
    /// # Errors
    /// [`BadAddress`] when the text is no address of this dialect.
    fn canonical_address(&self, text: &str) -> Result<Arc<str>, BadAddress>;

    /// Takes the code that a person typed to let one device in, and gives its address. What else the code says (a key)
    /// the line keeps to itself. Unless a dialect has labels, the code is the address.
    ///
    /// # Errors
    /// [`BadAddress`] when the text is no code of this dialect; it does not repeat a code that holds a key.
    fn take_code(&mut self, code: &str) -> Result<Arc<str>, BadAddress> {
        self.canonical_address(code)
    }

    /// Makes a device known to the line, with the options of the configuration if it names it.
    fn attach(&mut self, target: &Target) -> Profile;

    /// A device is no longer of interest: from here on it is foreign.
    fn detach(&mut self, target: &Target);

    /// What can be chosen about a device of this dialect.
    fn options(&self) -> &'static [OptionRow];

    /// What a person chose about a device, over what the configuration says; [`Line::attach`] gives its profile by it
    /// from then on. Every option is one of [`Line::options`] and allowed there.
    fn set_options(&mut self, target: &Target, options: &DeviceOptions);

    /// How devices come to the line.
    fn joins(&self) -> Joins;

    /// While no device is known, the line is to be called out ([`Operation::Discover`]) unasked.
    fn discovers(&self) -> bool;

    /// The port opened (`true`) or is gone; an operation in flight fails with the port.
    fn handle_port(&mut self, open: bool, now: Now);

    /// A new operation may be started.
    fn ready(&self) -> bool;

    /// Starts an operation; call only when [`Line::ready`]. Ends with [`Progress::Done`] or [`Progress::Failed`],
    /// and no later than soon after `deadline`.
    fn start(&mut self, operation: Operation, ticket: Ticket, deadline: Moment, now: Now);

    /// Something else wants the line: an operation that does nothing but wait ([`Operation::Join`]) ends soon. Others
    /// go on.
    fn give_way(&mut self, now: Now);

    /// Bytes came from the port, in any portions.
    fn handle_bytes(&mut self, bytes: &[u8], now: Now);

    /// [`Line::poll_timeout`] has passed.
    fn handle_timeout(&mut self, now: Now);

    /// The first `records` records that were persisted since the start are on disk.
    fn handle_kept(&mut self, _records: u64, _now: Now) {}

    /// The next thing to do, in order.
    fn poll_output(&mut self) -> Option<LineOutput>;

    /// When [`Line::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Moment>;
}

/// The outputs of a line, in order; shared by the dialects.
#[derive(Debug, Default)]
pub struct Outputs(VecDeque<LineOutput>);

impl Outputs {
    /// Appends an output.
    pub fn push(&mut self, output: LineOutput) {
        self.0.push_back(output);
    }

    /// Appends a happening.
    pub fn happen(&mut self, happening: Happening) {
        self.push(LineOutput::Happening(happening));
    }

    /// Takes the oldest output.
    pub fn pop(&mut self) -> Option<LineOutput> {
        self.0.pop_front()
    }
}

/// A value of a frame's field, for logs, `decode` and captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A decimal number, exact.
    Decimal(Decimal),
    /// Yes or no.
    Flag(bool),
    /// A word.
    Text(String),
    /// Bytes, shown as hex.
    Bytes(Vec<u8>),
}

/// One frame taken apart: its name, its fields once each, in order. The log line, `decode`'s JSON and the capture
/// view are made from this list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Name of the frame kind: `read_reply`.
    pub frame: &'static str,
    /// Whom it concerns, in the dialect's spelling.
    pub address: Option<Arc<str>>,
    /// Further fields.
    pub fields: Vec<(&'static str, Value)>,
    /// Quantities, if it carries any.
    pub reading: Option<Reading>,
}

/// Bytes that are no frame: where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}: {detail}")]
pub struct Malformed {
    /// Stable word: `checksum`, `garbage`, `truncated`, `length`, …
    pub kind: &'static str,
    /// Offset of the byte at fault, from the first byte of the frame (or of the chunk).
    pub offset: usize,
    /// Got and wanted.
    pub detail: String,
}

/// Result of decoding, one entry a frame or a run of bytes that is none.
pub type DecodedFrame = Result<Decoded, Malformed>;
