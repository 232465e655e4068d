//! The inputs that the fuzz targets begin with: those that reach the most code.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use rstmdb_cli::audit::check::check;

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proof");
    let inputs = fs::read_dir(folder).unwrap();
    inputs.map(|input| input.unwrap().path()).collect()
}

#[test]
fn every_input_of_the_corpus_passes_its_fuzz_target() {
    assert!(!inputs().is_empty());
    for path in inputs() {
        println!("{}", path.display());
        targets::proof::take(&fs::read(&path).unwrap());
    }
}

/// Without one, no input would get behind the first check of a head.
#[test]
fn the_corpus_has_a_whole_proof() {
    let whole = |path: &PathBuf| check(&*fs::read(path).unwrap()).is_ok();
    assert!(inputs().iter().any(whole));
}
