//! What the hub is asked, what it answers, and what it wants done. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::access::{By, Change, Token};
use crate::device::{CommandId, Device, DeviceId, LineName, OptionRow, OptionValue, TokenId};
use crate::hub::command::{self, Command, Idempotency, ReplyTo};
use crate::hub::days::{Day, DayRow};
use crate::hub::erase::Erase;
use crate::hub::feed::Fresh;
use crate::hub::joining::JoiningWindow;
use crate::hub::quality::QualityView;
use crate::hub::tokens::AccessRequest;
use crate::line::{BadAddress, Joins, SerialSettings};

/// Names something persisted; outputs marked with it wait until it is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Persisted(pub u64);

/// Names a request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Index of a line in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineIndex(pub usize);

/// What is kept in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A device, new or changed.
    Device(Arc<Device>),
    /// A device is gone.
    DeviceGone(DeviceId),
    /// A command, new or changed.
    Command(Arc<Command>),
    /// A settled command is no longer kept.
    CommandGone(CommandId),
    /// A line's own opaque record.
    Line(LineName, Arc<[u8]>),
    /// A device's totals of a local day; `None`: they are no longer kept.
    Day(DeviceId, Day, Option<DayRow>),
    /// A token, a session, or who changed what.
    Access(Change),
    /// Devices as recorded hold everything that the feed says up to this seq.
    Checkpoint(u64),
}

/// What a command asks for, before it is made absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An absolute action.
    Do(command::Action),
    /// The other position of the relay; resolved when accepted.
    Toggle,
}

/// A command as its caller words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// For whom.
    pub device: DeviceId,
    /// What.
    pub wish: Wish,
    /// How long it may wait to be sent, 1 … 86,400 s.
    pub ttl: Duration,
    /// Who asks: `local`, `cli`, `mqtt`, `token:NAME`.
    pub requested_by: Arc<str>,
    /// The caller's `Idempotency-Key` and what it stands for.
    pub idempotency: Option<Idempotency>,
    /// Where the result goes.
    pub reply_to: ReplyTo,
}

/// What a person chooses about a device, by the names of its options; `None` takes a choice back.
pub type Choices = BTreeMap<Arc<str>, Option<OptionValue>>;

/// What comes through the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take in a command.
    Command(NewCommand),
    /// Take a queued command back.
    Cancel(CommandId),
    /// Register a device that is on a line.
    Add {
        /// Which line.
        line: LineName,
        /// Its address, in any spelling of the dialect.
        address: Arc<str>,
        /// Which relay of a thing with several.
        channel: Option<u8>,
        /// What people call it.
        name: Option<Arc<str>>,
    },
    /// Call a device something else, or choose its options.
    Change {
        /// Which.
        device: DeviceId,
        /// The new name, 1 … 64 characters.
        name: Option<Arc<str>>,
        /// What is chosen.
        options: Choices,
    },
    /// Let new devices come to a line.
    OpenJoining {
        /// Which; unless told, the only one where that can be.
        line: Option<LineName>,
        /// How long, at most [`JOINING_MAX`](crate::hub::joining::JOINING_MAX).
        duration: Duration,
        /// Only the device with this address, linked without anybody touching it.
        address: Option<Arc<str>>,
    },
    /// Let no more new devices come.
    CloseJoining {
        /// To which line; `None`: to any.
        line: Option<LineName>,
    },
    /// Other hardware took the device's place: it keeps its id, name and total.
    Replace {
        /// Which.
        device: DeviceId,
        /// The new hardware's address.
        address: Arc<str>,
    },
    /// Forget a device.
    Remove(DeviceId),
    /// Make a group of devices with a relay.
    AddGroup {
        /// What people call it, 1 … 64 characters.
        name: Arc<str>,
        /// Who belongs to it.
        members: Vec<DeviceId>,
    },
    /// Call a group something else, or choose who belongs to it.
    ChangeGroup {
        /// Which.
        group: DeviceId,
        /// The new name.
        name: Option<Arc<str>>,
        /// Who belongs to it from now on.
        members: Option<Vec<DeviceId>>,
    },
    /// Forget a group; its members stay.
    RemoveGroup(DeviceId),
    /// How does a line fare?
    Quality {
        /// Which.
        line: LineName,
        /// Over so many hours, 1 … [`HOURS_MAX`](crate::hub::quality::HOURS_MAX).
        hours: u8,
    },
    /// Tokens and sessions.
    Access(AccessRequest),
    /// Erase readings.
    Erase(Erase),
    /// Does the loop turn?
    Ping,
}

