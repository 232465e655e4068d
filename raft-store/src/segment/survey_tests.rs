use super::*;

const WHY: &str = "why";

#[test]
fn every_combination_of_end_and_place_has_its_action() {
    use SegmentAction::{Accept, Clear, Ignore, Refuse, Succeed, Trim};
    let table = [
        (FileEnd::Open, Accept, Refuse),
        (FileEnd::Sealed, Succeed, Trim),
        (FileEnd::Trimmed, Refuse, Accept),
        (FileEnd::Short, Refuse, Refuse),
        (FileEnd::Torn(WHY), Clear, Refuse),
        (FileEnd::BelowMark(WHY), Refuse, Refuse),
        (FileEnd::Headless, Ignore, Refuse),
        (FileEnd::HeaderBelowMark(WHY), Refuse, Refuse),
    ];
    for (file_end, last, other) in table {
        assert_eq!(
            action(&file_end, true),
            last,
            "{file_end:?} in the last segment"
        );
        assert_eq!(
            action(&file_end, false),
            other,
            "{file_end:?} in another segment"
        );
    }
}
