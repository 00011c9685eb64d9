//! Ownership of role shards. At a fixed interval it reads the database, ends writers whose lease has expired, takes free role shards up to
//! an even share, and gives back what exceeds this node's share. Every change is a write in this node's own journal.
//!
//! Guarantees: this node takes over from nobody before it has held its own lease for a whole lease time since the database was last down,
//! because until then the others may not have been able to renew theirs (the database counts as down while this node slept). A role shard
//! is given away only once nothing is in progress for it that its next owner would do again.

use crate::actors::node::Node;
use crate::actors::node::cluster::Cluster;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::Inbound;
use crate::actors::runtime::pause::pause;
use crate::db::{StoreError, TypedWrite, Write};
use crate::domain::{Role, RoleShards, Shard, WriterId};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use crate::saga::rebalance::rebalance;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What there was to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    /// Something has changed: look again.
    Something,
}

/// Keeps the node's share until the node stops.
pub(crate) async fn own(node: Arc<Node>) {
    node.counters.set_not_ready("shards", Some("none taken yet"));
    let mut writers = node.journal.writers();
    let mut failures = 0;
    while !node.counters.stopping.load(Ordering::Acquire) {
        let _is_seen = *writers.borrow_and_update();
        let delay = match turn(&node).await {
            Ok(Done::Something) => {
                failures = 0;
                continue;
            }
            Ok(Done::Nothing) => {
                failures = 0;
                node.settings.cluster_tick_ms
            }
            Err(error) => {
                node.journal.note_trouble();
                failures += 1;
                if failures == 1 {
                    tracing::warn!(error = %error, "the cluster could not be looked at; trying again");
                }
                node.settings.store_retry.after(failures)
            }
        };
        tokio::select! {
            biased;
            changed = writers.changed() => if changed.is_err() { return },
            () = pause(delay) => {}
        }
    }
}

async fn turn(node: &Node) -> Result<Done, StoreError> {
    let (me, epoch, lease_ms) = (node.journal.writer(), node.journal.epoch(), node.settings.lease_ms);
    let has_waited = || node.journal.untroubled(lease_ms) >= Duration::from_millis(lease_ms);
    #[cfg(feature = "plants")]
    let has_waited = || has_waited() || node.faults.has(Plant::WaitsForNoLease);
    // Asked before the leases are, so that what was seen to have ended was seen by one who had waited, and after: the answer itself
    // may have taken an outage.
    let had_waited = has_waited();
    let began = Instant::now();
    let (writers, went_back) = node.ends.look(&*node.reads).await?;
    if went_back.is_some() {
        // The writer tells what is lost, and ends the node.
        node.journal.doubt();
        return Ok(Done::Nothing);
    }
    node.journal.note_there(began, lease_ms);
    let had_waited = had_waited && has_waited();
    let began = Instant::now();
    let shards = node.reads.shard_rows().await?;
    node.journal.note_there(began, lease_ms);
    let mut cluster = Cluster { me: Some(me), writers, shards };
    let unproved = cluster.believe(&node.settings.cluster_key);
    tell_unproved(node, &unproved);
    if node.journal.epoch() != epoch {
        return Ok(Done::Something);
    }
    let is_alive = cluster.writers.iter().any(|row| row.writer == me && row.alive);
    let expired = cluster.writers.iter().filter(|row| row.writer != me && row.alive && row.lease_left_ms < 0);
    let expired: Vec<_> = expired.map(|row| (row.writer, row.lease_until)).collect();
    node.cluster.send_replace(Arc::new(cluster));
    let cluster = node.cluster.borrow().clone();
    if !is_alive || (!expired.is_empty() && had_waited) {
        // A writer that was ended learns it from its next write. The one that follows may be the one to store that, and has held no
        // lease yet: so it names nobody.
        let leases = if is_alive { expired } else { Vec::new() };
        let ended = node.journal.ask_in(epoch, Write::EndExpired { leases }).await;
        return Ok(if matches!(ended, Ok(Fate::Stored(_))) { Done::Something } else { Done::Nothing });
    }
    let mut done = adopt(node, &cluster, me, epoch);
    let (take, release) = plan(node, &cluster, me);
    for (shards, roles) in release {
        give(node, roles, shards, epoch).await;
        done = Done::Something;
    }
    for (shards, roles) in take {
        let fate = node.journal.ask_in(epoch, TypedWrite::take_shards(roles, shards)).await;
        if let Ok(Fate::Stored(markers)) = fate {
            let taken: RoleShards = markers.into_iter().map(|marker| (marker.role, marker.shard)).collect();
            if !taken.is_empty() {
                load(node, taken, epoch);
                done = Done::Something;
            }
        } else {
            // Fenced, or stored without an answer: the next look tells.
            done = Done::Something;
            pause(node.settings.store_retry.first_ms).await;
        }
    }
    let has_none = node.owned.borrow().is_empty();
    node.counters.set_not_ready("shards", has_none.then_some("none is this node's yet"));
    Ok(done)
}

