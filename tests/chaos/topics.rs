//! What stands on the topics, against the logs of all writers: every event of every order, in order per order.

use ordermill::db::{LogEntry, Reads};
use ordermill::domain::{EventId, Marker, OrderId, Role, Shard, Topic, WriterId};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// An order's events of one topic, in order.
type Told = HashMap<(OrderId, u8), Vec<EventId>>;

/// An event's place: by reign, then by its number.
type Placed = ((usize, i64), EventId);

const TOPICS: [Topic; 4] = [Topic::Order, Topic::Inventory, Topic::Payment, Topic::Notification];

/// Says what is missing on the topics, or stands there in another order than in the logs; returns how many events were compared.
pub(crate) fn compare(runtime: &Runtime, reads: &dyn Reads, brokers: &str, prefix: &str) -> Result<usize, String> {
    let logged = logged(runtime, reads);
    let told = told(brokers, prefix, reads.shards().count());
    let mut wrong = Vec::new();
    for ((order, topic), events) in &logged {
        let found = told.get(&(*order, *topic)).map(Vec::as_slice).unwrap_or_default();
        if found != events.as_slice() {
            wrong.push(format!("order {order}, topic {topic}: the log has {events:?}, the topic {found:?}"));
        }
    }
    if wrong.is_empty() {
        Ok(logged.values().map(Vec::len).sum())
    } else {
        Err(format!("{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]))
    }
}

/// One time that a shard of a role was a writer's, by where that began in its log.
#[derive(Clone, Copy)]
struct Reign {
    writer: WriterId,
    begin: i64,
    after: Option<(WriterId, i64)>,
}

fn logged(runtime: &Runtime, reads: &dyn Reads) -> Told {
    let mut entries: Vec<(WriterId, LogEntry)> = Vec::new();
    for row in runtime.block_on(reads.writers()).unwrap() {
        let mut after = 0;
        loop {
            let page = runtime.block_on(reads.log(row.writer, after, 5000)).unwrap();
            let Some(last) = page.last() else { break };
            after = last.seq();
            entries.extend(page.into_iter().map(|entry| (row.writer, entry)));
        }
    }
    let mut reigns: BTreeMap<(Role, Shard), Vec<Reign>> = BTreeMap::new();
    for (writer, entry) in &entries {
        if let LogEntry::Marker { seq, marker: Marker { role, shard, after } } = entry {
            reigns.entry((*role, *shard)).or_default().push(Reign { writer: *writer, begin: *seq, after: *after });
        }
    }
    let mut ranked: HashMap<(OrderId, u8), Vec<Placed>> = HashMap::new();
    for (writer, entry) in &entries {
        let LogEntry::Event(logged) = entry else { continue };
        let event = &logged.event;
        let topic = event.kind().topic();
        let of_slice = &reigns[&(topic.role().unwrap(), event.shard)];
        let rank = rank(of_slice, at(of_slice, *writer, logged.seq));
        ranked.entry((event.order, topic.number())).or_default().push(((rank, logged.seq), event.id()));
    }
    let in_order = |mut events: Vec<Placed>| {
        events.sort_unstable_by_key(|(place, _)| *place);
        events.into_iter().map(|(_, id)| id).collect()
    };
    ranked.into_iter().map(|(key, events)| (key, in_order(events))).collect()
}

/// The reign of `writer` in which its number `seq` lies.
fn at(reigns: &[Reign], writer: WriterId, seq: i64) -> Reign {
    let of_writer = reigns.iter().filter(|reign| reign.writer == writer && reign.begin <= seq);
    *of_writer.max_by_key(|reign| reign.begin).expect("nobody writes of a shard that is not his")
}

/// How many reigns there were before.
fn rank(reigns: &[Reign], mut reign: Reign) -> usize {
    let mut rank = 0;
    while let Some((writer, seq)) = reign.after {
        reign = at(reigns, writer, seq);
        rank += 1;
    }
    rank
}

/// First occurrences, by what is no repeat.
fn told(brokers: &str, prefix: &str, partitions: u16) -> Told {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "chaos-check")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for topic in TOPICS {
        for partition in 0..i32::from(partitions) {
            all.add_partition_offset(&format!("{prefix}{}", topic.name()), partition, Offset::Beginning).unwrap();
        }
    }
    let mut left = all.count();
    consumer.assign(&all).unwrap();
    let (mut told, mut seen) = (Told::new(), HashSet::new());
    let end = Instant::now() + Duration::from_secs(300);
    while left > 0 {
        assert!(Instant::now() < end, "the topics could not be read to their ends");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                let header = |name: &str| {
                    let headers = message.headers()?;
                    let value = headers.iter().find(|header| header.key == name)?.value?;
                    Some(String::from_utf8_lossy(value).into_owned())
                };
                if header("repeat").is_some() {
                    continue;
                }
                let id = EventId(header("ce_id").unwrap().parse().unwrap());
                let order: OrderId = std::str::from_utf8(message.key().unwrap()).unwrap().parse().unwrap();
                let topic = TOPICS.into_iter().find(|topic| message.topic() == format!("{prefix}{}", topic.name())).unwrap();
                if seen.insert(id) {
                    told.entry((order, topic.number())).or_default().push(id);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            // A slow broker; the client goes on by itself.
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure))) => {}
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    told
}
