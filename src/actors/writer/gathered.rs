//! What the journal makes of the writes that it takes from its queue, before and after a try to store them.

use crate::actors::journal::Queued;
use crate::actors::node::Node;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::Inbound;
use crate::actors::protocol::ticket::{Origin, Ticket};
use crate::db::Write;
#[cfg(feature = "plants")]
use crate::plants::Plant;
use std::sync::Arc;

/// Who asked for a write, whether it can still be withdrawn, and what its step follows from.
pub(super) struct Asked {
    pub(super) origin: Origin,
    pub(super) ticket: Option<Arc<Ticket>>,
    pub(super) cause: Option<Cause>,
}

impl Asked {
    /// A write that was taken, and who asked for it.
    pub(super) fn apart(queued: Queued) -> (Self, Write) {
        let Queued { origin, write, ticket, cause, .. } = queued;
        (Self { origin, ticket, cause }, write)
    }

    /// Its write was not stored: it is for the next try.
    pub(super) fn again(self, write: Write) -> Queued {
        let Self { origin, ticket, cause } = self;
        Queued { origin, write, ticket, epoch: None, cause }
    }
}

/// Passes over what was withdrawn while it waited, what rests on a record that a fence has made void, and what is of role shards that
/// are not this node's. A release closes its role shards to all that comes after it: the fence alone does not, for the giver lives on.
pub(super) fn admit(taken: Vec<Queued>, node: &Node) -> Vec<Queued> {
    let epoch = node.journal.epoch();
    let mut sent = Vec::with_capacity(taken.len());
    let mut refused = Vec::new();
    {
        let mut role_shards = node.journal.role_shards();
        for mut queued in taken {
            let is_old = queued.epoch.is_some_and(|written_in| written_in != epoch);
            let closes = !is_old;
            #[cfg(feature = "plants")]
            let closes = closes && !node.faults.has(Plant::KeepsQueueAtHandOver);
            if let Write::ReleaseShards { roles, shards } = &queued.write
                && closes
            {
                for (role, shard) in roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))) {
                    role_shards.remove(role, shard);
                }
            }
            let mut is_others = queued.write.role_shard().is_some_and(|(role, shard)| !role_shards.has(role, shard));
            if let Write::Consumed { role, places } = &mut queued.write {
                // Their next owner may have come further by now.
                places.retain(|place| role_shards.has(*role, node.shards().of_partition(place.partition)));
                is_others = places.is_empty();
            }
            if is_others {
                refused.push((queued.origin, Fate::NotOurs));
            } else if is_old || queued.ticket.as_ref().is_some_and(|ticket| !ticket.send()) {
                refused.push((queued.origin, Fate::NotStored));
            } else {
                sent.push(queued);
            }
        }
    }
    for (origin, fate) in refused {
        match origin {
            Origin::Actor(whose) => {
                if let Some(inbox) = node.inbox_of(whose.shard()) {
                    inbox.push(Inbound::Stored { done: vec![(whose, fate)], events: Arc::default(), mine: Vec::new() });
                }
            }
            Origin::Ask(reply) => drop(reply.send(fate)),
        }
    }
    sent
}

/// The origins of placements, and everything else.
pub(super) fn split_placing(origins: Vec<Asked>, writes: Vec<Write>) -> (Vec<Asked>, Vec<Queued>) {
    let mut placing = Vec::new();
    let mut rest = Vec::new();
    for (asked, write) in origins.into_iter().zip(writes) {
        if matches!(write, Write::Place { .. }) {
            placing.push(asked);
        } else {
            rest.push(asked.again(write));
        }
    }
    (placing, rest)
}
