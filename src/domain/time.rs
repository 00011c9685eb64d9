//! Points in time.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time, `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this; 0 if `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0) / 1000).unwrap_or(0)
    }

    /// This time as chrono's type; the nearest representable time if it is out of range.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Parses RFC 3339.
    ///
    /// # Errors
    /// The text is not a date and time with an offset.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp_micros()))
    }
}

/// A time as a person gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct When {
    /// The moment.
    pub at: Timestamp,
    /// The UTC offset with which it was given, in minutes; it decides when days start. 0 for plain dates and for times relative to now.
    pub offset_minutes: i32,
}

impl When {
    /// The forms that [`When::parse`] accepts, as an error message.
    pub const FORMS: &str = "must be a time such as 2026-01-31T08:30:00+01:00, a date such as 2026-01-31 (UTC), or a time before now such as 90s, 30m, 12h, 7d or 2w";

    /// Parses RFC 3339; a date, as its first moment in UTC; `now`; or a whole number of seconds, minutes, hours, days or weeks before `now`
    /// (`90s`, `30m`, `12h`, `7d`, `2w`). The year must be 1970 to 9999.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let text = text.trim();
        let found = Self::absolute(text).or_else(|| Some(Self { at: Self::before(text, now)?, offset_minutes: 0 }))?;
        (0..=253_402_300_799_999_999).contains(&found.at.0).then_some(found)
    }

    fn absolute(text: &str) -> Option<Self> {
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Some(Self { at: date.and_hms_opt(0, 0, 0)?.and_utc().into(), offset_minutes: 0 });
        }
        // An unescaped + of an offset arrives as a space.
        let time = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&text.replace(' ', "+"))).ok()?;
        Some(Self { at: Timestamp(time.timestamp_micros()), offset_minutes: time.offset().local_minus_utc() / 60 })
    }

    fn before(text: &str, now: Timestamp) -> Option<Timestamp> {
        if text == "now" {
            return Some(now);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let seconds: i64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            "w" => 7 * 24 * 3600,
            _ => return None,
        };
        let back = number.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000)?;
        Some(Timestamp(now.0.checked_sub(back)?))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

/// RFC 3339, UTC, microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_whole_as_dates_or_before_now() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        let cases = [
            ("2026-01-31T00:00:00Z", Some(("2026-01-31T00:00:00.000000Z", 0))),
            ("2026-01-31T00:00:00+05:30", Some(("2026-01-30T18:30:00.000000Z", 330))),
            ("2026-01-31T00:00:00 05:30", Some(("2026-01-30T18:30:00.000000Z", 330))),
            ("2026-01-31T00:00:00-03:00", Some(("2026-01-31T03:00:00.000000Z", -180))),
            ("2026-01-31", Some(("2026-01-31T00:00:00.000000Z", 0))),
            ("now", Some(("2026-03-01T12:00:00.000000Z", 0))),
            ("90s", Some(("2026-03-01T11:58:30.000000Z", 0))),
            ("30m", Some(("2026-03-01T11:30:00.000000Z", 0))),
            ("1h", Some(("2026-03-01T11:00:00.000000Z", 0))),
            ("2d", Some(("2026-02-27T12:00:00.000000Z", 0))),
            ("1w", Some(("2026-02-22T12:00:00.000000Z", 0))),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("1y", None),
            ("yesterday", None),
            ("2026-02-30", None),
            ("1969-12-31", None),
            ("9999999999999999d", None),
        ];
        for (text, want) in cases {
            let want = want.map(|(at, offset_minutes)| When { at: Timestamp::parse(at).unwrap(), offset_minutes });
            assert_eq!(When::parse(text, now), want, "{text}");
        }
    }
}
