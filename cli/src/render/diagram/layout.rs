//! States in layers: a state's layer is its distance from the initial state, and the order within
//! a layer is chosen so that few edges cross (barycenters, swept forward and back).
//!
//! An edge that skips layers passes each of them through a waypoint, which is placed like a state.
//! Edges that lead back pass through waypoints, too, so nothing runs behind a box.

use std::collections::VecDeque;

const SWEEPS: usize = 8;

/// What stands at a place of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerNode {
    /// A state, by index.
    State(usize),
    /// Where an edge passes, by the edge's index.
    Waypoint(usize),
}

/// Layers of nodes, each in order.
#[derive(Debug)]
pub(super) struct DiagramLayout {
    pub layers: Vec<Vec<LayerNode>>,
    pub edges: Vec<Edge>,
    layer_of: Vec<usize>,
}

/// An edge between different states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
}

impl DiagramLayout {
    pub fn new(states: usize, initial: usize, edges: &[(usize, usize)]) -> DiagramLayout {
        let edges: Vec<Edge> = edges.iter().map(|&(from, to)| Edge { from, to }).collect();
        let layer_of = distances(states, initial, &edges);
        let layers = place(&layer_of, &edges);
        let mut layout = DiagramLayout {
            layers,
            edges,
            layer_of,
        };
        layout.reduce_crossings();
        layout
    }

    /// The layer of a state.
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

    fn reduce_crossings(&mut self) {
        for sweep in 0..SWEEPS {
            let count = self.layers.len();
            if sweep % 2 == 0 {
                (1..count).for_each(|layer| self.order_by(layer, layer - 1));
            } else {
                (1..count)
                    .rev()
                    .for_each(|layer| self.order_by(layer - 1, layer));
            }
        }
    }

    /// Orders `layer` by the mean position of each node's neighbours in `fixed`. Nodes without any
    /// keep their place.
    fn order_by(&mut self, layer: usize, fixed: usize) {
        let length = self.layers[layer].len().max(1) as f64;
        let fixed_length = self.layers[fixed].len().max(1) as f64;
        let mut weighted: Vec<(f64, LayerNode)> = self.layers[layer]
            .iter()
            .enumerate()
            .map(|(place, &node)| {
                let places = self.neighbour_places(node, fixed);
                let weight = if places.is_empty() {
                    (place as f64 + 0.5) / length
                } else {
                    let sum: usize = places.iter().sum();
                    (sum as f64 / places.len() as f64 + 0.5) / fixed_length
                };
                (weight, node)
            })
            .collect();
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = weighted.into_iter().map(|(_, node)| node).collect();
    }

    fn neighbour_places(&self, node: LayerNode, layer: usize) -> Vec<usize> {
        self.layers[layer]
            .iter()
            .enumerate()
            .filter(|&(_, &other)| self.joined(node, other))
            .map(|(place, _)| place)
            .collect()
    }

    /// Whether an edge's path has `a` and `b`, of neighbouring layers, beside each other.
    fn joined(&self, a: LayerNode, b: LayerNode) -> bool {
        match (a, b) {
            (LayerNode::State(a), LayerNode::State(b)) => self
                .edges
                .iter()
                .any(|e| (e.from, e.to) == (a, b) || (e.from, e.to) == (b, a)),
            (LayerNode::Waypoint(edge), LayerNode::State(state))
            | (LayerNode::State(state), LayerNode::Waypoint(edge)) => {
                self.edges[edge].from == state || self.edges[edge].to == state
            }
            (LayerNode::Waypoint(a), LayerNode::Waypoint(b)) => a == b,
        }
    }
}

/// Each state's distance from the initial state; unreachable states come one layer after all.
fn distances(states: usize, initial: usize, edges: &[Edge]) -> Vec<usize> {
    let mut distance = vec![None; states];
    let mut queue = VecDeque::new();
    if initial < states {
        distance[initial] = Some(0);
        queue.push_back((initial, 0));
    }
    let mut last = 0;
    while let Some((state, at)) = queue.pop_front() {
        last = at;
        for edge in edges.iter().filter(|edge| edge.from == state) {
            if distance[edge.to].is_none() {
                distance[edge.to] = Some(at + 1);
                queue.push_back((edge.to, at + 1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_the_distance_from_the_initial_state() {
        let layout = DiagramLayout::new(5, 0, &[(0, 1), (1, 2), (0, 2), (2, 0), (2, 3)]);
        let layers: Vec<usize> = (0..5).map(|state| layout.layer(state)).collect();
        assert_eq!(layers, [0, 1, 1, 2, 3], "4 is unreachable and comes last");
        assert_eq!(layout.states().count(), 5);
    }

    #[test]
    fn an_edge_over_several_layers_has_a_waypoint_in_each_between() {
        let layout = DiagramLayout::new(4, 0, &[(0, 1), (1, 2), (2, 3), (3, 0)]);
        let waypoints: Vec<usize> = layout
            .layers
            .iter()
            .map(|layer| {
                layer
                    .iter()
                    .filter(|n| matches!(n, LayerNode::Waypoint(3)))
                    .count()
            })
            .collect();
        assert_eq!(waypoints, [0, 1, 1, 0]);
    }

    #[test]
    fn states_of_a_layer_are_ordered_so_that_edges_do_not_cross() {
        // 1 leads to 4 and 2 leads to 3: kept in index order, the two edges would cross.
        let layout = DiagramLayout::new(5, 0, &[(0, 1), (0, 2), (1, 4), (2, 3)]);
        let place = |state| {
            layout.layers[layout.layer(state)]
                .iter()
                .position(|node| *node == LayerNode::State(state))
        };
        assert_eq!(place(1) < place(2), place(4) < place(3));
    }

    #[test]
    fn a_machine_of_one_state_or_none_has_a_layout() {
        assert_eq!(DiagramLayout::new(1, 0, &[]).layers.len(), 1);
        assert!(DiagramLayout::new(0, 0, &[]).layers.is_empty());
    }
}
