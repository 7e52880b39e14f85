//! The devices and what was last heard of each: ids, figures, relay, availability. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::device::{
    Abilities, CarryOver, Device, DeviceId, LineName, Moment, Now, QUANTITIES, Quantity, Reading,
    StampedReading, Target,
};
use crate::hub::energy::{Ledger, Verdict};
use crate::line::Profile;

/// Questions in a row without an answer after which a device counts as offline. Each was already asked as often as
/// the dialect retries.
pub const MISSED_OFFLINE: u32 = 3;

/// An instantaneous quantity ages out when it is older than this many of its own periods.
pub const AGE_PERIODS: u32 = 3;

/// A device that was heard so shortly before the gateway started is still online: sockets that report by themselves do
/// it each minute, and one that is silent for three of them is offline.
const ONLINE_KEPT_MS: i64 = 3 * 60_000;

/// The dialect that stands at a group, and the beginning of its id.
const GROUP: &str = "group";

/// Characters of a group's name in its id: leaves room for `_x64`.
const SLUG_MAX: usize = 36;

/// Totals, in the order of [`Device::carry_over`].
const TOTALS: [Quantity; 2] = [Quantity::Energy, Quantity::EnergyExport];

/// A device and what the hub remembers about it.
#[derive(Debug)]
pub struct Member {
    /// What people see; replaced as a whole.
    pub device: Arc<Device>,
    /// Questions in a row that were not answered.
    pub missed: u32,
    /// People see something that the registry on disk does not hold yet.
    pub dirty: bool,
    heard: [Option<Moment>; QUANTITIES.len()],
    ledgers: [Ledger; QUANTITIES.len()],
}

/// A reading after the ledger has judged it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is published.
    pub reading: Reading,
    /// Totals that fell and are held: how many.
    pub held: u32,
    /// The first of a run of held totals: reported and published, in mWh.
    pub fell: Option<(Quantity, i64, i64)>,
    /// A replaced meter told its first total: the registry must know what is added to it.
    pub carried: bool,
}

impl Member {
    fn new(device: Device) -> Self {
        let mut member = Self {
            device: Arc::new(device),
            missed: 0,
            dirty: false,
            heard: Default::default(),
            ledgers: Default::default(),
        };
        if let Some(last) = member.device.last_reading {
            member.published(&last.reading);
        }
        member
    }

    /// Changes what people see.
    pub fn change(&mut self, with: impl FnOnce(&mut Device)) -> Arc<Device> {
        with(Arc::make_mut(&mut self.device));
        self.dirty = true;
        Arc::clone(&self.device)
    }

    /// Takes over totals that were published before.
    pub fn published(&mut self, reading: &Reading) {
        for quantity in TOTALS {
            if let Some(total) = reading.get(quantity) {
                self.ledgers[quantity as usize].judge(total);
            }
        }
    }

    /// Carries a replaced meter's totals on, and takes out of a reading those that fell.
    pub fn judge(&mut self, reading: Reading) -> Judged {
        let mut judged = Judged { reading, ..Judged::default() };
        for (index, quantity) in TOTALS.into_iter().enumerate() {
            let Some(reported) = reading.get(quantity) else { continue };
            let offset = match self.device.carry_over[index] {
                CarryOver::Offset(offset) => offset,
                CarryOver::Pending => {
                    let published = self.ledgers[quantity as usize].published().unwrap_or(reported);
                    let offset = published.saturating_sub(reported);
                    self.change(|device| device.carry_over[index] = CarryOver::Offset(offset));
                    judged.carried = true;
                    offset
                }
            };
            let total = reported.saturating_add(offset);
            judged.reading.set(quantity, total);
            if let Verdict::Hold { first, published } = self.ledgers[quantity as usize].judge(total) {
                judged.reading.clear(quantity);
                judged.held += 1;
                if first {
                    judged.fell = Some((quantity, total, published));
                }
            }
        }
        judged
    }

