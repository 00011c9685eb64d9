//! What the publisher decides: which event is sent next, when a marker holds a log up, what is acknowledged and may be stored as published.
//!
//! It does no IO and knows no clock: what happened is put in, and what is to be done is asked for ([`PublisherCore::poll_send`],
//! [`PublisherCore::to_read`], [`PublisherCore::to_mark`]). The shell (`run.rs`) puts it between librdkafka, the database and the feed; the
//! simulation between brokers and a database that fail.

mod acks;
mod log;

use crate::actors::Logged;
use crate::config::KafkaSettings;
use crate::db::{LogEntry, WriterRow};
use crate::domain::{Event, LoggedEvent, Marker, Role, Shard, WriterId};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use crate::saga::policy::Backoff;
use log::{Fed, Log};
use std::collections::{BTreeMap, VecDeque};

/// A producer that worked for so long has proved itself: the next one is not waited for as after the last failures.
const PROVED_MS: u64 = 60_000;

/// What is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// An event of a log.
    Logged {
        /// Whose log it is.
        writer: WriterId,
        /// The event and its number there.
        logged: LoggedEvent,
        /// Whether the log is this node's own, so that it is known who had the event here.
        is_own: bool,
    },
    /// An event that was said before, by a writer that had come so far.
    Repeat(Event, (WriterId, i64)),
}

impl Outgoing {
    /// The roles that had the event where it became true: of a dead writer's events nobody knows.
    pub fn local(&self, hosts: impl Fn(Role, Shard) -> bool) -> Vec<Role> {
        match self {
            Self::Logged { logged: LoggedEvent { event, .. }, is_own: true, .. } => {
                event.kind().subscribers().iter().filter(|role| hosts(**role, event.shard)).copied().collect()
            }
            Self::Logged { .. } | Self::Repeat(..) => Vec::new(),
        }
    }
}

/// What came in and is still to be looked at.
#[derive(Debug)]
enum Incoming {
    /// A commit, from that event on.
    Commit(Logged, usize),
    /// What stands in a log after a number.
    Page { writer: WriterId, after: i64, entries: VecDeque<LogEntry> },
    /// What is to be said again.
    Repeat(WriterId, Event),
}

/// What the database has of a writer.
#[derive(Clone, Copy, Debug)]
struct Stored {
    published: i64,
    last: i64,
}

/// See the module.
#[derive(Debug)]
pub struct PublisherCore {
    /// Most events that are sent and not acknowledged.
    window: usize,
    backoff: Backoff,
    logs: BTreeMap<WriterId, Log>,
    /// As of the last look.
    stored: BTreeMap<WriterId, Stored>,
    incoming: VecDeque<Incoming>,
    /// Whether there is a producer.
    is_connected: bool,
    /// Whether the producer has no room.
    is_full: bool,
    /// Set by a failed read, until the next look.
    rests: bool,
    /// Set by a refusal, until something of a log is acknowledged: one event is tried alone, for all that are sent behind it are sent again.
    is_trial: bool,
    /// Producers that failed one after the other.
    failures: u32,
    #[cfg(feature = "plants")]
    plant: Option<Plant>,
}

impl PublisherCore {
    /// One that publishes nothing yet.
    #[must_use]
    pub fn new(settings: &KafkaSettings) -> Self {
        Self {
            window: settings.publish_window,
            backoff: Backoff { first_ms: settings.backoff_first_ms, most_ms: settings.backoff_most_ms },
            logs: BTreeMap::new(),
            stored: BTreeMap::new(),
            incoming: VecDeque::new(),
            is_connected: false,
            is_full: false,
            rests: false,
            is_trial: false,
            failures: 0,
            #[cfg(feature = "plants")]
            plant: None,
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "plants")]
    #[must_use]
    pub fn with(self, plant: Option<Plant>) -> Self {
        Self { plant, ..self }
    }

    /// There is a producer.
    pub fn connected(&mut self) {
        self.is_connected = true;
    }

    /// The producer failed after so long, or there was none to be had: what it did not acknowledge is sent again. Returns when the next one
    /// is made, in milliseconds from now. `is_refusal`: the brokers do not take an event, until a person has changed something.
    pub fn disconnected(&mut self, lasted_ms: u64, is_refusal: bool) -> u64 {
        self.is_connected = false;
        self.is_full = false;
        self.is_trial |= is_refusal;
        self.incoming.clear();
        self.logs.values_mut().for_each(Log::rewind);
        self.failures = if lasted_ms > PROVED_MS { 1 } else { self.failures + 1 };
        self.backoff.after(self.failures)
    }

    /// A commit of this node's journal. Without a producer it is read from the log later.
    pub fn commit(&mut self, list: Logged) {
        if let Some(log) = self.logs.get_mut(&list.writer) {
            log.end = log.end.max(list.to);
            if self.is_connected {
                self.incoming.push_back(Incoming::Commit(list, 0));
            }
        }
    }

