//! Reproducible luck: the same seed gives the same catalogue, orders and choices on every machine.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

/// SplitMix64: its streams are fixed by its definition, so a seed means the same in every version.
#[derive(Clone, Debug)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// The luck of item `number` under `seed`, independent of what was drawn before.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        Self::new(Self::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to below `bound`; 0 when `bound` is 0. The bias of the multiplication is below 2⁻³² for our bounds.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * (bound as u128);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// True with probability `share`.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / 4_294_967_296.0 < share
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// The id of a thing with an outside name: the same name gives the same id in every run (UUIDv5).
pub(crate) fn named_id(kind: &str, name: &str) -> Uuid {
    /// Our own name space; a fixed random id.
    const SPACE: Uuid = Uuid::from_u128(0x6f1d_5c0e_8a0b_4c55_9d7e_21c4_0a8b_77e3);
    Uuid::new_v5(&SPACE, format!("{kind}:{name}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_that_it_always_gave() {
        // The published test values of SplitMix64.
        let mut rng = Rng::new(1_234_567);
        let drawn = [rng.next(), rng.next(), rng.next()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
