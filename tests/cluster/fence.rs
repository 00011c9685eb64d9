//! The rules of the fence that a node keeps by itself: who may be ended and when, and what becomes of a number that was tried once.

use crate::member::{Cluster, Member};
use crate::support::{line, put_product, run, until};
use futures_util::future::BoxFuture;
use ordermill::db::memory::{Answer, Call, Fault, Faults, MemoryStore, Verdict};
use ordermill::db::{Batch, CommitError, Committed, Deleted, NewWriter, Reads, Retention, Store, StoreError, Write, WriterState};
use ordermill::domain::{Role, Shards, WriterId};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A line that is cut while `away`; the first try to end a writer cuts it, where it is told to.
struct OrderLine {
    away: Arc<AtomicBool>,
    cut_by_ending: bool,
}

impl Faults for OrderLine {
    fn commit(&self, batch: &Batch) -> Fault {
        let ends = |write: &Write| matches!(write, Write::EndExpired { leases } if !leases.is_empty());
        if self.cut_by_ending && batch.writes.iter().any(ends) {
            self.away.store(true, Ordering::SeqCst);
        }
        let verdict = if self.away.load(Ordering::SeqCst) { Verdict::NotWritten } else { Verdict::Proceed };
        Fault { verdict, ..Fault::NONE }
    }

    fn call(&self, _call: Call) -> Answer {
        Answer { fails: self.away.load(Ordering::SeqCst), ..Answer::PROCEED }
    }
}

/// A line on which it takes a while to renew a lease.
struct SlowRenewal;

impl Faults for SlowRenewal {
    fn commit(&self, _batch: &Batch) -> Fault {
        Fault::NONE
    }

    fn call(&self, call: Call) -> Answer {
        Answer { delay_ms: if call == Call::Renew { 1000 } else { 0 }, ..Answer::PROCEED }
    }
}

async fn alive(cluster: &Cluster) -> Vec<String> {
    let rows = cluster.world.database.writers().await.unwrap();
    rows.into_iter().filter(|row| row.alive).map(|row| format!("{} {}", row.node, row.writer.0)).collect()
}

async fn two(seed: u64) -> (Rc<Cluster>, [Rc<Member>; 2], Arc<AtomicBool>) {
    let cluster = Cluster::new(seed);
    let members = [cluster.start("a", &Role::ALL).await, cluster.start("b", &Role::ALL).await];
    let away = Arc::new(AtomicBool::new(false));
    for member in &members {
        member.line.set_faults(Some(Arc::new(OrderLine { away: away.clone(), cut_by_ending: false })));
    }
    cluster.is_shared().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    (cluster, members, away)
}

#[test]
fn nobody_is_taken_over_because_the_database_was_away() {
    run(|| async {
        let (cluster, _members, away) = two(31).await;
        let before = alive(&cluster).await;
        away.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(30)).await;
        away.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(alive(&cluster).await, before);
    });
}

#[test]
fn an_end_that_was_asked_for_before_the_database_was_away_ends_nobody_else() {
    run(|| async {
        let (cluster, members, away) = two(32).await;
        let third = cluster.start("c", &Role::ALL).await;
        cluster.is_shared().await;
        for member in &members {
            member.line.set_faults(Some(Arc::new(OrderLine { away: away.clone(), cut_by_ending: true })));
        }
        cluster.crash(third).await;
        until("somebody wants to end it", || async { away.load(Ordering::SeqCst) }).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        for member in &members {
            member.line.set_faults(None);
        }
        cluster.is_shared().await;
        assert_eq!(alive(&cluster).await, ["a 1", "b 2"]);
    });
}

