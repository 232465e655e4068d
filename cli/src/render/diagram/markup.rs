//! Mermaid and Graphviz, for documents.

use std::fmt::Write;

use super::Drawing;

/// A Mermaid `stateDiagram-v2`.
pub(super) fn mermaid(drawing: &Drawing<'_>) -> String {
    let mut text = format!(
        "---\ntitle: {}\n---\nstateDiagram-v2\n",
        serde_json::Value::from(drawing.title.as_str())
    );
    for (index, state) in drawing.chart.states.iter().enumerate() {
        // States get ids of our own: Mermaid's allow little, names of ours nearly everything.
        let _ = writeln!(text, "    state \"{}\" as s{index}", mermaid_text(state));
    }
    let _ = writeln!(text, "    [*] --> s{}", drawing.chart.initial);
    for (from, arrows) in drawing.chart.leaving.iter().enumerate() {
        for arrow in arrows {
            let label = mermaid_text(&arrow.label());
            let _ = writeln!(text, "    s{from} --> s{} : {label}", arrow.to);
        }
        if drawing.chart.is_final(from) {
            let _ = writeln!(text, "    s{from} --> [*]");
        }
    }
    if let Some(current) = drawing.current {
        text.push_str("    classDef current fill:#bbf7d0,stroke:#15803d,stroke-width:3px\n");
        let _ = writeln!(text, "    class s{current} current");
    }
    text
}

/// Mermaid has no escapes but its own entity codes.
fn mermaid_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | ';' | ':' | '<' | '>' | '{' | '}' | '`' | '\\' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A Graphviz digraph.
pub(super) fn dot(drawing: &Drawing<'_>) -> String {
    let mut text = format!("digraph {} {{\n", dot_text(&drawing.title));
    text.push_str("    rankdir=LR;\n");
    text.push_str("    node [shape=box, style=\"rounded\", fontname=\"Helvetica\"];\n");
    text.push_str("    edge [fontname=\"Helvetica\", fontsize=10];\n");
    text.push_str("    start [shape=point, width=0.15, label=\"\"];\n");
    for (index, state) in drawing.chart.states.iter().enumerate() {
        let mut attributes = format!("label={}", dot_text(state));
        if drawing.chart.is_final(index) {
            attributes.push_str(", peripheries=2");
        }
        if drawing.current == Some(index) {
            attributes.push_str(", style=\"rounded,filled\", fillcolor=\"#bbf7d0\", penwidth=2");
        }
        let _ = writeln!(text, "    s{index} [{attributes}];");
    }
    let _ = writeln!(text, "    start -> s{};", drawing.chart.initial);
    for (from, arrows) in drawing.chart.leaving.iter().enumerate() {
        for arrow in arrows {
            let label = dot_text(&arrow.label());
            let _ = writeln!(text, "    s{from} -> s{} [label={label}];", arrow.to);
        }
    }
    text.push_str("}\n");
    text
}

fn dot_text(text: &str) -> String {
    let mut escaped = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}
