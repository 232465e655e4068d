//! A module: what it holds, names and uses.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The number of a module in its crate; the crate's root is the first.
pub type Id = usize;
/// `a::b` as its parts.
pub type PathSegments = Vec<String>;

pub const ROOT: Id = 0;

#[derive(Debug, Default)]
pub struct Module {
    pub name: String,
    pub parent: Option<Id>,
    pub children: BTreeMap<String, Id>,
    /// Whether the module has a file of its own, and is not a part of its parent's.
    pub is_file: bool,
    /// What it defines itself.
    pub items: HashSet<String>,
    /// What it names by `use`, and by which path.
    pub imports: HashMap<String, PathSegments>,
    pub globs: Vec<PathSegments>,
    /// Every path in its code, those of `use` too.
    pub paths: Vec<PathSegments>,
}
