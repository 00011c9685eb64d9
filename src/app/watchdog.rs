//! The watchdog: ends the process when an arbiter stands still. Its orders cannot go on here, but they can after a restart or on
//! another node. It watches from the start to the stop, whether the node is ready or not: one that freezes while it loads is as stuck.

use crate::actors::NodeHandle;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row without a heartbeat, and an arbiter is taken to be frozen. They are counted rather than timed: a process that
/// was stopped and goes on must not find all its arbiters silent at once.
const SILENT_LOOKS: u32 = 30;

/// Dropped, it ends the watching.
pub(super) type Watchdog = mpsc::Sender<()>;

/// Begins to watch the arbiters' heartbeats.
pub(super) fn watch(handle: NodeHandle) -> std::io::Result<Watchdog> {
    watch_beats(
        move || handle.heartbeats(),
        LOOK_EVERY,
        |arbiter| {
            tracing::error!(arbiter, "an arbiter stands still; the node exits, its orders go on from what is stored");
            std::process::exit(70);
        },
    )
}

fn watch_beats(
    beats: impl Fn() -> Vec<u64> + Send + 'static,
    every: Duration,
    frozen: impl FnOnce(usize) + Send + 'static,
) -> std::io::Result<Watchdog> {
    let (alive, gone) = mpsc::channel::<()>();
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut silence = Silence::default();
        while let Err(RecvTimeoutError::Timeout) = gone.recv_timeout(every) {
            if let Some(arbiter) = silence.look(beats()) {
                return frozen(arbiter);
            }
        }
    })?;
    Ok(alive)
}

/// How many looks ago each arbiter was last heard.
#[derive(Default)]
struct Silence {
    last: Vec<u64>,
    looks: Vec<u32>,
}

impl Silence {
    /// Takes note of the heartbeats; names an arbiter that is frozen.
    fn look(&mut self, beats: Vec<u64>) -> Option<usize> {
        self.looks.resize(beats.len(), 0);
        for (arbiter, looks) in self.looks.iter_mut().enumerate() {
            *looks = if self.last.get(arbiter) == beats.get(arbiter) { *looks + 1 } else { 0 };
        }
        self.last = beats;
        self.looks.iter().position(|looks| *looks >= SILENT_LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn an_arbiter_that_is_silent_for_thirty_looks_is_frozen_and_one_beat_begins_anew() {
        let mut silence = Silence::default();
        for look in 0..100 {
            assert_eq!(silence.look(vec![look, look / 30]), None, "look {look}");
        }
        for look in 0..30 {
            assert_eq!(silence.look(vec![100 + look, 4]), None, "look {look}");
        }
        assert_eq!(silence.look(vec![130, 4]), Some(1));
    }

    #[test]
    fn the_thread_tells_which_arbiter_stands_still_while_another_beats() {
        let beating = Arc::new(AtomicU64::new(0));
        let (told, hears) = mpsc::channel();
        let beats = move || vec![beating.fetch_add(1, Ordering::Relaxed), 7];
        let _watchdog = watch_beats(beats, Duration::from_millis(1), move |arbiter| told.send(arbiter).unwrap()).unwrap();
        assert_eq!(hears.recv(), Ok(1));
    }
}
