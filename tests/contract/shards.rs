//! Taking and releasing shards, with markers in the taker's log.

use crate::Case;
use crate::fixture::{Fixture, LEASE_MS, kinds};
use crate::sample::{order, place};
use ordermill::db::{Batch, NewWriter, Outcome, Write};
use ordermill::domain::{EventKind, Marker, Role, Shard, WriterId};
use std::collections::BTreeSet;

pub(crate) const CASES: &[Case] = &[
    ("a shard never owned is taken, with a marker after nothing", |f| Box::pin(fresh(f))),
    ("a shard that is mine is not taken again", |f| Box::pin(mine(f))),
    ("a live writer's shard is never taken", |f| Box::pin(alive(f))),
    ("a dead writer's shard is taken after the end of its log", |f| Box::pin(dead(f))),
    ("a released shard is taken after where its owner left it", |f| Box::pin(released(f))),
    ("only its owner releases a shard", |f| Box::pin(only_owner(f))),
    ("roles own shards apart", |f| Box::pin(roles_apart(f))),
    ("markers take numbers of the log and are passed over by readers", |f| Box::pin(markers(f))),
];

fn take(roles: &[Role], shards: &[u16]) -> Write {
    Write::TakeShards { roles: roles.to_vec(), shards: shards.iter().copied().map(Shard).collect() }
}

fn give(roles: &[Role], shards: &[u16]) -> Write {
    Write::ReleaseShards { roles: roles.to_vec(), shards: shards.iter().copied().map(Shard).collect() }
}

async fn taken(f: &mut Fixture, write: Write) -> Vec<Marker> {
    let (outcome, _) = f.write(write).await;
    let Outcome::Taken(markers) = outcome else { panic!("{outcome:?}") };
    markers
}

async fn owned(f: &Fixture, by: WriterId) -> BTreeSet<(Role, Shard)> {
    let rows = f.reads.shard_rows().await.unwrap();
    rows.into_iter().filter(|row| row.writer == Some(by)).map(|row| (row.role, row.shard)).collect()
}

/// A second writer: beside the first where many may write, else in its place.
async fn next_writer(f: &mut Fixture) -> WriterId {
    let old = f.writer.writer;
    f.writer = f.store.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2:8080", LEASE_MS)).await.unwrap();
    old
}

async fn fresh(f: &mut Fixture) {
    let markers = taken(f, take(&[Role::Order, Role::Payment], &[0, 1, 5])).await;
    let told: BTreeSet<_> = markers.iter().map(|marker| (marker.role, marker.shard)).collect();
    assert_eq!(markers.len(), 6);
    assert!(markers.iter().all(|marker| marker.after.is_none()));
    assert_eq!(told, owned(f, f.writer.writer).await);
    assert!(told.contains(&(Role::Payment, Shard(5))));
}

async fn mine(f: &mut Fixture) {
    taken(f, take(&[Role::Order], &[0, 1])).await;
    let markers = taken(f, take(&[Role::Order], &[0, 1, 2])).await;
    assert_eq!(markers.iter().map(|marker| marker.shard).collect::<Vec<_>>(), [Shard(2)]);
    assert_eq!(owned(f, f.writer.writer).await.len(), 3);
}

async fn alive(f: &mut Fixture) {
    let Some(connect) = &f.connect else { return };
    let mut other = connect().await;
    taken(f, take(&[Role::Order], &[0])).await;
    let state = other.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2:8080", LEASE_MS)).await.unwrap();
    let writes = vec![take(&[Role::Order], &[0])];
    let committed = other.commit(&Batch { writer: state.writer, commits: 0, last_seq: 0, writes }).await.unwrap();
    assert_eq!(committed.outcomes, [Outcome::Taken(vec![])]);
    assert_eq!(owned(f, f.writer.writer).await.len(), 1);
}

async fn dead(f: &mut Fixture) {
    taken(f, take(&[Role::Order], &[0, 1])).await;
    f.commit(vec![place(&order(1)), place(&order(2))]).await;
    let end = f.writer.last_seq;
    f.store.end_writer(f.writer.writer).await.unwrap();
    let old = next_writer(f).await;
    let markers = taken(f, take(&[Role::Order], &[0, 1, 2])).await;
    let after: Vec<_> = markers.iter().map(|marker| (marker.shard.0, marker.after)).collect();
    assert_eq!(after.len(), 3);
    for wanted in [(0, Some((old, end))), (1, Some((old, end))), (2, None)] {
        assert!(after.contains(&wanted), "{after:?}");
    }
    assert!(owned(f, old).await.is_empty());
}

async fn released(f: &mut Fixture) {
    taken(f, take(&[Role::Order], &[0, 1])).await;
    f.write(place(&order(1))).await;
    let (outcome, events) = f.write(give(&[Role::Order], &[0])).await;
    assert_eq!((outcome, events), (Outcome::Done, vec![]));
    let left_at = f.writer.last_seq;
    assert_eq!(owned(f, f.writer.writer).await.len(), 1);
    f.write(place(&order(2))).await;
    let old = next_writer(f).await;
    let markers = taken(f, take(&[Role::Order], &[0])).await;
    assert_eq!(markers[0].after, Some((old, left_at)), "what the owner wrote later is of other shards");
    f.write(give(&[Role::Order], &[0])).await;
    let here = (f.writer.writer, f.writer.last_seq);
    assert_eq!(taken(f, take(&[Role::Order], &[0])).await[0].after, Some(here), "back again");
}

async fn only_owner(f: &mut Fixture) {
    taken(f, take(&[Role::Order], &[0])).await;
    let old = next_writer(f).await;
    let (outcome, _) = f.write(give(&[Role::Order], &[0, 3])).await;
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    assert_eq!(owned(f, old).await.len(), 1);
}

async fn roles_apart(f: &mut Fixture) {
    taken(f, take(&[Role::Order, Role::Inventory], &[0])).await;
    f.write(give(&[Role::Inventory], &[0])).await;
    assert_eq!(owned(f, f.writer.writer).await, BTreeSet::from([(Role::Order, Shard(0))]));
}

async fn markers(f: &mut Fixture) {
    let committed = f.commit(vec![place(&order(1)), take(&[Role::Order], &[0, 1]), place(&order(2))]).await;
    assert_eq!(kinds(&committed.events), [EventKind::OrderCreated; 2]);
    assert_eq!(committed.last_seq, 4);
    let numbers: Vec<i64> = f.log().await.iter().map(|logged| logged.seq).collect();
    assert_eq!(numbers, committed.events.iter().map(|logged| logged.seq).collect::<Vec<_>>());
    let mut snapshot = f.reads.snapshot().await.unwrap();
    assert!(snapshot.gaps(f.writer.writer, 10).await.unwrap().is_empty(), "a marker is no gap");
    assert_eq!(f.write(place(&order(3))).await.1, [EventKind::OrderCreated]);
    assert_eq!(f.log().await.last().unwrap().seq, 5);
}
