//! A link database: slots of eight bytes, some of them empty, some never used. Modems and devices have one each.

use super::message::Id;

/// Bit 7: the link counts.
const IN_USE: u8 = 0x80;
/// Bit 6: the holder commands the other end.
const CONTROLLER: u8 = 0x40;
/// Bit 1: the slot has been used; where it is 0, the list ends.
const USED_BEFORE: u8 = 0x02;

/// Flags of a record whose holder commands the other end.
pub const AS_CONTROLLER: u8 = 0xE2;
/// Flags of a record whose holder obeys the other end.
pub const AS_RESPONDER: u8 = 0xA2;

/// One record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Bit 7 in use, bit 6 controller, bit 1 has been used.
    pub flags: u8,
    /// Group.
    pub group: u8,
    /// The other end.
    pub id: Id,
    /// D1 … D3.
    pub data: [u8; 3],
}

impl Link {
    /// The holder commands `id` in this group.
    #[must_use]
    pub fn controller(group: u8, id: Id, data: [u8; 3]) -> Self {
        Self { flags: AS_CONTROLLER, group, id, data }
    }

    /// The holder obeys `id` in this group.
    #[must_use]
    pub fn responder(group: u8, id: Id, data: [u8; 3]) -> Self {
        Self { flags: AS_RESPONDER, group, id, data }
    }

    /// The record counts.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.flags & IN_USE != 0
    }

    /// The holder commands.
    #[must_use]
    pub fn is_controller(&self) -> bool {
        self.flags & CONTROLLER != 0
    }

    /// The eight bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 8] {
        let ([a, b, c], [x, y, z]) = (self.id.0, self.data);
        [self.flags, self.group, a, b, c, x, y, z]
    }

    /// From the eight bytes.
    #[must_use]
    pub fn of_bytes([flags, group, a, b, c, x, y, z]: [u8; 8]) -> Self {
        Self { flags, group, id: Id([a, b, c]), data: [x, y, z] }
    }
}

/// A link database of limited size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    slots: Vec<Link>,
    capacity: usize,
}

/// There is no slot left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Links {
    /// An empty one with so many slots.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), capacity }
    }

    /// Every slot up to the last used one, holes included.
    #[must_use]
    pub fn slots(&self) -> &[Link] {
        &self.slots
    }

    /// The records that count.
    pub fn in_use(&self) -> impl Iterator<Item = &Link> {
        self.slots.iter().filter(|link| link.in_use())
    }

    /// Changes the number of slots; records that are there stay.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// The record in a slot; all zero where none was ever written.
    #[must_use]
    pub fn slot(&self, index: usize) -> Link {
        self.slots.get(index).copied().unwrap_or_default()
    }

    /// Writes a slot; those before it that were never used become holes.
    ///
    /// # Errors
    /// [`Full`] when there is no such slot.
    pub fn write(&mut self, index: usize, link: Link) -> Result<(), Full> {
        if index >= self.capacity {
            return Err(Full);
        }
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Link { flags: USED_BEFORE, ..Link::default() });
        }
        self.slots[index] = link;
        Ok(())
    }

    /// Updates the record of the same other end, group and role, or adds it in the first free slot.
    ///
    /// # Errors
    /// [`Full`] when there is no free slot.
    pub fn put(&mut self, link: Link) -> Result<(), Full> {
        let same = |old: &Link| {
            old.in_use()
                && (old.id, old.group) == (link.id, link.group)
                && old.is_controller() == link.is_controller()
        };
        let at = self.slots.iter().position(same);
        let at = at.or_else(|| self.slots.iter().position(|old| !old.in_use())).unwrap_or(self.slots.len());
        self.write(at, Link { flags: link.flags | IN_USE | USED_BEFORE, ..link })
    }

    /// Turns the first record that `wanted` accepts into a hole; `false` if there is none.
    pub fn remove(&mut self, wanted: impl Fn(&Link) -> bool) -> bool {
        let found = self.slots.iter_mut().find(|link| link.in_use() && wanted(link));
        let Some(link) = found else { return false };
        link.flags &= !IN_USE;
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// The holder obeys `id` in `group`, and by which button.
    #[must_use]
    pub fn obeys(&self, id: Id, group: u8) -> Option<Link> {
        self.in_use().find(|link| !link.is_controller() && (link.id, link.group) == (id, group)).copied()
    }

    /// Some record names `id`.
    #[must_use]
    pub fn knows(&self, id: Id) -> bool {
        self.in_use().any(|link| link.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Id = Id([1, 1, 1]);
    const TWO: Id = Id([2, 2, 2]);

    #[test]
    fn a_removed_record_leaves_a_hole_that_is_filled_again() {
        let mut links = Links::new(4);
        links.put(Link::controller(1, ONE, [0; 3])).unwrap();
        links.put(Link::responder(1, TWO, [0; 3])).unwrap();
        assert!(links.remove(|link| link.id == ONE));
        assert_eq!(links.slot(0).flags, 0x62);
        assert_eq!(links.slots().len(), 2);
        links.put(Link::responder(2, ONE, [0; 3])).unwrap();
        assert_eq!(links.slot(0).group, 2);
    }

    #[test]
    fn a_full_database_updates_and_refuses_to_grow() {
        let mut links = Links::new(1);
        links.put(Link::controller(1, ONE, [0; 3])).unwrap();
        links.put(Link::controller(1, ONE, [9; 3])).unwrap();
        assert_eq!(links.slot(0).data, [9; 3]);
        assert_eq!(links.put(Link::controller(1, TWO, [0; 3])), Err(Full));
    }
}
