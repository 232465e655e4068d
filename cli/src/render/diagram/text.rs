//! For the terminal: a box for each state and its transitions below it.

use console::measure_text_width;
use rstmdb_diagram::{Arrow, Layers};
use rstmdb_rcp::text::counted;

use super::Drawing;
use crate::render::output::{Paint, printable};

/// Box corners and sides: a current state is drawn double.
struct BoxFrame {
    top: [char; 3],
    side: char,
    bottom: [char; 3],
    stem: char,
}

const SINGLE: BoxFrame = BoxFrame {
    top: ['┌', '─', '┐'],
    side: '│',
    bottom: ['└', '─', '┘'],
    stem: '┬',
};
const DOUBLE: BoxFrame = BoxFrame {
    top: ['╔', '═', '╗'],
    side: '║',
    bottom: ['╚', '═', '╝'],
    stem: '╤',
};

pub(super) fn render(drawing: &Drawing<'_>, paint: Paint) -> String {
    let layout = Layers::new(&drawing.chart);
    let mut text = heading(drawing, paint);
    for state in layout.states() {
        text.push('\n');
        state_box(&mut text, drawing, state, paint);
        transitions(&mut text, drawing, &layout, state, paint);
    }
    text
}

fn heading(drawing: &Drawing<'_>, paint: Paint) -> String {
    let transitions: usize = drawing.chart.leaving.iter().map(Vec::len).sum();
    let counts = format!(
        "{}, {}",
        counted(drawing.chart.states.len() as u64, "state", "states"),
        counted(transitions as u64, "transition", "transitions")
    );
    format!(
        "{}  {}\n",
        paint.bold(&printable(&drawing.title)),
        paint.dim(&counts)
    )
}

fn state_box(text: &mut String, drawing: &Drawing<'_>, state: usize, paint: Paint) {
    let current = drawing.current == Some(state);
    let frame = if current { DOUBLE } else { SINGLE };
    let name = printable(drawing.chart.states[state]);
    let width = measure_text_width(&name) + 2;
    let rule = |[left, middle, right]: [char; 3]| {
        format!("{left}{}{right}", middle.to_string().repeat(width))
    };
    let mut bottom = rule(frame.bottom);
    if !drawing.chart.is_final(state) {
        let stem = frame.stem;
        bottom = format!(
            "{}{}{stem}{}",
            frame.bottom[0],
            frame.bottom[1],
            bottom.chars().skip(3).collect::<String>()
        );
    }
    let shown = if current {
        paint.highlight(&name)
    } else {
        paint.bold(&name)
    };
    let side = frame.side;
    let marks = paint.dim(&marks(drawing, state));
    text.push_str(&format!(
        "{}\n{side} {shown} {side}{marks}\n{bottom}\n",
        rule(frame.top)
    ));
}

fn marks(drawing: &Drawing<'_>, state: usize) -> String {
    let mut marks = String::new();
    if drawing.current == Some(state) {
        marks.push_str("  ◀ current");
    }
    if drawing.chart.initial == state {
        marks.push_str("  ● initial");
    }
    if drawing.chart.is_final(state) {
        marks.push_str("  ◎ final");
    }
    marks
}

fn transitions(
    text: &mut String,
    drawing: &Drawing<'_>,
    layout: &Layers,
    state: usize,
    paint: Paint,
) {
    let arrows = &drawing.chart.leaving[state];
    let labels: Vec<String> = arrows.iter().map(|a| printable(&a.label())).collect();
    let width = labels
        .iter()
        .map(|l| measure_text_width(l))
        .max()
        .unwrap_or(0);
    for (index, (arrow, label)) in arrows.iter().zip(&labels).enumerate() {
        let branch = if index + 1 == arrows.len() {
            '└'
        } else {
            '├'
        };
        let shaft = "─".repeat(width - measure_text_width(label) + 2);
        let target = target(drawing, layout, state, arrow, paint);
        text.push_str(&format!("  {branch}─ {label} {shaft}{target}\n"));
    }
}

/// The head of the arrow and where it points: on, back (to an earlier layer), or to itself.
fn target(
    drawing: &Drawing<'_>,
    layout: &Layers,
    from: usize,
    arrow: &Arrow<'_>,
    paint: Paint,
) -> String {
    let name = printable(drawing.chart.states[arrow.to]);
    if arrow.to == from {
        return format!("↺ {}", paint.dim(&name));
    }
    let back = layout.layer(arrow.to) < layout.layer(from);
    let mark = if back { " ↑" } else { "" };
    format!("▶ {name}{}", paint.dim(mark))
}
