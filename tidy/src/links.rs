//! Links in documents lead somewhere.

use std::fs;
use std::path::Path;

use crate::tree::TreeFile;

/// Every link to a file or a heading that does not exist.
#[must_use]
pub fn broken(root: &Path, files: &[TreeFile]) -> Vec<String> {
    let mut broken = Vec::new();
    for TreeFile { path, text } in files.iter().filter(|file| file.path.ends_with(".md")) {
        for target in links(text) {
            if let Err(reason) = follow(&root.join(path), text, &target) {
                broken.push(format!("{path}: {target}: {reason}"));
            }
        }
    }
    broken
}

/// The targets of `[text](target)`, outside of code.
fn links(document: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(document) {
        // Every other part is inside backticks.
        for part in line.split('`').step_by(2) {
            let mut rest = part;
            while let Some((_, after)) = rest.split_once("](") {
                let target = after.split(')').next().unwrap_or_default();
                targets.push(
                    target
                        .split_whitespace()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                );
                rest = after;
            }
        }
    }
    targets
}

fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut inside_code = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        inside_code ^= is_fence;
        !inside_code && !is_fence
    })
}

fn follow(document: &Path, text: &str, target: &str) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = document.parent().unwrap_or(Path::new(""));
    let path = folder.join(file);
    if !file.is_empty() && !path.exists() {
        return Err("no such file");
    }
    if anchor.is_empty() || !(file.is_empty() || file.ends_with(".md")) {
        return Ok(());
    }
    let linked = if file.is_empty() {
        text.to_owned()
    } else {
        fs::read_to_string(path).map_err(|_| "it cannot be read")?
    };
    let mut headings = prose(&linked).filter(|line| line.starts_with('#'));
    headings
        .any(|line| slug(line) == anchor)
        .then_some(())
        .ok_or("no such heading")
}

/// A heading's anchor.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{links, slug};

    #[test]
    fn links_are_found_outside_of_code_and_headings_have_anchors() {
        assert_eq!(
            links("[a](x.md) `[b](y)`\n```\n[c](z)\n```\n[d](#e-f)"),
            ["x.md", "#e-f"]
        );
        assert_eq!(slug("## What, it: does_not do"), "what-it-does_not-do");
    }
}
