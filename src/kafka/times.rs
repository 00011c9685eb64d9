//! Times as others write them.

use crate::config::kafka::LocalTime;
use crate::domain::Timestamp;
use chrono::{DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, TimeZone as _};
use serde_json::Value;

/// What is taken, for people.
const EXPECTED: &str = "must be a time such as 2026-01-31T12:00:00Z, seconds or milliseconds since 1970, or [2026,1,31,12,0]";

/// A time in any form that usual JSON libraries write.
///
/// # Errors
/// It is no time; says what would be one.
pub(super) fn parse(value: &Value, zone: LocalTime) -> Result<Timestamp, String> {
    let parsed = match value {
        Value::String(text) => of_text(text.trim(), zone),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => of_whole(whole),
            None => number.as_f64().and_then(of_seconds),
        },
        Value::Array(parts) => of_parts(parts, zone),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    };
    parsed.ok_or_else(|| {
        let given: String = value.to_string().chars().take(60).collect();
        format!("{EXPECTED}, not {given}")
    })
}

/// With an offset in any spelling, or without one in the local time; with or without seconds; with a space in place of the T.
fn of_text(text: &str, zone: LocalTime) -> Option<Timestamp> {
    // Java's ZonedDateTime adds the zone's name.
    let text = text.split_once('[').map_or(text, |(time, _)| time);
    if let Ok(number) = text.parse::<i64>() {
        return of_whole(number);
    }
    let iso = if text.as_bytes().get(10) == Some(&b' ') { text.replacen(' ', "T", 1) } else { text.to_owned() };
    let iso = iso.replace(' ', "");
    if let Ok(time) = DateTime::parse_from_rfc3339(&iso) {
        return Some(time.to_utc().into());
    }
    let zoned = iso.strip_suffix(['Z', 'z']).map_or_else(|| iso.clone(), |time| format!("{time}+0000"));
    let with_offset = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"];
    if let Some(time) = with_offset.iter().find_map(|form| DateTime::parse_from_str(&zoned, form).ok()) {
        return Some(time.to_utc().into());
    }
    let without = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let local = without.iter().find_map(|form| NaiveDateTime::parse_from_str(&iso, form).ok())?;
    in_zone(local, zone)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970: by their size, as all are meant to be of this age.
fn of_whole(number: i64) -> Option<Timestamp> {
    let micros = match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(1_000_000)?,
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1_000)?,
        100_000_000_000_000..100_000_000_000_000_000 => number,
        100_000_000_000_000_000.. => number / 1_000,
    };
    within(micros)
}

/// Seconds with a fraction, as Jackson writes an Instant; a double holds about the microsecond.
fn of_seconds(seconds: f64) -> Option<Timestamp> {
    if seconds.abs() >= 1e11 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
    within((seconds * 1e6).floor() as i64)
}

/// `[year, month, day, hour, minute, second, nanosecond]`, as Jackson writes a LocalDateTime; the last two may be missing.
fn of_parts(parts: &[Value], zone: LocalTime) -> Option<Timestamp> {
    if !(5..=7).contains(&parts.len()) {
        return None;
    }
    let part = |index: usize| match parts.get(index) {
        Some(value) => value.as_u64().and_then(|value| u32::try_from(value).ok()),
        None => Some(0),
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(part(0)?).ok()?, part(1)?, part(2)?)?;
    in_zone(date.and_hms_nano_opt(part(3)?, part(4)?, part(5)?, part(6)?)?, zone)
}

fn in_zone(local: NaiveDateTime, zone: LocalTime) -> Option<Timestamp> {
    match zone {
        LocalTime::Offset { minutes } => {
            let offset = FixedOffset::east_opt(i32::from(minutes) * 60)?;
            Some(offset.from_local_datetime(&local).single()?.to_utc().into())
        }
        // An hour that comes twice in autumn is the first one; one that is left out in spring is none.
        LocalTime::System => Some(Local.from_local_datetime(&local).earliest()?.to_utc().into()),
    }
}

/// Not before 1970 and not after the year 9999; 0 stands for a time that was not given.
fn within(micros: i64) -> Option<Timestamp> {
    (1..253_402_300_800_000_000).contains(&micros).then_some(Timestamp(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_usual_form_is_taken() {
        const UTC: LocalTime = LocalTime::Offset { minutes: 0 };
        let zurich = LocalTime::Offset { minutes: 60 };
        let cases = [
            (json!(1_767_268_800.123_456_7), UTC, "2026-01-01T12:00:00.123456Z"),
            (json!(1_767_268_800), UTC, "2026-01-01T12:00:00.000000Z"),
            (json!(1_767_268_800_123_i64), UTC, "2026-01-01T12:00:00.123000Z"),
            (json!(1_767_268_800_123_456_i64), UTC, "2026-01-01T12:00:00.123456Z"),
            (json!(1_767_268_800_123_456_789_i64), UTC, "2026-01-01T12:00:00.123456Z"),
            (json!("1767268800123"), UTC, "2026-01-01T12:00:00.123000Z"),
            (json!([2026, 1, 1, 12, 0]), UTC, "2026-01-01T12:00:00.000000Z"),
            (json!([2026, 1, 1, 12, 0]), zurich, "2026-01-01T11:00:00.000000Z"),
            (json!([2026, 1, 1, 12, 0, 5, 123_456_789]), UTC, "2026-01-01T12:00:05.123456Z"),
            (json!("2026-01-01T12:00:00.5+0000"), UTC, "2026-01-01T12:00:00.500000Z"),
            (json!("2026-01-01T12:00:00+0130"), UTC, "2026-01-01T10:30:00.000000Z"),
            (json!("2026-01-01T12:00+01"), UTC, "2026-01-01T11:00:00.000000Z"),
            (json!("2026-01-01T12:00Z"), UTC, "2026-01-01T12:00:00.000000Z"),
            (json!("2026-01-01T12:00"), UTC, "2026-01-01T12:00:00.000000Z"),
            (json!("2026-01-01T12:00:00"), zurich, "2026-01-01T11:00:00.000000Z"),
            (json!("2026-01-01 12:00:00"), UTC, "2026-01-01T12:00:00.000000Z"),
            (json!("2026-01-01 12:00:00.25 +0000"), UTC, "2026-01-01T12:00:00.250000Z"),
            (json!("2026-01-01T13:00:00+01:00[Europe/Zurich]"), zurich, "2026-01-01T12:00:00.000000Z"),
        ];
        for (given, zone, want) in cases {
            assert_eq!(parse(&given, zone).map(|time| time.to_string()), Ok(want.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for given in [json!("yesterday"), json!([2026, 1]), json!([2026, 13, 1, 1, 1]), json!({}), json!(true), json!(-5), json!(1e300)] {
            let refused = parse(&given, LocalTime::default());
            assert!(refused.is_err_and(|why| why.contains("must be a time such as")), "{given}");
        }
    }
}
