//! A node's publisher: the real core between the simulated brokers and the node's own line to the database.

use crate::broker::{Broker, Sent};
use crate::chance::Chance;
use crate::chaos::Chaos;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use ordermill::actors::{self, NodeHandle};
use ordermill::db::{RowOutcome, TypedWrite, Write};
use ordermill::domain::{Event, WriterId};
use ordermill::kafka::consumer::core::assignment::PartitionId;
use ordermill::kafka::publisher::core::{Outgoing, PublisherCore};
use ordermill::kafka::publisher::{FeedEnd, Repeat};
use ordermill::plants::Plant;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep_until, timeout};

/// Longest wait for the database.
const LIMIT: Duration = Duration::from_secs(10);

/// A message on its way to the brokers.
struct Flight {
    event: Event,
    sent: Sent,
}

impl Flight {
    fn partition(&self) -> PartitionId {
        (self.event.kind().topic(), i32::from(self.event.shard.0))
    }
}

/// What the brokers do with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They take it.
    Taken,
    /// They take it, and nobody hears of that.
    Unheard,
    /// They do not take it.
    Refused,
}

/// See the module.
pub struct Shell {
    pub broker: Broker,
    pub chaos: Arc<Chaos>,
    pub node: usize,
    pub handle: NodeHandle,
    pub chance: Chance,
    /// So many messages are on their way at most.
    pub queue: usize,
    pub plant: Option<Plant>,
}

struct Run {
    shell: Shell,
    core: PublisherCore,
    flights: VecDeque<Flight>,
    /// What was taken and is not acknowledged yet.
    taken: Vec<(WriterId, i64)>,
    marking: FuturesUnordered<LocalBoxFuture<'static, (WriterId, i64, bool)>>,
}

/// Runs until the node ends.
pub async fn publish(shell: Shell, mut feed: FeedEnd) {
    let core = PublisherCore::new(&shell.broker.settings).with(shell.plant);
    let mut run = Run { shell, core, flights: VecDeque::new(), taken: Vec::new(), marking: FuturesUnordered::new() };
    loop {
        let began = Instant::now();
        let mut is_refusal = false;
        if run.shell.broker.reaches(run.shell.node) {
            run.core.connected();
            match run.pump(&mut feed).await {
                Some(refused) => is_refusal = refused,
                None => return,
            }
        }
        let lasted_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
        let until = Instant::now() + Duration::from_millis(run.core.disconnected(lasted_ms, is_refusal));
        loop {
            tokio::select! {
                biased;
                fed = feed.commits.recv() => match fed {
                    Some(list) => run.core.commit(list),
                    None => return,
                },
                () = sleep_until(until) => break,
            }
        }
    }
}

impl Run {
    /// Until the producer fails: whether something was refused. None: the node's journal has ended.
    async fn pump(&mut self, feed: &mut FeedEnd) -> Option<bool> {
        let settings = self.shell.broker.settings.clone();
        let every = |ms| interval(Duration::from_millis(ms));
        let (mut marks, mut looks) = (every(settings.publish_mark_ms), every(settings.publish_recheck_ms));
        let mut leaves: Option<Instant> = None;
        loop {
            let is_behind = !self.core.to_read().is_empty();
            tokio::select! {
                biased;
                _ = looks.tick() => self.look().await,
                _ = marks.tick() => self.mark(),
                Some((writer, seq, is_stored)) = self.marking.next(), if !self.marking.is_empty() => self.core.marked(writer, seq, is_stored),
                () = sleep_until(leaves.unwrap_or_else(Instant::now)), if leaves.is_some() => {
                    leaves = None;
                    if let Some(is_refusal) = self.deliver() {
                        return Some(is_refusal);
                    }
                }
                Some(Repeat { writer, end, event }) = feed.repeats.recv() => {
                    while let Ok(list) = feed.commits.try_recv() {
                        self.core.commit(list);
                    }
                    self.core.repeat(writer, end, event);
                }
                fed = feed.commits.recv() => self.core.commit(fed?),
                () = std::future::ready(()), if is_behind => self.catch_up().await,
            }
            self.send();
            if leaves.is_none() && !(self.flights.is_empty() && self.taken.is_empty()) {
                leaves = Some(Instant::now() + Duration::from_millis(1 + self.shell.chance.below(20)));
            }
        }
    }

