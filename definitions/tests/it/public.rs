//! What the documents say of the definitions of others. Lifecycles that were written down in format 2 are free of faults
//! and warnings, and each has its row in `docs/real-lifecycles.md`. Files that were imported are counted in
//! `docs/import-export.md` as `docs/imported-files.md` lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rstmdb_definitions::cases::{MachineSource, Suite};
use rstmdb_definitions::check::check;
use rstmdb_definitions::document::read_definition;

use crate::common::lines;

/// As many as the page counts.
const LIFECYCLES: usize = 24;

/// The verdicts of the page, with how many rows have each.
const VERDICTS: [(&str, usize); 3] = [("whole", 16), ("whole but for", 1), ("rewritten", 7)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("../docs").join(name)).unwrap()
}

fn definitions() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/public")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The rows of the page's table of lifecycles: the name of the file, and the verdict.
fn rows() -> Vec<(String, String)> {
    let page = page("real-lifecycles.md");
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('[')?.split(']').next()?;
        Some((name.to_owned(), (*cells.get(4)?).to_owned()))
    });
    cells.collect()
}

#[test]
fn every_public_lifecycle_is_free_of_faults_and_warnings() {
    let files = definitions();
    assert_eq!(files.len(), LIFECYCLES);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# Facts of "),
            "{}: no source",
            path.display()
        );
        let named = read_definition(&text).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
        let checked = check(&named.text);
        assert_eq!(lines(&checked.errors), [""; 0], "{}", path.display());
        assert_eq!(lines(&checked.warnings), [""; 0], "{}", path.display());
    }
}

#[test]
fn every_public_lifecycle_is_played() {
    for path in definitions() {
        let name = path.file_name().unwrap();
        let play = root().join("tests/public/plays").join(name);
        let suite = Suite::read(&fs::read_to_string(&play).unwrap());
        let suite = suite.unwrap_or_else(|it| panic!("{}: {it:?}", play.display()));
        let MachineSource::File(file) = &suite.machine else {
            panic!("{}: the machine is a file of its own", play.display());
        };
        assert_eq!(file, &format!("../{}", name.to_str().unwrap()));
        let named = read_definition(&fs::read_to_string(&path).unwrap()).unwrap();
        for outcome in suite.run(&named.text) {
            assert!(outcome.passed(), "{}: {outcome:#?}", play.display());
        }
    }
}

#[test]
fn the_page_of_public_lifecycles_has_a_row_for_each_file_and_counts_its_verdicts() {
    let rows = rows();
    let listed: BTreeSet<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let files = definitions();
    let files: BTreeSet<&str> = files
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(listed, files);
    assert_eq!(rows.len(), LIFECYCLES);
    for (verdict, count) in VERDICTS {
        let found = rows.iter().filter(|(_, it)| it == verdict).count();
        assert_eq!(found, count, "rows that are `{verdict}`");
    }
}

/// The rows of the list of imported files: how many of each kind were taken, taken with losses, and refused.
fn imported() -> BTreeMap<String, [usize; 3]> {
    let mut counts = BTreeMap::new();
    let mut kind = String::new();
    for line in page("imported-files.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            kind = heading.split(':').next().unwrap().to_owned();
        }
        let Some(result) = line
            .strip_prefix("| `")
            .and_then(|row| row.split('|').nth(1))
        else {
            continue;
        };
        let results = ["taken", "with losses", "refused"];
        let known = results.iter().position(|it| result.trim().starts_with(it));
        let place = known.unwrap_or_else(|| panic!("`{line}` has no known result"));
        counts.entry(kind.clone()).or_insert([0; 3])[place] += 1;
    }
    counts
}

#[test]
fn the_page_of_imports_counts_the_files_that_are_listed() {
    let counts = imported();
    assert_eq!(counts.len(), 4);
    let page = page("import-export.md");
    for (kind, [taken, lossy, refused]) in counts {
        let tried = taken + lossy + refused;
        let row = format!("| {kind} | {tried} | {taken} | {lossy} | {refused} |");
        assert!(page.lines().any(|line| line == row), "no row `{row}`");
    }
}
