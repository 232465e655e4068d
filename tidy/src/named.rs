//! Source files that documents name are there.

use crate::tree::TreeFile;

/// Every path in backticks that ends like one of these and is no file of the tree. Documents shorten a path by leaving
/// out its first folders.
const KINDS: [&str; 2] = [".rs", ".proto"];

/// Every source file that a document names and that is not there.
#[must_use]
pub fn missing(files: &[TreeFile]) -> Vec<String> {
    let mut missing = Vec::new();
    for TreeFile { path, text } in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (at, line) in text.lines().enumerate() {
            for name in named(line) {
                let end = format!("/{name}");
                let is_there = |file: &TreeFile| file.path == name || file.path.ends_with(&end);
                if !files.iter().any(is_there) {
                    missing.push(format!("{path}:{}: {name}", at + 1));
                }
            }
        }
    }
    missing
}

/// The files with their folders that a line names. A name with `*` stands for several.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let in_backticks = line.split('`').skip(1).step_by(2);
    in_backticks.filter(|name| {
        let is_file = KINDS.iter().any(|kind| name.ends_with(kind));
        is_file && name.contains('/') && !name.contains(['*', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_gone_is_named_with_its_line() {
        let file = |path: &str, text: &str| TreeFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let document =
            "see `src/b.rs`, `a/src/b.rs`\nand `src/c.rs`, `c.rs`, `src/*.rs`, not `or`src/d.rs";
        let files = [file("a/src/b.rs", ""), file("doc.md", document)];
        assert_eq!(missing(&files), ["doc.md:2: src/c.rs"]);
    }
}
