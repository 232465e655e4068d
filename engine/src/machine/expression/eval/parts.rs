//! Parts of points in time and of spans.

use crate::machine::expression::error::Why;
use crate::machine::expression::functions::TimePart;
use crate::machine::expression::value::ExprValue;
use crate::machine::expression::value::time::{Timestamp, offset_seconds};

/// `None`: the value has no such part.
pub(super) fn part<'a>(
    part: TimePart,
    value: &ExprValue<'a>,
    zone: &[ExprValue<'a>],
) -> Result<Option<ExprValue<'a>>, Why> {
    let offset = match zone {
        [] => 0,
        [ExprValue::String(zone)] => match offset_seconds(zone) {
            Some(offset) => offset,
            None => {
                return Err(Why::Conversion {
                    value: format!("{:?}", &**zone),
                    wanted: "zone: UTC or an offset such as +05:30",
                });
            }
        },
        _ => return Ok(None),
    };
    Ok(match value {
        ExprValue::Timestamp(time) => Some(ExprValue::Int(of_time(part, *time, offset))),
        ExprValue::Duration(span) if zone.is_empty() => of_span(part, span.0).map(ExprValue::Int),
        _ => None,
    })
}

fn of_time(part: TimePart, time: Timestamp, offset: i64) -> i64 {
    let civil = time.civil(offset);
    match part {
        TimePart::FullYear => civil.year,
        TimePart::Month => civil.month - 1,
        TimePart::Date => civil.day,
        TimePart::DayOfMonth => civil.day - 1,
        TimePart::DayOfWeek => civil.weekday,
        TimePart::DayOfYear => civil.day_of_year,
        TimePart::Hours => civil.second_of_day / 3600,
        TimePart::Minutes => civil.second_of_day / 60 % 60,
        TimePart::Seconds => civil.second_of_day % 60,
        TimePart::Milliseconds => time.milliseconds(),
    }
}

/// Of a span, hours, minutes and seconds count the whole span. Milliseconds count only the part below a second.
fn of_span(part: TimePart, nanos: i64) -> Option<i64> {
    Some(match part {
        TimePart::Hours => nanos / 3_600_000_000_000,
        TimePart::Minutes => nanos / 60_000_000_000,
        TimePart::Seconds => nanos / 1_000_000_000,
        TimePart::Milliseconds => nanos / 1_000_000 % 1000,
        _ => return None,
    })
}
