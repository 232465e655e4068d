//! Any bytes as a proof: it is refused, or shows a history that has its place in the log that it covers.

use rstmdb_cli::audit::check::check;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let Ok(proven) = check(data) else {
        return;
    };
    assert!(!proven.facts.is_empty(), "it proves nothing");
    let covered = proven.from_offset..=proven.to_offset;
    assert!(
        proven
            .facts
            .iter()
            .all(|fact| covered.contains(&fact.offset))
    );
    assert!(
        proven
            .facts
            .is_sorted_by(|one, next| one.offset <= next.offset)
    );
    drop(serde_json::to_string(&proven.facts).expect("what is shown can be printed"));
}
