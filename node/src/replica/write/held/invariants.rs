//! What holds of the commands held, between two steps.

use std::collections::VecDeque;

use super::{Held, HeldLanes, enter};
use crate::replica::parts::invariants::{BrokenInvariant, FEW, ensure};
use crate::replica::types::Types;

impl<T: Types> Held<T> {
    /// Checks that the lanes hold exactly the commands that wait, in their order, and that exactly those commands were
    /// found ready that are first in all of their lanes. Checks nothing if the commands are many.
    pub(crate) fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        if !self.are_few() {
            return Ok(());
        }
        let (mut instances, mut machines) = (HeldLanes::new(), HeldLanes::new());
        for (number, waiting) in &self.waiting {
            let command = &waiting.request.command;
            ensure(*number < self.next, || {
                format!("held command {number} waits, the next one is {}", self.next)
            })?;
            enter(&mut instances, &mut machines, *number, command);
            let is_first = self.is_first(*number, command);
            ensure(waiting.was_ready == is_first, || {
                format!(
                    "held command {number} was ready: {}, is first in its lanes: {is_first}",
                    waiting.was_ready
                )
            })?;
        }
        ensure(
            instances == self.instances && machines == self.machines,
            || {
                format!(
                    "the lanes are {:?} and {:?}, those of the commands held {instances:?} and {machines:?}",
                    self.instances, self.machines
                )
            },
        )?;
        let was_ready = |number: &u64| self.waiting.get(number).is_some_and(|it| it.was_ready);
        let mut chosen = self.ready.iter().chain(&self.costly);
        ensure(
            chosen.all(was_ready) && self.ready.is_disjoint(&self.costly),
            || {
                format!(
                    "held commands {:?} are ready and {:?} to be prepared",
                    self.ready, self.costly
                )
            },
        )
    }

    /// How many were chosen and not taken out yet: those that are being prepared. 0 where too many wait to be
    /// counted after each step.
    pub(crate) fn being_prepared(&self) -> usize {
        if !self.are_few() {
            return 0;
        }
        let were_ready = self.waiting.values().filter(|it| it.was_ready).count();
        were_ready.saturating_sub(self.ready.len() + self.costly.len())
    }

    fn are_few(&self) -> bool {
        let lanes = || self.instances.values().chain(self.machines.values());
        self.waiting.len() <= FEW
            && self.instances.len() + self.machines.len() <= FEW
            && lanes().map(VecDeque::len).sum::<usize>() <= FEW
    }
}
