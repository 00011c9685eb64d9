//! Time on the wall and on the processor: on a busy machine only the second one compares.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Time spent.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    /// By the wall clock.
    pub wall: Duration,
    /// On a processor, by this thread.
    pub cpu: Duration,
}

impl Spent {
    /// Things a second, by the wall clock.
    pub fn rate(self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds a thing: wall, processor.
    pub fn each(self, count: u64) -> [f64; 2] {
        [self.wall, self.cpu].map(|time| time.as_secs_f64() * 1e6 / count as f64)
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

impl std::iter::Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

/// A running watch.
pub struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    /// Starts.
    pub fn start() -> Self {
        Self { cpu: thread_cpu(), wall: Instant::now() }
    }

    /// What was spent since.
    pub fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: thread_cpu().saturating_sub(self.cpu) }
    }
}

/// This thread's time on a processor, as Linux counts it; zero elsewhere.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0))
}
