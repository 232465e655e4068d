//! Where each fault goes above a plot: in the first row that is free.

use super::FaultSpan;

/// More rows than this leave no room for the plot; what does not fit shares the last one.
const ROWS_MAX: usize = 6;

/// The row of each fault, and how many rows there are.
pub(super) fn rows(faults: &[FaultSpan], gap_us: u64) -> (Vec<usize>, usize) {
    let mut ends: Vec<u64> = Vec::new();
    let mut rows = Vec::with_capacity(faults.len());
    for fault in faults {
        let free = ends.iter().position(|end| *end <= fault.begun_us);
        let row = match free {
            Some(row) => row,
            None if ends.len() < ROWS_MAX => {
                ends.push(0);
                ends.len() - 1
            }
            None => ROWS_MAX - 1,
        };
        ends[row] = ends[row].max(fault.ended_us.saturating_add(gap_us));
        rows.push(row);
    }
    (rows, ends.len())
}
