//! Which state a target names.

use super::XstateReader;

impl XstateReader<'_> {
    /// A state by its path below another one; dots may also be part of names.
    pub(super) fn within(&self, node: usize, path: &str) -> Option<usize> {
        if path.is_empty() {
            return Some(node);
        }
        if let Some(child) = self.chart.child(node, path) {
            return Some(child);
        }
        path.match_indices('.').find_map(|(dot, _)| {
            let child = self.chart.child(node, &path[..dot])?;
            self.within(child, &path[dot + 1..])
        })
    }

    /// A state by the text of a target, as seen from the state that has the transition.
    pub(super) fn target(&self, from: usize, text: &str) -> Option<usize> {
        if let Some(id) = text.strip_prefix('#') {
            if let Some(node) = self.ids.get(id) {
                return Some(*node);
            }
            // `#id.child`, and states without an id of their own have `machine.state.child`.
            return id.match_indices('.').find_map(|(dot, _)| {
                let node = self.ids.get(&id[..dot])?;
                self.within(*node, &id[dot + 1..])
            });
        }
        if let Some(inner) = text.strip_prefix('.') {
            return self.within(from, inner);
        }
        match self.chart.nodes[from].parent {
            Some(parent) => self.within(parent, text),
            // The machine's own transitions lead to its states.
            None => self.within(from, text),
        }
    }

    /// The names that a target could be, for messages.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.chart.nodes.iter().map(|node| node.name.as_str());
        names.filter(|name| !name.is_empty()).collect()
    }
}
