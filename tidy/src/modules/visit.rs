//! The paths in a module's code.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Attribute, ImplItemFn, Item, ItemUse, Macro, Meta, Path, UseTree};

use super::module::{Module, PathSegments};

/// Whether an item with these attributes exists in tests only.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        let is_part = condition.starts_with("all") && condition.contains("test");
        list.path.is_ident("cfg") && (condition == "test" || is_part)
    })
}

/// Adds what an item defines, names and uses to its module.
pub fn item(module: &mut Module, item: &Item) {
    if let Some(name) = name_of(item) {
        module.items.insert(name);
    }
    ModuleVisitor { module }.visit_item(item);
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

struct ModuleVisitor<'a> {
    module: &'a mut Module,
}

impl<'ast> Visit<'ast> for ModuleVisitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_test(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &PathSegments::new());
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.module.paths.push(segments.collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        syn::visit::visit_macro(self, called);
        self.tokens(&called.tokens);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
        }
    }
}

impl ModuleVisitor<'_> {
    fn import(&mut self, tree: &UseTree, before: &PathSegments) {
        let with = |name: &dyn ToString| [before.as_slice(), &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before);
                }
            }
            UseTree::Glob(_) => {
                self.module.paths.push(before.clone());
                self.module.globs.push(before.clone());
            }
            UseTree::Name(name) if name.ident == "self" => {
                let known_as = before.last().cloned().unwrap_or_default();
                self.name(known_as, before.clone());
            }
            UseTree::Name(name) => self.name(name.ident.to_string(), with(&name.ident)),
            UseTree::Rename(renamed) => {
                let path = match renamed.ident == "self" {
                    true => before.clone(),
                    false => with(&renamed.ident),
                };
                self.name(renamed.rename.to_string(), path);
            }
        }
    }

    fn name(&mut self, known_as: String, path: PathSegments) {
        self.module.paths.push(path.clone());
        self.module.imports.insert(known_as, path);
    }

    /// Paths in tokens that only a macro understands: names with `::` between them, also in a string, as serde writes
    /// them.
    fn tokens(&mut self, tokens: &TokenStream) {
        let mut path = PathSegments::new();
        let mut colons = 0;
        for token in tokens.clone() {
            let is_next = colons == 2;
            match &token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) if is_next && !path.is_empty() => {
                    path.push(name.to_string());
                }
                TokenTree::Ident(name) => {
                    self.add(&mut path);
                    path.push(name.to_string());
                }
                TokenTree::Group(group) => {
                    self.add(&mut path);
                    self.tokens(&group.stream());
                }
                TokenTree::Literal(literal) => {
                    self.add(&mut path);
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if ["crate::", "super::", "self::"]
                        .iter()
                        .any(|begin| text.starts_with(begin))
                    {
                        path.extend(text.split("::").map(str::to_owned));
                    }
                    self.add(&mut path);
                }
                TokenTree::Punct(_) => self.add(&mut path),
            }
            colons = 0;
        }
        self.add(&mut path);
    }

    fn add(&mut self, path: &mut PathSegments) {
        if !path.is_empty() {
            self.module.paths.push(std::mem::take(path));
        }
    }
}