#[test]
fn nodes_that_were_all_asleep_leave_each_other_time_to_wake() {
    run(|| async {
        let (cluster, members, _away) = two(33).await;
        let before = alive(&cluster).await;
        members.iter().for_each(|member| member.sleep());
        tokio::time::sleep(Duration::from_secs(60)).await;
        for member in &members {
            member.wake();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(alive(&cluster).await, before);
    });
}

#[test]
fn a_node_that_finds_its_writer_ended_ends_nobody_with_the_next_one() {
    run(|| async {
        let (cluster, members, _away) = two(36).await;
        // What it asks for meanwhile is stored by the writer that follows.
        members[0].line.set_faults(Some(Arc::new(SlowRenewal)));
        members.iter().for_each(|member| member.sleep());
        tokio::time::sleep(Duration::from_secs(60)).await;
        cluster.world.database.store().end_writer(WriterId(1)).await.unwrap();
        for member in &members {
            member.wake();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(alive(&cluster).await, ["b 2", "a 3"]);
    });
}

#[test]
fn an_outage_that_a_node_slept_through_counts_too() {
    // Leases are renewed every two seconds: some moment of these is right after the sleeper's renewal and long after the other's.
    for wait_ms in (0..2000).step_by(200) {
        run(move || async move {
            let cluster = Cluster::new(37);
            let away = Arc::new(AtomicBool::new(false));
            let mut members = Vec::new();
            for name in ["a", "b"] {
                let member = cluster.start(name, &Role::ALL).await;
                member.line.set_faults(Some(Arc::new(OrderLine { away: away.clone(), cut_by_ending: false })));
                members.push(member);
                tokio::time::sleep(Duration::from_millis(1100)).await;
            }
            cluster.is_shared().await;
            tokio::time::sleep(Duration::from_millis(10_000 + wait_ms)).await;
            let before = alive(&cluster).await;
            away.store(true, Ordering::SeqCst);
            members[0].sleep();
            tokio::time::sleep(Duration::from_millis(5200)).await;
            away.store(false, Ordering::SeqCst);
            members[0].wake();
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(alive(&cluster).await, before, "cut {wait_ms} ms later");
        });
    }
}

#[test]
fn a_dead_writer_without_shards_is_ended_too() {
    run(|| async {
        let (cluster, _members, _away) = two(34).await;
        let third = cluster.start("idle", &[]).await;
        cluster.crash(third).await;
        until("it is ended", || async { alive(&cluster).await == ["a 1", "b 2"] }).await;
    });
}

/// Loses its reply once, unstored, and refuses the repeat for its content.
struct Refuses {
    inner: MemoryStore,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    tries: usize,
    is_armed: bool,
    /// The writer and number of every try.
    sent: Vec<(WriterId, i64)>,
}

impl Store for Refuses {
    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        let step = {
            let mut script = self.script.lock().unwrap();
            script.sent.push((batch.writer, batch.commits));
            if script.is_armed {
                script.tries += 1;
            }
            script.tries
        };
        match step {
            1 => Box::pin(async { Err(CommitError::Unknown(StoreError::Unavailable("the line is cut".to_owned()))) }),
            2 => Box::pin(async { Err(CommitError::BadWrite(StoreError::Statement("it does not fit any more".to_owned()))) }),
            _ => self.inner.commit(batch),
        }
    }
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        self.inner.start_writer(new)
    }
    fn shards(&self) -> Shards {
        self.inner.shards()
    }
    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        self.inner.state(writer)
    }
    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.renew(writer, lease_ms)
    }
    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.end_writer(writer)
    }
    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        self.inner.delete_old(retention)
    }
}

#[test]
fn a_number_whose_repeat_is_refused_is_never_given_to_another_transaction() {
    run(|| async {
        let cluster = Cluster::new(35);
        let script = Arc::new(Mutex::new(Script::default()));
        let inner = script.clone();
        let store = move |line: &ordermill::db::memory::MemoryDatabase| -> Box<dyn Store> {
            Box::new(Refuses { inner: line.store(), script: inner })
        };
        let node = cluster.start_on("a", &Role::ALL, store).await;
        cluster.is_shared().await;
        put_product(&node.handle, 1, 1000, 10).await;
        let old = node.handle.writer();
        script.lock().unwrap().is_armed = true;
        let _refused = node.place(vec![line(1, 1, 1000)]).await.unwrap();
        until("it begins as a new writer", || async { node.handle.writer() != old && node.owns(Role::Order) == 24 }).await;
        let ended = cluster.world.database.writers().await.unwrap().into_iter().find(|row| row.writer == old).unwrap();
        let tries = script.lock().unwrap().sent.iter().filter(|sent| **sent == (old, ended.commits)).count();
        assert_eq!((ended.alive, tries), (false, 2), "the first try and its repeat");
        node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        cluster.settles().await;
    });
}
