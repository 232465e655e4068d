#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Item(String, u32);

impl Keyed for Item {
    fn key(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

type Model = BTreeMap<String, u32>;

fn shown(table: &Table<Item>) -> Model {
    let items: Model = table.iter().map(|item| (item.0.clone(), item.1)).collect();
    assert_eq!(items.len(), table.len());
    items
}

#[test]
fn a_replaced_and_a_removed_item_are_given_back() {
    let mut table = Table::new();
    assert_eq!(table.insert(Item("a".into(), 1)), None);
    assert_eq!(table.insert(Item("a".into(), 2)), Some(Item("a".into(), 1)));
    assert_eq!(table.len(), 1);
    assert_eq!(table.remove(b"b"), None);
    assert_eq!(table.remove(b"a"), Some(Item("a".into(), 2)));
    assert_eq!((table.len(), table.get(b"a")), (0, None));
}

#[test]
fn a_clone_copies_only_the_shard_that_is_written() {
    let mut table = Table::new();
    for number in 0..20_000 {
        table.insert(Item(format!("id-{number}"), number));
    }
    let frozen = table.clone();
    assert!(Arc::ptr_eq(&table.shards, &frozen.shards));
    table.insert(Item("id-7".into(), 0));
    let copied = table.shards.iter().zip(frozen.shards.iter());
    assert_eq!(copied.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
    assert_eq!(frozen.get(b"id-7").unwrap().1, 7);
    assert_eq!(table.get(b"id-7").unwrap().1, 0);
}

#[test]
fn items_spread_over_the_shards_so_that_reserved_room_suffices() {
    let items = 40 * SHARDS;
    let mut table = Table::with_capacity(items);
    let room: usize = table.shards.iter().map(|shard| shard.capacity()).sum();
    for number in 0..items {
        table.insert(Item(format!("instance-{number:011}"), 0));
    }
    let after: usize = table.shards.iter().map(|shard| shard.capacity()).sum();
    assert!(after < room + room / 50, "{room} grew to {after}");
    let fullest = table.shards.iter().map(|shard| shard.len()).max().unwrap();
    assert!(fullest < 80, "{fullest} of {items} items in one shard");
}

proptest! {
    #[test]
    fn a_table_is_a_map_and_a_clone_never_changes(
        steps in prop::collection::vec(("[a-d]{1,2}", 0..3u32, any::<bool>()), 0..80),
        cut in 0..80usize,
        reserved in 0..100_000usize,
    ) {
        let mut table = Table::with_capacity(reserved);
        let mut model = Model::new();
        let mut frozen = None;
        for (position, (key, value, remove)) in steps.into_iter().enumerate() {
            if position == cut {
                frozen = Some((table.clone(), model.clone()));
            }
            let (got, expected) = match remove {
                true => (table.remove(key.as_bytes()), model.remove(&key)),
                false => (table.insert(Item(key.clone(), value)), model.insert(key, value)),
            };
            prop_assert_eq!(got.map(|item| item.1), expected);
        }
        prop_assert_eq!(shown(&table), model);
        if let Some((table, model)) = frozen {
            prop_assert_eq!(shown(&table), model);
        }
    }
}
