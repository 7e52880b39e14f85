//! Erasing: which events lose what, and what stays of them. Pure; where they stand is not known here.

use std::sync::Arc;

use crate::device::{Device, DeviceId};
use crate::hub::feed::{Body, Event, Fresh};

/// Which readings are to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erase {
    /// Those of a device.
    Of(DeviceId),
    /// Those of all devices from before this time, milliseconds since 1970 UTC.
    Before(i64),
}

impl Erase {
    fn takes(&self, device: Option<&DeviceId>, unix_ms: i64) -> bool {
        match self {
            Self::Of(wanted) => device == Some(wanted),
            Self::Before(time) => unix_ms < *time,
        }
    }

    /// It may take something of an event of this device and time. A cheap look before [`Self::applied`].
    #[must_use]
    pub fn may_take(&self, device: Option<&str>, unix_ms: i64, reading: bool) -> bool {
        match self {
            Self::Of(wanted) => device == Some(wanted.as_str()),
            // A device's change shows a reading that is older than itself.
            Self::Before(time) => device.is_some() && (!reading || unix_ms < *time),
        }
    }

    /// What stays of an event; `None`: all of it. A reading leaves its number, a device's change all but the reading
    /// that it shows.
    #[must_use]
    pub fn applied(&self, event: &Event) -> Option<Event> {
        let fresh = &event.fresh;
        match &fresh.body {
            Body::Reading(_) if self.takes(fresh.device.as_ref(), fresh.unix_ms) => Some(erased(event.seq)),
            Body::Device { change, device } => {
                let shown = device.last_reading?;
                if !self.takes(Some(&device.id), shown.unix_ms) {
                    return None;
                }
                let device = Arc::new(Device { last_reading: None, ..(**device).clone() });
                let body = Body::Device { change: *change, device };
                Some(Event { seq: event.seq, fresh: Fresh { body, ..fresh.clone() } })
            }
            _ => None,
        }
    }
}

/// What stays of a reading: its number.
fn erased(seq: u64) -> Event {
    let fresh = Fresh {
        unix_ms: 0,
        t_estimated: false,
        late: false,
        estimated: false,
        device: None,
        body: Body::Erased,
    };
    Event { seq, fresh }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Quantity, Reading};
    use crate::hub::feed::Change;
    use crate::record::samples;

    fn reading(device: &str, unix_ms: i64) -> Event {
        let mut event = samples::reading(7, unix_ms);
        event.fresh.unix_ms = unix_ms;
        event.fresh.device = DeviceId::parse(device);
        event
    }

    #[test]
    fn a_reading_leaves_its_number_and_others_stay() {
        let of = Erase::Of(DeviceId::parse("a").expect("an id"));
        let left = of.applied(&reading("a", 5)).expect("it goes");
        assert_eq!((left.seq, &left.fresh.body, &left.fresh.device), (7, &Body::Erased, &None));
        assert_eq!(of.applied(&reading("b", 5)), None);
        assert!(Erase::Before(6).applied(&reading("b", 5)).is_some());
        assert_eq!(Erase::Before(5).applied(&reading("b", 5)), None);
        assert_eq!(Erase::Before(9).applied(&left), None);
    }

    #[test]
    fn a_devices_change_loses_the_reading_that_it_shows() {
        let mut device = samples::device("a");
        let shown = Reading::of(Quantity::Power, 5);
        device.last_reading = Some(crate::device::StampedReading { unix_ms: 5, reading: shown });
        let body = Body::Device { change: Change::Changed, device: Arc::new(device) };
        let mut event = reading("a", 100);
        event.fresh.body = body;
        let left = Erase::Before(6).applied(&event).expect("it is changed");
        let Body::Device { device, .. } = &left.fresh.body else { panic!("it is the same change") };
        assert_eq!((device.last_reading, device.id.as_str(), left.fresh.unix_ms), (None, "a", 100));
        assert!(Erase::Before(6).may_take(Some("a"), 100, false));
        assert_eq!(Erase::Before(6).applied(&left), None);
    }
}
