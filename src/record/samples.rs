//! Nouns for the tests of what is stored: one of each kind, and proptest strategies over them.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::access::{By, Digest, Noted, Scope, Session, Token};
use crate::device::{
    Abilities, CommandId, Device, DeviceId, LineName, Measured, OptionValue, QUANTITIES, Quantity, Reading,
    SessionId, StampedReading, Target, TokenId,
};
use crate::hub::command::{Action, Command, CommandError, Idempotency, Part, ReplyTo, STATES};
use crate::hub::feed::{Body, Change, Event, Fresh, GapReason, GatewayEvent, JoiningNews, Notification};
use crate::line::{Cause, Outcome};

pub(crate) fn device(id: &str) -> Device {
    Device {
        id: DeviceId::parse(id).unwrap(),
        name: "Kettle \"left\" \u{1f4a1}".into(),
        line: LineName::parse("dlt645"),
        dialect: "dlt645".into(),
        target: Target { address: "000000004711".into(), channel: None },
        model: None,
        abilities: Abilities { relay: true, dim: false, identify: true },
        measured: Arc::new([Measured { quantity: Quantity::Power, period: Some(Duration::from_secs(60)) }]),
        relay: None,
        online: Some(true),
        last_seen_unix_ms: None,
        last_reading: None,
        options: [
            ("kind".into(), OptionValue::Word("dual".into())),
            ("relay".into(), OptionValue::Flag(true)),
        ]
        .into(),
        carry_over: Default::default(),
        configured: None,
        groups: Default::default(),
        members: None,
    }
}

pub(crate) fn command(id: &str) -> Command {
    let mut times_unix_ms = [None; STATES.len()];
    times_unix_ms[0] = Some(1_795_000_000_000);
    Command {
        id: CommandId::parse(id).unwrap(),
        device: DeviceId::parse("dlt645_000000004711").unwrap(),
        action: Action::Switch { on: true },
        state: STATES[0].0,
        version: 1,
        outcome: None,
        error: None,
        attempts: 0,
        created_unix_ms: 1_795_000_000_000,
        expires_unix_ms: 1_795_000_030_000,
        times_unix_ms,
        requested_by: "http".into(),
        idempotency: None,
        reply_to: ReplyTo::default(),
        started: false,
        parts: Vec::new(),
        part_of: None,
    }
}

pub(crate) fn token(id: &str) -> Token {
    Token {
        id: TokenId::parse(id).unwrap(),
        name: "Tablet".into(),
        digest: Digest::of("secret"),
        scope: Scope::Switch,
        reach: Some([DeviceId::parse("dlt645_1").unwrap()].into()),
        created_unix_ms: 1_795_000_000_000,
        created_by: "local".into(),
        expires_unix_ms: None,
        retires_unix_ms: None,
        last_used_unix_ms: None,
    }
}

pub(crate) fn session(id: &str, token: &str) -> Session {
    Session {
        id: SessionId::parse(id).unwrap(),
        digest: Digest::of("cookie"),
        token: TokenId::parse(token).unwrap(),
        created_unix_ms: 1_795_000_000_000,
        last_used_unix_ms: 1_795_000_060_000,
    }
}

pub(crate) fn noted(number: u64) -> Noted {
    Noted {
        number,
        unix_ms: 1_795_000_000_000,
        by: By::Local,
        action: "command.switch_on".into(),
        target: Some("dlt645_1".into()),
        command: CommandId::parse("cmd_01jd2e3f4g5h6j7k8m9n0p1q2r"),
    }
}

/// The reading of four quantities that the figures speak of.
pub(crate) fn reading(seq: u64, power_mw: i64) -> Event {
    let mut reading = Reading::of(Quantity::Power, power_mw);
    reading.set(Quantity::Energy, 1_234_567_890);
    reading.set(Quantity::Voltage, 231_400);
    reading.set(Quantity::Current, 1_804);
    let device = DeviceId::parse("dlt645_000000004711");
    Event { seq, fresh: fresh(device, Body::Reading(reading)) }
}

pub(crate) fn gateway(seq: u64, about: GatewayEvent) -> Event {
    Event { seq, fresh: fresh(None, Body::Gateway(about)) }
}

fn fresh(device: Option<DeviceId>, body: Body) -> Fresh {
    Fresh { unix_ms: 1_795_000_000_123, t_estimated: false, late: false, estimated: false, device, body }
}

fn text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,12}".prop_map(Into::into)
}

fn any_reading() -> impl Strategy<Value = Reading> {
    prop::array::uniform8(any::<Option<i64>>()).prop_map(|values| {
        let mut reading = Reading::default();
        for (row, value) in QUANTITIES.iter().zip(values) {
            value.into_iter().for_each(|value| reading.set(row.quantity, value));
        }
        reading
    })
}

fn some<T: Clone + std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(of)
}

fn some_ids(count: u8) -> Arc<[DeviceId]> {
    (0..count).filter_map(|n| DeviceId::parse(&format!("group_{n}"))).collect()
}

