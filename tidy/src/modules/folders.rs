//! The modules beside each other in each folder, and the arrows between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::module::{Id, Module};
use super::resolve::targets;
use super::source;
use crate::{Result, tree};

/// The modules directly in one folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// `node/src/replica`.
    pub name: String,
    pub(super) modules: BTreeSet<String>,
    /// Which needs which, with a path that shows it.
    pub(super) arrows: BTreeMap<(String, String), String>,
}

/// Every folder of the product's crates and of the tools.
///
/// # Errors
/// When a source cannot be read or is no Rust.
pub fn folders(root: &Path) -> Result<Vec<Folder>> {
    let mut folders = Vec::new();
    for path in tree::entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for (file, of_program) in [("lib.rs", ""), ("main.rs", " (main.rs)")] {
            let file = path.join("src").join(file);
            if file.is_file() {
                let modules = source::read(&file)?;
                let found = of_crate(&format!("{name}/src"), &modules);
                folders.extend(found.into_iter().map(|mut folder| {
                    folder.name.push_str(of_program);
                    folder
                }));
            }
        }
    }
    Ok(folders)
}

/// The folders of one crate that hold modules; `top` is the name of the first.
fn of_crate(top: &str, modules: &[Module]) -> Vec<Folder> {
    let mut folders: BTreeMap<Id, Folder> = BTreeMap::new();
    for (id, module) in modules.iter().enumerate() {
        let Some(parent) = module.parent.filter(|_| module.is_file) else {
            continue;
        };
        let folder = folders.entry(parent).or_default();
        folder.modules.insert(module.name.clone());
        let above = &lineage(modules, id)[1..];
        let names = above[..above.len() - 1].iter().map(|id| &modules[*id].name);
        folder.name = names.fold(top.to_owned(), |path, name| format!("{path}/{name}"));
    }
    for (from, module) in modules.iter().enumerate() {
        for path in &module.paths {
            for to in targets(modules, from, path) {
                if let Some((folder, a, b)) = siblings(modules, from, to) {
                    let arrow = (modules[a].name.clone(), modules[b].name.clone());
                    let shown = || format!("{} in {}", path.join("::"), shown(modules, from));
                    let arrows = &mut folders.entry(folder).or_default().arrows;
                    arrows.entry(arrow).or_insert_with(shown);
                }
            }
        }
    }
    folders.into_values().collect()
}

/// A module and the modules around it, from the root on.
fn lineage(modules: &[Module], id: Id) -> Vec<Id> {
    let above = std::iter::successors(Some(id), |id| modules[*id].parent);
    let mut lineage: Vec<Id> = above.collect();
    lineage.reverse();
    lineage
}

fn shown(modules: &[Module], id: Id) -> String {
    let names = lineage(modules, id)
        .into_iter()
        .skip(1)
        .map(|id| modules[id].name.as_str());
    names.collect::<Vec<_>>().join("::")
}

/// The two sibling files that are or contain these modules, and the folder of both.
fn siblings(modules: &[Module], from: Id, to: Id) -> Option<(Id, Id, Id)> {
    let (from, to) = (lineage(modules, from), lineage(modules, to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let (a, b) = (*from.get(common)?, *to.get(common)?);
    let are_files = modules[a].is_file && modules[b].is_file;
    are_files.then_some((from[common - 1], a, b))
}

impl Folder {
    /// How many arrows there are between its modules.
    #[must_use]
    pub fn arrows(&self) -> usize {
        self.arrows.len()
    }

    /// How many modules it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.modules.len()
    }

    /// The modules that depend on each other in a circle, circle by circle.
    #[must_use]
    pub fn knots(&self) -> Vec<BTreeSet<String>> {
        let reached = |from: &String| self.reached_from(from);
        let reach: BTreeMap<&String, BTreeSet<String>> = self
            .modules
            .iter()
            .map(|name| (name, reached(name)))
            .collect();
        let mut knots = BTreeSet::new();
        for name in &self.modules {
            let in_circle = reach[name]
                .iter()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(name)));
            let knot: BTreeSet<String> = in_circle.cloned().collect();
            if knot.len() > 1 {
                knots.insert(knot);
            }
        }
        knots.into_iter().collect()
    }

    fn reached_from(&self, from: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(at) = next.pop() {
            for (_, to) in self.arrows.keys().filter(|(from, _)| *from == at) {
                if reached.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        reached
    }

    /// The arrows inside a circle.
    pub(super) fn arrows_of(&self, knot: &BTreeSet<String>) -> String {
        let inside = self
            .arrows
            .iter()
            .filter(|((from, to), _)| knot.contains(from) && knot.contains(to));
        let lines = inside.map(|((from, to), path)| format!("\n    {from} -> {to}: {path}"));
        lines.collect()
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} modules", self.name, self.size())?;
        for name in &self.modules {
            let needed = self.arrows.keys().filter(|(from, _)| from == name);
            let needed: Vec<&str> = needed.map(|(_, to)| to.as_str()).collect();
            writeln!(f, "  {name} -> {}", needed.join(", "))?;
        }
        for knot in self.knots() {
            let names: Vec<&str> = knot.iter().map(String::as_str).collect();
            writeln!(f, "  circle of {}: {}", knot.len(), names.join(", "))?;
            writeln!(f, "{}", self.arrows_of(&knot).trim_start_matches('\n'))?;
        }
        Ok(())
    }
}
