//! What states are called.

use std::collections::HashMap;

use super::MermaidReader;
use crate::base::json::text;

impl MermaidReader<'_> {
    /// `state "title" as s1` is how a diagram gives a state a name with spaces: the title is the name then, if no two
    /// states have the same.
    pub(super) fn rename(&mut self) {
        let mut titles: Vec<(usize, String)> = self.titles.drain().collect();
        titles.sort_unstable();
        let is_generated = |node: usize| {
            let number = self.chart.nodes[node].name.strip_prefix('s');
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()))
        };
        // The states that may be renamed, by title; of several with one title, none.
        let mut renamed: HashMap<&str, Option<usize>> = HashMap::new();
        for (node, title) in titles.iter().filter(|(node, _)| is_generated(*node)) {
            let once = renamed.entry(title).or_insert(Some(*node));
            *once = once.filter(|first| first == node);
        }
        // A state that keeps its name keeps another one from taking it, and so on.
        let mut may: Vec<bool> = vec![false; self.chart.nodes.len()];
        renamed
            .values()
            .flatten()
            .for_each(|node| may[*node] = true);
        let mut kept: Vec<usize> = (0..may.len()).filter(|node| !may[*node]).collect();
        while let Some(node) = kept.pop() {
            let name = self.chart.nodes[node].name.as_str();
            if let Some(Some(other)) = renamed.get(name)
                && std::mem::replace(&mut may[*other], false)
            {
                kept.push(*other);
            }
        }
        for (node, title) in titles {
            let state = &mut self.chart.nodes[node];
            if may[node] {
                state.name = title;
            } else if title != state.name {
                state.about.push(("title".to_owned(), text(title)));
            }
        }
    }
}