    /// A reading of the past with its totals carried on; `None` when they cannot be: nothing was heard of this meter yet,
    /// or they lie above the published ones.
    #[must_use]
    pub fn carried(&self, mut reading: Reading) -> Option<Reading> {
        for (index, quantity) in TOTALS.into_iter().enumerate() {
            let Some(reported) = reading.get(quantity) else { continue };
            let CarryOver::Offset(offset) = self.device.carry_over[index] else { return None };
            let total = reported.saturating_add(offset);
            if self.ledgers[quantity as usize].published().is_some_and(|published| total > published) {
                return None;
            }
            reading.set(quantity, total);
        }
        Some(reading)
    }

    /// Takes a judged reading into what people see.
    pub fn take(&mut self, reading: Reading, now: Now) -> Arc<Device> {
        for (quantity, _) in reading.iter() {
            self.heard[quantity as usize] = Some(now.mono);
        }
        self.change(|device| {
            let mut merged = device.last_reading.map_or_else(Reading::default, |last| last.reading);
            merged.merge(&reading);
            device.last_reading = Some(StampedReading { unix_ms: now.unix_ms, reading: merged });
            device.last_seen_unix_ms = Some(now.unix_ms);
        })
    }

    /// Removes quantities that have aged out; the device as it is then, if any did.
    pub fn age(&mut self, now: Moment) -> Option<Arc<Device>> {
        let last = self.device.last_reading?;
        let mut kept = last.reading;
        for measured in self.device.measured.iter() {
            let Some(period) = measured.period.filter(|_| !measured.quantity.is_total()) else { continue };
            let heard = self.heard[measured.quantity as usize].unwrap_or_default();
            if now.since(heard) > period * AGE_PERIODS {
                kept.clear(measured.quantity);
            }
        }
        (kept != last.reading).then(|| {
            self.change(|device| {
                device.last_reading =
                    (!kept.is_empty()).then_some(StampedReading { unix_ms: last.unix_ms, reading: kept });
            })
        })
    }
}

/// All devices.
#[derive(Debug, Default)]
pub struct Registry {
    members: BTreeMap<DeviceId, Member>,
    by_target: BTreeMap<(LineName, Target), DeviceId>,
}

impl Registry {
    /// Takes back a device from disk.
    pub fn restore(&mut self, device: Device) {
        if let Some(line) = &device.line {
            self.by_target.insert((line.clone(), device.target.clone()), device.id.clone());
        }
        self.members.insert(device.id.clone(), Member::new(device));
    }

    /// Whether a device answers is a question of now: only those stay online that were heard a moment before.
    pub fn doubt_availability(&mut self, now: Now) {
        for member in self.members.values_mut() {
            let seen = member.device.last_seen_unix_ms;
            let lately = seen.is_some_and(|seen| (0..=ONLINE_KEPT_MS).contains(&(now.unix_ms - seen)));
            let online = member.device.online.filter(|online| *online && lately && now.synchronised);
            if member.device.online != online {
                member.change(|device| device.online = online);
            }
        }
    }

    /// The device at a place, if it is registered.
    #[must_use]
    pub fn at(&self, line: &LineName, target: &Target) -> Option<&DeviceId> {
        self.by_target.get(&(line.clone(), target.clone()))
    }

    /// A device.
    #[must_use]
    pub fn get(&self, id: &DeviceId) -> Option<&Member> {
        self.members.get(id)
    }

    /// A device, to be changed.
    pub fn get_mut(&mut self, id: &DeviceId) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// All devices, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// All devices, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// Registers a device under a new id; it is not heard yet.
    pub fn add(
        &mut self,
        line: &LineName,
        dialect: &str,
        target: &Target,
        name: Option<&str>,
    ) -> Arc<Device> {
        let suffix = match target.channel {
            Some(channel) if channel > 1 => format!("_{channel}"),
            _ => String::new(),
        };
        let id = self.free_id(&format!("{dialect}_{}{suffix}", target.address));
        let device = Device {
            name: name.map_or_else(|| default_name(dialect, target), Into::into),
            line: Some(line.clone()),
            dialect: dialect.into(),
            target: target.clone(),
            ..nothing_known(id)
        };
        self.take_in(device)
    }

    /// Registers a group under a new id.
    pub fn add_group(&mut self, name: &str, members: Arc<[DeviceId]>) -> Arc<Device> {
        let device = Device {
            name: name.into(),
            abilities: Abilities { relay: true, ..Abilities::default() },
            members: Some(members),
            ..nothing_known(self.free_id(&format!("{GROUP}_{}", slug(name))))
        };
        self.take_in(device)
    }

