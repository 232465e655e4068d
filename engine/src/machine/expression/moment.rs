//! Expressions that give a span or a point in time, in milliseconds.

use super::eval::Fail;
use super::value::ExprValue;
use super::value::time::timestamp;
use super::{EvalFailure, EvalScope, EvalSteps, Expression, Why};
use crate::machine::span::{self, TIME_MS_MAX};

const NANOS_OF_MS: i64 = 1_000_000;

/// The Unix time in milliseconds of a text as in RFC 3339.
pub(crate) fn time_of_text(text: &str) -> Option<u64> {
    let time = timestamp(text)?;
    u64::try_from(time.millis()).ok()
}

impl Expression {
    /// The milliseconds of a span: a duration, a number of milliseconds, or a text such as `1h30m`. A negative one is 0.
    pub(crate) fn span_ms<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> Result<u64, EvalFailure> {
        self.millis(scope, steps, "duration", |value| match value {
            // Rounded up: what is to happen later must not happen earlier.
            ExprValue::Duration(span) => {
                Some(span.0.div_euclid(NANOS_OF_MS) + i64::from(span.0.rem_euclid(NANOS_OF_MS) > 0))
            }
            ExprValue::String(text) => span::parse(text).and_then(|ms| i64::try_from(ms).ok()),
            number => whole(number),
        })
    }

    /// A Unix time in milliseconds: a timestamp, a number of milliseconds, or a text as in RFC 3339. One before 1970
    /// is 0.
    pub(crate) fn time_ms<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> Result<u64, EvalFailure> {
        self.millis(scope, steps, "timestamp", |value| match value {
            ExprValue::Timestamp(time) => Some(time.millis()),
            ExprValue::String(text) => timestamp(text).map(|time| time.millis()),
            number => whole(number),
        })
    }

    fn millis<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
        wanted: &'static str,
        convert: impl Fn(&ExprValue<'_>) -> Option<i64>,
    ) -> Result<u64, EvalFailure> {
        let (result, _) = self.run(scope, steps);
        let value = result.map_err(|fail| self.failure(fail))?.plain();
        let found = convert(&value).map(|ms| u64::try_from(ms).unwrap_or(0));
        found.filter(|ms| *ms <= TIME_MS_MAX).ok_or_else(|| {
            self.failure(Fail {
                at: self.expr.at,
                why: Why::Conversion {
                    value: value.to_string(),
                    wanted,
                },
            })
        })
    }
}

fn whole(value: &ExprValue<'_>) -> Option<i64> {
    match value {
        ExprValue::Int(ms) => Some(*ms),
        ExprValue::Uint(ms) => i64::try_from(*ms).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::ScopeNames;
    use super::*;

    fn scope() -> EvalScope<'static> {
        let ctx = r#"{"ttl":"1h30m","due":"2026-01-02T03:04:05Z","n":90000,"f":1.5}"#;
        let names = ScopeNames {
            now_ms: 1_700_000_000_000,
            ..ScopeNames::default()
        };
        EvalScope::new(ctx, "{}", "{}", names)
    }

    #[test]
    fn spans_and_times_are_taken_in_every_usual_form() {
        let span = |text: &str| {
            let parsed = Expression::parse(text).unwrap();
            parsed.span_ms(&mut scope(), &mut EvalSteps::default()).ok()
        };
        let table = [
            ("ctx.ttl", Some(5_400_000)),
            ("ctx.n", Some(90_000)),
            ("duration('90s')", Some(90_000)),
            ("duration('1ns')", Some(1)),
            ("duration('-5s')", Some(0)),
            ("ctx.n * 2", Some(180_000)),
            ("ctx.f", None),
            ("ctx.none", None),
            ("true", None),
            ("'soon'", None),
            ("9223372036854775807", None),
        ];
        for (text, expected) in table {
            assert_eq!(span(text), expected, "{text}");
        }
        let time = |text: &str| {
            let parsed = Expression::parse(text).unwrap();
            parsed.time_ms(&mut scope(), &mut EvalSteps::default()).ok()
        };
        let table = [
            ("ctx.due", Some(1_767_323_045_000)),
            (
                "timestamp(ctx.due) + duration('1s')",
                Some(1_767_323_046_000),
            ),
            ("now + 5000", Some(1_700_000_005_000)),
            ("ctx.ttl", None),
            ("duration('1s')", None),
        ];
        for (text, expected) in table {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(
            time_of_text("2026-01-02T03:04:05Z"),
            Some(1_767_323_045_000)
        );
    }
}
