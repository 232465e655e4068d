//! Plain tables: a heading and aligned columns. A column is cut at the terminal's edge if a part of its values is
//! still useful.

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use super::output::{Paint, SHORTENED, printable};

const GAP: &str = "  ";
/// No column is cut below this, whatever the terminal's width.
const COLUMN_WIDTH_MIN: usize = 8;

/// Rows under headings.
#[derive(Debug, Default)]
pub struct TextTable {
    headings: Vec<String>,
    /// For each column whether it is never cut.
    whole: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table without rows.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> TextTable {
        let headings: Vec<String> = headings.into_iter().map(Into::into).collect();
        TextTable {
            whole: vec![false; headings.len()],
            headings,
            rows: Vec::new(),
        }
    }

    /// Never cuts the columns under these headings: a cut time or offset would read as a different one.
    pub fn keeping_whole(mut self, headings: &[&str]) -> TextTable {
        for (whole, heading) in self.whole.iter_mut().zip(&self.headings) {
            *whole |= headings.contains(&heading.as_str());
        }
        self
    }

    /// Adds a row; its cells stand under the headings in order.
    pub fn push<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|c| printable(c.as_ref())).collect();
        row.resize(self.headings.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line ended by a newline.
    pub fn render(&self, paint: Paint) -> String {
        let widths = self.widths(paint.width);
        let mut text = String::new();
        text.push_str(&paint.bold(&line(&self.headings, &widths)));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }

    /// Each column as wide as its widest cell, then the widest of those that may be cut narrowed until all fit.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .headings
            .iter()
            .map(|h| measure_text_width(h))
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        let Some(room) = room else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > room {
            let cut = widths.iter_mut().zip(&self.whole);
            match cut
                .filter(|(_, whole)| !**whole)
                .map(|(width, _)| width)
                .max()
            {
                Some(widest) if *widest > COLUMN_WIDTH_MIN => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// A line that names the columns that a table does not have because the terminal is too narrow, if there are any.
pub fn not_shown<'a>(headings: impl Iterator<Item = &'a str>, paint: Paint) -> String {
    let headings: Vec<&str> = headings.collect();
    match headings.is_empty() {
        true => String::new(),
        false => {
            let line = format!("no room for: {}; -o wide shows them", headings.join(", "));
            format!("{}\n", paint.dim(&line))
        }
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        if !text.is_empty() {
            text.push_str(GAP);
        }
        let cell = truncate_str(cell, *width, SHORTENED);
        text.push_str(&pad_str(&cell, *width, Alignment::Left, None));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TextTable {
        let mut table = TextTable::new(["id", "state", "ctx"]);
        table.push(["o-1", "paid", r#"{"amount":100,"currency":"EUR"}"#]);
        table.push(["größe-2", "Accepted/In Progress", "{}"]);
        table
    }

    #[test]
    fn columns_are_aligned_by_display_width() {
        let expected = concat!(
            "id       state                 ctx\n",
            "o-1      paid                  {\"amount\":100,\"currency\":\"EUR\"}\n",
            "größe-2  Accepted/In Progress  {}\n",
        );
        assert_eq!(sample().render(Paint::PLAIN), expected);
    }

    #[test]
    fn wide_and_combining_characters_count_as_the_columns_they_take() {
        let mut table = TextTable::new(["id", "state"]);
        table.push(["注文-1", "支払処理が完了"]);
        table.push(["cafe\u{301}", "paid"]);
        let expected = concat!(
            "id      state\n",
            "注文-1  支払処理が完了\n",
            "cafe\u{301}    paid\n",
        );
        assert_eq!(table.render(Paint::PLAIN), expected);
        let narrow = Paint {
            width: Some(17),
            ..Paint::PLAIN
        };
        let text = table.render(narrow);
        assert!(text.contains("注文-1  支払処理…\n"), "{text}");
        assert!(
            text.lines().all(|line| measure_text_width(line) <= 17),
            "{text}"
        );
    }

    #[test]
    fn the_widest_columns_are_cut_at_the_terminals_edge() {
        let paint = Paint {
            width: Some(40),
            ..Paint::PLAIN
        };
        let expected = concat!(
            "id       state            ctx\n",
            "o-1      paid             {\"amount\":100…\n",
            "größe-2  Accepted/In Pr…  {}\n",
        );
        let text = sample().render(paint);
        assert!(text.lines().all(|l| measure_text_width(l) <= 40), "{text}");
        assert_eq!(text, expected);
    }

    #[test]
    fn a_column_that_is_kept_whole_is_never_cut() {
        let mut table = TextTable::new(["time", "payload"]).keeping_whole(&["time"]);
        table.push(["2023-11-14 22:14:20Z", "a long payload"]);
        let paint = Paint {
            width: Some(20),
            ..Paint::PLAIN
        };
        assert_eq!(
            table.render(paint),
            "time                  payload\n2023-11-14 22:14:20Z  a long …\n"
        );
    }

    #[test]
    fn a_table_tells_whether_it_is_shortened() {
        let narrow = Paint {
            width: Some(40),
            ..Paint::PLAIN
        };
        let shortens = |table: &TextTable, paint: Paint| {
            paint.shortens(&table.render(paint), |paint| table.render(paint))
        };
        assert!(shortens(&sample(), narrow));
        assert!(!shortens(&sample(), Paint::PLAIN));
        // The user's own text is no sign of it.
        let mut table = TextTable::new(["id"]);
        table.push(["to be continued…"]);
        assert!(!shortens(&table, narrow));
    }

    #[test]
    fn a_terminal_without_room_still_gets_a_table() {
        let paint = Paint {
            width: Some(1),
            ..Paint::PLAIN
        };
        assert_eq!(sample().render(paint).lines().count(), 3);
    }

    #[test]
    fn the_heading_is_bold_where_colour_is_wanted() {
        let paint = Paint {
            color: true,
            ..Paint::PLAIN
        };
        assert!(sample().render(paint).starts_with("\u{1b}[1mid"));
    }

    #[test]
    fn a_short_row_is_filled_with_empty_cells() {
        let mut table = TextTable::new(["a", "b"]);
        table.push(["1"]);
        assert_eq!(table.render(Paint::PLAIN), "a  b\n1\n");
    }
}
