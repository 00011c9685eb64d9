//! Shards: fixed parts of the orders, each equal to the Kafka partition of its orders' keys.

use super::OrderId;
use serde::{Deserialize, Serialize};

/// The number of one shard, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

/// The number of shards of a store; fixed when the store is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shards(u16);

impl Shards {
    /// The largest number of shards.
    pub const MAX: u16 = 1024;

    /// Checks a number of shards; `None` outside 1 to [`Shards::MAX`].
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// The quantity.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// Iterates over all shards.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard whose owner reads that partition; a topic may have more partitions than there are shards.
    #[must_use]
    pub fn of_partition(self, partition: i32) -> Shard {
        Shard(u16::try_from(partition.rem_euclid(i32::from(self.0))).unwrap_or(0))
    }

    /// The shard of an order: the partition that Kafka's Java client chooses for its lower-case hyphenated id as key.
    #[must_use]
    pub fn of(self, order: OrderId) -> Shard {
        let mut buffer = uuid::Uuid::encode_buffer();
        let key = order.0.as_hyphenated().encode_lower(&mut buffer);
        let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
        Shard(u16::try_from(positive % u32::from(self.0)).unwrap_or(0))
    }
}

/// MurmurHash2 (32 bit) as in Kafka's `Utils.murmur2`.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (chunks, tail) = data.as_chunks::<4>();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(*chunk).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        let cases: &[(&str, i32)] = &[
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, want) in cases {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), *want, "{key}");
        }
    }
}
