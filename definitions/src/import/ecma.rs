//! Expressions in ECMAScript, as far as they mean the same in format 2: paths, indexes, numbers, strings, comparisons,
//! `&&`, `||`, `!`, `+`, `-`, `*`, `? :` and parentheses.

use std::collections::HashSet;

use crate::base::cel;

/// Longest expression that is read, in bytes.
const BYTES_MAX: usize = 4096;
const DEPTH_MAX: usize = 64;

/// The expression in format 2. `variables`: the names of the data model.
///
/// # Errors
/// What has no equal, and at which column.
pub(super) fn translate(text: &str, variables: &HashSet<String>) -> Result<String, String> {
    if text.len() > BYTES_MAX {
        return Err(format!(
            "is {} bytes long; {BYTES_MAX} are allowed",
            text.len()
        ));
    }
    let mut reader = EcmaReader {
        text,
        at: 0,
        depth: 0,
        variables,
    };
    let mut out = String::new();
    reader.whole(&mut out)?;
    match reader.rest().chars().next() {
        None => Ok(out),
        Some(c) => Err(reader.unknown(c)),
    }
}

/// The path in format 2 of `_event.data` or of a variable, for the `location` of an assignment.
pub(super) fn path(text: &str, variables: &HashSet<String>) -> Option<String> {
    let text = text.trim();
    let first = text.split('.').next()?;
    let is_path = text.split('.').all(cel::is_name);
    (is_path && variables.contains(first)).then(|| text.to_owned())
}

struct EcmaReader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    variables: &'a HashSet<String>,
}

