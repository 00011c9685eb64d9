//! The dice: everything that a seed decides comes from here.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// SplitMix64: its streams are fixed by its definition, so a recorded seed repeats its run in every version.
#[derive(Clone, Debug)]
pub struct Chance(SplitMix64);

impl Chance {
    /// The stream `number` of a seed; streams do not disturb each other.
    pub fn new(seed: u64, number: u64) -> Self {
        let stream = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut chance = Self(SplitMix64::seed_from_u64(stream));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// True `share` times in 10,000.
    pub fn hits(&mut self, share: u64) -> bool {
        share > 0 && self.below(10_000) < share
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// Mostly short, now and then up to `most_ms`.
    pub fn delay_ms(&mut self, most_ms: u64) -> u64 {
        let most = if self.hits(2000) { most_ms } else { most_ms / 50 };
        self.below(most + 1)
    }
}
