//! Any text through the guard's parser, and what it prints through it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rstmdb_engine::guard::Guard;

fuzz_target!(|text: &str| {
    if let Ok(guard) = Guard::parse(text) {
        let printed = guard.to_string();
        let again = Guard::parse(&printed).expect("what is printed parses");
        assert_eq!(again.to_string(), printed);
    }
});