/// A request, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: By,
    /// What.
    pub request: Request,
}

impl From<Request> for Asked {
    /// The gateway itself asks.
    fn from(request: Request) -> Self {
        Self { by: By::Gateway, request }
    }
}

/// A refusal: nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such device.
    #[error("no device `{0}` is in the registry; GET /v1/devices lists them")]
    UnknownDevice(DeviceId),
    /// No such command, or long settled and forgotten.
    #[error("no command `{0}` is known; settled ones are kept for a day")]
    UnknownCommand(CommandId),
    /// The device cannot do that.
    #[error("`{device}` cannot `{command}`")]
    NotSupported {
        /// Which device.
        device: DeviceId,
        /// What was wanted.
        command: &'static str,
    },
    /// Toggle of a relay that was never heard.
    #[error("the relay of `{0}` was not heard yet, so there is nothing to toggle; send `on` or `off`")]
    StateUnknown(DeviceId),
    /// Too many commands wait for this device.
    #[error("{limit} commands already wait for `{device}`; wait for their outcome or cancel some")]
    QueueFull {
        /// Which device.
        device: DeviceId,
        /// The limit.
        limit: usize,
    },
    /// The key was used for another request.
    #[error("this Idempotency-Key stood for another request to `{0}`; use a new key for a new request")]
    KeyReused(DeviceId),
    /// No such line.
    #[error("no line `{line}`; there are: {known}")]
    UnknownLine {
        /// As asked for.
        line: LineName,
        /// The lines' names.
        known: String,
    },
    /// Not an address of the line's dialect.
    #[error("{0}")]
    BadAddress(BadAddress),
    /// A device sits there already.
    #[error("`{0}` has this address already")]
    AddressTaken(DeviceId),
    /// Not a name.
    #[error("a name has 1 … {max} characters and no control characters")]
    BadName {
        /// The limit.
        max: usize,
    },
    /// Another device is called that.
    #[error("`{0}` has this name already")]
    NameTaken(DeviceId),
    /// The new hardware cannot do what the old one could.
    #[error("the device at the new address has no {missing}, which `{device}` has")]
    FewerCapabilities {
        /// Which device.
        device: DeviceId,
        /// What it lacks.
        missing: String,
    },
    /// The line's devices have no such option, or not this value.
    #[error("`{option}` {what}")]
    BadOption {
        /// As given.
        option: Arc<str>,
        /// What is wrong with it.
        what: String,
        /// What it may be.
        allowed: Vec<&'static str>,
    },
    /// Which line is meant?
    #[error("say which line; devices can join: {known}")]
    WhichLine {
        /// Names of lines that devices can join; empty when there is none.
        known: String,
    },
    /// Devices of this line only come by their address.
    #[error("devices cannot join line `{0}` by themselves; add each by its address: POST /v1/devices")]
    NoJoining(LineName),
    /// Devices of this line need no linking.
    #[error("devices of line `{0}` need no code to join; add one by its address: POST /v1/devices")]
    NoJoinByAddress(LineName),
    /// It stands in the configuration and would come back.
    #[error("`{0}` stands in the configuration file and would come back at the next start; remove it there")]
    InConfiguration(DeviceId),
    /// No such group.
    #[error("no group `{0}` is in the registry; GET /v1/groups lists them")]
    UnknownGroup(DeviceId),
    /// A group cannot have such members.
    #[error("`members`: {what}")]
    BadMembers {
        /// What is wrong with them.
        what: String,
    },
    /// There are as many groups as there may be.
    #[error("there are {limit} groups already; remove one")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// Nobody belongs to it, so there is nobody to command.
    #[error("group `{0}` has no members")]
    EmptyGroup(DeviceId),
    /// Only what sits on a line has options and can be replaced.
    #[error("`{0}` is a group; do that to its members")]
    IsGroup(DeviceId),
    /// Its line is not configured any more.
    #[error("the line of `{0}` is not in the configuration any more")]
    LineGone(DeviceId),
    /// It was sent already.
    #[error("command `{0}` is no longer queued, so it cannot be taken back")]
    NotQueued(CommandId),
    /// No such token, or it is over.
    #[error("no token `{0}`; GET /v1/tokens lists them")]
    UnknownToken(TokenId),
    /// There is no room for another.
    #[error("{limit} tokens are there already; remove one that is no longer used")]
    TooManyTokens {
        /// The limit.
        limit: usize,
    },
    /// It was rotated before.
    #[error("token `{0}` was rotated already and ends soon; rotate the one that followed it")]
    TokenRetires(TokenId),
    /// The caller is bound to devices, and this concerns more than them.
    #[error("this token is bound to devices and this concerns more than them")]
    OutOfReach,
    /// A command must be on disk before it is taken in, and the disk takes nothing.
    #[error("the registry cannot be written, so no command can be taken in; GET /healthz says why")]
    StoreBroken,
    /// The disk failed while readings were erased.
    #[error("not all of it is erased: {0}")]
    NotErased(String),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// What a request that was not refused is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It is done.
    Nothing,
    /// The command.
    Command {
        /// As it is now.
        command: Arc<Command>,
        /// It was taken in by an earlier request with the same key.
        replayed: bool,
    },
    /// The device as it is now.
    Device(Arc<Device>),
    /// So many readings are gone.
    Erased(u64),
    /// How a line fares.
    Quality(Box<QualityView>),
    /// The token as it is now.
    Token(Arc<Token>),
    /// A line's joining window as it is now.
    Joining(LineName, Arc<JoiningWindow>),
}

