//! What folders must keep to.

use std::collections::BTreeSet;

use super::Folder;
use super::exceptions::{CROWDED, KNOTS};

/// Modules in one folder.
const FOLDER_MAX: usize = 12;

/// Every circle that is not listed, and every one that is and is no more.
#[must_use]
pub fn cycles(folders: &[Folder]) -> Vec<String> {
    unlisted_knots(folders, KNOTS)
}

/// Every folder with too many modules, and every one that is listed without need.
#[must_use]
pub fn crowded(folders: &[Folder]) -> Vec<String> {
    too_large(folders, CROWDED)
}

pub(super) fn unlisted_knots(folders: &[Folder], listed: &[(&str, &[&str])]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut needed = vec![false; listed.len()];
    for folder in folders {
        for knot in folder.knots() {
            let is_in = |names: &[&str]| knot.iter().all(|name| names.contains(&name.as_str()));
            let allowed = listed
                .iter()
                .position(|(name, names)| *name == folder.name && is_in(names));
            match allowed {
                Some(at) => needed[at] = true,
                None => wrong.push(circle(folder, &knot)),
            }
        }
    }
    let without_need = listed.iter().zip(needed).filter(|(_, needed)| !needed);
    wrong.extend(without_need.map(|((name, names), _)| {
        format!("{name}: listed, but in no circle: {}", names.join(", "))
    }));
    wrong
}

fn circle(folder: &Folder, knot: &BTreeSet<String>) -> String {
    format!(
        "{}: {} modules need each other in a circle:{}",
        folder.name,
        knot.len(),
        folder.arrows_of(knot)
    )
}

pub(super) fn too_large(folders: &[Folder], listed: &[(&str, usize)]) -> Vec<String> {
    let allowed = |name: &str| {
        let found = listed.iter().find(|(listed, _)| *listed == name);
        found.map_or(FOLDER_MAX, |(_, size)| *size)
    };
    let large = folders
        .iter()
        .filter(|folder| folder.size() > allowed(&folder.name));
    let mut wrong: Vec<String> = large
        .map(|folder| {
            let max = allowed(&folder.name);
            format!(
                "{}: {} modules, {max} are allowed",
                folder.name,
                folder.size()
            )
        })
        .collect();
    for (name, _) in listed {
        let is_large = |folder: &&Folder| folder.name == *name && folder.size() > FOLDER_MAX;
        if !folders.iter().any(|folder| is_large(&folder)) {
            wrong.push(format!(
                "{name}: listed, but it holds no more than {FOLDER_MAX}"
            ));
        }
    }
    wrong
}
