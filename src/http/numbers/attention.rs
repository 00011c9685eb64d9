//! What needs a person's attention: read for all pages at once, however many are open.

use crate::actors::NodeHandle;
use crate::config::Settings;
use crate::db::{DeadLetterGroup, Reads, ShardRow, StoreError, StoredOrder};
use crate::domain::{DeadLetterKind, Role, Roles, Timestamp};
use crate::http::operations::{Health, Operations};
use crate::http::wire::attention::{AttentionItem, AttentionView};
use crate::http::wire::values::{Time, now};
use crate::saga::owed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is reused at least.
const REFRESH: Duration = Duration::from_secs(1);
/// Reading takes at most this share of the time.
const SHARE: u32 = 20;
/// An order stands still if nothing has happened to it for this long.
const STANDING_MS: u64 = 5 * 60 * 1000;
/// The oldest open orders, among which those that stand still are counted.
const EXAMINED: u32 = 200;
/// More events than these behind Kafka are told.
const LAG: i64 = 1_000;

/// Reads what needs attention; shared by all HTTP threads.
pub(crate) struct Attention {
    reads: Arc<dyn Reads>,
    handle: NodeHandle,
    operations: Arc<dyn Operations>,
    external: Roles,
    has_orders: bool,
    has_kafka: bool,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    good_until: Option<Instant>,
    items: Vec<AttentionItem>,
}

impl Attention {
    /// Of a node.
    pub(crate) fn of(handle: &NodeHandle, operations: &Arc<dyn Operations>, settings: &Settings) -> Self {
        Self {
            reads: handle.reads().clone(),
            handle: handle.clone(),
            operations: operations.clone(),
            external: settings.cluster.external(),
            has_orders: settings.cluster.hosted().has(Role::Order),
            has_kafka: settings.kafka.is_on(),
            last: Mutex::default(),
        }
    }

    /// What needs attention now. What the database says may be a few seconds old; that it says nothing needs attention too.
    pub(crate) async fn view(&self) -> AttentionView {
        let mut items = self.of_node();
        match self.of_database().await {
            Ok(more) => items.extend(more),
            Err(why) => items.push(item("component", ERROR, 1, None, format!("database: it cannot be read: {why}"))),
        }
        items.sort_by_key(|item| item.level != ERROR);
        AttentionView { items }
    }

    async fn of_database(&self) -> Result<Vec<AttentionItem>, StoreError> {
        // Held while reading: who comes meanwhile gets the same answer instead of reading the same.
        let mut last = self.last.lock().await;
        let start = Instant::now();
        if last.good_until.is_some_and(|until| start < until) {
            return Ok(last.items.clone());
        }
        last.items = self.read(now()).await?;
        last.good_until = Some(Instant::now() + REFRESH.max(start.elapsed() * SHARE));
        Ok(last.items.clone())
    }

    /// What only this node knows of itself.
    fn of_node(&self) -> Vec<AttentionItem> {
        let mut items = Vec::new();
        let reasons = self.handle.not_ready();
        if !reasons.is_empty() {
            items.push(item("node", ERROR, 1, None, reasons.join("; ")));
        }
        for component in self.operations.components() {
            let level = match component.health {
                Health::Up => continue,
                Health::Degraded => WARNING,
                Health::Down => ERROR,
            };
            let detail = component.detail.unwrap_or_else(|| component.health.name().to_owned());
            items.push(item("component", level, 1, None, format!("{}: {detail}", component.name)));
        }
        for breaker in self.handle.breakers().snapshots() {
            if let Some(why) = self.handle.breaker_note(&breaker, None) {
                items.push(item("breaker", ERROR, 1, None, format!("{}: {why}", breaker.name)));
            } else if breaker.is_silent {
                items.push(item("breaker", WARNING, 1, None, format!("{}: has answered none of the last calls", breaker.name)));
            }
        }
        items
    }

    async fn read(&self, now: Timestamp) -> Result<Vec<AttentionItem>, StoreError> {
        let groups = self.reads.letter_groups().await?;
        let (parked, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.kind == DeadLetterKind::Step);
        let mut items = Vec::new();
        items.extend(letters("parked-orders", &parked));
        items.extend(letters("dead-letters", &others));
        let rows = self.reads.shard_rows().await?;
        let is_free = |row: &&ShardRow| row.writer.is_none() && !self.external.has(row.role);
        let free = count(rows.iter().filter(is_free).count());
        if free > 0 {
            items.push(item("shards", ERROR, free, None, "role shards without a node: their orders wait".to_owned()));
        }
        if self.has_orders {
            items.extend(self.standing(now).await?);
        }
        if self.has_kafka {
            let writers = self.reads.writers().await?;
            let lag: i64 = writers.iter().map(|row| row.last_seq.saturating_sub(row.published_seq)).sum();
            if lag > LAG {
                items.push(item("lag", WARNING, lag.unsigned_abs(), None, "events are not in Kafka yet".to_owned()));
            }
        }
        Ok(items)
    }

    /// Orders to which nothing has happened for long, although something should: of the oldest open ones.
    async fn standing(&self, now: Timestamp) -> Result<Vec<AttentionItem>, StoreError> {
        let shards = self.reads.shards().all().collect();
        let oldest = self.reads.open_orders(shards, None, EXAMINED).await?;
        let is_all = oldest.len() < usize::try_from(EXAMINED).unwrap_or(usize::MAX);
        let is_standing = |stored: &&StoredOrder| stored.record.parked.is_none() && now.ms_since(stored.updated_at) >= STANDING_MS;
        let (orders, notices): (Vec<_>, Vec<_>) = oldest
            .iter()
            .filter(is_standing)
            .partition(|stored| owed(&stored.record.facts, stored.order.channels()).is_more_than_a_notice());
        let of = |kind, orders: &[&StoredOrder], detail: &str| {
            let since = orders.iter().map(|stored| stored.updated_at).min()?;
            let more = !is_all;
            Some(AttentionItem { more, ..item(kind, WARNING, count(orders.len()), Some(since), detail.to_owned()) })
        };
        let standing = of("standing-orders", &orders, "open orders to which nothing has happened for five minutes");
        let notices = of("waiting-notices", &notices, "orders whose notice could not be sent for five minutes");
        Ok(standing.into_iter().chain(notices).collect())
    }
}

const ERROR: &str = "ERROR";
const WARNING: &str = "WARNING";

fn item(kind: &'static str, level: &'static str, count: u64, since: Option<Timestamp>, detail: String) -> AttentionItem {
    AttentionItem { kind, level, count, more: false, since: since.map(Time), detail }
}

fn count(count: usize) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}

fn letters(kind: &'static str, groups: &[DeadLetterGroup]) -> Option<AttentionItem> {
    let oldest = groups.iter().map(|group| group.oldest).min()?;
    let largest = groups.iter().max_by_key(|group| group.count)?;
    let more = if groups.len() > 1 { format!(" and {} other groups", groups.len() - 1) } else { String::new() };
    let detail = format!("{} × {} at {}{more}", largest.count, largest.cause, largest.step);
    Some(item(kind, ERROR, groups.iter().map(|group| group.count).sum(), Some(oldest), detail))
}
