//! Nodes that host every role come, go, die and sleep.

use crate::member::Cluster;
use crate::support::{line, put_product, run, until};
use ordermill::actors::PlaceError;
use ordermill::db::Reads;
use ordermill::domain::{Role, Roles};
use std::time::Duration;

#[test]
fn shards_are_shared_out_evenly_as_nodes_come_and_die() {
    run(|| async {
        let cluster = Cluster::new(1);
        let first = cluster.start("a", &Role::ALL).await;
        cluster.is_shared().await;
        assert_eq!(first.owns(Role::Order), 24);
        put_product(&first.handle, 1, 1000, 10_000).await;
        let mut placed = 0;
        for name in ["b", "c"] {
            cluster.start(name, &Role::ALL).await;
            for _ in 0..50 {
                for member in cluster.members() {
                    match member.place(vec![line(1, 1, 1000)]).await.unwrap() {
                        Ok(_) => placed += 1,
                        Err(error) => assert!(matches!(error, PlaceError::NotHere), "{error}"),
                    }
                }
            }
            cluster.is_shared().await;
        }
        assert!(placed >= 100, "{placed}");
        cluster.settles().await;
        cluster.crash(first).await;
        cluster.is_shared().await;
        for member in cluster.members() {
            member.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        }
        cluster.settles().await;
    });
}

#[test]
fn orders_of_a_dead_node_go_on_at_another_within_the_lease() {
    run(|| async {
        let cluster = Cluster::new(2);
        let (first, _second) = (cluster.start("a", &Role::ALL).await, cluster.start("b", &Role::ALL).await);
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 10_000).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut placed = Vec::new();
        for _ in 0..100 {
            placed.push(first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
        }
        let died = tokio::time::Instant::now();
        cluster.crash(first).await;
        cluster.is_shared().await;
        let took = died.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        for id in placed {
            assert!(cluster.world.database.order(id).await.unwrap().is_some());
        }
        cluster.settles().await;
    });
}

#[test]
fn a_node_that_slept_too_long_writes_nothing_and_begins_anew() {
    run(|| async {
        let cluster = Cluster::new(3);
        let (first, second) = (cluster.start("a", &Role::ALL).await, cluster.start("b", &Role::ALL).await);
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 10_000).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        for _ in 0..20 {
            first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        }
        first.sleep();
        until("the other has taken all", || async { second.owns(Role::Order) == 24 }).await;
        let writers = cluster.world.database.writers().await.unwrap();
        let old = writers.iter().find(|row| row.node == "a").unwrap().clone();
        assert!(!old.alive);
        first.wake();
        let placing = first.place(vec![line(1, 1, 1000)]).await.unwrap();
        until("it has shards again", || async { first.owns(Role::Order) == 12 }).await;
        let writers = cluster.world.database.writers().await.unwrap();
        let still = writers.iter().find(|row| row.writer == old.writer).unwrap();
        assert_eq!((still.commits, still.last_seq), (old.commits, old.last_seq), "the old writer wrote nothing more");
        assert!(writers.iter().any(|row| row.node == "a" && row.alive), "it began as a new writer");
        if let Ok(id) = placing {
            assert!(cluster.world.database.order(id).await.unwrap().is_some());
        }
        first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        cluster.settles().await;
    });
}

#[test]
fn a_node_that_hosts_nothing_leaves_its_shards_to_others_until_it_hosts_again() {
    run(|| async {
        let cluster = Cluster::new(4);
        let (first, second) = (cluster.start("a", &Role::ALL).await, cluster.start("b", &Role::ALL).await);
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 10_000).await;
        for _ in 0..20 {
            first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        }
        first.handle.host(Roles::default());
        until("the other has taken all", || async { second.owns(Role::Order) == 24 }).await;
        assert_eq!(first.owns(Role::Order), 0);
        assert!(matches!(first.place(vec![line(1, 1, 1000)]).await.unwrap(), Err(PlaceError::NotHere)));
        cluster.settles().await;
        first.handle.host(Roles::ALL);
        until("it has shards again", || async { first.owns(Role::Order) == 12 }).await;
        first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        cluster.settles().await;
    });
}
