//! Golden drawings. `UPDATE_GOLDEN=1 cargo test -p rstmdb-cli diagram` rewrites them. Review the differences like code.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;

const ORDER: &str = r#"{
    "states": ["created", "paid", "shipped", "delivered", "cancelled"],
    "initial": "created",
    "transitions": [
        {"from": "created", "event": "PAY", "to": "paid", "guard": "ctx.amount > 0 && ctx.items.length > 0"},
        {"from": "created", "event": "NOTE", "to": "created"},
        {"from": "paid", "event": "SHIP", "to": "shipped", "guard": "ctx.address != null"},
        {"from": "shipped", "event": "DELIVER", "to": "delivered"},
        {"from": ["paid", "shipped"], "event": "RETURN", "to": "created"},
        {"from": ["created", "paid"], "event": "CANCEL", "to": "cancelled"}
    ],
    "meta": {"owner": "sales"}
}"#;

const HOSTILE: &str = r#"{
    "states": ["a\u001b[31m \"<b>&", "größe # ; }"],
    "initial": "a\u001b[31m \"<b>&",
    "transitions": [{"from": "a\u001b[31m \"<b>&", "event": "x\"\\:;<>", "to": "größe # ; }", "guard": "ctx.a == \"<&>\""}]
}"#;

fn draw(definition: &str, format: DiagramFormat, current: Option<&str>) -> String {
    let definition = rstmdb_rcp::json::Json::parse(definition).unwrap();
    let machine = MachineModel::read(&definition).unwrap();
    Drawing::new("order", 1, &machine, current).render(format, Paint::PLAIN)
}

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/render/diagram/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{name} is drawn differently");
}

#[test]
fn the_order_machine_is_drawn_as_text() {
    golden("order.txt", &draw(ORDER, DiagramFormat::Text, None));
    golden(
        "order-paid.txt",
        &draw(ORDER, DiagramFormat::Text, Some("paid")),
    );
}

#[test]
fn the_order_machine_is_drawn_in_mermaid() {
    golden(
        "order.mmd",
        &draw(ORDER, DiagramFormat::Mermaid, Some("paid")),
    );
}

#[test]
fn the_order_machine_is_drawn_in_dot() {
    golden("order.dot", &draw(ORDER, DiagramFormat::Dot, Some("paid")));
}

#[test]
fn the_order_machine_is_drawn_as_svg() {
    golden("order.svg", &draw(ORDER, DiagramFormat::Svg, Some("paid")));
}

#[test]
fn hostile_names_are_escaped_in_every_language() {
    let text = draw(HOSTILE, DiagramFormat::Text, None);
    assert!(!text.contains('\u{1b}'), "{text}");
    let svg = draw(HOSTILE, DiagramFormat::Svg, None);
    assert!(
        svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"),
        "{svg}"
    );
    let dot = draw(HOSTILE, DiagramFormat::Dot, None);
    assert!(dot.contains(r#"x\"\\:;<>"#), "{dot}");
    let mermaid = draw(HOSTILE, DiagramFormat::Mermaid, None);
    assert!(mermaid.contains("größe #35; #59; #125;"), "{mermaid}");
}

#[test]
fn every_format_draws_a_machine_of_one_state() {
    let machine = r#"{"states": ["only"], "initial": "only", "transitions": []}"#;
    for format in [
        DiagramFormat::Text,
        DiagramFormat::Mermaid,
        DiagramFormat::Dot,
        DiagramFormat::Svg,
    ] {
        assert!(draw(machine, format, None).contains("only"));
    }
}

#[test]
fn boxes_of_a_picture_do_not_overlap_each_other() {
    let svg = draw(ORDER, DiagramFormat::Svg, None);
    let number = |line: &str, name: &str| -> f64 {
        let rest = line.split(&format!(" {name}=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let boxes: Vec<[f64; 4]> = svg
        .lines()
        .filter(|line| line.contains("class=\"box\""))
        .map(|line| ["x", "y", "width", "height"].map(|name| number(line, name)))
        .collect();
    assert_eq!(boxes.len(), 5);
    for (index, [x, y, width, height]) in boxes.iter().enumerate() {
        for [other_x, other_y, other_width, other_height] in &boxes[index + 1..] {
            let apart = x + width < *other_x
                || other_x + other_width < *x
                || y + height < *other_y
                || other_y + other_height < *y;
            assert!(apart, "boxes overlap in\n{svg}");
        }
    }
}
