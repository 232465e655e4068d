#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use super::layers::LayerNode;
use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn arrow(to: usize) -> Arrow<'static> {
    Arrow {
        event: "GO",
        guard: None,
        to,
    }
}

fn chart(states: usize, edges: &[(usize, usize)]) -> Chart<'static> {
    let mut leaving = vec![Vec::new(); states];
    for &(from, to) in edges {
        leaving[from].push(arrow(to));
    }
    Chart {
        states: NAMES.iter().copied().cycle().take(states).collect(),
        initial: 0,
        leaving,
    }
}

#[test]
fn a_layer_is_the_distance_from_the_initial_state() {
    let layers = Layers::new(&chart(5, &[(0, 1), (1, 2), (0, 2), (2, 0), (2, 3)]));
    let of: Vec<usize> = (0..5).map(|state| layers.layer(state)).collect();
    assert_eq!(of, [0, 1, 1, 2, 3], "4 is unreachable and comes last");
    assert_eq!(layers.states().count(), 5);
}

#[test]
fn an_edge_over_several_layers_has_a_waypoint_in_each_between() {
    let layers = Layers::new(&chart(4, &[(0, 1), (1, 2), (2, 3), (3, 0)]));
    let waypoints: Vec<usize> = layers
        .layers
        .iter()
        .map(|layer| {
            let passes = |node: &&LayerNode| matches!(node, LayerNode::Waypoint(3));
            layer.iter().filter(passes).count()
        })
        .collect();
    assert_eq!(waypoints, [0, 1, 1, 0]);
}

#[test]
fn states_of_a_layer_are_ordered_so_that_edges_do_not_cross() {
    // 1 leads to 4 and 2 leads to 3: kept in index order, the two edges would cross.
    let layers = Layers::new(&chart(5, &[(0, 1), (0, 2), (1, 4), (2, 3)]));
    let place = |state| {
        layers.layers[layers.layer(state)]
            .iter()
            .position(|node| *node == LayerNode::State(state))
    };
    assert_eq!(place(1) < place(2), place(4) < place(3));
}

#[test]
fn a_machine_of_one_state_or_none_has_a_layout() {
    assert_eq!(Layers::new(&chart(1, &[])).layers.len(), 1);
    assert!(Layers::new(&chart(0, &[])).layers.is_empty());
    assert!(chart(0, &[]).picture().is_some());
}

#[test]
fn boxes_of_a_picture_lie_inside_it_and_apart() {
    let chart = chart(5, &[(0, 1), (0, 2), (1, 3), (2, 3), (3, 0), (3, 3), (3, 4)]);
    let picture = chart.picture().unwrap();
    for (index, state) in picture.states.iter().enumerate() {
        let one = state.place;
        assert!(one.x >= 0.0 && one.x + one.width <= picture.width);
        assert!(one.y >= 0.0 && one.y + one.height <= picture.height);
        for other in picture.states[index + 1..].iter().map(|state| state.place) {
            let apart = one.x + one.width < other.x
                || other.x + other.width < one.x
                || one.y + one.height < other.y
                || other.y + other.height < one.y;
            assert!(apart, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn the_picture_as_json_has_a_path_for_each_transition() {
    let mut chart = chart(2, &[(0, 1), (1, 0)]);
    chart.leaving[0][0].guard = Some("ctx.x > 1");
    let json = serde_json::to_value(chart.picture().unwrap()).unwrap();
    assert_eq!(json["states"][0]["name"], "a");
    let arrows = json["arrows"].as_array().unwrap();
    assert_eq!(arrows.len(), 2);
    assert_eq!(arrows[0]["guard"], "ctx.x > 1");
    assert_eq!(arrows[1]["back"], true);
    for arrow in arrows {
        assert!(arrow["path"].as_str().unwrap().starts_with('M'));
    }
}

#[test]
fn the_largest_pictures_take_a_bounded_time_and_larger_machines_have_none() {
    let line = |states: usize| -> Vec<(usize, usize)> {
        (0..states - 1).map(|state| (state, state + 1)).collect()
    };
    assert!(
        chart(STATES_MAX + 1, &line(STATES_MAX + 1))
            .picture()
            .is_none()
    );
    let mut many = line(STATES_MAX);
    // Each of these passes nearly all layers.
    many.extend((0..60).map(|state| (STATES_MAX - 1 - state, state)));
    let began = Instant::now();
    assert!(chart(STATES_MAX, &many).picture().is_some());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    many.extend((60..120).map(|state| (STATES_MAX - 1 - state, state)));
    assert!(chart(STATES_MAX, &many).picture().is_none());
    let arrows = vec![(0, 0); ARROWS_MAX + 1];
    assert!(chart(1, &arrows).picture().is_none());
}
