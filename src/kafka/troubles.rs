//! What is wrong with the brokers' side and does not pass by itself: told once, counted, shown by /health until it is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most troubles that are remembered at once; more are logged and counted only.
const MOST: usize = 200;

/// What kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TroubleKind {
    /// A dead letter's copy is not taken.
    Copy,
    /// A message on the wrong partition cannot be published again.
    Republish,
    /// A topic cannot be read.
    Read,
    /// Offsets are not committed.
    Commit,
    /// Records were deleted before they were read.
    Lost,
    /// A topic has another number of partitions than the store has shards.
    Partitions,
    /// Events are not taken.
    Publish,
}

impl TroubleKind {
    /// Its name in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "dead-letter-copy",
            Self::Republish => "republish",
            Self::Read => "read",
            Self::Commit => "commit",
            Self::Lost => "records-lost",
            Self::Partitions => "partitions",
            Self::Publish => "publish",
        }
    }

    const ALL: [Self; 7] = [Self::Copy, Self::Republish, Self::Read, Self::Commit, Self::Lost, Self::Partitions, Self::Publish];
}

/// One trouble: what, where, why, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// Which topic.
    pub topic: String,
    /// Which partition, where one alone is meant: the first that it was met on.
    pub partition: Option<i32>,
    /// Who met it: a role, or nobody in particular.
    pub who: &'static str,
    /// What happened, with the brokers' word.
    pub cause: String,
    /// What a person can do.
    pub remedy: String,
}

impl Trouble {
    fn place(&self) -> String {
        match self.partition {
            Some(partition) => format!("{} partition {partition}", self.topic),
            None => self.topic.clone(),
        }
    }
}

type Key = (TroubleKind, String, &'static str);

/// All that are not over.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<Key, (Trouble, u64)>>>);

impl Troubles {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Key, (Trouble, u64)>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It was met: told the first time, counted each time.
    pub(super) fn raise(&self, trouble: Trouble) {
        metrics::counter!("ordermill_kafka_troubles_total", "kind" => trouble.kind.name(), "topic" => trouble.topic.clone()).increment(1);
        let key = (trouble.kind, trouble.topic.clone(), trouble.who);
        let told = trouble.clone();
        let is_news = self.with(|all| {
            let has_room = all.len() < MOST;
            match all.get_mut(&key) {
                Some((known, count)) => {
                    *count += 1;
                    let is_other = known.cause != trouble.cause;
                    *known = Trouble { partition: known.partition, ..trouble };
                    is_other
                }
                None => {
                    if has_room {
                        all.insert(key, (trouble, 1));
                    }
                    true
                }
            }
        });
        if is_news {
            tracing::warn!(
                kafka.topic = %told.topic, kafka.partition = told.partition, role = told.who, trouble = told.kind.name(),
                "kafka: {}: {}; {}", told.place(), told.cause, told.remedy
            );
        }
    }

    /// It is over, if it was there.
    pub(super) fn clear(&self, kind: TroubleKind, topic: &str, who: &'static str) {
        let was = self.with(|all| if all.is_empty() { None } else { all.remove(&(kind, topic.to_owned(), who)) });
        if let Some((trouble, count)) = was {
            tracing::info!(
                kafka.topic = %topic, role = who, trouble = kind.name(), count,
                "kafka: {}: it is over: {}", trouble.place(), trouble.cause
            );
        }
    }

    /// The topics of that kind's troubles, whoever met them.
    pub(super) fn topics(&self, kind: TroubleKind) -> Vec<String> {
        self.with(|all| all.keys().filter(|(of, ..)| *of == kind).map(|(_, topic, _)| topic.clone()).collect())
    }

    /// All of that kind that `who` met are over.
    pub(super) fn clear_all(&self, kind: TroubleKind, who: &'static str) {
        let topics: Vec<String> =
            self.with(|all| all.keys().filter(|(of, _, by)| *of == kind && *by == who).map(|(_, topic, _)| topic.clone()).collect());
        topics.iter().for_each(|topic| self.clear(kind, topic, who));
    }

    /// Who met them begins anew, and will meet what is still there again.
    pub(super) fn forget(&self, who: &'static str) {
        TroubleKind::ALL.into_iter().for_each(|kind| self.clear_all(kind, who));
    }

    /// For a person: what, where, why, what to do, and how often it was met.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let of = |(trouble, count): &(Trouble, u64)| {
            let often = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            format!("{}: {}; {}{often}", trouble.place(), trouble.cause, trouble.remedy)
        };
        self.with(|all| all.values().map(of).collect())
    }

    /// Writes how many there are into the metrics.
    pub fn publish(&self) {
        let counts = self.with(|all| TroubleKind::ALL.map(|kind| (kind, all.keys().filter(|(of, _, _)| *of == kind).count())));
        for (kind, count) in counts {
            metrics::gauge!("ordermill_kafka_troubles", "kind" => kind.name()).set(count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(partition: i32, cause: &str) -> Trouble {
        Trouble {
            kind: TroubleKind::Copy,
            topic: "a.DLQ".to_owned(),
            partition: Some(partition),
            who: "order",
            cause: cause.to_owned(),
            remedy: "grant WRITE".to_owned(),
        }
    }

    #[test]
    fn a_trouble_is_one_until_it_is_over() {
        let troubles = Troubles::default();
        troubles.raise(trouble(3, "denied"));
        troubles.raise(trouble(5, "denied"));
        assert_eq!(troubles.told(), ["a.DLQ partition 3: denied; grant WRITE (2 times)"]);
        troubles.clear(TroubleKind::Read, "a.DLQ", "order");
        assert_eq!(troubles.told().len(), 1);
        troubles.clear(TroubleKind::Copy, "a.DLQ", "order");
        assert_eq!(troubles.told(), Vec::<String>::new());
    }
}
