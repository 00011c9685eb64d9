//! How the messages of other teams are to be understood.

use crate::domain::EventKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// What a name that another team gives to its messages means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This event of ours.
    Event(EventKind),
    /// Nothing: what the message is stands elsewhere in it.
    ByContent,
}

/// In place of an event's name: look elsewhere.
const BY_CONTENT: &str = "by-content";

impl Serialize for Meaning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Event(kind) => kind.name(),
            Self::ByContent => BY_CONTENT,
        })
    }
}

impl<'de> Deserialize<'de> for Meaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == BY_CONTENT {
            return Ok(Self::ByContent);
        }
        EventKind::from_name(&name).map(Self::Event).ok_or_else(|| {
            let likeness = |kind: &EventKind| strsim::jaro_winkler(&name, kind.name());
            let nearest = EventKind::ALL.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).map_or("", EventKind::name);
            D::Error::custom(format_args!("kafka.types: {name} is no event; did you mean {nearest}? Or \"{BY_CONTENT}\""))
        })
    }
}

/// Other teams' names of events: classes, CloudEvents types, words of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypeNames(pub BTreeMap<String, Meaning>);

/// What a time without an offset is meant in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalTime {
    /// So far from UTC, to the east.
    Offset {
        /// In minutes.
        minutes: i16,
    },
    /// The time zone of this machine, with its summer time.
    System,
}

impl Default for LocalTime {
    fn default() -> Self {
        Self::Offset { minutes: 0 }
    }
}

impl LocalTime {
    fn of(text: &str) -> Option<Self> {
        match text {
            "UTC" => return Some(Self::default()),
            "system" => return Some(Self::System),
            _ => {}
        }
        let (sign, rest) = text.strip_prefix('+').map(|rest| (1, rest)).or_else(|| text.strip_prefix('-').map(|rest| (-1, rest)))?;
        let (hours, minutes) = rest.split_once(':')?;
        let number = |part: &str| if part.len() == 2 { part.parse::<i16>().ok() } else { None };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let fits = (0..=18).contains(&hours) && (0..60).contains(&minutes);
        fits.then_some(Self::Offset { minutes: sign * (hours * 60 + minutes) })
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::System => serializer.serialize_str("system"),
            Self::Offset { minutes: 0 } => serializer.serialize_str("UTC"),
            Self::Offset { minutes } => {
                let sign = if *minutes < 0 { '-' } else { '+' };
                let far = minutes.unsigned_abs();
                serializer.serialize_str(&format!("{sign}{:02}:{:02}", far / 60, far % 60))
            }
        }
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "kafka.local_time must be \"UTC\", \"system\" or an offset such as \"+02:00\"";
        Self::of(&text).ok_or_else(|| D::Error::custom(format_args!("{expected}, not {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_is_read_as_it_is_shown() {
        for text in ["UTC", "system", "+02:00", "-09:30", "+18:00"] {
            let zone: LocalTime = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(zone).unwrap(), text);
        }
        for text in ["", "CET", "+2", "+2:00", "02:00", "+19:00", "+01:60", "-1:-1"] {
            assert!(serde_json::from_value::<LocalTime>(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_means_an_event_or_nothing() {
        let names: TypeNames = toml::from_str("\"com.acme.PayOk\" = \"PaymentProcessed\"\n\"com.acme.Any\" = \"by-content\"").unwrap();
        assert_eq!(names.0["com.acme.PayOk"], Meaning::Event(EventKind::PaymentProcessed));
        assert_eq!(names.0["com.acme.Any"], Meaning::ByContent);
        let wrong = toml::from_str::<TypeNames>("\"com.acme.PayOk\" = \"PaymentProcesed\"").unwrap_err().to_string();
        assert!(wrong.contains("did you mean PaymentProcessed?"), "{wrong}");
    }
}
