//! Which shards are this node's. Each new writer takes what it may have, in its own journal, and the cells load it.

use super::inbox::Inbound;
use super::node::Node;
use crate::db::{Outcome, Write};
use crate::domain::{Role, Shard};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Takes all shards for each writer that the journal starts; ends with the node.
pub(crate) async fn own(node: Arc<Node>) {
    node.counters.set_not_ready("shards", Some("none taken yet"));
    let mut writers = node.journal.writers();
    loop {
        if !take(&node).await {
            return;
        }
        node.counters.set_not_ready("shards", None);
        if writers.changed().await.is_err() {
            return;
        }
        node.counters.set_not_ready("shards", Some("a new writer takes them"));
    }
}

/// `false`: the node is stopping.
async fn take(node: &Node) -> bool {
    let mut failures = 0;
    loop {
        if node.counters.stopping.load(Ordering::Acquire) {
            return false;
        }
        let shards: Vec<Shard> = node.shards().all().collect();
        let write = Write::TakeShards { roles: Role::ALL.to_vec(), shards: shards.clone() };
        match node.journal.ask(write, None).await {
            Ok(Outcome::Taken(markers)) => {
                let taken: BTreeSet<Shard> = markers.into_iter().map(|marker| marker.shard).collect();
                load(node, taken);
                return true;
            }
            // Stored, but the reply was lost: what is ours can be read.
            Ok(Outcome::Recorded) => {
                let rows = super::reading::insist(node, || node.reads.shard_rows()).await;
                let writer = node.journal.writer();
                let mine = rows.into_iter().flatten().filter(|row| row.writer == Some(writer)).map(|row| row.shard).collect();
                load(node, mine);
                return true;
            }
            Ok(_) | Err(_) => {
                failures += 1;
                super::cell::pause(node.settings.store_retry.after(failures)).await;
            }
        }
    }
}

fn load(node: &Node, shards: BTreeSet<Shard>) {
    node.lock_owned().clone_from(&shards);
    let shards: Vec<Shard> = shards.into_iter().collect();
    for inbox in &node.inboxes {
        inbox.push(Inbound::Load(shards.clone()));
    }
}
