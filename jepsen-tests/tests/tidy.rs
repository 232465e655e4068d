//! The tree's own rules: files and functions stay short, nothing is left for later, links lead somewhere.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests, inclusive.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function, signature and closing brace included.
const FUNCTION_LINES_MAX: usize = 60;

/// Files that may be longer, and how long they are. A number here may only become smaller.
const LONGER_FILES: &[(&str, usize)] = &[];
/// Functions that may be longer, as `path:name`. A number here may only become smaller.
const LONGER_FUNCTIONS: &[(&str, usize)] = &[];

/// Written in two parts, or this file would find itself.
const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("unimple", "mented!("),
    concat!("to", "do!("),
    concat!("db", "g!("),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every text file of the tree, as path from its root and text.
fn files() -> Vec<(String, String)> {
    const KINDS: [&str; 8] = ["rs", "md", "toml", "proto", "yaml", "yml", "sh", "txt"];
    const SKIPPED: [&str; 4] = ["target", ".git", "data", "corpus"];
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let extension = path
                .extension()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if KINDS.contains(&extension.as_str()) {
                let shown = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The lines of a source file that are product code.
fn product_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
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

fn is_product(path: &str) -> bool {
    path.ends_with(".rs")
        && !path.contains("/tests/")
        && !path.ends_with("tests.rs")
        && !path.contains("/examples/")
        && !path.contains("/benches/")
}

/// Functions with their lengths: rustfmt puts the closing brace in the column where `fn` begins.
fn functions<'a>(lines: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let closes = |line: &&str| {
            line.len() > indent
                && line[..indent].trim().is_empty()
                && (&line[indent..] == "}"
                    || line[indent..].ends_with(';') && !line[indent..].starts_with(' '))
        };
        if let Some(length) = lines[at..].iter().position(closes) {
            found.push((name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    const QUALIFIERS: [&str; 6] = ["pub", "async", "const", "unsafe", "extern", "default"];
    let (before, after) = line.split_once("fn ")?;
    let is_declaration = before.split_whitespace().all(|word| {
        QUALIFIERS.contains(&word.split('(').next().unwrap_or_default()) || word.ends_with(')')
    });
    let ends = |c: char| !c.is_alphanumeric() && c != '_';
    (is_declaration && !line.ends_with('}'))
        .then(|| after.split(ends).next())
        .flatten()
}

/// Compares lengths with what is allowed; also finds allowances that are too large by now.
fn judge(found: &[(String, usize)], max: usize, longer: &[(&str, usize)]) -> Vec<String> {
    let allowed = |name: &str| {
        longer
            .iter()
            .find(|(longer, _)| *longer == name)
            .map(|found| found.1)
    };
    let mut wrong: Vec<String> = found
        .iter()
        .filter(|(name, length)| *length > allowed(name).unwrap_or(max))
        .map(|(name, length)| format!("{name}: {length} lines, {max} are allowed"))
        .collect();
    for (name, length) in longer {
        let now = found
            .iter()
            .filter(|found| found.0 == *name)
            .map(|found| found.1)
            .max();
        if now != Some(*length) {
            wrong.push(format!(
                "{name}: listed with {length} lines, but it has {now:?}"
            ));
        }
    }
    wrong
}

#[test]
fn files_are_short() {
    let lengths: Vec<(String, usize)> = files()
        .into_iter()
        .filter(|(path, _)| is_product(path))
        .map(|(path, text)| (path, product_lines(&text).len()))
        .collect();
    assert!(lengths.len() > 50, "the tree is somewhere else");
    assert_eq!(judge(&lengths, FILE_LINES_MAX, LONGER_FILES), [""; 0]);
}

#[test]
fn functions_fit_a_screen() {
    let mut lengths = Vec::new();
    for (path, text) in files().into_iter().filter(|(path, _)| is_product(path)) {
        for (name, length) in functions(&product_lines(&text)) {
            lengths.push((format!("{path}:{name}"), length));
        }
    }
    assert!(lengths.len() > 200, "functions are not recognized");
    assert_eq!(
        judge(&lengths, FUNCTION_LINES_MAX, LONGER_FUNCTIONS),
        [""; 0]
    );
}

#[test]
fn nothing_is_left_for_later() {
    let mut left = Vec::new();
    for (path, text) in files() {
        for (at, line) in text.lines().enumerate() {
            if MARKERS.iter().any(|marker| line.contains(marker)) {
                left.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert_eq!(left, [""; 0]);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".md"))
    {
        for target in links(&text) {
            if let Err(reason) = follow(&root().join(&path), &text, &target) {
                broken.push(format!("{path}: {target}: {reason}"));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
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
    let path = document.parent().unwrap().join(file);
    if !file.is_empty() && !path.exists() {
        return Err("no such file");
    }
    if anchor.is_empty() || !(file.is_empty() || file.ends_with(".md")) {
        return Ok(());
    }
    let linked = if file.is_empty() {
        text.to_owned()
    } else {
        fs::read_to_string(path).unwrap()
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

/// Places where serde_json itself would make a `Value` of text, in which some keys have a meaning to it.
/// `rstmdb_rcp::json` makes them of text that users had a hand in.
fn values_from_text(lines: &[&str]) -> Vec<usize> {
    const READS: [&str; 3] = ["from_str", "from_slice", "from_reader"];
    let names_value = |line: &str| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "Value")
    };
    let mut found = Vec::new();
    let mut derives = false;
    for (at, line) in lines.iter().copied().enumerate() {
        // The type may stand in the line before, for one in the signature of a function.
        let around = [lines[at.saturating_sub(1)], line];
        let reads = READS
            .iter()
            .any(|read| line.contains(&format!("serde_json::{read}")));
        if reads && around.iter().any(|line| names_value(line))
            || line.contains("serde_json::to_value(")
        {
            found.push(at + 1);
        }
        if line.contains("derive(") && line.contains("Deserialize") {
            derives = true;
        }
        if line.starts_with('}') || line.ends_with(';') && !line.starts_with(' ') {
            derives = false;
        }
        let attribute = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !line.ends_with([',', '{']))
            .any(|line| line.contains("deserialize_with"));
        let is_field = line.starts_with("    ") && line.ends_with(',') && names_value(line);
        if derives && is_field && !attribute && !line.contains("deserialize_with") {
            found.push(at + 1);
        }
    }
    found
}

#[test]
fn no_text_of_users_becomes_a_value_in_which_keys_have_a_meaning() {
    let mut wrong = Vec::new();
    for (path, text) in files() {
        if is_product(&path) {
            let lines = product_lines(&text);
            wrong.extend(
                values_from_text(&lines)
                    .into_iter()
                    .map(|line| format!("{path}:{line}")),
            );
        }
    }
    assert_eq!(wrong, [""; 0], "read it with rstmdb_rcp::json");
}

#[test]
fn the_rules_recognize_what_breaks_them() {
    for (text, lines) in [
        ("let value: Value = serde_json::from_str(text)?;", vec![1]),
        (
            "fn a() -> Result<Value, Error> {\n    serde_json::from_slice(bytes)\n}",
            vec![2],
        ),
        ("let value = serde_json::to_value(event);", vec![1]),
        (
            "let summary: Summary = serde_json::from_str(text)?;",
            vec![],
        ),
        ("#[derive(Serialize)]\nstruct A {\n    a: Value,\n}", vec![]),
        (
            "#[derive(Deserialize)]\nstruct A {\n    a: Option<Value>,\n}",
            vec![3],
        ),
        (
            "#[derive(Deserialize)]\nstruct A {\n    b: u8,\n    #[serde(deserialize_with = \"v\")]\n    a: Value,\n}",
            vec![],
        ),
    ] {
        assert_eq!(
            values_from_text(&text.lines().collect::<Vec<_>>()),
            lines,
            "{text}"
        );
    }
    let long = format!(
        "pub fn long(\n    a: u8,\n) {{\n{}}}\n\nfn short() {{}}\n",
        "    a;\n".repeat(70)
    );
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!(functions(&lines), [("long", 74)]);
    let found = [("a".to_owned(), 5), ("b".to_owned(), 9)];
    assert_eq!(judge(&found, 9, &[]), [""; 0]);
    assert_eq!(judge(&found, 8, &[]).len(), 1);
    assert_eq!(judge(&found, 8, &[("b", 9)]), [""; 0]);
    assert_eq!(
        judge(&found, 8, &[("b", 10)]).len(),
        1,
        "an allowance that is too large"
    );
    assert_eq!(
        links("[a](x.md) `[b](y)`\n```\n[c](z)\n```\n[d](#e-f)"),
        ["x.md", "#e-f"]
    );
    assert_eq!(slug("## What, it: does_not do"), "what-it-does_not-do");
    let text = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(product_lines(text), ["fn a() {}"]);
}
