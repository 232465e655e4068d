//! The picture as SVG. Where everything stands is the same as in the console.

use std::fmt::Write;

use rstmdb_diagram::Picture;
use rstmdb_diagram::picture::{HEAD_HEIGHT, MARGIN, PADDING, Rectangle};

use super::Drawing;

const STYLE: &str = "\
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2937; }
.title { font-size: 16px; font-weight: 600; }
.name { font-weight: 600; }
.guard { fill: #6b7280; }
.box { fill: #ffffff; stroke: #6b7280; }
.head { fill: #eef2f7; }
.final .box { stroke-width: 3; }
.current .box { stroke: #15803d; stroke-width: 3; }
.current .head { fill: #bbf7d0; }
.edge { fill: none; stroke: #64748b; stroke-width: 1.3; }
.back { stroke: #b45309; stroke-dasharray: 5 3; }
.start { fill: #1f2937; }";

pub(super) fn render(drawing: &Drawing<'_>) -> String {
    let picture = Picture::new(&drawing.chart);
    let (width, height) = (picture.width, picture.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n"
    );
    let title = escape(&drawing.title);
    let _ = writeln!(svg, "<title>{title}</title>\n<style>{STYLE}</style>");
    svg.push_str(
        "<defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L10 5L0 10z\" fill=\"context-stroke\"/>\
         </marker></defs>\n",
    );
    let _ = writeln!(
        svg,
        "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
    );
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{MARGIN}\" y=\"26\">{title}</text>"
    );
    edges(&mut svg, &picture);
    start(&mut svg, &picture);
    for state in 0..picture.states.len() {
        state_box(&mut svg, &picture, state, drawing.current == Some(state));
    }
    svg.push_str("</svg>\n");
    svg
}

fn state_box(svg: &mut String, picture: &Picture<'_>, state: usize, is_current: bool) {
    let drawn = &picture.states[state];
    let Rectangle {
        x,
        y,
        width,
        height,
    } = drawn.place;
    let mut class = String::from("state");
    if drawn.is_final {
        class.push_str(" final");
    }
    if is_current {
        class.push_str(" current");
    }
    let _ = writeln!(svg, "<g class=\"{class}\">");
    let _ = writeln!(
        svg,
        "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>\n\
         <rect class=\"head\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"4\"/>",
        x + 2.0,
        y + 2.0,
        width - 4.0,
        HEAD_HEIGHT - 4.0,
    );
    let text_x = x + PADDING;
    let name = escape(drawn.name);
    let _ = writeln!(
        svg,
        "<text class=\"name\" x=\"{text_x:.1}\" y=\"{:.1}\">{name}</text>",
        y + 18.5
    );
    for arrow in picture.arrows.iter().filter(|arrow| arrow.from == state) {
        let guard = arrow.guard.map_or(String::new(), |guard| {
            format!(" <tspan class=\"guard\">[{}]</tspan>", escape(guard))
        });
        let _ = writeln!(
            svg,
            "<text x=\"{text_x:.1}\" y=\"{:.1}\">{}{guard}</text>",
            arrow.y + 4.0,
            escape(arrow.event)
        );
    }
    svg.push_str("</g>\n");
}

/// The dot and arrow that lead into the initial state.
fn start(svg: &mut String, picture: &Picture<'_>) {
    let Some(initial) = picture.states.get(picture.initial) else {
        return;
    };
    let y = initial.place.y + HEAD_HEIGHT / 2.0;
    let x = initial.place.x - 26.0;
    let _ = writeln!(
        svg,
        "<circle class=\"start\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
    );
    let _ = writeln!(
        svg,
        "<path class=\"edge\" marker-end=\"url(#tip)\" d=\"M{x:.1} {y:.1}H{:.1}\"/>",
        initial.place.x - 2.0
    );
}

fn edges(svg: &mut String, picture: &Picture<'_>) {
    for arrow in &picture.arrows {
        let class = if arrow.back { "edge back" } else { "edge" };
        let [from, to] = [arrow.from, arrow.to].map(|state| escape(picture.states[state].name));
        let label = rstmdb_diagram::Arrow {
            event: arrow.event,
            guard: arrow.guard,
            to: arrow.to,
        }
        .label();
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" marker-end=\"url(#tip)\" d=\"{}\">\
             <title>{from} — {} → {to}</title></path>",
            arrow.path,
            escape(&label)
        );
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
