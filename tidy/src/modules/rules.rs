//! What folders must keep to.

use std::collections::BTreeSet;

use super::Folder;

/// Modules in one folder.
const FOLDER_MAX: usize = 12;

/// Every circle of modules that stand beside each other.
#[must_use]
pub fn cycles(folders: &[Folder]) -> Vec<String> {
    let circles = |folder: &Folder| -> Vec<String> {
        let knots = folder.knots().into_iter();
        knots.map(|knot| circle(folder, &knot)).collect()
    };
    folders.iter().flat_map(circles).collect()
}

fn circle(folder: &Folder, knot: &BTreeSet<String>) -> String {
    format!(
        "{}: {} modules need each other in a circle:{}",
        folder.name,
        knot.len(),
        folder.arrows_of(knot)
    )
}

/// Every folder with too many modules.
#[must_use]
pub fn crowded(folders: &[Folder]) -> Vec<String> {
    let large = folders.iter().filter(|folder| folder.size() > FOLDER_MAX);
    large
        .map(|folder| {
            format!(
                "{}: {} modules, {FOLDER_MAX} are allowed",
                folder.name,
                folder.size()
            )
        })
        .collect()
}
