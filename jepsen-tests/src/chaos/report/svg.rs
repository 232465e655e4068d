//! Shapes and text of pictures.

use std::fmt::Write;

/// Text with everything escaped that means something in HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The first characters of a text.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Where a text stands by its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture in the making.
#[derive(Debug, Default)]
pub(super) struct Picture {
    body: String,
}

impl Picture {
    /// Adds an element as it is.
    pub fn raw(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// Adds a rectangle of a class, with what it says when it is pointed at.
    pub fn rect(&mut self, [x, y, width, height]: [f64; 4], class: &str, title: &str) {
        let title = escape(title);
        self.raw(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" class="{class}"><title>{title}</title></rect>"#
        ));
    }

    /// Adds a line of a class.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.raw(&format!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    /// Adds a text of a class.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.raw(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    /// Adds a line through points; `None` interrupts it.
    pub fn path(&mut self, points: &[Option<(f64, f64)>], class: &str) {
        let mut data = String::new();
        for run in points.split(|point| point.is_none()) {
            for (at, (x, y)) in run.iter().flatten().enumerate() {
                let command = if at == 0 { 'M' } else { 'L' };
                // Writing to a string does not fail.
                let _ = write!(data, "{command}{x:.1} {y:.1}");
            }
            // A point alone is shown too: its line has no length, but round ends.
            if let [Some((x, y))] = run {
                let _ = write!(data, "L{x:.1} {y:.1}");
            }
        }
        self.raw(&format!(r#"<path d="{data}" class="line {class}"/>"#));
    }

    /// The finished picture.
    pub fn finish(self, width: f64, height: f64, label: &str) -> String {
        let label = escape(label);
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
             role=\"img\" aria-label=\"{label}\">\n{}</svg>\n",
            self.body
        )
    }
}
