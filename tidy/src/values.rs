//! No text of users becomes a `Value` in which keys have a meaning.

use crate::tree::TreeFile;

/// Every place of the product that reads such a value by other means than `rstmdb_rcp::json`.
#[must_use]
pub fn read_from_text(files: &[TreeFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.is_product()) {
        let lines = values_from_text(&file.product_lines());
        wrong.extend(lines.iter().map(|line| format!("{}:{line}", file.path)));
    }
    wrong
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
            || line.contains(concat!("serde_json", "::to_value("))
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

#[cfg(test)]
mod tests {
    use super::values_from_text;

    #[test]
    fn values_made_of_text_are_found() {
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
    }
}
