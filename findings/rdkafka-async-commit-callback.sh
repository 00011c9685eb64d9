#!/usr/bin/env bash
# rdkafka 0.39.0 (rdkafka-sys 4.10.0+2.12.1): nobody hears how `Consumer::commit(…, CommitMode::Async)` ends.
#
# The call returns Ok, the broker stores the offset, but `ConsumerContext::commit_callback` is never called, though the consumer is
# polled on. So a commit that the broker refuses (no READ on the group) is silent too. Known as fede1024/rust-rdkafka#856.
# Seen output:
#   async commit: Ok(()), committed: Offset(1), callbacks: 0
# What follows: commit with CommitMode::Sync on a thread that may wait, and look at what it returns.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "commit"
version = "0.0.0"
edition = "2021"
[dependencies]
rdkafka = { version = "=0.39.0", default-features = false, features = ["tokio"] }
rdkafka-sys = "=4.10.0"
tokio = { version = "1", features = ["macros", "rt", "time"] }
TOML
cat > src/main.rs <<'RUST'
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Counts(AtomicU32);

impl ClientContext for Counts {}

impl ConsumerContext for Counts {
    fn commit_callback(&self, _: KafkaResult<()>, _: &TopicPartitionList) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn at(offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("events", 0, offset).unwrap();
    list
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events", 1, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "readers").set("enable.auto.commit", "false");
    let producer: FutureProducer = config.create().unwrap();
    let record: FutureRecord<'_, str, str> = FutureRecord::to("events").payload("hello");
    producer.send(record, Duration::from_secs(30)).await.unwrap();
    let consumer: StreamConsumer<Counts> = config.create_with_context(Counts::default()).unwrap();
    consumer.assign(&at(Offset::Beginning)).unwrap();
    consumer.recv().await.unwrap();
    let told = consumer.commit(&at(Offset::Offset(1)), CommitMode::Async);
    // Polled on, as long as it may take.
    let mut committed = Offset::Invalid;
    for _ in 0..20 {
        drop(tokio::time::timeout(Duration::from_millis(500), consumer.recv()).await);
        let found = consumer.committed_offsets(at(Offset::Invalid), Duration::from_secs(30)).unwrap();
        committed = found.elements()[0].offset();
        if committed == Offset::Offset(1) {
            break;
        }
    }
    drop(tokio::time::timeout(Duration::from_secs(3), consumer.recv()).await);
    println!("async commit: {told:?}, committed: {committed:?}, callbacks: {}", consumer.context().0.load(Ordering::SeqCst));
}
RUST
cargo run --quiet > seen.txt
cat seen.txt
diff seen.txt - <<'SEEN'
async commit: Ok(()), committed: Offset(1), callbacks: 0
SEEN
