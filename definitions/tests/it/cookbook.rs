//! The lifecycles of the cookbook: each definition has no faults and no warnings, and its tests hold.

use std::fs;
use std::path::{Path, PathBuf};

use rstmdb_definitions::cases::{Source, Suite};
use rstmdb_definitions::check::check;
use rstmdb_definitions::document::read_definition;

use crate::common::lines;

/// Fewer were a mistake of this test.
const RECIPES_MIN: usize = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook")
}

#[test]
fn every_lifecycle_of_the_cookbook_passes_its_tests() {
    let mut recipes = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        recipes += 1;
        let path = folder.join("test.yaml");
        let suite = Suite::read(&fs::read_to_string(&path).unwrap());
        let suite =
            suite.unwrap_or_else(|it| panic!("{}: {}", path.display(), lines(&it).join("\n")));
        let Source::File(file) = &suite.machine else {
            panic!("{}: the machine is a file of its own", path.display());
        };
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let named =
            read_definition(&text).unwrap_or_else(|it| panic!("{}: {it}", folder.display()));
        assert!(named.name.is_some(), "{}: no name", folder.display());
        let checked = check(&named.text);
        assert_eq!(lines(&checked.errors), [""; 0], "{}", folder.display());
        assert_eq!(lines(&checked.warnings), [""; 0], "{}", folder.display());
        for outcome in suite.run(&named.text) {
            assert!(outcome.passed(), "{}: {outcome:#?}", path.display());
        }
        assert!(
            folder.join("README.md").is_file(),
            "{}: no page",
            folder.display()
        );
    }
    assert!(recipes >= RECIPES_MIN, "{recipes} lifecycles");
}
