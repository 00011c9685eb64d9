//! What Kafka is between nodes: every event that a node commits, and every repeat, reaches each node that must hear it.

use ordermill::actors::{Counter, InboundError, Logged, NodeHandle, Repeats};
use ordermill::domain::{Event, EventKind, Role, RoleShards};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

type Queue = Arc<Mutex<VecDeque<Event>>>;

/// The queue of all nodes.
#[derive(Clone, Default)]
pub struct Bus {
    queue: Queue,
    lost: Arc<Mutex<Vec<EventKind>>>,
}

impl Bus {
    pub fn publish(&self) -> Counter {
        let queue = self.queue.clone();
        Arc::new(move |logged: Logged| {
            queue.lock().unwrap().extend(logged.events.iter().map(|logged| logged.event.clone()));
        })
    }

    pub fn repeats(&self) -> Repeats {
        let queue = self.queue.clone();
        Arc::new(move |_writer, event| queue.lock().unwrap().push_back(event))
    }

    /// Another team's role says something.
    pub fn say(&self, event: Event) {
        self.queue.lock().unwrap().push_back(event);
    }

    /// From now on nobody hears of events of this kind.
    pub fn lose(&self, kind: EventKind) {
        self.lost.lock().unwrap().push(kind);
    }

    pub fn next(&self) -> Option<Event> {
        let lost = self.lost.lock().unwrap().clone();
        let mut queue = self.queue.lock().unwrap();
        queue.retain(|event| !lost.contains(&event.kind()));
        queue.pop_front()
    }
}

/// Whether a role of a node with these role shards must hear of the event from outside.
fn must_hear(role_shards: &RoleShards, role: Role, event: &Event) -> bool {
    let kind = event.kind();
    let learns = kind == EventKind::OrderCreated && matches!(role, Role::Payment | Role::Notification);
    let takes = learns || kind.subscribers().contains(&role);
    takes && role_shards.has(role, event.shard) && kind.topic().role().is_none_or(|writer| !role_shards.has(writer, event.shard))
}

/// Tells a node's role until it has taken the event, or need not hear it any more.
pub async fn tell(handle: NodeHandle, role: Role, event: Event) {
    while must_hear(&handle.role_shards().borrow().clone(), role, &event) {
        match handle.handle(role, event.clone(), crate::support::LIMIT).await {
            Ok(()) => return,
            Err(InboundError::NotNow) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Err(InboundError::UnknownOrder) => panic!("{event:?} is about no order"),
        }
    }
}
