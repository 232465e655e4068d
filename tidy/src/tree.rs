//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A text file: its path from the root of the tree, and what is in it.
#[derive(Debug)]
pub struct TreeFile {
    /// With `/` between folders.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Where the tree begins.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the tree.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn files(root: &Path) -> Result<Vec<TreeFile>> {
    const KINDS: [&str; 8] = ["rs", "md", "toml", "proto", "yaml", "yml", "sh", "txt"];
    const SKIPPED: [&str; 4] = ["target", ".git", "data", "corpus"];
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else if KINDS.contains(&extension.as_ref()) {
                let shown = path.strip_prefix(root).unwrap_or(&path).display();
                found.push(TreeFile {
                    path: shown.to_string(),
                    text: read(&path)?,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What is in a folder, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).map_err(Error::read(folder))?;
    let entries = read.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::read(folder))?;
    entries.sort();
    Ok(entries)
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::read(path))
}

impl TreeFile {
    /// Whether the file is source of the product or of a tool, and not of tests.
    #[must_use]
    pub fn is_product(&self) -> bool {
        self.path.ends_with(".rs")
            && !self.path.contains("/tests/")
            && !self.path.ends_with("tests.rs")
            && !self.path.contains("/examples/")
            && !self.path.contains("/benches/")
    }

    /// The lines of a source file that are product code.
    #[must_use]
    pub fn product_lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_test_module = |window: &[&str]| {
            window[0] == "#[cfg(test)]"
                && window[1..]
                    .iter()
                    .any(|line| line.starts_with("mod ") && line.ends_with('{'))
        };
        let end = lines
            .windows(3)
            .position(is_test_module)
            .unwrap_or(lines.len());
        lines[..end].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::TreeFile;

    #[test]
    fn what_tests_need_is_not_counted() {
        let file = TreeFile {
            path: "a/src/b.rs".to_owned(),
            text: "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn b() {}\n}\n"
                .to_owned(),
        };
        assert_eq!(file.product_lines(), ["fn a() {}"]);
    }
}
