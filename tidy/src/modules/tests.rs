//! Small crates, and the arrows in them.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::{Folder, crowded, cycles, folders};

/// The folders of the crate `c` with these files under `src`.
fn crate_of(files: &[(&str, &str)]) -> Vec<Folder> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("c/src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folders(root.path()).unwrap()
}

/// The arrows in the folder of this name.
fn arrows(folders: &[Folder], name: &str) -> Vec<String> {
    let folder = folders.iter().find(|folder| folder.name == name).unwrap();
    let arrows = folder.arrows.keys();
    arrows.map(|(from, to)| format!("{from} {to}")).collect()
}

#[test]
fn a_path_of_any_kind_is_an_arrow() {
    for code in [
        "use crate::b::X;",
        "use crate::{b::{self}};",
        "use super::b::X as Y;",
        "use super::b::*;",
        "fn f() -> crate::b::X { g(super::b::X) }",
        "fn f() { use super::b; b::g(); }",
        "use super::*; fn f() { b::g(); }",
        "impl crate::b::T for Y { fn f() {} }",
        "fn f() { print!(\"{}\", crate::b::X); }",
        "#[serde(with = \"crate::b\")] struct Y;",
        "mod inner { use super::super::b::X; }",
        "pub(super) use self::inner::X; mod inner { pub use crate::b::X; }",
    ] {
        let found = crate_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", code),
            ("b.rs", "pub struct X;"),
        ]);
        assert_eq!(arrows(&found, "c/src"), ["a b"], "{code}");
    }
}

#[test]
fn what_leads_to_no_sibling_and_what_tests_need_is_none() {
    for code in [
        "use std::b::X;",
        "use crate::Z;",
        "fn f() { let b = 1; b }",
        "use crate::a::Y; struct Y;",
        "// crate::b::X",
        "#[cfg(test)] mod tests { use crate::b::X; }",
        "#[cfg(test)] use crate::b::X;",
        "struct Y; impl Y { #[cfg(test)] fn f() { crate::b::g(); } }",
    ] {
        let found = crate_of(&[
            ("lib.rs", "mod a; mod b; pub struct Z;"),
            ("a.rs", code),
            ("b.rs", "pub struct X;"),
        ]);
        assert_eq!(arrows(&found, "c/src"), [""; 0], "{code}");
    }
}

#[test]
fn a_reexport_leads_to_where_the_item_is_and_to_the_sibling_that_has_it() {
    let found = crate_of(&[
        ("lib.rs", "mod a; mod b; mod d; pub use d::X;"),
        ("a.rs", "use crate::X; use crate::b::Y;"),
        ("b.rs", "pub use crate::d::Y;"),
        ("d/mod.rs", "mod e; mod f; pub use e::X; pub use f::Y;"),
        ("d/e.rs", "pub struct X;"),
        ("d/f.rs", "pub enum Y { A } use super::X;"),
    ]);
    assert_eq!(arrows(&found, "c/src"), ["a b", "a d", "b d"]);
    assert_eq!(arrows(&found, "c/src/d"), ["f e"]);
}

#[test]
fn circles_are_found() {
    let found = crate_of(&[
        ("lib.rs", "mod a; mod b; mod d; mod e;"),
        ("a.rs", "use crate::b::X;"),
        ("b.rs", "pub struct X; use crate::d::f::Y;"),
        ("d/mod.rs", "pub mod f;"),
        ("d/f.rs", "pub struct Y; use crate::a::Z;"),
        ("e.rs", "use crate::a::Z;"),
    ]);
    let wrong = cycles(&found);
    assert_eq!(wrong.len(), 1);
    for said in [
        "c/src: 3 modules",
        "a -> b",
        "b -> d",
        "d -> a: crate::a::Z in d::f",
    ] {
        assert!(wrong[0].contains(said), "{}", wrong[0]);
    }
}

#[test]
fn crowds_are_found() {
    let names: Vec<String> = (0..13).map(|n| format!("m{n}")).collect();
    let declared: String = names.iter().map(|name| format!("mod {name};")).collect();
    let files: Vec<String> = names.iter().map(|name| format!("{name}.rs")).collect();
    let mut crowd = vec![("lib.rs", declared.as_str())];
    crowd.extend(files.iter().map(|name| (name.as_str(), "")));
    let found = crate_of(&crowd);
    assert_eq!(crowded(&found), ["c/src: 13 modules, 12 are allowed"]);
    let small = crate_of(&[("lib.rs", "mod a;"), ("a.rs", "")]);
    assert_eq!(crowded(&small), [""; 0]);
}
