//! A standby that lacks the last commits takes over: who notices, and what is made of messages about what is lost.

use crate::member::{Cluster, Member};
use crate::support::{line, put_product, run, until};
use ordermill::actors::{COMMITS_LOST, NodeHandle};
use ordermill::db::{DeadLetterFilter, Reads};
use ordermill::domain::{DeadLetter, Role};
use std::rc::Rc;
use std::time::Duration;

async fn begin(seed: u64, names: &[&str]) -> (Rc<Cluster>, Vec<Rc<Member>>) {
    let cluster = Cluster::new(seed);
    let mut members = Vec::new();
    for name in names {
        members.push(cluster.start(name, &Role::ALL).await);
    }
    cluster.is_shared().await;
    put_product(&members[0].handle, 1, 1000, 100).await;
    (cluster, members)
}

async fn ends(handle: &NodeHandle) -> String {
    tokio::time::timeout(Duration::from_secs(60), handle.halted()).await.expect("the node ends")
}

async fn letters(cluster: &Cluster) -> Vec<DeadLetter> {
    let filter = DeadLetterFilter { cause: Some(COMMITS_LOST.to_owned()), limit: 10, ..DeadLetterFilter::default() };
    cluster.world.database.letters(filter).await.unwrap().rows
}

#[test]
fn a_node_that_writes_nothing_more_notices_too_and_names_every_order() {
    run(|| async {
        let (cluster, members) = begin(51, &["a"]).await;
        let kept = members[0].place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        cluster.settles().await;
        let standby = cluster.world.database.standby();
        let mut lost = Vec::new();
        for _ in 0..40 {
            lost.push(members[0].place(vec![line(1, 1, 1000)]).await.unwrap().unwrap().to_string());
        }
        cluster.settles().await;
        cluster.world.database.promote(standby);
        let why = ends(&members[0].handle).await;
        assert!(why.contains("with 40 new orders"), "{why}");
        let letters = letters(&cluster).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        let origin: serde_json::Value = serde_json::from_str(letters[0].origin.as_deref().unwrap()).unwrap();
        assert_eq!(origin["lostOrders"], serde_json::json!(lost), "all of them, though its text has no room");
        assert!(letters[0].detail.as_str().contains(&lost[0]) && !letters[0].detail.as_str().contains(&kept.to_string()));
    });
}

#[test]
fn a_node_that_has_lost_nothing_ends_if_it_has_seen_more_of_another() {
    run(|| async {
        let (cluster, members) = begin(52, &["a", "b"]).await;
        // Both are at rest; then one goes on, and the other looks at it.
        until("nothing is written any more", || async {
            let of = || async { cluster.world.database.writers().await.unwrap().iter().map(|row| row.commits).sum::<i64>() };
            let before = of().await;
            tokio::time::sleep(Duration::from_secs(40)).await;
            before == of().await
        })
        .await;
        let standby = cluster.world.database.standby();
        put_product(&members[0].handle, 2, 1000, 100).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.world.database.promote(standby);
        let [one, other] = [ends(&members[0].handle).await, ends(&members[1].handle).await];
        assert!(one.contains("lost: 1 of"), "{one}");
        let writer = members[0].handle.writer().0;
        assert!(other.contains("lost: 0 of") && other.contains(&format!("writer {writer} had")), "{other}");
    });
}

#[test]
fn a_message_about_what_is_lost_is_known_as_that() {
    run(|| async {
        let (cluster, members) = begin(53, &["a"]).await;
        members[0].place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        cluster.settles().await;
        let (handle, now) = (members[0].handle.clone(), ordermill::actors::World::now(&*cluster.world.world));
        let row = cluster.world.database.writers().await.unwrap().into_iter().find(|row| row.writer == handle.writer()).unwrap();
        let last_week = ordermill::domain::Timestamp(now.0 - 8 * 86_400_000_000);
        for (writer, seq, at, want) in [
            (row.writer, 1, now, false),
            (row.writer, row.last_seq, now, false),
            (row.writer, row.last_seq + 1, now, true),
            (ordermill::domain::WriterId(row.writer.0 + 9), 1, now, true),
            // Old writers are deleted: nothing is known of them.
            (ordermill::domain::WriterId(row.writer.0 + 9), 1, last_week, false),
        ] {
            let is_lost = members[0].ask(move |handle| async move { handle.is_lost(writer, seq, at).await }).await.unwrap();
            assert_eq!(is_lost.unwrap(), want, "{writer:?} {seq}");
        }
    });
}
