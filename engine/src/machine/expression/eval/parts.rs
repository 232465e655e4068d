//! Parts of points in time and of spans.

use crate::machine::expression::error::Why;
use crate::machine::expression::functions::Part;
use crate::machine::expression::value::Value;
use crate::machine::expression::value::time::{Timestamp, offset_seconds};

/// `None`: the value has no such part.
pub(super) fn part<'a>(
    part: Part,
    value: &Value<'a>,
    zone: &[Value<'a>],
) -> Result<Option<Value<'a>>, Why> {
    let offset = match zone {
        [] => 0,
        [Value::String(zone)] => match offset_seconds(zone) {
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
        Value::Timestamp(time) => Some(Value::Int(of_time(part, *time, offset))),
        Value::Duration(span) if zone.is_empty() => of_span(part, span.0).map(Value::Int),
        _ => None,
    })
}

fn of_time(part: Part, time: Timestamp, offset: i64) -> i64 {
    let civil = time.civil(offset);
    match part {
        Part::FullYear => civil.year,
        Part::Month => civil.month - 1,
        Part::Date => civil.day,
        Part::DayOfMonth => civil.day - 1,
        Part::DayOfWeek => civil.weekday,
        Part::DayOfYear => civil.day_of_year,
        Part::Hours => civil.second_of_day / 3600,
        Part::Minutes => civil.second_of_day / 60 % 60,
        Part::Seconds => civil.second_of_day % 60,
        Part::Milliseconds => time.milliseconds(),
    }
}

/// Of a span, hours, minutes and seconds count the whole span. Milliseconds count only the part below a second.
fn of_span(part: Part, nanos: i64) -> Option<i64> {
    Some(match part {
        Part::Hours => nanos / 3_600_000_000_000,
        Part::Minutes => nanos / 60_000_000_000,
        Part::Seconds => nanos / 1_000_000_000,
        Part::Milliseconds => nanos / 1_000_000 % 1000,
        _ => return None,
    })
}
