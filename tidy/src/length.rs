//! Files and functions stay short.

use crate::tree::TreeFile;

/// Lines of a file without its tests, inclusive.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function, signature and closing brace included.
const FUNCTION_LINES_MAX: usize = 60;

/// Files that may be longer, and how long they are. A number here may only become smaller.
const LONGER_FILES: &[(&str, usize)] = &[];
/// Functions that may be longer, as `path:name`. A number here may only become smaller.
const LONGER_FUNCTIONS: &[(&str, usize)] = &[];

/// Something that has a length: its name and its lines.
pub type MeasuredLength = (String, usize);

/// The files of the product with their lengths.
#[must_use]
pub fn of_files(files: &[TreeFile]) -> Vec<MeasuredLength> {
    let product = files.iter().filter(|file| file.is_product());
    product
        .map(|file| (file.path.clone(), file.product_lines().len()))
        .collect()
}

/// The functions of the product with their lengths.
#[must_use]
pub fn of_functions(files: &[TreeFile]) -> Vec<MeasuredLength> {
    let mut lengths = Vec::new();
    for file in files.iter().filter(|file| file.is_product()) {
        for (name, length) in functions(&file.product_lines()) {
            lengths.push((format!("{}:{name}", file.path), length));
        }
    }
    lengths
}

/// The files that are too long.
#[must_use]
pub fn long_files(files: &[MeasuredLength]) -> Vec<String> {
    judge(files, FILE_LINES_MAX, LONGER_FILES)
}

/// The functions that are too long.
#[must_use]
pub fn long_functions(functions: &[MeasuredLength]) -> Vec<String> {
    judge(functions, FUNCTION_LINES_MAX, LONGER_FUNCTIONS)
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

/// Compares lengths with the allowed ones. Also finds allowances that are larger than necessary by now.
fn judge(found: &[MeasuredLength], max: usize, longer: &[(&str, usize)]) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::{functions, judge};

    #[test]
    fn what_is_too_long_is_found_and_so_is_an_allowance_that_is_too_large() {
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
        assert_eq!(judge(&found, 8, &[("b", 10)]).len(), 1);
    }
}
