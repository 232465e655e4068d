//! Where a path leads.

use super::module::{Id, Module, PathSegments, ROOT};

/// Longer chains of re-exports than any code has; a name that is imported from itself ends here.
const JUMPS_MAX: usize = 16;

/// The modules that a path in `from` leads to: where its item is defined, and each that re-exports it on the way.
pub fn targets(modules: &[Module], from: Id, path: &PathSegments) -> Vec<Id> {
    let mut walk = NameWalk {
        modules,
        met: Vec::new(),
        jumps: 0,
    };
    walk.path(from, path);
    walk.met
}

/// What a name stands for.
enum NameMeaning {
    Module(Id),
    /// Something that is no module, in this one.
    Item(Id),
}

struct NameWalk<'a> {
    modules: &'a [Module],
    met: Vec<Id>,
    jumps: usize,
}

impl NameWalk<'_> {
    fn path(&mut self, from: Id, path: &[String]) -> Option<NameMeaning> {
        let (first, rest) = path.split_first()?;
        let begin = match first.as_str() {
            "crate" => NameMeaning::Module(ROOT),
            "self" => NameMeaning::Module(from),
            "super" => NameMeaning::Module(self.modules[from].parent?),
            name => self.name(from, name)?,
        };
        match begin {
            NameMeaning::Module(module) => self.down(module, rest),
            NameMeaning::Item(module) => Some(self.end(NameMeaning::Item(module))),
        }
    }

    fn down(&mut self, mut module: Id, rest: &[String]) -> Option<NameMeaning> {
        for segment in rest {
            match segment.as_str() {
                "self" => {}
                "super" => module = self.modules[module].parent?,
                name => match self.name(module, name) {
                    Some(NameMeaning::Module(next)) => module = next,
                    Some(item) => return Some(self.end(item)),
                    // What a macro makes is of the module as well as it can be known.
                    None => return Some(self.end(NameMeaning::Item(module))),
                },
            }
        }
        Some(self.end(NameMeaning::Module(module)))
    }

    fn end(&mut self, named: NameMeaning) -> NameMeaning {
        let (NameMeaning::Module(module) | NameMeaning::Item(module)) = named;
        self.met.push(module);
        named
    }

    /// The meaning of `name` in a module: its own item, an imported one, or one from a glob import.
    fn name(&mut self, at: Id, name: &str) -> Option<NameMeaning> {
        let modules = self.modules;
        let module = &modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(NameMeaning::Module(*child));
        }
        if module.items.contains(name) {
            return Some(NameMeaning::Item(at));
        }
        if self.jumps == JUMPS_MAX {
            return None;
        }
        self.jumps += 1;
        let found = match module.imports.get(name) {
            Some(import) => {
                self.met.push(at);
                self.path(at, import)
            }
            None => module.globs.iter().find_map(|glob| {
                let before = self.met.len();
                let found = match self.path(at, glob)? {
                    NameMeaning::Module(other) if other != at => self.name(other, name),
                    _ => None,
                };
                if found.is_none() {
                    self.met.truncate(before);
                }
                found
            }),
        };
        self.jumps -= 1;
        found
    }
}