impl<'a> EcmaReader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn unknown(&self, c: char) -> String {
        format!("{c:?} at column {} has no equal in format 2", self.column())
    }

    /// A sequence, or a choice between two values. Returns whether it is a choice.
    fn whole(&mut self, out: &mut String) -> Result<bool, String> {
        self.deeper()?;
        self.sequence(out)?;
        // `??` and `?.` are other operators.
        let is_choice = self.rest().starts_with('?')
            && !["??", "?."]
                .iter()
                .any(|other| self.rest().starts_with(other));
        if is_choice {
            self.take("?");
            let mut then = String::new();
            let then = match self.whole(&mut then)? {
                true => format!("({then})"),
                false => then,
            };
            if !self.take(":") {
                return Err(format!("`:` is missing at column {}", self.column()));
            }
            out.push_str(&format!(" ? {then} : "));
            self.whole(out)?;
        }
        self.depth -= 1;
        Ok(is_choice)
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(format!("is nested deeper than {DEPTH_MAX}")),
            false => Ok(()),
        }
    }

    /// Operands with operators between them. The operators bind as they do in format 2, but for `!`.
    fn sequence(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            self.operand(out)?;
            self.spaces();
            const OPERATORS: [(&str, &str); 15] = [
                ("===", " == "),
                ("!==", " != "),
                ("==", " == "),
                ("!=", " != "),
                ("<=", " <= "),
                (">=", " >= "),
                ("&&", " && "),
                ("||", " || "),
                ("<", " < "),
                (">", " > "),
                ("++", ""),
                ("--", ""),
                ("+", " + "),
                ("-", " - "),
                ("*", " * "),
            ];
            let column = self.column();
            let Some((_, operator)) = OPERATORS.iter().find(|(token, _)| self.take(token)) else {
                return Ok(());
            };
            if operator.is_empty() || self.rest().starts_with(['<', '>', '*', '=']) {
                return Err(format!(
                    "the operator at column {column} has no equal in format 2"
                ));
            }
            out.push_str(operator);
        }
    }

    fn operand(&mut self, out: &mut String) -> Result<(), String> {
        self.spaces();
        let Some(first) = self.rest().chars().next() else {
            return Err(format!(
                "ends at column {} where a value was expected",
                self.column()
            ));
        };
        match first {
            '(' | '!' | '-' => {
                self.deeper()?;
                self.take(&first.to_string());
                out.push(first);
                if first == '(' {
                    self.whole(out)?;
                    if !self.take(")") {
                        return Err(format!("`)` is missing at column {}", self.column()));
                    }
                    out.push(')');
                } else {
                    self.operand(out)?;
                }
                self.depth -= 1;
                Ok(())
            }
            '\'' | '"' => self.string(first, out),
            '0'..='9' => self.number(out),
            c if c.is_ascii_alphabetic() || c == '_' || c == '$' => self.word(out),
            c => Err(self.unknown(c)),
        }
    }

    fn string(&mut self, quote: char, out: &mut String) -> Result<(), String> {
        let inside = &self.rest()[1..];
        let end = inside.find([quote, '\\', '\n']);
        match end {
            Some(end) if inside[end..].starts_with(quote) => {
                out.push_str(&cel::quoted(&inside[..end]));
                self.at += end + 2;
                Ok(())
            }
            _ => Err(format!(
                "the string at column {} has an escape or no end",
                self.column()
            )),
        }
    }

    fn number(&mut self, out: &mut String) -> Result<(), String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
            .unwrap_or(rest.len());
        let digits = &rest[..end];
        let is_plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match cel::number(digits).filter(|_| is_plain) {
            Some(number) => {
                out.push_str(&number);
                self.at += end;
                Ok(())
            }
            None => Err(format!(
                "{digits:?} at column {} is no number of format 2",
                self.column()
            )),
        }
    }

    fn word(&mut self, out: &mut String) -> Result<(), String> {
        let column = self.column();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$' | '.'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        self.spaces();
        self.not_called(word, column)?;
        let names: Vec<&str> = word.split('.').collect();
        match names.as_slice() {
            ["true" | "false" | "null"] => {
                out.push_str(word);
                return Ok(());
            }
            // A missing value is an error in format 2, and `== undefined` asks for one.
            ["undefined"] => {
                return Err(format!(
                    "undefined at column {column} has no equal in format 2"
                ));
            }
            ["_event", "data", inside @ ..] if inside.iter().all(|name| cel::is_name(name)) => {
                let path = cel::path("event", inside);
                self.members(&path, word, column, out)?;
            }
            [first, ..]
                if self.variables.contains(*first)
                    && names.iter().all(|name| cel::is_name(name)) =>
            {
                match names.split_last() {
                    Some((&"length", owner)) if !owner.is_empty() => {
                        out.push_str(&format!("size({})", cel::path("ctx", owner)));
                    }
                    _ => self.members(&cel::path("ctx", &names), word, column, out)?,
                }
            }
            _ => {
                return Err(format!(
                    "{word:?} at column {column} is neither a <data> of the data model nor below `_event.data`"
                ));
            }
        }
        Ok(())
    }

    fn not_called(&self, word: &str, column: usize) -> Result<(), String> {
        match self.rest().starts_with(['(', '{', '`']) {
            true => Err(format!(
                "{word:?} at column {column}: calls have no equal in format 2"
            )),
            false => Ok(()),
        }
    }

    /// The indexes behind a value, and the fields behind them.
    fn members(
        &mut self,
        value: &str,
        word: &str,
        column: usize,
        out: &mut String,
    ) -> Result<(), String> {
        let mut value = value.to_owned();
        while self.take("[") {
            let mut index = String::new();
            self.whole(&mut index)?;
            if !self.take("]") {
                return Err(format!("`]` is missing at column {}", self.column()));
            }
            value = format!("{value}[{index}]");
            self.spaces();
            while self.take(".") {
                let rest = self.rest();
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$'))
                    .unwrap_or(rest.len());
                let name = &rest[..end];
                if !cel::is_name(name) {
                    return Err(format!("no name at column {}", self.column()));
                }
                self.at += end;
                self.spaces();
                if name == "length" {
                    out.push_str(&format!("size({value})"));
                    return self.not_called(word, column);
                }
                value = cel::path(&value, &[name]);
            }
            self.not_called(word, column)?;
        }
        out.push_str(&value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<String, String> {
        translate(text, &["n", "order"].map(str::to_owned).into())
    }

    #[test]
    fn what_means_the_same_is_translated() {
        for (text, expected) in [
            (
                "n > 1 && order.paid === true",
                "ctx.n > 1 && ctx.order.paid == true",
            ),
            (
                "!(n!=2)||_event.data.x=='a\"b'",
                "!(ctx.n != 2) || event.x == 'a\"b'",
            ),
            ("n + 1", "ctx.n + 1"),
            ("order.items.length >= -3", "size(ctx.order.items) >= -3"),
            ("order.items[0] == 1", "ctx.order.items[0] == 1"),
            (
                "order.lines[n + 1]['price'].net > 2",
                "ctx.order.lines[ctx.n + 1]['price'].net > 2",
            ),
            (
                "_event.data.list[ n ].tags.length==0",
                "size(event.list[ctx.n].tags) == 0",
            ),
            ("order.l[0][1]", "ctx.order.l[0][1]"),
            ("n == 1 ? 2 : 3", "ctx.n == 1 ? 2 : 3"),
            (
                "n>1?n>2?'a':'b':n<0?'c':'d'",
                "ctx.n > 1 ? (ctx.n > 2 ? 'a' : 'b') : ctx.n < 0 ? 'c' : 'd'",
            ),
            ("(n > 1 ? 1 : 2) + 3", "(ctx.n > 1 ? 1 : 2) + 3"),
            (
                "order.items[n > 1 ? 1 : 0]",
                "ctx.order.items[ctx.n > 1 ? 1 : 0]",
            ),
        ] {
            assert_eq!(translated(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_equal_is_refused_with_its_column() {
        for (text, part) in [
            ("In('a')", "calls"),
            ("m > 1", "neither a <data>"),
            ("n / 2", "'/' at column 3"),
            ("n ++", "column 3"),
            ("n = 2", "'=' at column 3"),
            ("n >> 2", "operator at column 3"),
            ("n == undefined", "undefined"),
            ("order.items[0", "`]` is missing"),
            ("order.items[]", "']' at column 13"),
            ("order.f[0](1)", "calls"),
            ("order.items[0].", "no name at column 16"),
            ("order.items[0].map(1)", "calls"),
            ("order.items[0].length()", "calls"),
            ("(n", "`)` is missing"),
            ("n &&", "ends at column 5"),
            ("'a\\n'", "escape"),
            ("0x12", "no number"),
            ("n == 1 ? 2", "`:` is missing"),
            ("n ?? 2", "'?' at column 3"),
            ("order?.n", "'?' at column 6"),
        ] {
            let error = translated(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(translated(&"(".repeat(1000)).is_err());
        assert!(translated(&"!".repeat(5000)).is_err());
        assert!(translated(&"n[".repeat(2000)).is_err());
        assert!(translated(&"n?".repeat(2000)).is_err());
        assert!(translated(&"n?1:".repeat(1000)).is_err());
    }

    #[test]
    fn choices_and_indexes_become_expressions_of_format_2() {
        use rstmdb_engine::expression::Expression;

        for text in [
            "n>1?n>2?'a':'b':n<0?'c':'d'",
            "(order.l[n] == 5 ? order.l[0] : order.l.length) + 1",
            "order.m['k'][0].x.length",
        ] {
            let translated = translated(text).unwrap_or_default();
            assert!(Expression::parse(&translated).is_ok(), "{translated}");
        }
    }
}
