//! JUnit's XML, as CI systems read it.

use std::fmt::Write;

use super::Results;
use crate::base::xml::escape;

/// A report about the tests of several files.
pub fn report(results: &[Results]) -> String {
    let count = |of: &dyn Fn(&super::TestOutcome) -> bool| {
        let all = results.iter().flat_map(|file| &file.outcomes);
        all.filter(|outcome| of(outcome)).count()
    };
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"rstmdb\" tests=\"{}\" failures=\"{}\">",
        count(&|_| true),
        count(&|outcome| !outcome.passed()),
    );
    for file in results {
        let failed = file.outcomes.iter().filter(|it| !it.passed()).count();
        let name = escape(&file.file);
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\">",
            file.outcomes.len()
        );
        for outcome in &file.outcomes {
            let case = escape(&outcome.name);
            let _ = write!(xml, "    <testcase classname=\"{name}\" name=\"{case}\"");
            if outcome.passed() {
                xml.push_str("/>\n");
                continue;
            }
            let first = outcome.failures.first().map_or("", String::as_str);
            let mut all = outcome.failures.join("\n");
            all.push_str("\n\n");
            all.push_str(&outcome.trace.join("\n"));
            let _ = writeln!(
                xml,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escape(first),
                escape(&all)
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}