pub(crate) fn any_device() -> impl Strategy<Value = Device> {
    let state = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<i64>>());
    let last = some((any::<i64>(), any_reading()));
    (text(), some(text()), any::<Option<u8>>(), state, last).prop_map(
        |(name, model, channel, state, last)| {
            let (relay, online, last_seen_unix_ms) = state;
            let mut of = device("insteon_1a777b");
            of.target.channel = channel;
            let last_reading = last.map(|(unix_ms, reading)| StampedReading { unix_ms, reading });
            let of = Device { name, model, relay, online, last_seen_unix_ms, last_reading, ..of };
            match channel {
                Some(0) => Device { line: None, members: Some(some_ids(3)), ..of },
                Some(count) => Device { groups: some_ids(count % 3), ..of },
                None => of,
            }
        },
    )
}

pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let action = prop_oneof![
        any::<bool>().prop_map(|on| Action::Switch { on }),
        Just(Action::Read),
        any::<u16>().prop_map(|seconds| Action::Identify { seconds }),
    ];
    let end = (
        some(prop_oneof![Just(Outcome::NotApplied), Just(Outcome::Unknown)]),
        some((text(), text()).prop_map(|(code, detail)| CommandError { code, detail })),
    );
    let reply = (some(text()), some(text()), some(prop::collection::vec(any::<u8>(), 0..9)));
    let times = prop::collection::vec(any::<Option<i64>>(), STATES.len());
    (action, 0..STATES.len(), end, reply, (times, some((text(), text())), any::<bool>())).prop_map(
        |(action, state, (outcome, error), (transaction, response_topic, correlation), rest)| {
            let (times, idempotency, started) = rest;
            let idempotency = idempotency.map(|(key, body)| Idempotency { key, body });
            let mut of = command("cmd_01jd2e3f4g5h6j7k8m9n0p1q2r");
            of.times_unix_ms.copy_from_slice(&times);
            let reply_to = ReplyTo { transaction, response_topic, correlation: correlation.map(Into::into) };
            let (count, state) = (state % 3, STATES[state].0);
            if started {
                of.part_of = Some(of.id.clone());
            } else {
                let error = error.clone();
                of.parts = vec![Part { outcome, error, state, ..(&of).into() }; count];
            }
            Command { action, state, outcome, error, reply_to, idempotency, started, ..of }
        },
    )
}

fn any_joining_news() -> impl Strategy<Value = JoiningNews> {
    prop_oneof![
        any::<i64>().prop_map(|closes_unix_ms| JoiningNews::Opened { closes_unix_ms }),
        Just(JoiningNews::Joined { device: DeviceId::parse("insteon_1a777b").unwrap() }),
        (text(), text()).prop_map(|(code, detail)| JoiningNews::Failed { code, detail }),
        text().prop_map(|reason| JoiningNews::Closed { reason }),
    ]
}

fn any_gateway_event() -> impl Strategy<Value = GatewayEvent> {
    let line = || "[a-z0-9_]{1,16}".prop_map(|line| LineName::parse(&line).unwrap());
    prop_oneof![
        text().prop_map(|version| GatewayEvent::Started { version }),
        Just(GatewayEvent::Stopping),
        line().prop_map(|line| GatewayEvent::LineUp { line }),
        (line(), text()).prop_map(|(line, reason)| GatewayEvent::LineDown { line, reason }),
        (line(), text()).prop_map(|(line, address)| GatewayEvent::ForeignDevice { line, address }),
        any::<i64>().prop_map(|step_ms| GatewayEvent::ClockStep { step_ms }),
        (line(), any_joining_news()).prop_map(|(line, news)| GatewayEvent::Joining { line, news }),
        (any::<u64>(), any::<u64>()).prop_map(|(from, to)| GatewayEvent::Gap {
            from,
            to,
            reason: GapReason::Storage
        }),
    ]
}

fn any_body() -> impl Strategy<Value = Body> {
    let causes =
        prop_oneof![Just(Cause::Command), Just(Cause::PowerOn), Just(Cause::Trip), Just(Cause::Unknown)];
    let changes = prop_oneof![Just(Change::Added), Just(Change::Removed), Just(Change::Replaced)];
    prop_oneof![
        any_reading().prop_map(Body::Reading),
        (any::<bool>(), causes).prop_map(|(on, cause)| Body::Relay { on, cause }),
        (any::<bool>(), text()).prop_map(|(online, reason)| Body::Online { online, reason }),
        (changes, any_device().prop_map(Arc::new))
            .prop_map(|(change, device)| Body::Device { change, device }),
        any_command().prop_map(|command| Body::Command(Arc::new(command))),
        (text(), text()).prop_map(|(code, detail)| Body::Notification(Notification { code, detail })),
        any_gateway_event().prop_map(Body::Gateway),
    ]
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let device = some("[a-z0-9_]{1,48}".prop_map(|id| DeviceId::parse(&id).unwrap()));
    (any::<u64>(), any::<i64>(), any::<[bool; 3]>(), device, any_body()).prop_map(
        |(seq, unix_ms, [t_estimated, late, estimated], device, body)| Event {
            seq,
            fresh: Fresh { unix_ms, t_estimated, late, estimated, device, body },
        },
    )
}
