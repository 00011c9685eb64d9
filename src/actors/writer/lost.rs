//! What a node says when the database holds fewer commits than it has answered: a standby took over that had not got them, or it was
//! restored. What this node has in memory is void then. It tells in its log and in a dead letter what is lost, and ends; the next one
//! begins with what is stored.

use super::JournalWriter;
use crate::db::{Batch, StoreError, Write, WriterState};
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, OrderId, Role, Text, Timestamp, WriterId};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// Why there is a letter that is about no step and no message.
const CAUSE: &str = "commits-lost";

/// Longest time for storing it.
const LIMIT: Duration = Duration::from_secs(10);

impl JournalWriter {
    /// Whether the row holds fewer commits than were answered.
    pub(super) async fn check_went_back(&mut self, state: WriterState) {
        if state.commits < self.state.commits {
            self.halt_with_loss(state.commits).await;
        }
    }

    /// After a sync that failed, what is read back may be in the system's memory alone; in a database that went back, nothing is true of
    /// what this node has in memory. So nothing more is written, and the process ends; the next one begins with what is stored.
    pub(super) async fn halt_if_void(&mut self, error: &StoreError) {
        match error {
            StoreError::Unsynced(_) => self.halt(error).await,
            // The writer itself is gone, and all that it committed.
            StoreError::WentBack(_) => self.halt_with_loss(0).await,
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

    /// The first `kept` commits of the writer are there, and no more.
    async fn halt_with_loss(&mut self, kept: i64) {
        self.node.counters.set_not_ready("database", Some("it is older than what it has acknowledged"));
        let lost = self.acknowledged.after(kept);
        for id in &lost {
            tracing::error!(order.id = %id, "an order that was answered with 202 is not in the database any more");
        }
        let (all, writer) = (self.state.commits, self.state.writer);
        let told = format!("lost: {} of {all} commits of writer {}, with {} new orders", all - kept, writer.0, lost.len());
        let letter = letter(writer, &told, &lost, self.node.now());
        match timeout(LIMIT, self.leave_letter(letter)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %error, "the dead letter about what is lost could not be stored"),
            Err(_) => tracing::error!("the dead letter about what is lost was not stored in time"),
        }
        self.halt(&StoreError::WentBack(told)).await;
    }

    /// Stores the letter by a writer of its own, for this node's is void. It is tried once: the log tells it as well.
    async fn leave_letter(&mut self, letter: DeadLetter) -> Result<(), StoreError> {
        let state = self.store.start_writer(&self.new).await?;
        let writes = vec![Write::AddLetter(letter)];
        let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
        let stored = self.store.commit(&batch).await.map_err(|error| StoreError::Unavailable(error.to_string()));
        self.store.end_writer(state.writer).await?;
        stored.map(drop)
    }
}

fn letter(writer: WriterId, told: &str, lost: &[OrderId], now: Timestamp) -> DeadLetter {
    let names: Vec<String> = lost.iter().map(ToString::to_string).collect();
    let place = format!("{CAUSE}/{}/{told}/{}", writer.0, now.0);
    DeadLetter {
        id: DeadLetterId(Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes())),
        kind: DeadLetterKind::Message,
        role: Role::Order,
        order: None,
        shard: None,
        step: Text::lossy("commits"),
        cause: Text::lossy(CAUSE),
        detail: Text::lossy(&format!("{told}. Its log names every order; the first ones: {}", names.join(", "))),
        tries: 0,
        state: DeadLetterState::Open,
        created_at: now,
        closed_at: None,
        origin: None,
    }
}
