//! States in layers: a state's layer is its distance from the initial state, and the order within a layer is chosen so
//! that few edges cross (barycenters, swept forward and back).
//!
//! An edge that skips layers passes each of them through a waypoint, which is placed like a state. Edges that lead back
//! pass through waypoints, too, so nothing runs behind a box.

use std::collections::{HashMap, VecDeque};

use super::Chart;

const SWEEPS: usize = 8;

/// What stands at a place of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerNode {
    /// A state, by index.
    State(usize),
    /// Where an edge passes, by the edge's index.
    Waypoint(usize),
}

/// Layers of nodes, each in order.
#[derive(Debug)]
pub struct Layers {
    /// First the layer of the initial state.
    pub layers: Vec<Vec<LayerNode>>,
    /// The edges between different states, each once.
    pub edges: Vec<Edge>,
    layer_of: Vec<usize>,
}

/// An edge between different states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Where it begins.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
}

impl Layers {
    /// The layers of a machine.
    #[must_use]
    pub fn new(chart: &Chart<'_>) -> Self {
        Self::unordered(chart).ordered()
    }

    pub(crate) fn unordered(chart: &Chart<'_>) -> Self {
        let edges = chart.edges();
        let layer_of = distances(chart.states.len(), chart.initial, &edges);
        Self {
            layers: place(&layer_of, &edges),
            edges,
            layer_of,
        }
    }

    /// How many nodes there are in all layers.
    pub(crate) fn places(&self) -> usize {
        self.layers.iter().map(Vec::len).sum()
    }

    /// The layer of a state.
    #[must_use]
    pub fn layer(&self, state: usize) -> usize {
        self.layer_of[state]
    }

    /// The states, layer by layer.
    pub fn states(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().flatten().filter_map(|node| match node {
            LayerNode::State(state) => Some(*state),
            LayerNode::Waypoint(_) => None,
        })
    }

    pub(crate) fn ordered(mut self) -> Self {
        let steps = self.steps();
        let count = self.layers.len();
        for sweep in 0..SWEEPS {
            if sweep % 2 == 0 {
                (1..count).for_each(|layer| self.order_by(layer, layer - 1, &steps));
            } else {
                (1..count)
                    .rev()
                    .for_each(|layer| self.order_by(layer - 1, layer, &steps));
            }
        }
        self
    }

    /// For each node at its layer, the nodes of the layers beside it that an edge's path joins with it.
    fn steps(&self) -> HashMap<(usize, LayerNode), Vec<(usize, LayerNode)>> {
        let mut steps: HashMap<_, Vec<_>> = HashMap::new();
        for (index, edge) in self.edges.iter().enumerate() {
            let (a, b) = (self.layer_of[edge.from], self.layer_of[edge.to]);
            let (low, high) = if a < b {
                (edge.from, edge.to)
            } else {
                (edge.to, edge.from)
            };
            let (first, last) = (a.min(b), a.max(b));
            let at = |layer| match layer {
                layer if layer == first => LayerNode::State(low),
                layer if layer == last => LayerNode::State(high),
                _ => LayerNode::Waypoint(index),
            };
            for layer in first..last {
                let (one, other) = ((layer, at(layer)), (layer + 1, at(layer + 1)));
                steps.entry(one).or_default().push(other);
                steps.entry(other).or_default().push(one);
            }
        }
        // An edge back joins the same two states as its opposite: each neighbour counts once.
        for joined in steps.values_mut() {
            let mut seen = std::collections::HashSet::new();
            joined.retain(|node| seen.insert(*node));
        }
        steps
    }

    /// Orders `layer` by the mean position of each node's neighbours in `fixed`. Nodes without any keep their place.
    fn order_by(
        &mut self,
        layer: usize,
        fixed: usize,
        steps: &HashMap<(usize, LayerNode), Vec<(usize, LayerNode)>>,
    ) {
        let length = self.layers[layer].len().max(1) as f64;
        let fixed_length = self.layers[fixed].len().max(1) as f64;
        let places: HashMap<LayerNode, usize> = self.layers[fixed]
            .iter()
            .enumerate()
            .map(|(place, &node)| (node, place))
            .collect();
        let mut weighted: Vec<(f64, LayerNode)> = self.layers[layer]
            .iter()
            .enumerate()
            .map(|(place, &node)| {
                let joined = steps.get(&(layer, node)).map_or(&[][..], Vec::as_slice);
                let found: Vec<usize> = joined
                    .iter()
                    .filter(|(at, _)| *at == fixed)
                    .filter_map(|(_, node)| places.get(node).copied())
                    .collect();
                let weight = if found.is_empty() {
                    (place as f64 + 0.5) / length
                } else {
                    let sum: usize = found.iter().sum();
                    (sum as f64 / found.len() as f64 + 0.5) / fixed_length
                };
                (weight, node)
            })
            .collect();
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = weighted.into_iter().map(|(_, node)| node).collect();
    }
}

/// Each state's distance from the initial state; unreachable states come one layer after all.
fn distances(states: usize, initial: usize, edges: &[Edge]) -> Vec<usize> {
    let mut leaving = vec![Vec::new(); states];
    for edge in edges {
        leaving[edge.from].push(edge.to);
    }
    let mut distance = vec![None; states];
    let mut queue = VecDeque::new();
    if initial < states {
        distance[initial] = Some(0);
        queue.push_back((initial, 0));
    }
    let mut last = 0;
    while let Some((state, at)) = queue.pop_front() {
        last = at;
        for &to in &leaving[state] {
            if distance[to].is_none() {
                distance[to] = Some(at + 1);
                queue.push_back((to, at + 1));
            }
        }
    }
    distance
        .into_iter()
        .map(|distance| distance.unwrap_or(last + 1))
        .collect()
}

fn place(layer_of: &[usize], edges: &[Edge]) -> Vec<Vec<LayerNode>> {
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut layers = vec![Vec::new(); count];
    for (state, &layer) in layer_of.iter().enumerate() {
        layers[layer].push(LayerNode::State(state));
    }
    for (index, edge) in edges.iter().enumerate() {
        let (a, b) = (layer_of[edge.from], layer_of[edge.to]);
        for layer in &mut layers[a.min(b) + usize::from(a != b)..a.max(b)] {
            layer.push(LayerNode::Waypoint(index));
        }
    }
    layers
}
