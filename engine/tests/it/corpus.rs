//! Gives the inputs of a corpus to its fuzz target. The tests of other crates with a `fuzz/` include this file.

use std::fs;
use std::path::Path;

/// Every input of the corpus of this name, in the crate that is tested.
pub fn replay(target: &str, take: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        let path = input.unwrap().path();
        println!("{}", path.display());
        take(&fs::read(&path).unwrap());
    }
}