impl From<Arc<Command>> for Given {
    fn from(command: Arc<Command>) -> Self {
        Self::Command { command, replayed: false }
    }
}

/// The one answer to a request.
pub type Answer = Result<Given, Refused>;

/// How a line fares, for health and the `line/{line}` topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineHealth {
    /// Its name.
    pub line: LineName,
    /// Its dialect's name.
    pub dialect: &'static str,
    /// The port is open; otherwise why not, for people.
    pub port: Result<(), Arc<str>>,
    /// The modem answers; `None`: nothing asked yet.
    pub modem: Option<bool>,
    /// When a good frame was last heard, milliseconds since 1970 UTC.
    pub last_heard_unix_ms: Option<i64>,
    /// Good messages heard since the start.
    pub heard: u64,
    /// What could not be used, counted by kind.
    pub malformed: Vec<(&'static str, u64)>,
    /// Addresses that were heard and are no device's, at most 256.
    pub foreign: Arc<BTreeSet<Arc<str>>>,
    /// The last joining window, open or closed.
    pub joining: Option<Arc<JoiningWindow>>,
    /// How devices come to it.
    pub joins: Joins,
    /// What can be chosen about its devices.
    pub options: &'static [OptionRow],
}

/// What the hub wants done. Executed in order; those with `after` wait until that record is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Wait for this.
    pub after: Option<Persisted>,
    /// Then do this.
    pub effect: Effect,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Bytes for a line's port.
    Write(LineIndex, Vec<u8>),
    /// Close a line's port and open it anew.
    Reopen(LineIndex, SerialSettings),
    /// Keep records, then tell the hub that they are on disk.
    Persist(Persisted, Vec<Record>),
    /// Keep devices as they are now, with a [`Record::Checkpoint`] of the last number given.
    Checkpoint(Vec<Record>),
    /// Number an event and show it to everybody.
    Event(Fresh),
    /// What people see of a device is now this.
    ShowDevice(Arc<Device>),
    /// A device is gone.
    HideDevice(DeviceId),
    /// What people see of a command is now this.
    ShowCommand(Arc<Command>),
    /// A command is no longer kept.
    HideCommand(CommandId),
    /// What people see of a line is now this.
    ShowLine(Arc<LineHealth>),
    /// Tokens, sessions and who changed what: this counts now.
    ShowAccess(Change),
    /// Erase what was asked for, then answer.
    Erase(RequestId, Erase),
    /// The answer to a request.
    Answer(RequestId, Answer),
}
