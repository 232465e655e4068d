//! A crate as a tree of modules, read from its files.

use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

use super::module::{Id, Module, ROOT};
use super::visit;
use crate::{Error, Result, tree};

/// Where a module's code is, and the folder of the files of its children.
struct CodePlace {
    file: PathBuf,
    folder: PathBuf,
}

/// The modules of the crate with this root file.
pub fn read(root: &Path) -> Result<Vec<Module>> {
    let mut modules = vec![Module {
        is_file: true,
        ..Module::default()
    }];
    let folder = root.parent().unwrap_or(Path::new("")).to_owned();
    let place = CodePlace {
        file: root.to_owned(),
        folder,
    };
    read_file(&mut modules, ROOT, &place)?;
    Ok(modules)
}

fn read_file(modules: &mut Vec<Module>, id: Id, place: &CodePlace) -> Result<()> {
    let text = tree::read(&place.file)?;
    let file = syn::parse_file(&text).map_err(|source| Error::Parse {
        path: place.file.clone(),
        source,
    })?;
    read_items(modules, id, place, &file.items)
}

fn read_items(modules: &mut Vec<Module>, id: Id, place: &CodePlace, items: &[Item]) -> Result<()> {
    for item in items {
        match item {
            Item::Mod(module) if visit::is_test(&module.attrs) => {}
            Item::Mod(module) => read_module(modules, id, place, module)?,
            item => visit::item(&mut modules[id], item),
        }
    }
    Ok(())
}

fn read_module(
    modules: &mut Vec<Module>,
    parent: Id,
    place: &CodePlace,
    declared: &ItemMod,
) -> Result<()> {
    let name = declared.ident.to_string();
    let id = modules.len();
    modules.push(Module {
        name: name.clone(),
        parent: Some(parent),
        is_file: declared.content.is_none(),
        ..Module::default()
    });
    modules[parent].children.insert(name.clone(), id);
    if let Some((_, items)) = &declared.content {
        let inside = CodePlace {
            file: place.file.clone(),
            folder: place.folder.join(name),
        };
        return read_items(modules, id, &inside, items);
    }
    let found = find(place, &name, &declared.attrs).ok_or_else(|| Error::NoFile {
        path: place.file.clone(),
        module: name,
    })?;
    read_file(modules, id, &found)
}

/// The file of a module that is declared without a body.
fn find(place: &CodePlace, name: &str, attributes: &[Attribute]) -> Option<CodePlace> {
    let folder = place.folder.join(name);
    let file = match attributes.iter().find_map(path_of) {
        Some(path) => place.file.parent()?.join(path),
        None => [
            place.folder.join(format!("{name}.rs")),
            folder.join("mod.rs"),
        ]
        .into_iter()
        .find(|file| file.is_file())?,
    };
    Some(CodePlace { file, folder })
}

/// What `#[path = "…"]` says.
fn path_of(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if pair.path.is_ident("path") => Some(text.value()),
        _ => None,
    }
}
