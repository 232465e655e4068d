//! A picture: a column for each layer, a box for each state that lists its transitions, and an
//! edge from each transition's row to the state it leads to. Labels stand in boxes, never on edges,
//! so they can't cover each other.

use std::collections::HashMap;
use std::fmt::Write;

use console::measure_text_width;

use super::Drawing;
use super::layout::{DiagramLayout, LayerNode};

const CHAR_WIDTH: f64 = 7.3;
const ROW_HEIGHT: f64 = 18.0;
const HEAD_HEIGHT: f64 = 28.0;
const PADDING: f64 = 12.0;
const COLUMN_GAP: f64 = 90.0;
/// Edges within a column turn in the gap beside it, each target's at a distance of its own.
const LANE_WIDTH: f64 = 7.0;
const BOX_GAP: f64 = 26.0;
const WAYPOINT_HEIGHT: f64 = 8.0;
const MARGIN: f64 = 36.0;
const TITLE_HEIGHT: f64 = 34.0;

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

/// A rectangle; waypoints have no height to speak of.
#[derive(Debug, Clone, Copy)]
struct Rectangle {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Rectangle {
    fn right(&self) -> f64 {
        self.x + self.width
    }
}

struct Picture<'a> {
    drawing: &'a Drawing<'a>,
    layout: DiagramLayout,
    states: Vec<Rectangle>,
    /// By edge and layer.
    waypoints: HashMap<(usize, usize), Rectangle>,
    width: f64,
    height: f64,
}

pub(super) fn render(drawing: &Drawing<'_>) -> String {
    let picture = Picture::new(drawing);
    let (width, height) = (picture.width.ceil(), picture.height.ceil());
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
    picture.edges(&mut svg);
    picture.start(&mut svg);
    for state in 0..drawing.states.len() {
        picture.state(&mut svg, state);
    }
    svg.push_str("</svg>\n");
    svg
}