    /// `writer` says an event again, and its log goes to `end` by then: some of its commits may not have been fed. What finds no room is
    /// said again by whoever still misses an answer; so is what would overtake events that are still to be sent, also those of a writer
    /// that has ended since.
    pub fn repeat(&mut self, writer: WriterId, end: i64, event: Event) {
        if let Some(log) = self.logs.get_mut(&writer) {
            log.end = log.end.max(end);
        }
        if self.is_connected {
            self.incoming.push_back(Incoming::Repeat(writer, event));
        }
    }

    /// The writers could not be read; logs are tried again.
    pub fn not_looked(&mut self) {
        self.rests = false;
        self.is_full = false;
    }

    /// What stands in the log after `after`.
    pub fn page(&mut self, writer: WriterId, after: i64, entries: Vec<LogEntry>) {
        if entries.is_empty() {
            self.rests = true;
        } else if self.is_connected {
            self.incoming.push_back(Incoming::Page { writer, after, entries: entries.into() });
        }
    }

    /// A log could not be read: nothing is read until the next look.
    pub fn not_read(&mut self) {
        self.rests = true;
    }

    /// What to send next. It counts as sent, unless [`Self::not_taken`] follows.
    pub fn poll_send(&mut self, own: WriterId) -> Option<Outgoing> {
        loop {
            let outgoing = match self.incoming.pop_front()? {
                Incoming::Commit(list, at) => self.next_of_commit(list, at, own),
                Incoming::Page { writer, after, entries } => self.next_of_page(writer, after, entries, own),
                Incoming::Repeat(writer, event) => {
                    let level = self.logs.get(&writer).filter(|log| writer == own && log.is_level()).map(|log| log.next);
                    level.filter(|_| self.has_room()).map(|upto| Outgoing::Repeat(event, (writer, upto)))
                }
            };
            if outgoing.is_some() {
                return outgoing;
            }
        }
    }

    /// What of a commit finds no room is read from the log later.
    fn next_of_commit(&mut self, list: Logged, at: usize, own: WriterId) -> Option<Outgoing> {
        let has_room = self.has_room();
        let log = self.logs.get_mut(&list.writer)?;
        if at == 0 && log.fed(list.after, list.to, list.events.len()) != Fed::Send {
            return None;
        }
        let skipped = list.events.iter().skip(at).take_while(|logged| logged.seq <= log.next).count();
        let at = at + skipped;
        let logged = list.events.get(at).filter(|logged| has_room && logged.seq == log.next + 1)?.clone();
        log.sent(logged.seq);
        let writer = list.writer;
        self.incoming.push_front(Incoming::Commit(list, at + 1));
        Some(Outgoing::Logged { writer, logged, is_own: writer == own })
    }

    fn next_of_page(&mut self, writer: WriterId, after: i64, mut entries: VecDeque<LogEntry>, own: WriterId) -> Option<Outgoing> {
        // What was read before the log was rewound is read again; so is what stands behind a marker that is in the way.
        self.logs.get(&writer).filter(|log| after <= log.next && log.block.is_none())?;
        while let Some(entry) = entries.pop_front() {
            let is_new = self.logs.get(&writer).is_some_and(|log| entry.seq() > log.next);
            if !is_new {
                continue;
            }
            if !self.has_room() {
                return None;
            }
            let block = match &entry {
                LogEntry::Event(_) => None,
                LogEntry::Marker { marker, .. } => self.stands_in_the_way(writer, marker),
            };
            let log = self.logs.get_mut(&writer)?;
            if block.is_some() {
                log.block = block;
                return None;
            }
            match entry {
                LogEntry::Marker { seq, .. } => log.passed(seq),
                LogEntry::Event(logged) => {
                    log.sent(logged.seq);
                    self.incoming.push_front(Incoming::Page { writer, after: logged.seq, entries });
                    return Some(Outgoing::Logged { writer, logged, is_own: writer == own });
                }
            }
        }
        None
    }

    /// The producer has no room for it, or refused it: what was to be sent is read from the log later. Nothing that comes behind it is sent
    /// before.
    pub fn not_taken(&mut self, outgoing: &Outgoing) {
        if let Outgoing::Logged { writer, logged, .. } = outgoing
            && let Some(log) = self.logs.get_mut(writer)
        {
            self.is_full = true;
            self.incoming.clear();
            log.unsent(logged.seq);
        }
    }

    /// The brokers have an event of a log.
    pub fn acked(&mut self, writer: WriterId, seq: i64) {
        if let Some(log) = self.logs.get_mut(&writer) {
            log.acked(seq);
        }
        // A repeat would prove nothing: it goes to any topic.
        self.is_trial = false;
        self.is_full &= self.waiting() > self.window / 2;
    }

