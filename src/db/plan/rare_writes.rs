//! The rare writes of one batch: dead letters, audit, analytics.

use crate::db::outcome::{CountOutcome, RowOutcome};
use crate::db::rows::{AnalyticsRow, AuditEntry};
use crate::domain::{Closing, DeadLetter, DeadLetterId, DeadLetterState, Text, Timestamp, WriterId};
use std::collections::{BTreeMap, HashMap};

/// The audit's name for a decision that overrides the payment provider.
const OVERRIDE: &str = "override";

/// What is stored of a letter, as far as another word about it needs to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) struct StoredLetter {
    pub(in crate::db) state: DeadLetterState,
    pub(in crate::db) created_at: Timestamp,
}

/// What the rare writes change.
pub(in crate::db) struct RareWrites<'a> {
    stored: HashMap<DeadLetterId, StoredLetter>,
    letters: BTreeMap<DeadLetterId, DeadLetter>,
    closed: BTreeMap<DeadLetterId, (DeadLetterState, Timestamp)>,
    marked: BTreeMap<DeadLetterId, &'a str>,
    audit: Vec<AuditEntry>,
    stored_positions: HashMap<WriterId, i64>,
    /// Whose batch it is.
    own: WriterId,
    /// The ends of the logs that are counted; none where the writer's row is gone, and its log with it.
    ends: HashMap<WriterId, i64>,
    positions: BTreeMap<WriterId, i64>,
    numbers: BTreeMap<(i64, u8, &'a [u8]), i64>,
}

impl<'a> RareWrites<'a> {
    pub(super) fn new(
        own: WriterId,
        stored: HashMap<DeadLetterId, StoredLetter>,
        stored_positions: HashMap<WriterId, i64>,
        ends: HashMap<WriterId, i64>,
    ) -> Self {
        Self {
            stored,
            letters: BTreeMap::new(),
            closed: BTreeMap::new(),
            marked: BTreeMap::new(),
            audit: Vec::new(),
            stored_positions,
            own,
            ends,
            positions: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// A failure that comes again opens its letter again; an open one keeps its place in the list. One that is superseded closes what
    /// is open and adds nothing.
    pub(super) fn add_letter(&mut self, letter: &DeadLetter) {
        if letter.state == DeadLetterState::Superseded {
            let _nothing_open = self.close_letter(&Closing {
                id: letter.id,
                state: letter.state,
                by: Text::lossy("ordermill"),
                note: Some(Text::lossy(letter.detail.as_str())),
                overrules: None,
                at: letter.closed_at.unwrap_or(letter.created_at),
            });
            return;
        }
        let known = self.stored.get(&letter.id).filter(|known| known.state == DeadLetterState::Open);
        let created_at = known.map_or(letter.created_at, |known| known.created_at);
        self.stored.insert(letter.id, StoredLetter { state: letter.state, created_at });
        self.closed.remove(&letter.id);
        self.marked.remove(&letter.id);
        self.letters.insert(letter.id, DeadLetter { created_at, ..letter.clone() });
    }

    pub(super) fn mark_letter(&mut self, id: DeadLetterId, origin: &'a str) {
        match self.letters.get_mut(&id) {
            Some(letter) => letter.origin = Some(origin.to_owned()),
            None => drop(self.marked.insert(id, origin)),
        }
    }

    /// What a person decided counts also where its letter was superseded meanwhile, by that very decision perhaps.
    pub(super) fn close_letter(&mut self, closing: &Closing) -> RowOutcome {
        let &Closing { id, state, at, .. } = closing;
        let is_closable = |known: DeadLetterState| {
            known == DeadLetterState::Open || (known == DeadLetterState::Superseded && state != DeadLetterState::Superseded)
        };
        let Some(known) = self.stored.get_mut(&id).filter(|known| is_closable(known.state)) else { return RowOutcome::Missing };
        known.state = state;
        match self.letters.get_mut(&id) {
            Some(letter) => (letter.state, letter.closed_at) = (state, Some(at)),
            None => drop(self.closed.insert(id, (state, at))),
        }
        self.audit_closing(closing);
        RowOutcome::Done
    }

    /// The same for a decision whose effect is stored too: that is audited even if its letter was closed by somebody else meanwhile.
    pub(super) fn decide_letter(&mut self, closing: &Closing) {
        if self.close_letter(closing) == RowOutcome::Missing {
            self.audit_closing(closing);
        }
    }

    fn audit_closing(&mut self, closing: &Closing) {
        let &Closing { id, state, ref by, ref note, ref overrules, at } = closing;
        let (by, subject) = (by.as_str().to_owned(), id.0.as_hyphenated().to_string());
        if overrules.is_some() {
            let (by, subject) = (by.clone(), subject.clone());
            self.audit.push(AuditEntry { at, by, action: OVERRIDE.to_owned(), subject, note: overrules.clone() });
        }
        let note = note.as_ref().map(|note| note.as_str().to_owned());
        self.audit.push(AuditEntry { at, by, action: state.name().to_owned(), subject, note });
    }

    pub(super) fn audit_entry(&mut self, entry: AuditEntry) {
        self.audit.push(entry);
    }

    pub(super) fn audit_stock(&mut self, entries: Vec<AuditEntry>) {
        self.audit.extend(entries);
    }

    /// Moves the position from where it is believed to stand; numbers that another has counted are not counted again. A log that is
    /// not there, or not so far, cannot have been counted: the database went back. The own log is guarded by the fence.
    pub(super) fn save_analytics(&mut self, add: &'a [AnalyticsRow], source: WriterId, (after, seq): (i64, i64)) -> CountOutcome {
        if source != self.own && seq > self.ends.get(&source).copied().unwrap_or(0) {
            return CountOutcome::Missing;
        }
        let position = self.positions.get(&source).or_else(|| self.stored_positions.get(&source));
        if position.copied().unwrap_or(0) != after {
            return CountOutcome::Repeated;
        }
        self.positions.insert(source, seq);
        for row in add {
            *self.numbers.entry((row.minute, row.metric, &row.key)).or_insert(0) += row.value;
        }
        CountOutcome::Done
    }

    /// The letters that are new or tell something new, whole.
    pub(in crate::db) fn letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.letters.values()
    }

    /// The stored letters that were closed.
    pub(in crate::db) fn closed(&self) -> impl Iterator<Item = (DeadLetterId, DeadLetterState, Timestamp)> {
        self.closed.iter().map(|(id, (state, at))| (*id, *state, *at))
    }

    /// The stored letters whose origin is replaced.
    pub(in crate::db) fn marked(&self) -> impl Iterator<Item = (DeadLetterId, &'a str)> {
        self.marked.iter().map(|(id, origin)| (*id, *origin))
    }

    /// What persons did, in order.
    pub(in crate::db) fn audit(&self) -> &[AuditEntry] {
        &self.audit
    }

    /// Up to where logs are counted now, and up to where they were, if any of them was.
    pub(in crate::db) fn positions(&self) -> impl Iterator<Item = (WriterId, i64, Option<i64>)> {
        self.positions.iter().map(|(source, seq)| (*source, *seq, self.stored_positions.get(source).copied()))
    }

    /// What is added to the numbers: minute, metric, key, value; each once.
    pub(in crate::db) fn numbers(&self) -> impl Iterator<Item = (i64, u8, &'a [u8], i64)> {
        self.numbers.iter().map(|(&(minute, metric, key), value)| (minute, metric, key, *value))
    }
}
