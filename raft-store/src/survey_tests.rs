use super::*;

const WHY: &str = "why";

#[test]
fn every_combination_of_tail_and_place_has_its_action() {
    use Action::{Accept, Clear, Ignore, Refuse, Succeed, Trim};
    let table = [
        (Tail::Open, Accept, Refuse),
        (Tail::Sealed, Succeed, Trim),
        (Tail::Trimmed, Refuse, Accept),
        (Tail::Short, Refuse, Refuse),
        (Tail::Torn(WHY), Clear, Refuse),
        (Tail::BelowMark(WHY), Refuse, Refuse),
        (Tail::Headless, Ignore, Refuse),
        (Tail::HeaderBelowMark(WHY), Refuse, Refuse),
    ];
    for (tail, last, other) in table {
        assert_eq!(action(&tail, true), last, "{tail:?} in the last segment");
        assert_eq!(action(&tail, false), other, "{tail:?} in another segment");
    }
}
