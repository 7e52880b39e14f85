//! Events of a house, one reading after the other, as the hub makes them.

use std::sync::Arc;

use plugline::device::{Device, DeviceId, LineName, Quantity, Reading, StampedReading, Target};
use plugline::hub::feed::{Body, Event, Fresh};

use crate::frames::meter;

/// Readings of one meter in an hour with the usual periods: power every 10 s, current every 30 s, four others each
/// minute. A slow line has fewer; this is the most.
pub(crate) const READINGS_PER_HOUR: u64 = 720;

const START_UNIX_MS: i64 = 1_795_000_000_000;

/// The `index`th socket.
pub(crate) fn id(index: usize) -> DeviceId {
    DeviceId::parse(&format!("dlt645_{}", meter(index))).expect("an id")
}

/// The event `seq`: the next reading of the next of `sockets`.
pub(crate) fn event(seq: u64, sockets: usize) -> Event {
    let value = (seq * 37 % 3_000_000) as i64;
    let reading = match seq / sockets as u64 % 12 {
        0 => Reading::of(Quantity::Energy, 1_000_000 + seq as i64 * 10_000),
        1 => Reading::of(Quantity::Voltage, 230_000 + value % 4_000),
        2 => Reading::of(Quantity::PowerFactor, value % 1_000),
        3 => Reading::of(Quantity::Frequency, 49_900 + value % 200),
        4 | 5 => Reading::of(Quantity::Current, value % 16_000),
        _ => Reading::of(Quantity::Power, value),
    };
    let fresh = Fresh {
        unix_ms: START_UNIX_MS + seq as i64 * 1000,
        t_estimated: false,
        late: false,
        estimated: false,
        device: Some(id(seq as usize % sockets)),
        body: Body::Reading(reading),
    };
    Event { seq, fresh }
}

/// The `index`th socket as the registry keeps it.
pub(crate) fn device(index: usize, seq: u64) -> Arc<Device> {
    let mut reading = Reading::of(Quantity::Power, seq as i64);
    reading.set(Quantity::Energy, seq as i64 * 10_000);
    reading.set(Quantity::Voltage, 230_000);
    reading.set(Quantity::Current, 500);
    Arc::new(Device {
        id: id(index),
        name: format!("Socket {index}").into(),
        line: LineName::parse("dlt645"),
        dialect: "dlt645".into(),
        target: Target { address: meter(index).into(), channel: None },
        model: None,
        abilities: Default::default(),
        measured: Arc::new([]),
        relay: Some(true),
        online: Some(true),
        last_seen_unix_ms: Some(START_UNIX_MS),
        last_reading: Some(StampedReading { unix_ms: START_UNIX_MS, reading }),
        options: Default::default(),
        carry_over: Default::default(),
        configured: None,
        groups: Default::default(),
        members: None,
    })
}
