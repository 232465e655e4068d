//! The tree keeps its own rules.
#![allow(clippy::unwrap_used)]

use rstmdb_tidy::tree::{self, TreeFile};
use rstmdb_tidy::{later, length, links, modules, named, simulated, values};

fn files() -> Vec<TreeFile> {
    tree::files(&tree::root()).unwrap()
}

#[test]
fn files_are_short() {
    let lengths = length::of_files(&files());
    assert!(lengths.len() > 50, "the tree is somewhere else");
    assert_eq!(length::long_files(&lengths), [""; 0]);
}

#[test]
fn functions_fit_a_screen() {
    let lengths = length::of_functions(&files());
    assert!(lengths.len() > 200, "functions are not recognized");
    assert_eq!(length::long_functions(&lengths), [""; 0]);
}

#[test]
fn nothing_is_left_for_later() {
    assert_eq!(later::left(&files()), [""; 0]);
}

#[test]
fn links_in_documents_lead_somewhere() {
    assert_eq!(links::broken(&tree::root(), &files()), [""; 0]);
}

#[test]
fn documents_name_source_files_that_are_there() {
    assert_eq!(named::missing(&files()), [""; 0]);
}

#[test]
fn no_text_of_users_becomes_a_value_in_which_keys_have_a_meaning() {
    let wrong = values::read_from_text(&files());
    assert_eq!(wrong, [""; 0], "read it with rstmdb_rcp::json");
}

#[test]
fn what_a_simulation_runs_has_no_time_of_its_own() {
    let files = files();
    let count = files.iter().filter(|file| simulated::is_simulated(file));
    assert!(count.count() > 100, "the files are somewhere else");
    let wrong = simulated::beside_the_simulation(&files);
    assert_eq!(
        wrong, [""; 0],
        "take it from the runtime of `Types`; let `select!` be `biased`"
    );
}

#[test]
fn modules_beside_each_other_need_each_other_in_one_direction() {
    let folders = modules::folders(&tree::root()).unwrap();
    let arrows: usize = folders.iter().map(modules::Folder::arrows).sum();
    assert!(arrows > 200, "paths are not recognized");
    assert_eq!(modules::cycles(&folders), [""; 0]);
}

#[test]
fn folders_hold_a_dozen_modules() {
    let folders = modules::folders(&tree::root()).unwrap();
    assert_eq!(modules::crowded(&folders), [""; 0]);
}
