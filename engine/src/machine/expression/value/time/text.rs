//! Times and spans as they are written.

use super::{DAY, Duration, Timestamp, days_in_month, days_of_civil};

/// So many digits from the front, and what follows them.
fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let all = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| all)?, rest))
}

/// A time as in RFC 3339.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (year, text) = digits(text, 4)?;
    let (month, text) = digits(text.strip_prefix('-')?, 2)?;
    let (day, text) = digits(text.strip_prefix('-')?, 2)?;
    let (hour, text) = digits(text.strip_prefix(['T', 't'])?, 2)?;
    let (minute, text) = digits(text.strip_prefix(':')?, 2)?;
    let (second, text) = digits(text.strip_prefix(':')?, 2)?;
    let is_date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = match text.strip_prefix('.') {
        Some(text) => {
            let length = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, zone) = text.split_at_checked(length)?;
            if !(1..=9).contains(&length) {
                return None;
            }
            (format!("{number:0<9}").parse().ok()?, zone)
        }
        None => (0, text),
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => offset_seconds(zone).filter(|_| zone.starts_with(['+', '-']))?,
    };
    let seconds = days_of_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Timestamp::new(seconds - offset, nanos)
}

/// What a zone is ahead of UTC: `UTC`, or hours and minutes such as `+05:30`. There is no data base of zones.
pub(crate) fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Z" | "") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A span as in Go: numbers with the units h, m, s, ms, us, ns.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(Duration(0));
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, unit) = rest.split_at(rest.find(|c| !is_number(c))?);
        let end = unit.find(is_number).unwrap_or(unit.len());
        nanos = nanos.checked_add(span(number, &unit[..end])?)?;
        rest = &unit[end..];
    }
    let nanos = if negative { -nanos } else { nanos };
    i64::try_from(nanos).ok().map(Duration)
}

/// A number of one unit, in nanoseconds; what is less than one is cut off.
fn span(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = match whole {
        "" => 0,
        _ => whole.parse().ok()?,
    };
    // Nanoseconds of an hour have 13 digits, so more digits than these change nothing.
    let fraction = &fraction[..fraction.len().min(13)];
    let part = match fraction {
        "" => 0,
        _ => fraction.parse::<i128>().ok()? * unit / 10_i128.checked_pow(fraction.len() as u32)?,
    };
    whole.checked_mul(unit)?.checked_add(part)
}
