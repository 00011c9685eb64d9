//! What was counted of each writer's log, and what of it is stored. No IO: the actor asks it what to read and what to save.

use super::share::Counting;
use crate::actors::protocol::hooks::Logged;
use crate::db::{AnalyticsRow, WriterRow};
use crate::domain::{LoggedEvent, Tally, WriterId};
use std::collections::{BTreeMap, VecDeque};

/// The bounds of what is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    /// Events of lists that wait until a gap before them is read.
    pub(super) held_events: usize,
    /// Increments that are not stored yet; past it, nothing is counted.
    pub(super) pending_rows: usize,
}

/// A stretch of a log to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) writer: WriterId,
    /// After this number.
    pub(super) after: i64,
    /// The log was known to go up to this number when the reading began.
    pub(super) end: i64,
}

/// What one save adds. It is repeated as it is until its outcome is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Increment {
    pub(super) add: Vec<AnalyticsRow>,
    pub(super) source: WriterId,
    /// The stored position.
    pub(super) after: i64,
    pub(super) seq: i64,
}

/// What became of a save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Saved {
    /// It is stored.
    Yes,
    /// It is not; save it again.
    No,
    /// What is stored is not what was expected: load the position and count again from there.
    Unclear,
    /// The log is shorter than what was counted of it: the database went back. The same, and what was heard of its end is void.
    Void,
}

/// All sources. A source is in here while something of it may be missing in the stored numbers, and while `unsaved` is of it.
#[derive(Debug)]
pub(super) struct LogTracker {
    bounds: Bounds,
    sources: BTreeMap<WriterId, Source>,
    /// Ends of logs that were heard of but whose position is not loaded yet.
    heard: BTreeMap<WriterId, i64>,
    due: VecDeque<WriterId>,
    unsaved: Option<Increment>,
    /// Some of the logs go on without a word to this node.
    follows: bool,
}

#[derive(Debug)]
struct Source {
    tally: Tally,
    /// Up to this number it is stored.
    stored: i64,
    /// Up to this number it is in `tally` or stored.
    counted: i64,
    /// The log goes at least up to this number.
    end: i64,
    /// Whether more may come.
    is_live: bool,
    held: VecDeque<Logged>,
    held_events: usize,
}

