//! What a node says when the database holds fewer commits than it has answered: a standby took over that had not got them, or it was
//! restored. What this node has in memory is void then. It tells in its log and in a dead letter what is lost, and ends; the next one
//! begins with what is stored.

use super::JournalWriter;
use crate::actors::node::ends::WentBack;
use crate::db::{Batch, StoreError, Write, WriterState};
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, OrderId, Role, Text, Timestamp, WriterId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// Why there is a letter that is about no step and no message.
pub const COMMITS_LOST: &str = "commits-lost";

/// Longest time for storing it.
const LIMIT: Duration = Duration::from_secs(10);

/// What is lost, as far as this node can know it.
struct Loss {
    /// The orders that were answered, oldest first.
    orders: Vec<OrderId>,
    told: String,
}

impl JournalWriter {
    /// Whether the row holds fewer commits than were answered.
    pub(super) async fn check_went_back(&mut self, state: WriterState) {
        if state.commits < self.state.commits {
            self.halt_with_loss(Some(state.commits), None).await;
        }
    }

    /// What is lost is told before the writer is forgotten.
    pub(super) async fn make_sure(&mut self) {
        let mut failures = 0;
        loop {
            match self.store.state(self.state.writer).await {
                Ok(state) => return self.check_went_back(state).await,
                Err(error) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                }
            }
        }
    }

    /// Looks if somebody doubts the database, or it has failed since it was looked at.
    pub(super) async fn look_if_doubted(&mut self) {
        self.must_look |= self.node.journal.take_doubt();
        if self.must_look
            && let Err(error) = self.look().await
        {
            tracing::debug!(error = %error, "the database could not be looked at; it is looked at before the next write");
        }
    }

    /// Looks whether any writer has come less far than it had, this one or another: then what this node has in memory is void, though
    /// nothing of its own may be lost.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let (_, went_back) = self.node.ends.look(&*self.node.reads).await?;
        if let Some(went_back) = went_back {
            // Asked of the server that takes the writes.
            if let Ok(state) = self.store.state(went_back.writer).await
                && went_back.is_undone_by(state)
            {
                tracing::warn!("what was read was older than the database: {went_back}");
                self.must_look = false;
                return Ok(());
            }
            let kept = match self.store.state(self.state.writer).await {
                Ok(state) => Some(state.commits),
                Err(StoreError::WentBack(_)) => None,
                Err(error) => return Err(error),
            };
            self.halt_with_loss(kept, Some(went_back)).await;
        }
        self.must_look = false;
        Ok(())
    }

    /// After a sync that failed, what is read back may be in the system's memory alone; in a database that went back, nothing is true of
    /// what this node has in memory. So nothing more is written, and the process ends; the next one begins with what is stored.
    pub(super) async fn halt_if_void(&mut self, error: &StoreError) {
        match error {
            StoreError::Unsynced(_) => self.halt(error).await,
            // The writer itself is gone, and all that it committed.
            StoreError::WentBack(_) => self.halt_with_loss(None, None).await,
            StoreError::InUse(_)
            | StoreError::Unavailable(_)
            | StoreError::Full(_)
            | StoreError::ReadOnly(_)
            | StoreError::Corrupt(_)
            | StoreError::Mismatch(_)
            | StoreError::Statement(_) => {}
        }
    }

    async fn halt(&self, error: &StoreError) {
        self.node.counters.set_not_ready("database", Some(&error.to_string()));
        self.node.halted.send_replace(Some(error.to_string()));
        std::future::pending::<()>().await;
    }

    /// The first `kept` commits of the writer are there, and no more; none where the writer itself is gone.
    async fn halt_with_loss(&mut self, kept: Option<i64>, other: Option<WentBack>) {
        self.node.counters.set_not_ready("database", Some("it is older than what it has acknowledged"));
        let told = self.tell_loss(kept, other).await;
        self.halt(&StoreError::WentBack(told)).await;
    }

    /// A node that stops says what is lost as well: the next one could not know.
    pub(super) async fn tell_loss_at_end(&mut self) {
        let kept = match self.store.state(self.state.writer).await {
            Ok(state) if state.commits < self.state.commits => Some(state.commits),
            Err(StoreError::WentBack(_)) => None,
            Ok(_) | Err(_) => return,
        };
        self.tell_loss(kept, None).await;
    }

    async fn tell_loss(&mut self, kept: Option<i64>, other: Option<WentBack>) -> String {
        let loss = self.loss(kept, other).await;
        for id in &loss.orders {
            tracing::error!(order.id = %id, "an order that was answered with 202 is not in the database any more");
        }
        let letter = letter(self.state.writer, &loss, self.node.now());
        match timeout(LIMIT, self.leave_letter(letter)).await {
            Ok(()) => {}
            Err(_) => tracing::error!("the dead letter about what is lost was not stored in time"),
        }
        loss.told
    }

    async fn loss(&mut self, kept: Option<i64>, other: Option<WentBack>) -> Loss {
        let (all, writer) = (self.state.commits, self.state.writer);
        let mut kept_of = BTreeMap::from([(writer, kept.unwrap_or(0))]);
        if kept.is_none() {
            // With it the ends of those before it may be gone. One that is there has an end that is older than the next one's start.
            for earlier in self.acknowledged.writers().into_iter().filter(|earlier| *earlier != writer) {
                let state = self.state_of(earlier).await;
                kept_of.insert(earlier, state.map_or(0, |state| state.commits));
                if state.is_some() {
                    break;
                }
            }
        }
        let orders = self.acknowledged.after(&kept_of);
        let lost = all - kept.unwrap_or(0).min(all);
        metrics::counter!("ordermill_commits_lost_total").increment(u64::try_from(lost).unwrap_or(0));
        let mut told = format!("lost: {lost} of {all} commits of writer {}, with {} new orders", writer.0, orders.len());
        if let Some(other) = other.filter(|other| other.writer != writer) {
            told.push_str(&format!("; {other}"));
        }
        Loss { orders, told }
    }

    /// How far a writer of this node has come; none where it is gone.
    async fn state_of(&mut self, writer: WriterId) -> Option<WriterState> {
        let mut failures = 0;
        loop {
            match self.store.state(writer).await {
                Ok(state) => return Some(state),
                Err(StoreError::WentBack(_)) => return None,
                Err(_) => failures += 1,
            }
            tokio::time::sleep(Duration::from_millis(self.node.settings.store_retry.after(failures))).await;
        }
    }

    /// Stores the letter by a writer of its own, for this node's is void. The database that has just told it may be away again.
    async fn leave_letter(&mut self, letter: DeadLetter) {
        let mut failures = 0;
        while let Err(error) = self.try_letter(&letter).await {
            failures += 1;
            if failures == 1 {
                tracing::error!(error = %error, "the dead letter about what is lost could not be stored; trying again");
            }
            tokio::time::sleep(Duration::from_millis(self.node.settings.store_retry.after(failures))).await;
        }
    }

    async fn try_letter(&mut self, letter: &DeadLetter) -> Result<(), StoreError> {
        let state = self.store.start_writer(&self.new).await?;
        let writes = vec![Write::AddLetter(letter.clone())];
        let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
        let stored = self.store.commit(&batch).await.map_err(|error| StoreError::Unavailable(error.to_string()));
        // Its lease ends it as well.
        drop(self.store.end_writer(state.writer).await);
        stored.map(drop)
    }
}

/// Tells all orders in its origin, and the first ones in its text.
fn letter(writer: WriterId, loss: &Loss, now: Timestamp) -> DeadLetter {
    let Loss { orders, told } = loss;
    let names: Vec<String> = orders.iter().map(ToString::to_string).collect();
    let place = format!("{COMMITS_LOST}/{}/{told}/{}", writer.0, now.0);
    DeadLetter {
        id: DeadLetterId(Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes())),
        kind: DeadLetterKind::Message,
        role: Role::Order,
        order: None,
        shard: None,
        step: Text::lossy("commits"),
        cause: Text::lossy(COMMITS_LOST),
        detail: Text::lossy(&format!("{told}. Its origin names every order; the first ones: {}", names.join(", "))),
        tries: 0,
        state: DeadLetterState::Open,
        created_at: now,
        closed_at: None,
        origin: Some(format!(r#"{{"writer":{},"lostOrders":[{}]}}"#, writer.0, quoted(&names))),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
}
