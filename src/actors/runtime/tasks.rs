//! Tasks: the long ways of a service actor, each a future of its own under a bound, so that orders interleave but one step of
//! one order is under way at a time.

use crate::actors::runtime::death;
use crate::actors::runtime::invariant;
use crate::actors::runtime::pause::pause;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use futures_util::{FutureExt, Stream};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::sync::{Notify, mpsc};

/// Tells a running task that its order is to be undone.
#[derive(Clone, Default)]
pub(crate) struct Signal(Rc<(Cell<bool>, Notify)>);

impl Signal {
    pub(crate) fn raise(&self) {
        self.0.0.set(true);
        self.0.1.notify_waiters();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.0.get()
    }

    /// Waits until it is raised.
    pub(crate) async fn raised(&self) {
        let notified = self.0.1.notified();
        if !self.is_raised() {
            notified.await;
        }
    }

    /// Waits `ms`, or until the signal is raised.
    pub(crate) async fn pause(&self, ms: u64) {
        // Biased, so that a simulation repeats it.
        tokio::select! {
            biased;
            () = pause(ms) => {}
            () = self.raised() => {}
        }
    }
}

/// What a service actor has under way.
pub(crate) struct Tasks<K, T> {
    /// Those that wait have a signal only once somebody has raised it: a hundred thousand may wait.
    running: HashMap<K, Option<Signal>>,
    waiting: VecDeque<(K, T)>,
    limit: usize,
    /// The way to the stream that polls them; none before the actor has started.
    launch: Option<mpsc::UnboundedSender<Running<K>>>,
}

/// A task under way.
type Running<K> = LocalBoxFuture<'static, Ended<K>>;

/// A task has ended.
pub(crate) struct Ended<K> {
    pub(crate) key: K,
    /// Of what it panicked, if it did.
    pub(crate) panic: Option<String>,
}

impl<K: Copy + Eq + Hash + 'static, T> Tasks<K, T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { running: HashMap::new(), waiting: VecDeque::new(), limit: limit.max(1), launch: None }
    }

    /// The stream of ended tasks, for the actor's context: the tasks live in it and die with the actor. Each is polled only when
    /// it is woken, while actix polls all that an actor has spawned whenever one of it is.
    pub(crate) fn stream(&mut self) -> impl Stream<Item = Ended<K>> + use<K, T> {
        let (launch, mut launched) = mpsc::unbounded_channel();
        self.launch = Some(launch);
        let mut under_way = FuturesUnordered::new();
        stream::poll_fn(move |task| {
            while let Poll::Ready(Some(task)) = launched.poll_recv(task) {
                under_way.push(task);
            }
            match under_way.poll_next_unpin(task) {
                Poll::Ready(Some(ended)) => Poll::Ready(Some(ended)),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Sets a task going; a panic of it is its own.
    pub(crate) fn launch(&self, key: K, task: impl Future<Output = ()> + 'static) {
        let running = async move {
            let result = AssertUnwindSafe(task).catch_unwind().await;
            Ended { key, panic: result.is_err().then(death::take_cause) }
        };
        match &self.launch {
            // The stream lives as long as the actor that calls this.
            Some(launch) => drop(launch.send(running.boxed_local())),
            None => invariant::violated("a task before its actor's start", "tasks"),
        }
    }

    /// Tells a task to stop, if there is one; a waiting task learns it when its turn comes.
    pub(crate) fn raise(&mut self, key: &K) -> bool {
        let Some(signal) = self.running.get_mut(key) else { return false };
        signal.get_or_insert_default().raise();
        true
    }

    /// Takes a task on: it may begin now (with its signal), or waits for its turn; none when it runs already.
    pub(crate) fn admit(&mut self, key: K, task: T) -> Option<(T, Signal)> {
        if self.running.contains_key(&key) {
            return None;
        }
        if self.running.len() - self.waiting.len() >= self.limit {
            self.running.insert(key, None);
            self.waiting.push_back((key, task));
            return None;
        }
        let signal = Signal::default();
        self.running.insert(key, Some(signal.clone()));
        Some((task, signal))
    }

    /// A task has ended; the next that waits may begin.
    pub(crate) fn end(&mut self, key: &K) -> Option<(K, T, Signal)> {
        self.running.remove(key);
        let (key, task) = self.waiting.pop_front()?;
        let signal = self.running.entry(key).or_default().get_or_insert_default().clone();
        Some((key, task, signal))
    }

    /// Whether there is one, under way or waiting.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.running.contains_key(key)
    }

    /// Whether it has been told to stop.
    pub(crate) fn is_raised(&self, key: &K) -> bool {
        self.running.get(key).is_some_and(|signal| signal.as_ref().is_some_and(Signal::is_raised))
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }
}

/// Polls once: a provider that answers at once needs no task.
pub(crate) fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
