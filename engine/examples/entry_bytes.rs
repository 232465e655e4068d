//! The size of an event's entry, and how much of it is the payload, whose fields the context holds too: `cargo run --release -p rstmdb-engine --example entry_bytes`.

#![allow(missing_docs)]

use rstmdb_engine::fact::{ApplyEvent, Body, Entry, Fact, Message};

/// Bytes of the payload's values, and of the context without them.
const CASES: [(usize, usize); 7] = [
    (50, 50),
    (50, 1_000),
    (1_000, 10_000),
    (10_000, 10),
    (100_000, 10),
    (1_000_000, 10),
    (3_900_000, 10),
];

fn main() {
    println!("payload    context | on the wire  without payload | in the log  without payload");
    for (payload, rest) in CASES {
        let value = noise(1, payload);
        let sent = format!("{{\"p\":\"{value}\"}}");
        let ctx = format!("{{\"p\":\"{value}\",\"rest\":\"{}\"}}", noise(2, rest));
        let both = entry(&ctx, Some(&sent));
        let alone = entry(&ctx, None);
        println!(
            "{:>9}{:>9} | {:>11}{:>10} {:>4}% | {:>10}{:>10} {:>4}%",
            sent.len(),
            ctx.len(),
            both.len(),
            alone.len(),
            saved(both.len(), alone.len()),
            stored(&both),
            stored(&alone),
            saved(stored(&both), stored(&alone)),
        );
    }
}

fn entry(ctx: &str, payload: Option<&str>) -> Vec<u8> {
    let event = ApplyEvent {
        instance_id: "order-000001".to_owned(),
        machine: "order".to_owned(),
        version: 1,
        event: "CHANGE".to_owned(),
        from_state: "OPEN".to_owned(),
        to_state: "OPEN".to_owned(),
        ctx: ctx.as_bytes().to_vec().into(),
        payload: payload.map(|text| text.as_bytes().to_vec().into()),
        prev_offset: 1_000_000,
        ..ApplyEvent::default()
    };
    let fact = Fact {
        body: Some(Body::ApplyEvent(event)),
    };
    let entry = Entry {
        facts: vec![fact],
        ..Entry::default()
    };
    entry.encode_to_vec()
}

/// As the log stores it by default: entries of 256 bytes and more are compressed.
fn stored(entry: &[u8]) -> usize {
    match entry.len() {
        0..256 => entry.len(),
        _ => lz4_flex::block::compress(entry).len().min(entry.len()),
    }
}

fn saved(before: usize, after: usize) -> usize {
    100 * before.saturating_sub(after) / before.max(1)
}

/// Letters and digits that compress as little as they can.
fn noise(seed: u64, len: usize) -> String {
    let mut state: u64 = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                [(state >> 32) as usize % 64],
        )
    });
    letters.collect()
}
