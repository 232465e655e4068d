//! The picture: a column for each layer, a box for each state that lists its transitions, and an edge from each
//! transition's row to the state that it leads to. Labels stand in boxes, never on edges, so they cannot cover each
//! other.

use std::collections::HashMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};
use unicode_width::UnicodeWidthStr;

use super::layers::{Edge, LayerNode, Layers};
use super::{Arrow, Chart};

const CHAR_WIDTH: f64 = 7.3;
const ROW_HEIGHT: f64 = 18.0;
/// The height of the name in a box.
pub const HEAD_HEIGHT: f64 = 28.0;
/// Between the side of a box and its texts.
pub const PADDING: f64 = 12.0;
const COLUMN_GAP: f64 = 90.0;
/// Edges within a column turn in the gap beside it, each target's at a distance of its own.
const LANE_WIDTH: f64 = 7.0;
const BOX_GAP: f64 = 26.0;
const WAYPOINT_HEIGHT: f64 = 8.0;
/// Around the boxes.
pub const MARGIN: f64 = 36.0;
/// Above them, for a title.
pub const TITLE_HEIGHT: f64 = 34.0;

/// A rectangle; waypoints have no height to speak of.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Rectangle {
    /// Its left side.
    #[serde(serialize_with = "tenths")]
    pub x: f64,
    /// Its top.
    #[serde(serialize_with = "tenths")]
    pub y: f64,
    /// From left to right.
    #[serde(serialize_with = "tenths")]
    pub width: f64,
    /// From top to bottom.
    #[serde(serialize_with = "tenths")]
    pub height: f64,
}

impl Rectangle {
    fn right(&self) -> f64 {
        self.x + self.width
    }
}

/// A state's box.
#[derive(Debug, Clone, Serialize)]
pub struct StateBox<'a> {
    /// The state.
    pub name: &'a str,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Rectangle,
    /// Whether nothing leaves it.
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
}

/// A transition from one state: its row in the box of the state, and its edge.
#[derive(Debug, Clone, Serialize)]
pub struct PlacedArrow<'a> {
    /// The state that it leaves.
    pub from: usize,
    /// The state that it leads to.
    pub to: usize,
    /// `always` if it needs none.
    pub event: &'a str,
    /// The condition as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<&'a str>,
    /// The middle of its row.
    #[serde(serialize_with = "tenths")]
    pub y: f64,
    /// The edge, in the language of paths in SVG.
    pub path: String,
    /// Whether it leads to an earlier layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
}

/// A machine with the place of each of its parts.
#[derive(Debug, Clone, Serialize)]
pub struct Picture<'a> {
    /// From left to right.
    #[serde(serialize_with = "tenths")]
    pub width: f64,
    /// From top to bottom.
    #[serde(serialize_with = "tenths")]
    pub height: f64,
    /// The state of a new instance.
    pub initial: usize,
    /// In the order of the definition.
    pub states: Vec<StateBox<'a>>,
    /// By the state that they leave, in the order in which they are tried.
    pub arrows: Vec<PlacedArrow<'a>>,
}

impl<'a> Picture<'a> {
    /// The picture of a machine of any size.
    #[must_use]
    pub fn new(chart: &Chart<'a>) -> Self {
        Self::with(chart, Layers::new(chart))
    }

    pub(crate) fn with(chart: &Chart<'a>, layers: Layers) -> Self {
        let places = Places::new(chart, layers);
        let state = |(index, name): (usize, &&'a str)| StateBox {
            name,
            place: places.states[index],
            is_final: chart.is_final(index),
        };
        let arrows = chart.leaving.iter().enumerate().flat_map(|(from, arrows)| {
            let places = &places;
            let placed = move |(row, arrow): (usize, &Arrow<'a>)| {
                let (path, back) = places.path(from, row, arrow.to);
                PlacedArrow {
                    from,
                    to: arrow.to,
                    event: arrow.event,
                    guard: arrow.guard,
                    y: places.row_y(from, row),
                    path,
                    back,
                }
            };
            arrows.iter().enumerate().map(placed)
        });
        Self {
            width: places.width.ceil(),
            height: places.height.ceil(),
            initial: chart.initial,
            states: chart.states.iter().enumerate().map(state).collect(),
            arrows: arrows.collect(),
        }
    }
}

/// Where everything stands.
struct Places {
    layers: Layers,
    /// The edges by their ends.
    edges: HashMap<(usize, usize), usize>,
    states: Vec<Rectangle>,
    /// By edge and layer.
    waypoints: HashMap<(usize, usize), Rectangle>,
    width: f64,
    height: f64,
}

impl Places {
    fn new(chart: &Chart<'_>, layers: Layers) -> Self {
        let edges = layers.edges.iter().enumerate();
        let mut places = Self {
            edges: edges
                .map(|(index, &Edge { from, to })| ((from, to), index))
                .collect(),
            layers,
            states: vec![Rectangle::default(); chart.states.len()],
            waypoints: HashMap::new(),
            width: 0.0,
            height: 0.0,
        };
        places.place(chart);
        places
    }

    fn place(&mut self, chart: &Chart<'_>) {
        let heights: Vec<f64> = self
            .layers
            .layers
            .iter()
            .map(|nodes| column_height(chart, nodes))
            .collect();
        let tallest = heights.iter().copied().fold(0.0, f64::max);
        let mut x = MARGIN;
        for (layer, nodes) in self.layers.layers.iter().enumerate() {
            let width = nodes.iter().map(|&n| size(chart, n).0).fold(0.0, f64::max);
            let mut y = TITLE_HEIGHT + MARGIN / 2.0 + (tallest - heights[layer]) / 2.0;
            for &node in nodes {
                let height = size(chart, node).1;
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

    fn row_y(&self, state: usize, row: usize) -> f64 {
        self.states[state].y + HEAD_HEIGHT + 4.0 + (row as f64 + 0.5) * ROW_HEIGHT
    }

    /// The line from a row of `from` to the heading of `to`, and whether it leads back.
    fn path(&self, from: usize, row: usize, to: usize) -> (String, bool) {
        let (a, b) = (self.layers.layer(from), self.layers.layer(to));
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
        let Some(&edge) = self.edges.get(&(from, to)) else {
            return Vec::new();
        };
        let (a, b) = (self.layers.layer(from), self.layers.layer(to));
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
        let column = &self.layers.layers[self.layers.layer(to)];
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

fn column_height(chart: &Chart<'_>, nodes: &[LayerNode]) -> f64 {
    let boxes: f64 = nodes.iter().map(|&node| size(chart, node).1).sum();
    boxes + BOX_GAP * nodes.len().saturating_sub(1) as f64
}

fn size(chart: &Chart<'_>, node: LayerNode) -> (f64, f64) {
    let LayerNode::State(state) = node else {
        return (0.0, WAYPOINT_HEIGHT);
    };
    let arrows = &chart.leaving[state];
    let columns = arrows
        .iter()
        .map(|arrow| arrow.label().width())
        .chain([chart.states[state].width()])
        .max()
        .unwrap_or(0);
    let rows = arrows.len() as f64 * ROW_HEIGHT;
    let below = if arrows.is_empty() { 0.0 } else { 8.0 };
    (
        columns as f64 * CHAR_WIDTH + 2.0 * PADDING,
        HEAD_HEIGHT + rows + below,
    )
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

/// More digits than a screen can show cost only bytes.
fn tenths<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 10.0).round() / 10.0)
}
