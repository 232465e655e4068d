#![allow(clippy::unwrap_used)]

use super::super::{ApplyEvent, Body, Fact, FlushAll, SetLevel};
use super::*;

/// A message's name, a field's number and its name.
type Field = (String, u32, String);

/// The fields of a schema, read from its text.
fn fields(text: &str) -> Vec<Field> {
    let mut messages: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap().trim();
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || c == ';')
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            ["message", name, ..] => messages.push((*name).to_owned()),
            // The fields of a oneof belong to its message.
            ["oneof", ..] => messages.push(messages.last().unwrap().clone()),
            _ => {}
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('=') {
            let number = after.trim().split(';').next().unwrap().trim();
            if let (Some(name), Ok(number)) =
                (before.split_whitespace().last(), number.parse::<u32>())
                && let Some(message) = messages.last()
            {
                fields.push((message.clone(), number, name.to_owned()));
            }
            rest = after;
        }
        for _ in 0..line.matches('}').count() {
            messages.pop();
        }
    }
    fields
}

fn named(rows: &[Row]) -> Vec<Field> {
    let named = rows
        .iter()
        .map(|row| (row.message.to_owned(), row.number, row.name.to_owned()));
    named.collect()
}

#[test]
fn every_field_of_the_log_and_of_snapshots_has_a_level() {
    let schemas = [
        (include_str!("../../../proto/fact.proto"), SCHEMA),
        (include_str!("../../../proto/record.proto"), SNAPSHOT_SCHEMA),
    ];
    for (text, rows) in schemas {
        let (fields, rows) = (fields(text), named(rows));
        assert!(
            fields.len() > 30,
            "the schema was not understood: {fields:?}"
        );
        for field in &fields {
            assert!(
                rows.contains(field),
                "{field:?} has no row in fact/level.rs: to which feature level does it belong?"
            );
        }
    }
}

#[test]
fn what_a_schema_lacks_is_reserved_for_a_level_that_is_not_the_first() {
    let schemas = [
        (include_str!("../../../proto/fact.proto"), SCHEMA),
        (include_str!("../../../proto/record.proto"), SNAPSHOT_SCHEMA),
    ];
    for (text, rows) in schemas {
        let fields = fields(text);
        for (field, row) in named(rows).iter().zip(rows) {
            assert!(
                fields.contains(field) || row.level > FIRST,
                "{field:?} is of the first level and not in the schema"
            );
            let same = |other: &&Row| (other.message, other.number) == (row.message, row.number);
            assert_eq!(
                rows.iter().filter(same).count(),
                1,
                "{field:?} is there twice"
            );
            assert!((FIRST..=CURRENT).contains(&row.level), "{field:?}");
        }
    }
}

#[test]
fn a_message_that_a_field_holds_is_looked_into() {
    let text = include_str!("../../../proto/fact.proto");
    let messages: Vec<String> = fields(text)
        .into_iter()
        .map(|(message, ..)| message)
        .collect();
    for row in SCHEMA {
        let of_a_message = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let kind = words.iter().rev().nth(3).copied().unwrap_or_default();
            line.contains(&format!(" {} = {};", row.name, row.number))
                && messages.iter().any(|message| message == kind)
        };
        if text.lines().any(of_a_message) {
            assert!(row.holds.is_some(), "{row:?} holds a message");
        }
    }
}

fn entry(body: Body) -> Entry {
    Entry {
        index: 7,
        facts: vec![Fact::from(body)],
        ..Entry::default()
    }
}

#[test]
fn what_an_entry_needs_is_the_highest_level_of_its_fields() {
    let event = entry(Body::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        ..ApplyEvent::default()
    }));
    assert_eq!(needed_by(&event), 1);
    assert_eq!(needed_by(&entry(Body::FlushAll(FlushAll {}))), 1);
    assert_eq!(needed_by(&entry(Body::SetLevel(SetLevel { level: 2 }))), 1);
    // An event that emits: field 12 of the fact, of level 2.
    let emitting = [0x2a, 5, 0x1a, 3, 0x62, 1, b'e'];
    assert_eq!(needed(&emitting, "Entry", SCHEMA), 2);
}

#[test]
fn an_unknown_field_and_bytes_that_are_no_message_need_more_than_is_understood() {
    // Field 15 of an entry.
    assert_eq!(needed(&[0x78, 1], "Entry", SCHEMA), CURRENT + 1);
    // A length that reaches beyond the end, a tag that does not end, an unknown kind.
    for bytes in [&[0x2a, 9, 1][..], &[0xff], &[0x0b]] {
        assert_eq!(needed(bytes, "Entry", SCHEMA), CURRENT + 1, "{bytes:?}");
    }
}
