//! A shelf of INSTEON devices for demonstrations, linked with their modem both ways.

use super::device::{Device, Model};
use super::links::Link;
use super::message::Id;
use super::plm::Plm;
use crate::appliance::Kind;
use crate::random::mix;

const MODEM: Id = Id([0x4A, 0x51, 0x0C]);
/// What the demo's meter has counted at the start, in mWh.
const COUNTED_MWH: u64 = 57_310_000;

/// Two outlets, a dual outlet and an energy meter with a fridge behind it. The modem commands each of them in group
/// 1, the dual outlet in group 2 as well, and hears of their buttons.
#[must_use]
pub fn demo_insteon(seed: u64) -> Plm {
    let devices = vec![
        Device::new(Id([0x1A, 0x77, 0x7B]), Model::OnOff)
            .with_names("Floor lamp", "")
            .with_relays([true, false]),
        Device::new(Id([0x1A, 0x78, 0x10]), Model::OnOff).with_names("Radio", "").with_distance(2),
        Device::new(Id([0x2C, 0x0D, 0x11]), Model::DualOutlet).with_names("Shelf, top", "Shelf, bottom"),
        Device::new(Id([0x19, 0x87, 0xB7]), Model::EnergyMeter)
            .with_names("Freezer", "")
            .with_appliance(Kind::Fridge, mix(seed, 0))
            .with_energy_mwh(COUNTED_MWH),
    ];
    let mut plm = Plm::new(MODEM, seed, devices);
    plm.link_all();
    plm
}

impl Plm {
    /// Writes the records that linking every device by hand, both ways and for each outlet, would have written.
    /// What has no room is left out.
    pub fn link_all(&mut self) {
        let modem = self.id();
        for index in 0..self.devices.len() {
            let (id, product) = (self.devices[index].id(), self.devices[index].product());
            for group in 1..=self.devices[index].outlets().max(1) {
                let theirs = self.devices[index].links_mut();
                theirs.put(Link::responder(group, modem, [0xFF, 0x1C, group])).ok();
                theirs.put(Link::controller(group, modem, [0x03, 0x1C, group])).ok();
                self.links_mut().put(Link::controller(group, id, product)).ok();
                self.links_mut().put(Link::responder(group, id, product)).ok();
            }
        }
    }

    /// Forgets the records of every device and of the modem, as if all had come from the factory.
    pub fn unlink_all(&mut self) {
        self.links_mut().clear();
        self.devices.iter_mut().for_each(|device| device.links_mut().clear());
    }
}
