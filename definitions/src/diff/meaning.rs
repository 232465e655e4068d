//! Whether two parts of definitions mean the same, however they are written.

use std::borrow::Cow;

use rstmdb_engine::expression::Expression;
use rstmdb_engine::guard::Guard;
use rstmdb_rcp::json::Json;

use crate::convert::convert;
use crate::model::graph::Graph;
use crate::model::{Act, Choice, MachineModel};

/// Both definitions in one format, and whether one of them was converted for it. Where format 2 cannot say what a
/// definition of format 1 says, both stay as they are.
pub(super) fn in_one_format<'a>(
    old: &'a MachineModel,
    new: &'a MachineModel,
) -> (Cow<'a, MachineModel>, Cow<'a, MachineModel>, bool) {
    let converted = |machine: &MachineModel| -> Option<MachineModel> {
        let mut converted = MachineModel::read(&convert(&machine.to_json()).ok()?.result).ok()?;
        // Format 1 has no final states: those that nothing leaves are so only by being converted.
        let graph = Graph::new(machine);
        for (number, state) in converted.states.iter_mut().enumerate() {
            state.is_final = graph.is_end(number);
        }
        Some(converted)
    };
    match (old.format, new.format) {
        (1, 2) => match converted(old) {
            Some(old) => (Cow::Owned(old), Cow::Borrowed(new), true),
            None => (Cow::Borrowed(old), Cow::Borrowed(new), false),
        },
        (2, 1) => match converted(new) {
            Some(new) => (Cow::Borrowed(old), Cow::Owned(new), true),
            None => (Cow::Borrowed(old), Cow::Borrowed(new), false),
        },
        _ => (Cow::Borrowed(old), Cow::Borrowed(new), false),
    }
}

/// How two texts of conditions or values are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    /// The formats of the older and the newer definition.
    formats: (u8, u8),
}

impl Meaning {
    pub(super) fn new(old: &MachineModel, new: &MachineModel) -> Self {
        Self {
            formats: (old.format, new.format),
        }
    }

    /// Whether two ways have the same condition and the same effects; what is only said to people does not count.
    pub(super) fn same_way(self, old: (&str, &Act), new: (&str, &Act)) -> bool {
        old.0 == new.0 && self.same_act(old.1, new.1)
    }

    pub(super) fn same_choices(self, old: &[Choice], new: &[Choice]) -> bool {
        let mut pairs = old.iter().zip(new);
        let same =
            |(old, new): (&Choice, &Choice)| old.to == new.to && self.same_act(&old.act, &new.act);
        old.len() == new.len() && pairs.all(same)
    }

    fn same_act(self, old: &Act, new: &Act) -> bool {
        let guards = match (&old.guard, &new.guard) {
            (Some(old), Some(new)) => self.same_text(old, new),
            (old, new) => old == new,
        };
        guards
            && self.same_values(&old.set, &new.set)
            && sorted(&old.unset) == sorted(&new.unset)
            && sorted(&old.emit) == sorted(&new.emit)
            && without_meta(&old.other).eq(without_meta(&new.other))
    }

    /// All values are computed before one is set, so their order has no meaning.
    fn same_values(self, old: &[(String, String)], new: &[(String, String)]) -> bool {
        let (old, new) = (sorted(old), sorted(new));
        let mut pairs = old.iter().zip(&new);
        old.len() == new.len()
            && pairs.all(|(old, new)| old.0 == new.0 && self.same_text(&old.1, &new.1))
    }

    fn same_text(self, old: &str, new: &str) -> bool {
        match self.formats {
            (1, 1) => {
                let tree = |text: &str| Guard::parse(text).map(|guard| guard.tree());
                old == new || matches!((tree(old), tree(new)), (Ok(old), Ok(new)) if old == new)
            }
            (2, 2) => {
                let parsed = (Expression::parse(old), Expression::parse(new));
                old == new || matches!(parsed, (Ok(old), Ok(new)) if old.says_the_same(&new))
            }
            // The same text may mean something else in the other format.
            _ => false,
        }
    }
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort();
    items
}

/// What a key says to the machine; `meta` is for people, and `"merge": true` is the default.
pub(super) fn without_meta(other: &[(String, Json)]) -> impl Iterator<Item = &(String, Json)> {
    other.iter().filter(|(key, _)| key != "meta")
}