    /// Events of logs that are sent and not acknowledged.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.logs.values().map(Log::waiting).sum()
    }

    /// Whether another event may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let most = if self.is_trial { 1 } else { self.window };
        self.waiting() < most && !self.is_full
    }

    /// Where there is no room: how few must wait for there to be some again. None: nothing waits, so no acknowledgement makes room.
    #[must_use]
    pub fn room_at(&self) -> Option<usize> {
        let enough = if self.is_trial { 0 } else { self.window / 2 };
        Some(enough.min(self.waiting().checked_sub(1)?))
    }

    /// The logs that are to be read on, and after which number.
    #[must_use]
    pub fn to_read(&self) -> Vec<(WriterId, i64)> {
        if self.rests || !self.is_connected || !self.has_room() {
            return Vec::new();
        }
        self.logs.values().filter(|log| log.is_behind()).map(|log| (log.writer, log.next)).collect()
    }

    /// The point that must be published before this marker is passed; none if it is.
    fn stands_in_the_way(&self, writer: WriterId, marker: &Marker) -> Option<(WriterId, i64)> {
        let (before, seq) = marker.after?;
        let is_passed = before == writer || self.is_published(before, seq);
        #[cfg(feature = "plants")]
        let is_passed = is_passed || self.plant == Some(Plant::PassesMarkers);
        (!is_passed).then_some((before, seq))
    }

    fn is_published(&self, writer: WriterId, seq: i64) -> bool {
        match (self.logs.get(&writer), self.stored.get(&writer)) {
            (Some(log), stored) => log.low().max(stored.map_or(0, |stored| stored.published)) >= seq,
            (None, Some(stored)) => stored.published >= seq,
            // A writer without a row has nothing left to publish.
            (None, None) => true,
        }
    }

    /// The writers that there are: this node publishes its own log, and those of dead writers that it can claim. Returns the writers whose
    /// logs are to be claimed; each is followed by [`Self::claimed`]. `is_cut_off`: nobody could bring a log to the brokers from here.
    pub fn looked(&mut self, rows: &[WriterRow], own: WriterId, is_cut_off: bool) -> Vec<WriterId> {
        self.not_looked();
        self.stored = rows.iter().map(|row| (row.writer, Stored { published: row.published_seq, last: row.last_seq })).collect();
        // What an order's first event says stands in the order's row, which only nodes that host orders may be able to see.
        let hosts_orders = rows.iter().any(|row| row.writer == own && row.roles.contains(&Role::Order));
        let mut to_claim = Vec::new();
        for row in rows {
            let can_read = hosts_orders || !row.roles.contains(&Role::Order);
            let is_free = row.publisher.is_none_or(|publisher| publisher == own);
            if row.writer == own {
                self.publish(row.writer);
            } else if can_read && !is_cut_off && is_free && self.has_unpublished(row) {
                to_claim.push(row.writer);
            } else {
                self.logs.remove(&row.writer);
            }
        }
        self.unblock();
        to_claim
    }

    fn has_unpublished(&self, row: &WriterRow) -> bool {
        !row.alive && row.published_seq < row.last_seq && !self.logs.get(&row.writer).is_some_and(Log::is_done)
    }

    /// Whether the log is this node's to publish now.
    pub fn claimed(&mut self, writer: WriterId, is_ours: bool) {
        if is_ours {
            self.publish(writer);
        } else {
            self.logs.remove(&writer);
        }
        self.unblock();
    }

    fn publish(&mut self, writer: WriterId) {
        if let Some(Stored { published, last }) = self.stored.get(&writer).copied() {
            let log = self.logs.entry(writer).or_insert_with(|| Log::new(writer, published, last));
            log.end = log.end.max(last);
        }
    }

    fn unblock(&mut self) {
        let is_over = |log: &&Log| log.block.is_some_and(|(before, seq)| self.is_published(before, seq));
        let over: Vec<WriterId> = self.logs.values().filter(is_over).map(|log| log.writer).collect();
        for log in self.logs.values_mut().filter(|log| over.contains(&log.writer)) {
            log.block = None;
        }
    }

    /// The points that are reached and to be stored now; each is followed by [`Self::marked`].
    pub fn to_mark(&mut self) -> Vec<(WriterId, i64)> {
        self.unblock();
        self.logs.values_mut().filter_map(|log| Some((log.writer, log.begin_mark()?))).collect()
    }

    /// Whether the point was stored.
    pub fn marked(&mut self, writer: WriterId, seq: i64, is_stored: bool) {
        if let Some(log) = self.logs.get_mut(&writer) {
            log.end_mark(seq, is_stored);
        }
    }

    /// The points that are reached and not known to be stored, at the end.
    #[must_use]
    pub fn unmarked(&self) -> Vec<(WriterId, i64)> {
        self.logs.values().filter_map(|log| Some((log.writer, log.unmarked()?))).collect()
    }

    /// Numbers of the logs that are not acknowledged.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.logs.values().map(|log| log.end - log.low()).sum()
    }
}

#[cfg(test)]
mod tests;
