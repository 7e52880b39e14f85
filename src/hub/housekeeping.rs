//! What the hub looks for each second, and what it keeps of the rest now and then. Pure.

use std::sync::Arc;

use crate::device::Now;
use crate::hub::effect::{Effect, Record};
use crate::hub::feed::{Body, Change, GatewayEvent};
use crate::hub::{CHECKPOINT_PERIOD, CLOCK_STEP_MIN_MS, Hub, wall_minus_mono_ms};

impl Hub {
    pub(super) fn housekeep(&mut self, now: Now) {
        let step_ms = wall_minus_mono_ms(now) - self.wall_minus_mono_ms;
        if step_ms.abs() >= CLOCK_STEP_MIN_MS {
            self.wall_minus_mono_ms += step_ms;
            self.event(None, Body::Gateway(GatewayEvent::ClockStep { step_ms }), None, now);
        }
        let aged: Vec<_> = self.registry.iter_mut().filter_map(|member| member.age(now.mono)).collect();
        for device in aged {
            self.show(&device);
            let body = Body::Device { change: Change::Changed, device: Arc::clone(&device) };
            self.event(Some(&device.id), body, None, now);
        }
        self.expire_commands(now);
        self.end_rights(now);
        if self.checkpoint_due <= now.mono {
            self.checkpoint(now);
        }
    }

    pub(super) fn checkpoint(&mut self, now: Now) {
        self.checkpoint_due = now.mono + CHECKPOINT_PERIOD;
        let dirty = self.registry.iter_mut().filter(|member| member.dirty).map(|member| {
            member.dirty = false;
            Record::Device(Arc::clone(&member.device))
        });
        let mut records: Vec<Record> = dirty.collect();
        records.extend(self.used_records());
        self.effect(Effect::Checkpoint(records));
    }
}
