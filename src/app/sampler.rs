//! What the metrics tell of the database: read in a steady rhythm, so that a scrape costs nothing there, and so that orders and letters
//! count whoever owns them, or nobody.

use crate::actors::COMMITS_LOST;
use crate::config::Settings;
use crate::db::{Reads, ShardRow, StoreError};
use crate::domain::analytics::{Numbers, REASONS, TOTAL};
use crate::domain::{Channel, Metric, OrderStatus, Role, Roles, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Groups of dead letters that have series of their own; what more there is stands under `other`.
const LETTER_SERIES: usize = 100;

/// A kind, cause and step of dead letters.
type Group = (&'static str, String, String);

/// Reads the database for the metrics.
pub(super) struct Sampler {
    reads: Arc<dyn Reads>,
    roles: Roles,
    /// Another team's, whose shards nobody of ours owns.
    external: Roles,
    sqlite: Option<PathBuf>,
    /// Every group that was ever told, so that one without letters goes back to 0.
    letters: BTreeMap<Group, u64>,
    /// How many of them tell of lost commits.
    losses: Arc<AtomicU64>,
}

impl Sampler {
    /// Reads on until it is aborted.
    pub(super) fn start(reads: Arc<dyn Reads>, roles: Roles, settings: &Settings, losses: Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
        let every = Duration::from_millis(settings.telemetry.sample_ms);
        let sqlite = settings.database().expose().strip_prefix("sqlite:").map(PathBuf::from);
        let external = settings.cluster.external();
        let mut sampler = Self { reads, roles, external, sqlite, letters: BTreeMap::new(), losses };
        actix_web::rt::spawn(async move {
            loop {
                let now: Timestamp = chrono::Utc::now().into();
                // What went wrong is told to whoever watches the metrics; the node itself says what is wrong with its database.
                match sampler.sample(now).await {
                    Ok(()) => metrics::gauge!("ordermill_sampled_timestamp_seconds").set(now.0 as f64 / 1e6),
                    Err(error) => {
                        metrics::counter!("ordermill_samples_failed_total").increment(1);
                        tracing::debug!(error = %error, "the database could not be read for the metrics");
                    }
                }
                tokio::time::sleep(every).await;
            }
        })
    }

    async fn sample(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.files();
        self.letters(now).await?;
        self.shards().await?;
        if self.roles.has(Role::Order) {
            self.orders(now).await?;
        }
        if self.roles.has(Role::Analytics) {
            self.outcomes().await?;
        }
        Ok(())
    }

    fn files(&self) {
        let Some(path) = &self.sqlite else { return };
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        metrics::gauge!("ordermill_sqlite_bytes", "file" => "database").set(size(path) as f64);
        metrics::gauge!("ordermill_sqlite_bytes", "file" => "log").set(size(&PathBuf::from(log)) as f64);
    }

    async fn letters(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let groups = self.reads.letter_groups().await?;
        let oldest = groups.iter().map(|group| group.oldest).min();
        let losses = groups.iter().filter(|group| group.cause == COMMITS_LOST).map(|group| group.count).sum();
        self.losses.store(losses, Ordering::Relaxed);
        metrics::gauge!("ordermill_dead_letters_oldest_age_seconds").set(age(oldest, now));
        self.letters.values_mut().for_each(|count| *count = 0);
        for group in groups {
            let own = (group.kind.name(), group.cause, group.step);
            let has_room = self.letters.len() < LETTER_SERIES || self.letters.contains_key(&own);
            let key = if has_room { own } else { (group.kind.name(), "other".to_owned(), "other".to_owned()) };
            *self.letters.entry(key).or_default() += group.count;
        }
        for ((kind, cause, step), count) in &self.letters {
            metrics::gauge!("ordermill_dead_letters_open", "kind" => *kind, "cause" => cause.clone(), "step" => step.clone())
                .set(*count as f64);
        }
        Ok(())
    }

    async fn shards(&self) -> Result<(), StoreError> {
        let rows = self.reads.shard_rows().await?;
        for role in Role::ALL {
            let is_free = |row: &&ShardRow| row.role == role && row.writer.is_none() && !self.external.has(role);
            let free = rows.iter().filter(is_free).count();
            metrics::gauge!("ordermill_shards_free", "role" => role.name()).set(free as f64);
        }
        Ok(())
    }

    async fn orders(&self, now: Timestamp) -> Result<(), StoreError> {
        let open = self.reads.open_by_status().await?;
        for status in OrderStatus::ALL {
            let found = open.iter().find(|found| found.status == status);
            let (count, oldest) = (found.map_or(0, |found| found.count), found.map(|found| found.oldest));
            metrics::gauge!("ordermill_orders_open", "status" => status.name()).set(count as f64);
            metrics::gauge!("ordermill_orders_open_oldest_age_seconds", "status" => status.name()).set(age(oldest, now));
        }
        Ok(())
    }

    async fn outcomes(&self) -> Result<(), StoreError> {
        let totals: Numbers = self.reads.analytics(TOTAL, TOTAL + 1).await?.iter().collect();
        let of = |metric| count(totals.of(metric));
        for (event, metric) in [
            ("placed", Metric::OrdersPlaced),
            ("confirmed", Metric::OrdersConfirmed),
            ("shipped", Metric::OrdersShipped),
            ("failed", Metric::OrdersFailed),
            ("cancelled", Metric::OrdersCancelled),
        ] {
            metrics::counter!("ordermill_orders_total", "event" => event).absolute(of(metric));
        }
        for (code, reason) in (0..).zip(REASONS) {
            let cancelled = count(totals.part(Metric::OrdersCancelled, code));
            metrics::counter!("ordermill_orders_cancelled_total", "reason" => reason).absolute(cancelled);
        }
        for (outcome, metric) in [
            ("reserved", Metric::StockReserved),
            ("insufficient", Metric::StockInsufficient),
            ("released", Metric::StockReleased),
            ("shipped", Metric::StockShipped),
        ] {
            metrics::counter!("ordermill_stock_answers_total", "outcome" => outcome).absolute(of(metric));
        }
        for (outcome, metric) in [
            ("charged", Metric::PaymentsCharged),
            ("failed", Metric::PaymentsFailed),
            ("cancelled", Metric::PaymentsCancelled),
            ("refunded", Metric::PaymentsRefunded),
        ] {
            metrics::counter!("ordermill_payments_total", "outcome" => outcome).absolute(of(metric));
        }
        for channel in Channel::ALL {
            let of = |metric| count(totals.part(metric, channel.number()));
            for (outcome, metric) in [("sent", Metric::NoticesSent), ("given-up", Metric::NoticesGivenUp)] {
                metrics::counter!("ordermill_notices_total", "channel" => channel.name(), "outcome" => outcome).absolute(of(metric));
            }
            metrics::counter!("ordermill_notice_tries_failed_total", "channel" => channel.name()).absolute(of(Metric::NoticeTriesFailed));
        }
        Ok(())
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn age(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| now.ms_since(oldest) as f64 / 1000.0)
}