    fn take_in(&mut self, device: Device) -> Arc<Device> {
        let id = device.id.clone();
        self.restore(device);
        self.relate();
        Arc::clone(&self.members[&id].device)
    }

    /// All groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.members.values().map(|member| &member.device).filter(|device| device.members.is_some())
    }

    /// Makes every device name the groups that list it; gives those of which that changed.
    pub fn relate(&mut self) -> Vec<Arc<Device>> {
        let mut groups_of: BTreeMap<DeviceId, Vec<DeviceId>> = BTreeMap::new();
        for group in self.groups() {
            for member in group.members.iter().flat_map(|members| members.iter()) {
                groups_of.entry(member.clone()).or_default().push(group.id.clone());
            }
        }
        let mut changed = Vec::new();
        for (id, member) in &mut self.members {
            let groups = groups_of.remove(id).unwrap_or_default();
            if *member.device.groups != *groups {
                changed.push(member.change(|device| device.groups = groups.into()));
            }
        }
        changed
    }

    /// Makes a group show what its members show; gives it if that changed. It is on while any of them is, and off when
    /// all that were heard are; it answers while any of them does.
    pub fn sum_up(&mut self, group: &DeviceId) -> Option<Arc<Device>> {
        let shown = Arc::clone(&self.members.get(group)?.device);
        let members =
            || shown.members.iter().flat_map(|ids| ids.iter()).filter_map(|id| self.members.get(id));
        let relay = members().filter_map(|member| member.device.relay).max();
        let online = members().filter_map(|member| member.device.online).max();
        let same = (shown.relay, shown.online) == (relay, online);
        let member = self.members.get_mut(group).filter(|_| !same)?;
        Some(member.change(|device| (device.relay, device.online) = (relay, online)))
    }

    /// Puts a device at another place.
    pub fn move_to(&mut self, id: &DeviceId, target: Target) -> Option<Arc<Device>> {
        let member = self.members.get_mut(id)?;
        let line = member.device.line.clone()?;
        self.by_target.remove(&(line.clone(), member.device.target.clone()));
        self.by_target.insert((line, target.clone()), id.clone());
        Some(member.change(|device| device.target = target))
    }

    /// Forgets a device.
    pub fn remove(&mut self, id: &DeviceId) -> Option<Arc<Device>> {
        let device = self.members.remove(id)?.device;
        if let Some(line) = &device.line {
            self.by_target.remove(&(line.clone(), device.target.clone()));
        }
        Some(device)
    }

    /// The device that the configuration put at this place at an earlier start.
    #[must_use]
    pub fn configured_at(&self, line: &LineName, target: &Target) -> Option<&DeviceId> {
        let here = |device: &Device| {
            device.line.as_ref() == Some(line)
                && device.configured.as_ref().is_some_and(|of| of.target == *target)
        };
        self.members.values().find(|member| here(&member.device)).map(|member| &member.device.id)
    }

    fn free_id(&self, wanted: &str) -> DeviceId {
        let spellings = std::iter::once(wanted.to_owned()).chain((2..).map(|n| format!("{wanted}_x{n}")));
        spellings
            .filter_map(|text| DeviceId::parse(&text))
            .find(|id| !self.members.contains_key(id))
            .expect("dialect names, canonical addresses and slugs are short and of [a-z0-9_]")
    }
}

/// A device of which only its id is known.
fn nothing_known(id: DeviceId) -> Device {
    Device {
        id,
        name: "".into(),
        line: None,
        dialect: GROUP.into(),
        target: Target { address: "".into(), channel: None },
        model: None,
        abilities: Abilities::default(),
        measured: Arc::new([]),
        relay: None,
        online: None,
        last_seen_unix_ms: None,
        last_reading: None,
        options: Default::default(),
        carry_over: Default::default(),
        configured: None,
        groups: Default::default(),
        members: None,
    }
}

/// What an id can hold of a name: its letters and digits of ASCII in lower case, `_` for each run of anything else.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('_') => {}
            _ => slug.push('_'),
        }
        if slug.len() == SLUG_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('_');
    if slug.is_empty() { "1".to_owned() } else { slug.to_owned() }
}

