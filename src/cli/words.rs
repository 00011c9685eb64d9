//! What the API's times and codes are called for a person.

use super::client::shown_at;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// A time to the second, in a form that the filters take.
pub(super) fn moment(text: &str) -> String {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.with_timezone(&Utc).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// A field with a time, to the second; absent is `-`.
pub(super) fn moment_at(value: &Value, name: &str) -> String {
    moment(&shown_at(value, name))
}

/// How long ago a field's time is: `5s`, `3m`, `2h`, `4d`; absent is `-`.
pub(super) fn age_at(value: &Value, name: &str, now: DateTime<Utc>) -> String {
    let text = shown_at(value, name);
    let Ok(at) = DateTime::parse_from_rfc3339(&text) else { return text };
    let seconds = (now - at.with_timezone(&Utc)).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What needs attention, by its kind.
pub(super) fn attention(kind: &str, count: u64) -> &str {
    let (one, many) = match kind {
        "node" => ("node not ready", "nodes not ready"),
        "shards" => ("shard without a node", "shards without a node"),
        "breaker" => ("breaker open", "breakers open"),
        "parked-orders" => ("parked order", "parked orders"),
        "dead-letters" => ("other dead letter", "other dead letters"),
        "standing-orders" => ("order stands still", "orders stand still"),
        "waiting-notices" => ("order waits for a notice", "orders wait for a notice"),
        "lag" => ("event behind Kafka", "events behind Kafka"),
        "component" => ("part with a problem", "parts with a problem"),
        other => (other, other),
    };
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_short_and_taken_by_the_filters() {
        assert_eq!(moment("2026-01-31T09:30:00.123456+01:00"), "2026-01-31T08:30:00Z");
        assert_eq!((moment("-"), moment("soon")), ("-".to_owned(), "soon".to_owned()));
        let now = DateTime::parse_from_rfc3339("2026-01-31T08:30:00Z").unwrap().to_utc();
        let cases = [("2026-01-31T08:30:09Z", "0s"), ("2026-01-31T08:29:01Z", "59s"), ("2026-01-31T08:00:01Z", "29m")];
        for (at, want) in cases.into_iter().chain([("2026-01-29T09:00:00Z", "47h"), ("2026-01-28T08:00:00Z", "3d")]) {
            assert_eq!(age_at(&json!({ "at": at }), "at", now), want, "{at}");
        }
        assert_eq!(age_at(&json!({}), "at", now), "-");
    }
}