    fn send(&mut self) {
        while let Some(outgoing) = self.core.poll_send(self.shell.handle.writer()) {
            if self.flights.len() >= self.shell.queue {
                self.core.not_taken(&outgoing);
                continue;
            }
            let local = outgoing.local(|role, shard| self.shell.handle.owns(role, shard));
            self.flights.push_back(match outgoing {
                Outgoing::Logged { writer, logged, .. } => {
                    Flight { event: logged.event, sent: Sent::Log { writer, seq: logged.seq, local } }
                }
                Outgoing::Repeat(event, said_at) => Flight { event, sent: Sent::Repeat(said_at) },
            });
        }
    }

    /// Has the brokers take what is on its way, partition by partition in its order. Some: the producer has failed.
    fn deliver(&mut self) -> Option<bool> {
        let Shell { broker, chaos, node, chance, .. } = &mut self.shell;
        // Acknowledgements of partitions overtake each other.
        while !self.taken.is_empty() {
            let at = usize::try_from(chance.below(self.taken.len() as u64)).unwrap();
            let (writer, seq) = self.taken.swap_remove(at);
            self.core.acked(writer, seq);
        }
        let mut held: BTreeSet<PartitionId> = BTreeSet::new();
        let mut rest = VecDeque::new();
        let mut failed = None;
        while let Some(flight) = self.flights.pop_front() {
            let partition = flight.partition();
            if failed.is_some() || held.contains(&partition) || !broker.leads(*node, partition) {
                held.insert(partition);
                rest.push_back(flight);
                continue;
            }
            let fate = chaos.fate(chance);
            if fate != Fate::Refused {
                broker.append(&flight.event, &flight.sent);
            }
            match (fate, &flight.sent) {
                (Fate::Taken, Sent::Log { writer, seq, .. }) => self.taken.push((*writer, *seq)),
                (Fate::Taken, Sent::Repeat(_) | Sent::Theirs) => {}
                (Fate::Unheard | Fate::Refused, _) => {
                    chaos.tell(|| format!("node {node}: {} of {} is {fate:?}", flight.event.kind().name(), flight.event.order));
                    failed = Some((fate == Fate::Refused, partition));
                }
            }
        }
        self.flights = rest;
        let (is_refusal, partition) = failed?;
        // What was on its way is lost, or comes later, in its order; nothing that follows what was refused.
        let lost: Vec<Flight> = self.flights.drain(..).filter(|flight| !(is_refusal && flight.partition() == partition)).collect();
        if chance.hits(5000) {
            broker.linger(lost.into_iter().map(|flight| (flight.event, flight.sent)));
        }
        for (writer, seq) in self.taken.drain(..) {
            if chance.hits(5000) {
                self.core.acked(writer, seq);
            }
        }
        Some(is_refusal)
    }

    async fn catch_up(&mut self) {
        for (writer, after) in self.core.to_read() {
            match self.shell.handle.reads().log(writer, after, self.shell.broker.settings.publish_page).await {
                Ok(page) => self.core.page(writer, after, page),
                Err(_) => self.core.not_read(),
            }
            self.send();
        }
    }

    async fn look(&mut self) {
        let handle = self.shell.handle.clone();
        let Ok(Ok(rows)) = timeout(LIMIT, handle.reads().writers()).await else { return self.core.not_looked() };
        let is_cut_off = !self.shell.broker.reaches(self.shell.node);
        for writer in self.core.looked(&rows, handle.writer(), is_cut_off) {
            let claim = handle.submit().ask(TypedWrite::claim_log(writer, 5000));
            let is_ours = matches!(timeout(LIMIT, claim).await, Ok(actors::Fate::Stored(RowOutcome::Done)));
            self.core.claimed(writer, is_ours);
        }
    }

    fn mark(&mut self) {
        for (writer, seq) in self.core.to_mark() {
            let stored = self.shell.handle.submit().ask(Write::Published { writer, seq });
            self.marking.push(Box::pin(async move { (writer, seq, matches!(stored.await, actors::Fate::Stored(_))) }));
        }
    }
}
