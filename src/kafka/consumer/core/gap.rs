//! Records that are not there any more.

use super::assignment::PartitionId;

/// A partition of which the brokers do not have what comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Which partition.
    pub partition: PartitionId,
    /// What should come next.
    pub from: i64,
    /// The first one that they have.
    pub low: i64,
    /// Behind the last one that they have.
    pub high: i64,
}

impl Gap {
    /// The gap at `from`, if the brokers have the records from `low` to before `high`.
    #[must_use]
    pub fn at(partition: PartitionId, from: i64, low: i64, high: i64) -> Option<Self> {
        (from < low || from > high).then_some(Self { partition, from, low, high })
    }

    /// Whether the topic was made anew: what should come next is behind its end.
    pub(super) fn is_new_topic(&self) -> bool {
        self.from > self.high
    }

    /// How many records are missing, as far as one can know.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.low - self.from).unwrap_or(0)
    }

    /// For a person.
    #[must_use]
    pub fn told(&self) -> String {
        let (from, low, high) = (self.from, self.low, self.high);
        if self.is_new_topic() {
            return format!("record {from} should come next, but it ends at {high}: it was made anew, and is read from {low}");
        }
        format!("records {from} to {} were deleted before they were read; the topic's retention may be too short", low - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    #[test]
    fn what_comes_next_is_missing_before_the_first_and_behind_the_end() {
        let at = |from, low, high| Gap::at((Topic::Order, 0), from, low, high).map(|gap| (gap.is_new_topic(), gap.count()));
        let cases = [
            ((5, 0, 9), None, "it is there"),
            ((9, 0, 9), None, "nothing is new"),
            ((0, 0, 0), None, "nothing was ever there"),
            ((5, 8, 9), Some((false, 3)), "retention has deleted three"),
            ((5, 9, 9), Some((false, 4)), "and all"),
            ((5, 0, 2), Some((true, 0)), "the topic was made anew"),
        ];
        for ((from, low, high), want, why) in cases {
            assert_eq!(at(from, low, high), want, "{why}");
        }
    }
}
