//! The dice: everything that a seed decides comes from here.

/// Sebastiano Vigna's splitmix64.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream `number` of a seed; streams do not disturb each other.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