/// What a line's profile tells people: quantities with the periods that they really have.
#[must_use]
pub fn measured(profile: &Profile, stretch: f64) -> Arc<[crate::device::Measured]> {
    let period_of = |quantity: Quantity| -> Option<Option<Duration>> {
        let polled = profile.plan.iter().filter(|item| item.quantities.contains(&quantity));
        match polled.map(|item| item.period).min() {
            Some(period) => Some(Some(whole_ms(period.mul_f64(stretch)))),
            None => profile.pushed.contains(&quantity).then_some(profile.push_period),
        }
    };
    let rows = QUANTITIES.iter().map(|row| row.quantity);
    rows.filter_map(|quantity| period_of(quantity).map(|period| crate::device::Measured { quantity, period }))
        .collect()
}

/// As the disk keeps it; with more digits every restart would seem to change the device.
fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn default_name(dialect: &str, target: &Target) -> Arc<str> {
    match target.channel {
        Some(channel) => format!("{dialect} {} {channel}", target.address).into(),
        None => format!("{dialect} {}", target.address).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Measured;

    fn line() -> LineName {
        LineName::parse("mains").expect("a name")
    }

    fn target(address: &str, channel: Option<u8>) -> Target {
        Target { address: address.into(), channel }
    }

    fn now(ms: u64) -> Now {
        Now { mono: Moment(Duration::from_millis(ms)), unix_ms: 1_000 + ms as i64, synchronised: true }
    }

    #[test]
    fn an_address_taken_by_another_line_gets_an_id_of_its_own() {
        let mut registry = Registry::default();
        let first = registry.add(&line(), "dlt645", &target("000000004711", None), None);
        let other = LineName::parse("cellar").expect("a name");
        let second = registry.add(&other, "dlt645", &target("000000004711", None), Some("Pump"));
        assert_eq!(first.id.as_str(), "dlt645_000000004711");
        assert_eq!(second.id.as_str(), "dlt645_000000004711_x2");
        assert_eq!(registry.at(&other, &target("000000004711", None)), Some(&second.id));
    }

    #[test]
    fn the_second_relay_of_a_thing_has_a_suffix_and_the_first_has_none() {
        let mut registry = Registry::default();
        let one = registry.add(&line(), "insteon", &target("2c0d11", Some(1)), None);
        let two = registry.add(&line(), "insteon", &target("2c0d11", Some(2)), None);
        assert_eq!((one.id.as_str(), two.id.as_str()), ("insteon_2c0d11", "insteon_2c0d11_2"));
    }

    #[test]
    fn after_a_restart_only_what_was_heard_a_moment_before_is_still_online() {
        let online = |seen_unix_ms, online, now: Now| {
            let mut registry = Registry::default();
            let id = registry.add(&line(), "dlt645", &target("000000004711", None), None).id.clone();
            let member = registry.get_mut(&id).expect("just added");
            member.change(|device| (device.online, device.last_seen_unix_ms) = (online, seen_unix_ms));
            registry.doubt_availability(now);
            registry.get(&id).expect("just added").device.online
        };
        let later = now(ONLINE_KEPT_MS as u64);
        assert_eq!(online(Some(later.unix_ms - ONLINE_KEPT_MS), Some(true), later), Some(true));
        assert_eq!(online(Some(later.unix_ms - ONLINE_KEPT_MS - 1), Some(true), later), None, "too long ago");
        assert_eq!(online(Some(later.unix_ms + 1), Some(true), later), None, "heard in the future");
        assert_eq!(online(Some(later.unix_ms), Some(false), later), None, "it may have come back");
        assert_eq!(online(None, Some(true), later), None);
        let lost = Now { synchronised: false, ..later };
        assert_eq!(online(Some(later.unix_ms), Some(true), lost), None, "nobody knows how long ago");
    }

    #[test]
    fn a_groups_id_holds_what_it_can_of_the_name_and_is_its_own() {
        let mut registry = Registry::default();
        let mut add = |name: &str| registry.add_group(name, [].into()).id.to_string();
        assert_eq!(add("Living room, left"), "group_living_room_left");
        assert_eq!(add("living ROOM / left!"), "group_living_room_left_x2");
        assert_eq!(add("K\u{fc}che"), "group_k_che");
        assert_eq!(add("\u{5ba2}\u{5385}"), "group_1");
        assert_eq!(add("\u{53a8}\u{623f}"), "group_1_x2");
        assert_eq!(add(&"ab".repeat(30)).len(), "group_".len() + SLUG_MAX);
    }

    #[test]
    fn a_group_shows_what_was_heard_of_its_members_and_nothing_else() {
        let mut registry = Registry::default();
        let ids: Vec<DeviceId> =
            ["1", "2"].map(|a| registry.add(&line(), "x", &target(a, None), None).id.clone()).into();
        let group = registry.add_group("Both", ids.clone().into()).id.clone();
        assert_eq!(registry.get(&ids[0]).expect("added").device.groups.first(), Some(&group));
        assert_eq!(registry.sum_up(&group), None, "nothing was heard");
        let mut after = |of: usize, relay, online| {
            let member = registry.get_mut(&ids[of]).expect("added");
            member.change(|device| (device.relay, device.online) = (relay, online));
            registry.sum_up(&group).map(|group| (group.relay, group.online))
        };
        assert_eq!(after(0, Some(false), Some(true)), Some((Some(false), Some(true))));
        assert_eq!(after(1, Some(true), Some(false)), Some((Some(true), Some(true))));
        assert_eq!(after(0, Some(true), Some(false)), Some((Some(true), Some(false))));
        assert_eq!(after(0, None, None), None, "the other is on");
        assert_eq!(after(1, None, None), Some((None, None)));
    }

    #[test]
    fn an_old_power_ages_out_and_an_old_total_does_not() {
        let mut registry = Registry::default();
        let id = registry.add(&line(), "dlt645", &target("000000000001", None), None).id.clone();
        let member = registry.get_mut(&id).expect("just added");
        let period = Some(Duration::from_secs(10));
        member.change(|device| {
            device.measured =
                [Quantity::Power, Quantity::Energy].map(|quantity| Measured { quantity, period }).into();
        });
        let mut reading = Reading::of(Quantity::Power, 5);
        reading.set(Quantity::Energy, 7);
        member.take(reading, now(0));
        assert!(member.age(now(30_000).mono).is_none());
        let aged = member.age(now(30_001).mono).expect("power is too old");
        let left = aged.last_reading.expect("the total stays").reading;
        assert_eq!((left.get(Quantity::Power), left.get(Quantity::Energy)), (None, Some(7)));
    }

    #[test]
    fn a_total_of_the_past_is_carried_on_and_lies_below_the_published_one() {
        let mut registry = Registry::default();
        let id = registry.add(&line(), "plugline", &target("02a0b1fffe001234", None), None).id.clone();
        let member = registry.get_mut(&id).expect("just added");
        member.change(|device| device.carry_over[0] = CarryOver::Offset(1_000));
        member.judge(Reading::of(Quantity::Energy, 500));
        let carried = |member: &Member, total| member.carried(Reading::of(Quantity::Energy, total));
        assert_eq!(carried(member, 400), Some(Reading::of(Quantity::Energy, 1_400)));
        assert_eq!(carried(member, 501), None, "it cannot have been more");
        member.change(|device| device.carry_over[0] = CarryOver::Pending);
        assert_eq!(carried(member, 400), None, "of which meter it is, is not known");
    }

    #[test]
    fn a_total_that_fell_is_not_taken_even_after_a_restart() {
        let mut registry = Registry::default();
        let id = registry.add(&line(), "dlt645", &target("000000000001", None), None).id.clone();
        let member = registry.get_mut(&id).expect("just added");
        let judged = member.judge(Reading::of(Quantity::Energy, 500));
        member.take(judged.reading, now(0));
        let mut again = Registry::default();
        again.restore((*member.device).clone());
        let judged = again.get_mut(&id).expect("restored").judge(Reading::of(Quantity::Energy, 499));
        assert!(judged.reading.is_empty());
        assert_eq!(judged.fell, Some((Quantity::Energy, 499, 500)));
    }
}
