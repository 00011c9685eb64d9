//! The cluster's side of the handle: what is whose, and what other nodes and teams have to say.

use crate::actors::api::handle::NodeHandle;
use crate::actors::node::cluster::{Cluster, Owner};
use crate::actors::protocol::command::{CommandError, OrderCommand};
use crate::actors::protocol::hooks::{DeadLetterAgain, Submit};
use crate::actors::protocol::inbound::Inbound;
use crate::db::{Outcome, Write};
use crate::domain::{Event, EventBody, Order, OrderId, Role, RoleShards, Roles, Shard, WriterId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Why an event from outside was not taken, by what the consumer does next.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// Its order does not exist: a dead letter.
    #[error("no such order")]
    UnknownOrder,
    /// Not now (the database is away, the shard is on its way to another node): the same message again later; no try is counted.
    #[error("it cannot be taken now")]
    NotNow,
}

impl NodeHandle {
    /// The role shards that are this node's, and when they change.
    #[must_use]
    pub fn role_shards(&self) -> watch::Receiver<RoleShards> {
        self.node.owned.subscribe()
    }

    /// Who lives and who owns what, as the database said it last.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.node.cluster.borrow().clone()
    }

    /// Where the work of `role` for a shard's orders is done.
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

    /// Whether this node has looked at who owns what since it started.
    #[must_use]
    pub fn knows_the_others(&self) -> bool {
        self.cluster().me.is_some()
    }

    /// The id of an order that another node will place, and that node's address; none when nobody else takes orders.
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

    /// Returns when the node must end at once and start anew, and says why: nothing that it has in memory may be stored any more.
    pub async fn halted(&self) -> String {
        let mut halted = self.node.halted.subscribe();
        match halted.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Where other nodes reach this one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.node.url
    }

    /// From now on this node hosts these roles: it ends its writer, which others take over from, and begins a new one.
    pub fn host(&self, roles: Roles) {
        if self.node.journal.roles() != roles {
            self.node.journal.host(roles);
        }
    }

    /// Whether this node does the work of `role` for a shard's orders.
    #[must_use]
    pub fn owns(&self, role: Role, shard: Shard) -> bool {
        self.node.owns(role, shard)
    }

    /// The writer of this node's journal; a fenced one is replaced.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.node.journal.writer()
    }

    /// The way into the journal for writes that belong to no order; waits as long as it takes.
    #[must_use]
    pub fn submit(&self) -> Submit {
        self.node.submitter()
    }

    /// From now on the desk has messages of dead letters taken again by `again`.
    pub fn takes_letters_again(&self, again: DeadLetterAgain) {
        // Set once, at the start.
        let _set_before = self.node.letters_again.set(again);
    }

    /// Takes an event that another node's or team's role made true, for one role of this node. Returns when this node's order has
    /// stored it, and when another role has it in hand: should that lose it, the order's owner asks again. Whatever comes from outside
    /// may have come before, so a role looks at its stored answer first.
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

    /// Keeps a copy of an order whose owner is elsewhere; what came before it is told now.
    async fn know(&self, order: Arc<Order>) -> Result<(), InboundError> {
        match self.node.journal.ask(Write::KnowOrder { order: order.clone() }, None).await {
            Ok(Outcome::Repeated(waiting)) => {
                for early in waiting {
                    self.push(None, early, Some(order.clone()));
                }
                Ok(())
            }
            // Stored without an answer: taken again it answers.
            Ok(_) | Err(_) => Err(InboundError::NotNow),
        }
    }

    /// An event of an order whose owner is elsewhere: the roles need the order, and wait for it in the database.
    async fn hear_about(&self, role: Role, event: Event) -> Result<(), InboundError> {
        let known = self.node.reads.known_order(event.order).await.map_err(|_| InboundError::NotNow)?;
        // What was paid can be given back however long ago that was: the payment's row tells what is needed.
        let is_payments = role == Role::Payment && known.is_none();
        if known.is_some() || (is_payments && self.node.reads.payment(event.order).await.map_err(|_| InboundError::NotNow)?.is_some()) {
            self.push(Some(role), event, known);
            return Ok(());
        }
        match self.node.journal.ask(Write::HoldEvent { event }, None).await {
            Ok(Outcome::Done) => Ok(()),
            // Not stored, or the order is known by now: taken again it finds it.
            Ok(_) | Err(_) => Err(InboundError::NotNow),
        }
    }

    /// For one role, or for each that takes it.
    fn push(&self, role: Option<Role>, event: Event, order: Option<Arc<Order>>) {
        if let Some(inbox) = self.node.inbox_of(event.shard) {
            inbox.push(Inbound::Foreign { role, event, order });
        }
    }
}
