//! Reads and stores how far the role is done with its partitions: one write at a time, for which only the end of the loop waits.

use super::core::assignment::PartitionId;
use super::core::starts::Starts;
use super::state::Run;
use crate::db::{ConsumedPlace, Reads, StoreError};
use crate::domain::Role;
use crate::kafka::topics::TopicNames;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What the role's own database says of where its partitions begin.
///
/// # Errors
/// It could not be read.
pub async fn load(reads: &Arc<dyn Reads>, role: Role, names: &TopicNames) -> Result<Starts, StoreError> {
    let found = reads.consumed(role).await?;
    let place = |place: ConsumedPlace| Some(((names.topic(&place.topic)?, place.partition), place.next));
    let stored = found.places.into_iter().filter_map(place).collect();
    Ok(Starts { stored, committed: BTreeMap::new(), is_upgraded: found.is_upgraded })
}

/// Places as they are stored.
pub fn named(places: Vec<(PartitionId, i64)>, names: &TopicNames) -> Vec<ConsumedPlace> {
    let named = |((topic, partition), next)| ConsumedPlace { topic: names.of_topic(topic), partition, next };
    places.into_iter().map(named).collect()
}

impl Run<'_> {
    /// Stores what is done, if nothing is being stored.
    pub(super) async fn store(&mut self) {
        if self.storing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        self.end_store(Duration::MAX).await;
        self.begin_store();
    }

    /// Stores what is done at the end, and waits for it as long as the brokers may take for an answer.
    pub(super) async fn store_whole(&mut self) {
        let limit = self.limit();
        if self.end_store(limit).await {
            self.begin_store();
            self.end_store(limit).await;
        }
    }

    fn begin_store(&mut self) {
        let places = self.core.to_store();
        if !places.is_empty() {
            let storing = self.shared.parts.inbound.store_places(self.shared.role, named(places, &self.names));
            self.storing = Some(tokio::spawn(storing));
        }
    }

    /// Takes note of how it ended. `false`: it has not, within the limit.
    async fn end_store(&mut self, limit: Duration) -> bool {
        let Some(task) = self.storing.as_mut() else { return true };
        let Ok(ended) = timeout(limit, task).await else { return false };
        self.storing = None;
        // Of one that panicked nothing is known.
        self.core.stored(ended.unwrap_or(false));
        true
    }
}
