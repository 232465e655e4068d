//! Any text through the guard's parser, and what it prints through it again.

use rstmdb_engine::guard::Guard;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let text = data.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if let Ok(guard) = Guard::parse(text) {
        let printed = guard.to_string();
        let again = Guard::parse(&printed).expect("what is printed parses");
        assert_eq!(again.to_string(), printed);
    }
}
