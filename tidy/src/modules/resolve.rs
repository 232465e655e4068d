//! Where a path leads.

use super::module::{Id, Module, ROOT, Segments};

/// Longer chains of re-exports than any code has; a name that is imported from itself ends here.
const JUMPS_MAX: usize = 16;

/// The modules that a path in `from` leads to: where its item is defined, and each that re-exports it on the way.
pub fn targets(modules: &[Module], from: Id, path: &Segments) -> Vec<Id> {
    let mut walk = Walk {
        modules,
        met: Vec::new(),
        jumps: 0,
    };
    walk.path(from, path);
    walk.met
}

/// What a name stands for.
enum Named {
    Module(Id),
    /// Something that is no module, in this one.
    Item(Id),
}

struct Walk<'a> {
    modules: &'a [Module],
    met: Vec<Id>,
    jumps: usize,
}

impl Walk<'_> {
    fn path(&mut self, from: Id, path: &[String]) -> Option<Named> {
        let (first, rest) = path.split_first()?;
        let begin = match first.as_str() {
            "crate" => Named::Module(ROOT),
            "self" => Named::Module(from),
            "super" => Named::Module(self.modules[from].parent?),
            name => self.name(from, name)?,
        };
        match begin {
            Named::Module(module) => self.down(module, rest),
            Named::Item(module) => Some(self.end(Named::Item(module))),
        }
    }

    fn down(&mut self, mut module: Id, rest: &[String]) -> Option<Named> {
        for segment in rest {
            match segment.as_str() {
                "self" => {}
                "super" => module = self.modules[module].parent?,
                name => match self.name(module, name) {
                    Some(Named::Module(next)) => module = next,
                    Some(item) => return Some(self.end(item)),
                    // What a macro makes is of the module as well as it can be known.
                    None => return Some(self.end(Named::Item(module))),
                },
            }
        }
        Some(self.end(Named::Module(module)))
    }

    fn end(&mut self, named: Named) -> Named {
        let (Named::Module(module) | Named::Item(module)) = named;
        self.met.push(module);
        named
    }

    /// The meaning of `name` in a module: its own item, an imported one, or one from a glob import.
    fn name(&mut self, at: Id, name: &str) -> Option<Named> {
        let modules = self.modules;
        let module = &modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(Named::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Named::Item(at));
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
                    Named::Module(other) if other != at => self.name(other, name),
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
