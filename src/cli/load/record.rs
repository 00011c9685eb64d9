//! `--record`: each accepted order's id is in the file, synced, before it is counted; so after any crash of the node the file
//! never names an order that was not acknowledged, and every counted one is in it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Syncs are at least so far apart: many ids a sync, so that the disk's time stays with the node.
const MIN_SYNC_MS: u64 = 5;

/// Ids on their way to the file.
pub(crate) struct Recorder {
    file: Mutex<File>,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    ids: u64,
    ended: bool,
}

impl Recorder {
    /// Opens the file for appending.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Arc::new(Self { file: Mutex::new(file), waiting: Mutex::default(), wake: Notify::new() }))
    }

    /// Takes an id; it is counted by [`Recorder::run`] once it is synced.
    pub(crate) fn take(&self, order_id: &[u8]) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes.extend_from_slice(order_id);
        waiting.bytes.push(b'\n');
        waiting.ids += 1;
        if waiting.ids == 1 {
            self.wake.notify_one();
        }
    }

    /// Takes the id of an order that may exist or not. It is counted nowhere.
    pub(crate) fn take_maybe(&self, order_id: &[u8]) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes.extend_from_slice(b"maybe ");
        waiting.bytes.extend_from_slice(order_id);
        waiting.bytes.push(b'\n');
        drop(waiting);
        self.wake.notify_one();
    }

    /// No more ids will come.
    pub(crate) fn finish(&self) {
        lock(&self.waiting).ended = true;
        self.wake.notify_one();
    }

    /// Writes and syncs what comes, tells `count` after each sync, and returns after [`Recorder::finish`] when all is synced.
    pub(crate) async fn run(self: Arc<Self>, count: impl Fn(u64)) -> io::Result<()> {
        loop {
            let Waiting { bytes, ids, ended } = {
                let mut waiting = lock(&self.waiting);
                let ended = waiting.ended;
                std::mem::replace(&mut *waiting, Waiting { ended, ..Waiting::default() })
            };
            if !bytes.is_empty() {
                let recorder = self.clone();
                let write = move || {
                    let mut file = lock(&recorder.file);
                    file.write_all(&bytes)?;
                    file.sync_data()
                };
                tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
                count(ids);
                tokio::time::sleep(Duration::from_millis(MIN_SYNC_MS)).await;
            } else if ended {
                return Ok(());
            } else {
                self.wake.notified().await;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test]
    async fn every_id_is_in_the_file_before_it_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        std::fs::write(&path, "earlier\n").unwrap();
        let recorder = Recorder::open(&path).unwrap();
        let counted = Arc::new(AtomicU64::new(0));
        let (seen, file) = (counted.clone(), path.clone());
        let running = tokio::spawn(recorder.clone().run(move |ids| {
            let so_far = seen.fetch_add(ids, Ordering::SeqCst) + ids;
            let lines = std::fs::read_to_string(&file).unwrap().lines().count() as u64;
            assert!(lines > so_far, "{lines} lines, {so_far} counted");
        }));
        for id in 0..100 {
            recorder.take(format!("id-{id}").as_bytes());
            tokio::task::yield_now().await;
        }
        recorder.take_maybe(b"id-x");
        recorder.finish();
        running.await.unwrap().unwrap();
        assert_eq!(counted.load(Ordering::SeqCst), 100);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 102);
        assert!(text.ends_with("id-99\nmaybe id-x\n"));
    }
}
