//! The chain in the header of a snapshot.

use super::proto;
use crate::chain::{Chain, Head, planted};

/// The chain that was written.
pub(super) fn read(message: &proto::Chain) -> Result<Chain, String> {
    let head = |offset: u64, bytes: &[u8]| {
        Head::of_bytes(bytes).ok_or_else(|| {
            format!(
                "the head of the chain at offset {offset} has {} bytes",
                bytes.len()
            )
        })
    };
    let (first, last) = (message.first, message.last);
    if first == 0 || last < first - 1 || last == u64::MAX {
        return Err(format!("a chain from offset {first} to {last}"));
    }
    let marks = message
        .marks
        .iter()
        .map(|mark| Ok((mark.offset, head(mark.offset, &mark.head)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let ascend = marks.is_sorted_by(|(one, _), (next, _)| one < next);
    let inside = marks
        .iter()
        .all(|(offset, _)| (first - 1..=last).contains(offset));
    if !ascend || !inside {
        return Err(format!(
            "the chain from offset {first} to {last} has heads that are not in order"
        ));
    }
    let newest = match planted::loses_heads_of_snapshots() {
        true => Head::BEGIN,
        false => head(last, &message.head)?,
    };
    Ok(Chain::restored(first, last, newest, marks))
}
