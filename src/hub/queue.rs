//! Commands that wait for one line, and whose turn it is. Pure.
//!
//! Those that somebody gave singly form one row, the members' of each command to a group another. Rows take turns: a
//! group of 256 holds up a single command by one operation, and a second group by half.

use std::collections::VecDeque;

use crate::device::CommandId;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Never an empty row; the first one is next. Each with the command to a group that it is part of.
    rows: VecDeque<(Option<CommandId>, VecDeque<CommandId>)>,
}

impl Queue {
    /// Puts a command at the end of its row.
    pub(super) fn push(&mut self, part_of: Option<&CommandId>, id: CommandId) {
        match self.rows.iter_mut().find(|(of, _)| of.as_ref() == part_of) {
            Some((_, row)) => row.push_back(id),
            None => self.rows.push_back((part_of.cloned(), [id].into())),
        }
    }

    /// Takes the first command of the row whose turn it is; the row goes behind all others.
    pub(super) fn pop(&mut self) -> Option<CommandId> {
        let (of, mut row) = self.rows.pop_front()?;
        let id = row.pop_front();
        if !row.is_empty() {
            self.rows.push_back((of, row));
        }
        id
    }

    /// Takes out a command that waits no longer.
    pub(super) fn remove(&mut self, id: &CommandId) {
        for (_, row) in &mut self.rows {
            row.retain(|waiting| waiting != id);
        }
        self.rows.retain(|(_, row)| !row.is_empty());
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CommandId {
        CommandId::parse(text).expect("an id")
    }

    fn drained(queue: &mut Queue) -> String {
        std::iter::from_fn(|| queue.pop()).map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn queue() -> Queue {
        let mut queue = Queue::default();
        for (of, name) in
            [(Some("a"), "a1"), (Some("a"), "a2"), (Some("a"), "a3"), (None, "s1"), (None, "s2")]
        {
            queue.push(of.map(id).as_ref(), id(name));
        }
        queue
    }

    #[test]
    fn single_commands_and_groups_take_turns_and_keep_their_own_order() {
        let mut queue = queue();
        queue.push(Some(&id("b")), id("b1"));
        assert_eq!(drained(&mut queue), "a1 s1 b1 a2 s2 a3");
        assert!(queue.is_empty());
    }

    #[test]
    fn one_that_waits_no_longer_leaves_no_hole() {
        let mut queue = queue();
        for gone in ["a1", "s1", "s2"] {
            queue.remove(&id(gone));
        }
        assert_eq!(drained(&mut queue), "a2 a3");
    }
}
