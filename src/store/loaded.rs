//! What stands in a database, before it is believed: read value by value, doubted as a whole, mended from the sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::engine::{Found, Raw, Room};
use super::{Contents, DayRows};
use crate::access::{Book, Change};
use crate::device::{CommandId, Device, DeviceId, GatewayId, LineName};
use crate::door::Positions;
use crate::hub::command::Command;
use crate::record::{self, Meta, Registry, Unreadable};

/// A key of sessions, beside those of tokens.
pub(super) fn is_session(key: &str) -> bool {
    key.starts_with("ses_")
}

/// What was read from a database, before it is believed.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) meta: Option<Meta>,
    pub(super) devices: BTreeMap<DeviceId, Arc<Device>>,
    commands: BTreeMap<CommandId, Arc<Command>>,
    lines: BTreeMap<LineName, Arc<[u8]>>,
    positions: Positions,
    days: DayRows,
    book: Book,
    pub(super) unreadable: Vec<(Raw, Unreadable)>,
    /// Entries in the tree of devices, readable or not.
    device_entries: u64,
    broken: Option<String>,
}

impl Loaded {
    pub(super) fn of(found: Found) -> Self {
        let mut loaded = Self { broken: found.broken, ..Self::default() };
        for raw in found.values {
            loaded.device_entries += u64::from(raw.0 == Room::Devices);
            if let Err(error) = loaded.take(&raw) {
                loaded.unreadable.push((raw, error));
            }
        }
        loaded
    }

    /// Takes a value in.
    ///
    /// # Errors
    /// [`Unreadable`], and it is left out.
    pub(super) fn take(&mut self, (room, key, value): &Raw) -> Result<(), Unreadable> {
        let name = String::from_utf8_lossy(key);
        match room {
            Room::Devices => {
                let device = record::unseal_device(value)?;
                self.devices.insert(device.id.clone(), Arc::new(device));
            }
            Room::Commands => {
                let command = record::unseal_command(value)?;
                self.commands.insert(command.id.clone(), Arc::new(command));
            }
            Room::Lines => {
                let bytes = record::unseal(value)?.into();
                let wrong = || Unreadable::Field { field: "line", got: name.to_string() };
                self.lines.insert(LineName::parse(&name).ok_or_else(wrong)?, bytes);
            }
            Room::Positions => {
                self.positions.insert(name.into_owned(), record::unseal_number(value)?);
            }
            Room::Days => {
                self.days.insert(record::day_of_key(&name)?, record::unseal_day(value)?);
            }
            Room::Meta => self.meta = Some(record::unseal_meta(value)?),
            Room::Access if is_session(&name) => {
                self.book.take(Change::Session(Arc::new(record::unseal_session(value)?)));
            }
            Room::Access => self.book.take(Change::Token(Arc::new(record::unseal_token(value)?))),
            Room::Audit => self.book.take(Change::Noted(Arc::new(record::unseal_noted(value)?))),
        }
        Ok(())
    }

    /// Why the database must not be believed, if so. A new one is empty and nothing remembers another.
    pub(super) fn doubt(&self, saved: Option<&Registry>) -> Option<String> {
        let saved_devices = saved.map_or(0, |saved| saved.devices.len() as u64);
        match (&self.broken, &self.meta, saved) {
            (Some(why), ..) => Some(why.clone()),
            (_, Some(meta), _) if meta.devices != self.device_entries => {
                Some(format!("it holds {} devices of {}", self.device_entries, meta.devices))
            }
            (_, Some(meta), Some(saved)) if meta.generation < saved.meta.generation => Some(format!(
                "it is of generation {}, registry.json of {}",
                meta.generation, saved.meta.generation
            )),
            (_, None, Some(_)) if self.device_entries < saved_devices => {
                Some(format!("it holds {} devices, registry.json {saved_devices}", self.device_entries))
            }
            _ => None,
        }
    }

    /// Takes devices and lines' records from the sidecar unless it is older than what was read; says what that means.
    pub(super) fn take_back(&mut self, why: &str, saved: Option<&Registry>) -> String {
        let generation = self.meta.as_ref().map_or(0, |meta| meta.generation);
        let Some(saved) = saved else {
            return format!(
                "the registry is broken ({why}) and there is no registry.json; {} devices and {} commands could be saved",
                self.devices.len(),
                self.commands.len()
            );
        };
        self.devices = saved.devices.iter().map(|device| (device.id.clone(), Arc::clone(device))).collect();
        self.lines = saved.lines.iter().cloned().collect();
        // A token that the broken database still holds may have been revoked since, and a session closed.
        let broken = std::mem::take(&mut self.book);
        broken.noted().for_each(|noted| self.book.take(Change::Noted(Arc::clone(noted))));
        saved.tokens.iter().for_each(|token| self.book.take(Change::Token(Arc::clone(token))));
        // Never below either: a later sidecar must win over both.
        let generation = generation.max(saved.meta.generation);
        self.meta = Some(Meta { generation, ..saved.meta.clone() });
        format!(
            "the registry is broken ({why}); {} devices were taken back from registry.json, {} commands could be saved",
            self.devices.len(),
            self.commands.len()
        )
    }

    /// Devices that went to quarantine and stand in the sidecar are taken from there.
    pub(super) fn heal(&mut self, saved: Option<&Registry>, reports: &mut Vec<String>) {
        for ((room, key, _), _) in &self.unreadable {
            let saved = saved.into_iter().flat_map(|saved| &saved.devices);
            let same = |device: &&Arc<Device>| *room == Room::Devices && device.id.as_str().as_bytes() == key;
            if let Some(device) = saved.into_iter().find(same) {
                reports.push(format!("device {} was taken back from registry.json", device.id));
                self.devices.entry(device.id.clone()).or_insert_with(|| Arc::clone(device));
            }
        }
    }

    pub(super) fn reports(&self) -> Vec<String> {
        let told = self.unreadable.iter().map(|((room, key, _), error)| {
            let key = String::from_utf8_lossy(key);
            format!("{}/{key} of the registry does not read and was put in quarantine: {error}", room.name())
        });
        told.collect()
    }

    pub(super) fn contents(self, saved: Option<&Registry>, fresh: &GatewayId) -> Contents {
        let new = || Meta {
            gateway: fresh.clone(),
            epoch: None,
            generation: 0,
            devices: 0,
            checkpoint: 0,
            resume: BTreeSet::new(),
        };
        let meta = self.meta.or_else(|| saved.map(|saved| saved.meta.clone())).unwrap_or_else(new);
        Contents {
            meta,
            devices: self.devices,
            commands: self.commands,
            lines: self.lines,
            positions: self.positions,
            days: self.days,
            book: self.book,
        }
    }
}