impl LogTracker {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, sources: BTreeMap::new(), heard: BTreeMap::new(), due: VecDeque::new(), unsaved: None, follows: false }
    }

    /// Takes a committed list. `false`: the position in its log must be loaded first.
    pub(super) fn take(&mut self, list: Logged) -> bool {
        match self.sources.get_mut(&list.writer) {
            Some(source) => {
                source.take(list, self.bounds);
                true
            }
            None => {
                let end = self.heard.entry(list.writer).or_default();
                *end = (*end).max(list.to);
                false
            }
        }
    }

    /// Takes what is stored: the logs that are this node's to count ([`Counting`]) are counted to their ends. `false`: a writer was
    /// heard of that began after the rows were read, so they must be loaded again. Ids grow: an older one without a row is gone, deleted
    /// with its log or lost with what a standby had not got, and nothing of its log is left to be counted.
    pub(super) fn loaded(&mut self, positions: &[(WriterId, i64)], writers: &[WriterRow], own: WriterId) -> bool {
        let stored: BTreeMap<WriterId, i64> = positions.iter().copied().collect();
        let counting = Counting::of(writers, own);
        self.follows = writers.iter().any(|row| row.alive && row.writer != own && counting.counts(row));
        for row in writers {
            let end = row.last_seq.max(self.heard.remove(&row.writer).unwrap_or(0));
            if !counting.counts(row) {
                // A log with a save of unknown outcome stays: if it were opened again meanwhile, that stretch would be counted twice.
                if self.unsaved.as_ref().is_none_or(|increment| increment.source != row.writer) {
                    self.sources.remove(&row.writer);
                }
                continue;
            }
            let is_live = row.alive;
            if let Some(source) = self.sources.get_mut(&row.writer) {
                source.end = source.end.max(end);
                source.is_live = is_live;
                continue;
            }
            let position = stored.get(&row.writer).copied().unwrap_or(0);
            if is_live || end > position {
                self.sources.insert(row.writer, Source::new(position, end, is_live));
            }
        }
        let unsaved = self.unsaved.as_ref().map(|increment| increment.source);
        let newest = writers.iter().map(|row| row.writer).max();
        let is_there = |writer: &WriterId| Some(*writer) > newest || writers.iter().any(|row| row.writer == *writer);
        self.sources.retain(|writer, source| !source.is_finished() && (is_there(writer) || unsaved == Some(*writer)));
        self.heard.retain(|writer, _| is_there(writer));
        self.heard.is_empty()
    }

    /// Whether it must look for itself how far some logs have come.
    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// The next stretch to be read from the store, if a source has a gap and there is room for what it counts.
    pub(super) fn behind(&self) -> Option<Stretch> {
        let (writer, source) = self.sources.iter().find(|(_, source)| source.counted < source.end && !source.is_full(self.bounds))?;
        Some(Stretch { writer: *writer, after: source.counted, end: source.end })
    }

    /// Takes a page that was read for `stretch`; `is_last` when nothing more was found up to its end.
    pub(super) fn paged(&mut self, stretch: Stretch, events: &[LoggedEvent], is_last: bool) {
        let Some(source) = self.sources.get_mut(&stretch.writer) else { return };
        if source.counted != stretch.after {
            return;
        }
        source.count(events);
        let last = events.last().map_or(stretch.after, |logged| logged.seq);
        // Markers have numbers but are no events: a page that is not full ends at the log's end.
        source.counted = if is_last { last.max(stretch.end) } else { last };
        source.end = source.end.max(source.counted);
        source.count_held();
    }

    /// Every source that has something new is to be saved once.
    pub(super) fn mark_due(&mut self) {
        if self.due.is_empty() {
            self.due = self.sources.iter().filter(|(_, source)| source.counted > source.stored).map(|(writer, _)| *writer).collect();
        }
    }

    /// How many increments wait to be saved.
    pub(super) fn pending_rows(&self) -> usize {
        self.sources.values().map(|source| source.tally.weight()).sum()
    }

    /// Whether so much waits that it should be saved now.
    pub(super) fn is_full(&self) -> bool {
        self.sources.values().any(|source| source.is_full(self.bounds))
    }

    /// What to save next: what was not saved before, or what a due source has gathered.
    pub(super) fn next_save(&mut self) -> Option<Increment> {
        while self.unsaved.is_none() {
            let writer = self.due.pop_front()?;
            if let Some(source) = self.sources.get_mut(&writer).filter(|source| source.counted > source.stored) {
                self.unsaved = Some(Increment { add: source.tally.take(), source: writer, after: source.stored, seq: source.counted });
            }
        }
        self.unsaved.clone()
    }

    /// Takes the outcome of the last [`LogTracker::next_save`]. `false`: positions must be loaded.
    pub(super) fn saved(&mut self, outcome: Saved) -> bool {
        let Some(increment) = self.unsaved.take() else { return true };
        match outcome {
            Saved::Yes => {
                if let Some(source) = self.sources.get_mut(&increment.source) {
                    source.stored = increment.seq;
                    if source.is_finished() {
                        self.sources.remove(&increment.source);
                    }
                }
                true
            }
            Saved::No => {
                self.unsaved = Some(increment);
                true
            }
            Saved::Void => {
                self.sources.remove(&increment.source);
                self.heard.remove(&increment.source);
                false
            }
            Saved::Unclear => {
                if let Some(source) = self.sources.remove(&increment.source) {
                    self.heard.insert(increment.source, source.end);
                }
                false
            }
        }
    }

    /// Whether all that is known to be in the logs is stored.
    pub(super) fn is_complete(&self) -> bool {
        self.unsaved.is_none() && self.heard.is_empty() && self.sources.values().all(|source| source.stored == source.end)
    }
}

impl Source {
    fn new(position: i64, end: i64, is_live: bool) -> Self {
        let end = end.max(position);
        Self { tally: Tally::default(), stored: position, counted: position, end, is_live, held: VecDeque::new(), held_events: 0 }
    }

    fn is_finished(&self) -> bool {
        !self.is_live && self.stored == self.end
    }

    fn is_full(&self, bounds: Bounds) -> bool {
        self.tally.weight() > bounds.pending_rows
    }

    fn take(&mut self, list: Logged, bounds: Bounds) {
        self.end = self.end.max(list.to);
        if list.to <= self.counted {
            return;
        }
        if list.after > self.counted || self.is_full(bounds) {
            // Kept, so that a reader that has filled the gap continues with the next list and not with another gap.
            if self.held_events + list.events.len() <= bounds.held_events {
                self.held_events += list.events.len();
                self.held.push_back(list);
            }
            return;
        }
        self.count(&list.events);
        self.counted = list.to;
    }

    fn count_held(&mut self) {
        while self.held.front().is_some_and(|list| list.after <= self.counted) {
            let Some(list) = self.held.pop_front() else { break };
            self.held_events -= list.events.len();
            self.count(&list.events);
            self.counted = self.counted.max(list.to);
        }
    }

    /// Counts those of `events` that are not counted yet.
    fn count(&mut self, events: &[LoggedEvent]) {
        for logged in events.iter().filter(|logged| logged.seq > self.counted) {
            self.tally.count(logged);
        }
    }
}
