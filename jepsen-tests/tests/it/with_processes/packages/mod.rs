//! What `deploy/` has for Kubernetes and Debian fits the product: ports, paths, keys, times and users. What a pod's
//! script and the package's build make is made and looked at; Kubernetes and an installation are not needed.

mod debian;
mod kubernetes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands behind `prefix` in the line that begins with it.
fn line<'a>(text: &'a str, prefix: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(prefix))
        .unwrap_or_else(|| panic!("no line begins with {prefix:?}"))
}

/// The seconds that a whole shutdown may take, as docs/limits.md has them.
fn shutdown_secs() -> u64 {
    let limits = text("docs/limits.md");
    let row = line(&limits, "| a whole shutdown | ");
    row.split_once(" s |").unwrap().0.parse().unwrap()
}

fn stdout(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
