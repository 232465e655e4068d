use super::*;

const WHY: &str = "why";

fn scan(tail: Tail, end: u64) -> Scan {
    Scan {
        header: None,
        header_crc: 0,
        end,
        tail,
    }
}

#[test]
fn every_combination_of_tail_and_place_has_its_action() {
    use Action::{Accept, Cut, Refuse, Remove};
    let table = [
        (Tail::Clean, Accept, Accept),
        (Tail::Torn(WHY), Cut, Refuse),
        (Tail::BelowMark(WHY), Refuse, Refuse),
        (Tail::Headless, Remove, Refuse),
        (Tail::HeaderBelowMark(WHY), Refuse, Refuse),
    ];
    for (tail, last, sealed) in table {
        assert_eq!(action(&tail, true), last, "{tail:?} in the last segment");
        assert_eq!(action(&tail, false), sealed, "{tail:?} in a sealed segment");
        for (is_last, expected) in [(true, last), (false, sealed)] {
            let decided = decide(&scan(tail.clone(), 100), is_last, 100);
            assert_eq!(decided.is_err(), expected == Refuse, "{tail:?}");
        }
    }
}

#[test]
fn a_sealed_segment_with_anything_behind_its_end_is_refused() {
    assert!(decide(&scan(Tail::Clean, 100), false, 108).is_err());
    assert_eq!(
        decide(&scan(Tail::Clean, 100), true, 108),
        Ok(Action::Accept)
    );
}
