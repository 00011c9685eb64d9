//! The cluster side of the handle: who owns what, and inbound events of other nodes and teams.

use crate::actors::api::handle::NodeHandle;
use crate::actors::journal::submit::Submit;
use crate::actors::node::cluster::{Cluster, Owner};
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::hooks::DeadLetterAgain;
use crate::actors::protocol::inbound::Inbound;
use crate::db::{StepOutcome, StoreError, TypedWrite};
use crate::domain::{Event, EventBody, Order, OrderId, Role, RoleShards, Roles, Shard, Timestamp, WriterId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Why an inbound event was not accepted; the variants differ in what the consumer does next.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// Its order does not exist: the message becomes a dead letter.
    #[error("no such order")]
    UnknownOrder,
    /// Not possible at the moment (the database is down, the shard is moving to another node): process the same message again later,
    /// without counting a try.
    #[error("it cannot be taken now")]
    NotNow,
}

impl NodeHandle {
    /// Watches the role shards that this node owns.
    #[must_use]
    pub fn role_shards(&self) -> watch::Receiver<RoleShards> {
        self.node.owned.subscribe()
    }

    /// The live nodes and what they own, as last read from the database.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.node.cluster.borrow().clone()
    }

    /// The owner of a shard in `role`.
    #[must_use]
    pub fn owner(&self, role: Role, shard: Shard) -> Owner {
        if self.node.owns(role, shard) {
            return Owner::Me;
        }
        let cluster = self.cluster();
        match cluster.reachable_owner(role, shard) {
            Some(row) => Owner::Other { node: row.node.clone(), url: row.url.clone() },
            None => Owner::Nobody,
        }
    }

    /// Returns once this node has read who owns what since it started.
    pub async fn knows_the_others(&self) {
        let mut cluster = self.node.cluster.subscribe();
        // The sender is the node's own: it is there as long as this is.
        let _is_known = cluster.wait_for(|cluster| cluster.me.is_some()).await;
    }

    /// An id for an order that another node will place, and that node's address; `None` if no other node accepts orders.
    #[must_use]
    pub fn promise(&self) -> Option<(OrderId, String)> {
        let cluster = self.cluster();
        let owner = |shard| cluster.reachable_owner(Role::Order, shard);
        if !self.node.shards().all().any(|shard| owner(shard).is_some()) {
            return None;
        }
        let ids = std::iter::repeat_with(|| self.node.world.order_id(self.node.now())).take(crate::actors::api::handle::MOST_IDS);
        let mut promises = ids.filter_map(|id| Some((id, owner(self.node.shards().of(id))?.url.clone())));
        promises.next()
    }

    /// Returns, with the reason, when the node must exit immediately and be restarted: nothing in its memory may be stored any more.
    pub async fn halted(&self) -> String {
        let mut halted = self.node.halted.subscribe();
        match halted.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// The address at which other nodes reach this one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.node.url
    }

    /// Sets the roles that this node hosts: it ends its writer, from which others take over, and starts a new one.
    pub fn host(&self, roles: Roles) {
        if self.node.journal.roles() != roles {
            self.node.journal.host(roles);
        }
    }

    /// Whether this node owns a shard in `role`.
    #[must_use]
    pub fn owns(&self, role: Role, shard: Shard) -> bool {
        self.node.owns(role, shard)
    }

    /// The writer of this node's journal; it changes when the writer is fenced off.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.node.journal.writer()
    }

    /// A function that submits writes that belong to no order to the journal, and waits for the outcome without a limit.
    #[must_use]
    pub fn submit(&self) -> Submit {
        self.node.submitter()
    }

    /// Sets the function that processes the message of a dead letter again.
    pub fn takes_letters_again(&self, again: DeadLetterAgain) {
        // Set once, at the start.
        let _set_before = self.node.letters_again.set(again);
    }

    /// Whether the database does not have number `seq` of this writer's log, though an event from `at` rests on it: it was lost in a
    /// failover after it was told. The logs of old writers are deleted; of them nothing is known.
    ///
    /// # Errors
    /// The database cannot be read, or this node is about to end because the database is older than it was.
    pub async fn is_lost(&self, writer: WriterId, seq: i64, at: Timestamp) -> Result<bool, StoreError> {
        let (is_there, went_back) = self.node.ends.goes_to(&*self.node.reads, writer, seq).await?;
        if let Some(went_back) = went_back {
            self.node.journal.doubt();
            return Err(StoreError::WentBack(went_back.to_string()));
        }
        Ok(!is_there && self.node.now().ms_since(at) < self.node.settings.keep_events_ms)
    }

    /// Handles an inbound event for one role of this node. For the order role it returns once the order has stored the event; for another
    /// role, once the role has received it, because the order's owner asks again if it is lost. An inbound event may be a repeat, so a role
    /// first looks at its stored answer.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn handle(&self, role: Role, event: Event, limit: Duration) -> Result<(), InboundError> {
        if !self.node.owns(role, event.shard) {
            return Err(InboundError::NotNow);
        }
        // Our roles rest on what the order accepts of it, which the order tells.
        if role != Role::Order && self.node.is_external(&event) {
            return Ok(());
        }
        let is_owner_here = self.node.owns(Role::Order, event.shard);
        match (role, &event.body) {
            (Role::Order, _) => self.hear_answer(event, limit).await,
            (Role::Payment | Role::Notification, EventBody::OrderCreated(order)) if !is_owner_here => self.know(order.clone()).await,
            (Role::Payment | Role::Notification, _) if !is_owner_here => self.hear_about(role, event).await,
            (Role::Inventory | Role::Payment | Role::Notification, _) => {
                self.push(Some(role), event, None);
                Ok(())
            }
            // Counts what is stored.
            (Role::Analytics, _) => Ok(()),
        }
    }

    async fn hear_answer(&self, event: Event, limit: Duration) -> Result<(), InboundError> {
        let order = event.order;
        match self.tell(order, OrderCommand::Hear(Box::new(event)), limit).await {
            // It answers nothing that could be refused.
            Ok(_) | Err(CommandError::Rejected(_)) => Ok(()),
            Err(CommandError::NotFound) => Err(InboundError::UnknownOrder),
            Err(CommandError::NotHere | CommandError::Unavailable | CommandError::Unknown) => Err(InboundError::NotNow),
        }
    }

    /// Stores a copy of an order that another node owns, and delivers the events that arrived before it.
    async fn know(&self, order: Arc<Order>) -> Result<(), InboundError> {
        match self.node.journal.ask(TypedWrite::know_order(order.clone()), None).await {
            Ok(Fate::Stored(waiting)) => {
                for early in waiting {
                    self.push(None, early, Some(order.clone()));
                }
                Ok(())
            }
            // Stored without an answer: taken again it answers.
            Ok(_) | Err(_) => Err(InboundError::NotNow),
        }
    }

    /// Handles an event of an order that another node owns: the roles need the order, and the event waits for it in the database.
    async fn hear_about(&self, role: Role, event: Event) -> Result<(), InboundError> {
        let known = self.node.reads.known_order(event.order).await.map_err(|_| InboundError::NotNow)?;
        // What was paid can be given back however long ago that was: the payment's row tells what is needed.
        let is_payments = role == Role::Payment && known.is_none();
        if known.is_some() || (is_payments && self.node.reads.payment(event.order).await.map_err(|_| InboundError::NotNow)?.is_some()) {
            self.push(Some(role), event, known);
            return Ok(());
        }
        match self.node.journal.ask(TypedWrite::hold_event(event), None).await {
            Ok(Fate::Stored(StepOutcome::Done)) => Ok(()),
            // Not stored, or the order is known by now: taken again it finds it.
            Ok(_) | Err(_) => Err(InboundError::NotNow),
        }
    }

    /// Delivers the event to one role, or to each subscriber.
    fn push(&self, role: Option<Role>, event: Event, order: Option<Arc<Order>>) {
        if let Some(inbox) = self.node.inbox_of(event.shard) {
            inbox.push(Inbound::Foreign { role, event, order });
        }
    }
}