/// Says once of each writer that nothing is sent to it.
fn tell_unproved(node: &Node, unproved: &[WriterId]) {
    let known = node.cluster.borrow().clone();
    for writer in unproved.iter().filter(|writer| known.writers.iter().all(|row| row.writer != **writer)) {
        tracing::error!(
            writer = writer.0,
            "the address of this writer is not proved: no request is sent to it; do all nodes have the same access.keys and version?"
        );
    }
}

/// Roles that do the same together, by the shards that it is about: a node's roles stay side by side.
type Together = BTreeMap<Vec<Shard>, Vec<Role>>;

fn plan(node: &Node, cluster: &Cluster, me: WriterId) -> (Together, Together) {
    let (mut take, mut release) = (Together::new(), Together::new());
    for role in Role::ALL {
        let hosts: Vec<WriterId> = cluster.hosts(role).map(|row| row.writer).collect();
        let alive = |writer: &WriterId| cluster.writers.iter().any(|row| row.writer == *writer && row.alive);
        #[cfg(feature = "plants")]
        let alive = |writer: &WriterId| alive(writer) && (*writer == me || !node.faults.has(Plant::TakesFromTheLiving));
        let rows = cluster.shards.iter().filter(|row| row.role == role);
        let owners = rows.filter_map(|row| Some((row.shard, row.writer.filter(alive)?))).collect();
        let share = rebalance(node.shards(), &owners, &hosts, me);
        if !share.take.is_empty() {
            take.entry(share.take).or_default().push(role);
        }
        if !share.release.is_empty() {
            release.entry(share.release).or_default().push(role);
        }
    }
    (take, release)
}

/// What the database says is this node's but the node does not know of: a reply was lost.
fn adopt(node: &Node, cluster: &Cluster, me: WriterId, epoch: u64) -> Done {
    let rows = cluster.shards.iter().filter(|row| row.writer == Some(me));
    let missing: RoleShards = rows.map(|row| (row.role, row.shard)).filter(|(role, shard)| !node.owns(*role, *shard)).collect();
    if missing.is_empty() {
        return Done::Nothing;
    }
    load(node, missing, epoch);
    Done::Something
}

/// The role shards are this node's: its journal takes their writes and its cells take up what is open in them, unless a fence has come
/// between. It is known under the journal's own lock, so that nothing is taken for a writer that has ended.
fn load(node: &Node, taken: RoleShards, epoch: u64) {
    let mut role_shards = node.journal.role_shards();
    if node.journal.epoch() != epoch || node.counters.stopping.load(Ordering::Acquire) {
        return;
    }
    role_shards.extend(taken.iter());
    for (inbox, loading) in node.inboxes.iter().zip(&node.loading) {
        inbox.push(Inbound::Load(taken.clone(), loading.clone()));
    }
    node.owned.send_modify(|owned| owned.extend(taken.iter()));
    drop(role_shards);
    tracing::info!(role_shards = taken.iter().count(), writer = node.journal.writer().0, "shards were taken");
}

/// The node stops: nothing is left under way that the next owner would do again. What is stored goes on there.
pub(crate) async fn leave(node: &Node) {
    let role_shards = node.owned.send_replace(RoleShards::default());
    let _is_unloaded = unload(node, &role_shards).await;
}

/// Gives role shards back: first their actors end and what is under way is recorded, then the journal closes behind the last write.
async fn give(node: &Node, roles: Vec<Role>, shards: Vec<Shard>, epoch: u64) {
    let role_shards: RoleShards = roles.iter().flat_map(|role| shards.iter().map(|shard| (*role, *shard))).collect();
    node.owned.send_modify(|owned| {
        for (role, shard) in role_shards.iter() {
            owned.remove(role, shard);
        }
    });
    if !unload(node, &role_shards).await {
        // A notice is still on its way, or a router died: they stay for now.
        return load(node, role_shards, epoch);
    }
    let fate = node.journal.ask_in(epoch, Write::ReleaseShards { roles, shards }).await;
    tracing::info!(role_shards = role_shards.iter().count(), fate = fate.map_or("none", |fate| fate.name()), "shards were given back");
}

/// Has the actors of these role shards end, and waits until nothing is under way for them. `false`: something still is.
async fn unload(node: &Node, role_shards: &RoleShards) -> bool {
    let unload = |inbox: &Arc<crate::actors::runtime::inbox::Inbox>| {
        let (done, is_done) = oneshot::channel();
        inbox.push(Inbound::Unload { role_shards: role_shards.clone(), done });
        is_done
    };
    let unloading: Vec<oneshot::Receiver<()>> = node.inboxes.iter().map(unload).collect();
    let limit = Duration::from_millis(node.settings.handover_ms);
    let unloaded = tokio::time::timeout(limit, futures_util::future::try_join_all(unloading)).await;
    matches!(unloaded, Ok(Ok(_)))
}