impl<'a> Picture<'a> {
    fn new(drawing: &'a Drawing<'a>) -> Picture<'a> {
        let layout = DiagramLayout::new(drawing.states.len(), drawing.initial, &drawing.edges());
        let empty = Rectangle {
            x: 0.0,
            y: 0.0,
            width: 0.0,
            height: 0.0,
        };
        let mut picture = Picture {
            drawing,
            layout,
            states: vec![empty; drawing.states.len()],
            waypoints: HashMap::new(),
            width: 0.0,
            height: 0.0,
        };
        picture.place();
        picture
    }

    fn place(&mut self) {
        let layers = self.layout.layers.clone();
        let heights: Vec<f64> = layers.iter().map(|l| self.column_height(l)).collect();
        let tallest = heights.iter().copied().fold(0.0, f64::max);
        let mut x = MARGIN;
        for (layer, nodes) in layers.iter().enumerate() {
            let width = nodes.iter().map(|&n| self.size(n).0).fold(0.0, f64::max);
            let mut y = TITLE_HEIGHT + MARGIN / 2.0 + (tallest - heights[layer]) / 2.0;
            for &node in nodes {
                let height = self.size(node).1;
                let place = Rectangle {
                    x,
                    y,
                    width,
                    height,
                };
                match node {
                    LayerNode::State(state) => self.states[state] = place,
                    LayerNode::Waypoint(edge) => {
                        self.waypoints.insert((edge, layer), place);
                    }
                }
                y += height + BOX_GAP;
            }
            x += width + COLUMN_GAP + nodes.len() as f64 * LANE_WIDTH;
        }
        self.width = x - COLUMN_GAP + MARGIN;
        self.height = TITLE_HEIGHT + tallest + MARGIN;
    }

    fn column_height(&self, nodes: &[LayerNode]) -> f64 {
        let boxes: f64 = nodes.iter().map(|&node| self.size(node).1).sum();
        boxes + BOX_GAP * nodes.len().saturating_sub(1) as f64
    }

    fn size(&self, node: LayerNode) -> (f64, f64) {
        let LayerNode::State(state) = node else {
            return (0.0, WAYPOINT_HEIGHT);
        };
        let arrows = &self.drawing.leaving[state];
        let columns = arrows
            .iter()
            .map(|arrow| measure_text_width(&arrow.label()))
            .chain([measure_text_width(self.drawing.states[state])])
            .max()
            .unwrap_or(0);
        let rows = arrows.len() as f64 * ROW_HEIGHT;
        let below = if arrows.is_empty() { 0.0 } else { 8.0 };
        (
            columns as f64 * CHAR_WIDTH + 2.0 * PADDING,
            HEAD_HEIGHT + rows + below,
        )
    }

    fn row_y(&self, state: usize, row: usize) -> f64 {
        self.states[state].y + HEAD_HEIGHT + 4.0 + (row as f64 + 0.5) * ROW_HEIGHT
    }

    fn state(&self, svg: &mut String, state: usize) {
        let Rectangle {
            x,
            y,
            width,
            height,
        } = self.states[state];
        let mut class = String::from("state");
        if self.drawing.is_final(state) {
            class.push_str(" final");
        }
        if self.drawing.current == Some(state) {
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
        let name = escape(self.drawing.states[state]);
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{text_x:.1}\" y=\"{:.1}\">{name}</text>",
            y + 18.5
        );
        for (row, arrow) in self.drawing.leaving[state].iter().enumerate() {
            let guard = arrow.guard.map_or(String::new(), |guard| {
                format!(" <tspan class=\"guard\">[{}]</tspan>", escape(guard))
            });
            let _ = writeln!(
                svg,
                "<text x=\"{text_x:.1}\" y=\"{:.1}\">{}{guard}</text>",
                self.row_y(state, row) + 4.0,
                escape(arrow.event)
            );
        }
        svg.push_str("</g>\n");
    }

    /// The dot and arrow that lead into the initial state.
    fn start(&self, svg: &mut String) {
        let Some(initial) = self.states.get(self.drawing.initial) else {
            return;
        };
        let y = initial.y + HEAD_HEIGHT / 2.0;
        let x = initial.x - 26.0;
        let _ = writeln!(
            svg,
            "<circle class=\"start\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
        );
        let _ = writeln!(
            svg,
            "<path class=\"edge\" marker-end=\"url(#tip)\" d=\"M{x:.1} {y:.1}H{:.1}\"/>",
            initial.x - 2.0
        );
    }

    fn edges(&self, svg: &mut String) {
        for from in 0..self.states.len() {
            for (row, arrow) in self.drawing.leaving[from].iter().enumerate() {
                let (path, back) = self.path(from, row, arrow.to);
                let class = if back { "edge back" } else { "edge" };
                let [from, to] = [from, arrow.to].map(|state| escape(self.drawing.states[state]));
                let label = escape(&arrow.label());
                let _ = writeln!(
                    svg,
                    "<path class=\"{class}\" marker-end=\"url(#tip)\" d=\"{path}\">\
                     <title>{from} — {label} → {to}</title></path>"
                );
            }
        }
    }

    /// The line from a row of `from` to the heading of `to`, and whether it leads back.
    fn path(&self, from: usize, row: usize, to: usize) -> (String, bool) {
        let (a, b) = (self.layout.layer(from), self.layout.layer(to));
        let row_y = self.row_y(from, row);
        let head_y = self.states[to].y + HEAD_HEIGHT / 2.0;
        if a == b {
            return (self.loop_path(from, row_y, to, head_y), false);
        }
        let back = b < a;
        let start_x = if back {
            self.states[from].x
        } else {
            self.states[from].right()
        };
        let mut path = format!("M{start_x:.1} {row_y:.1}");
        let mut at = (start_x, row_y);
        for (x, y) in self.crossings(from, to) {
            curve(&mut path, &mut at, x, y);
        }
        let end_x = if back {
            self.states[to].right() + 2.0
        } else {
            self.states[to].x - 2.0
        };
        curve(&mut path, &mut at, end_x, head_y);
        (path, back)
    }

    /// Where the edge enters and leaves each column between, in its own direction.
    fn crossings(&self, from: usize, to: usize) -> Vec<(f64, f64)> {
        let edge = self
            .layout
            .edges
            .iter()
            .position(|edge| (edge.from, edge.to) == (from, to));
        let Some(edge) = edge else { return Vec::new() };
        let (a, b) = (self.layout.layer(from), self.layout.layer(to));
        let mut points = Vec::new();
        for layer in a.min(b) + 1..a.max(b) {
            if let Some(place) = self.waypoints.get(&(edge, layer)) {
                let y = place.y + place.height / 2.0;
                points.extend([(place.x, y), (place.right(), y)]);
            }
        }
        if b < a {
            points.reverse();
        }
        points
    }

    /// To the state itself or to another of its column: out on the right and back in.
    fn loop_path(&self, from: usize, row_y: f64, to: usize, head_y: f64) -> String {
        let (start, end) = (self.states[from].right(), self.states[to].right() + 2.0);
        let column = &self.layout.layers[self.layout.layer(to)];
        let lane = column.iter().position(|node| *node == LayerNode::State(to));
        let out = start.max(end) + 26.0 + lane.unwrap_or(0) as f64 * LANE_WIDTH;
        if from == to {
            return format!(
                "M{start:.1} {row_y:.1}C{out:.1} {row_y:.1} {out:.1} {head_y:.1} {end:.1} {head_y:.1}"
            );
        }
        // Level out, a rounded corner, straight along the lane, and back.
        let bend = 10.0_f64.min((head_y - row_y).abs() / 2.0);
        let turn = if head_y < row_y { -bend } else { bend };
        format!(
            "M{start:.1} {row_y:.1}H{:.1}Q{out:.1} {row_y:.1} {out:.1} {:.1}V{:.1}Q{out:.1} {head_y:.1} {:.1} {head_y:.1}H{end:.1}",
            out - bend,
            row_y + turn,
            head_y - turn,
            out - bend,
        )
    }
}

/// A curve to (x, y) that leaves and arrives level.
fn curve(path: &mut String, at: &mut (f64, f64), x: f64, y: f64) {
    let middle = f64::midpoint(at.0, x);
    let _ = write!(
        path,
        "C{middle:.1} {:.1} {middle:.1} {y:.1} {x:.1} {y:.1}",
        at.1
    );
    *at = (x, y);
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
