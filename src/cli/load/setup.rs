//! Before and after a run: the catalogue that its orders need, and the wait until the node has settled them.

use super::ask::answer_of;
use super::parked;
use super::run::Run;
use super::source::CatalogueProduct;
use super::wire::{Broken, Head, Template, Wire};
use crate::cli::load::node::Node;
use anyhow::{Context, bail};
use clap::ValueEnum;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const SEEDERS: usize = 8;
const MAX_SEED_TRIES: u32 = 20;
/// The wait before a lost connection is made again.
const LOST_WAIT: Duration = Duration::from_millis(200);
/// How often the node is asked whether it is done: seldom enough that the asking costs nothing.
const POLL: Duration = Duration::from_millis(25);
/// How often it is asked whether what is open waits for a person.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_BUSY_WAIT: Duration = Duration::from_millis(200);
/// After one of several nodes was lost, how long nothing must be open: its orders have no owner until another node takes them.
const TAKE_OVER: Duration = Duration::from_secs(15);

/// Where the number of unsettled orders is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Gauge {
    /// `ordermill_unsettled_orders` of `/metrics`
    Metrics,
    /// `openOrders` of `/api/v1/admin/actors` (role admin)
    Actors,
}

impl Gauge {
    fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Actors => "/api/v1/admin/actors",
        }
    }

    fn read(self, body: &str) -> Option<u64> {
        match self {
            Self::Metrics => {
                let line = body
                    .lines()
                    .find(|line| line.strip_prefix("ordermill_unsettled_orders").is_some_and(|rest| rest.starts_with([' ', '{'])))?;
                let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
                // A gauge of whole orders; negative or broken values read as none.
                (value.is_finite() && value >= 0.0).then_some(value.round() as u64)
            }
            Self::Actors => serde_json::from_str::<serde_json::Value>(body).ok()?.get("openOrders")?.as_u64(),
        }
    }
}

/// What the nodes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Open {
    /// Orders that are not settled.
    pub(crate) orders: u64,
    /// Nodes that cannot be asked.
    pub(crate) away: usize,
}

/// The orders of all nodes that are not settled. Of several nodes some may be away.
pub(crate) async fn open_orders(nodes: &[Node], gauge: Gauge, key: Option<&str>) -> anyhow::Result<Open> {
    let mut open = Open::default();
    for node in nodes {
        match open_orders_of(node, gauge, key).await {
            Ok(orders) => open.orders += orders,
            Err(error) if open.away + 1 == nodes.len() => return Err(error),
            Err(_) => open.away += 1,
        }
    }
    Ok(open)
}

async fn open_orders_of(node: &Node, gauge: Gauge, key: Option<&str>) -> anyhow::Result<u64> {
    let body = answer_of(node, gauge.path(), key).await?;
    let body = String::from_utf8_lossy(&body);
    gauge.read(&body).with_context(|| format!("{} of {} does not say how many orders are open", gauge.path(), node.address))
}

/// How a run's orders ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Nothing is owed.
    Settled,
    /// Nothing more happens by itself; the number of orders that wait for a person.
    Parked(u64),
    /// So many were still open at the limit.
    Open(u64),
}

/// Waits until no order is open, or only such as wait for a person, or until `limit`. A node that is away is asked again: a
/// restart in the middle of a run is no reason to lose its result. Of several nodes some may stay away.
pub(crate) async fn wait_until_settled(run: &Run, gauge: Gauge, key: Option<&str>, limit: Duration) -> anyhow::Result<End> {
    let began = Instant::now();
    let mut looked_at = Instant::now();
    let mut quiet_since = None;
    loop {
        let open = open_orders(&run.nodes, gauge, key).await;
        match open {
            Ok(Open { orders: 0, away: 0 }) if run.nodes.len() == 1 || !run.has_lost_a_node() => return Ok(End::Settled),
            Ok(Open { orders: 0, .. }) if quiet_since.get_or_insert_with(Instant::now).elapsed() >= TAKE_OVER => return Ok(End::Settled),
            Ok(Open { orders: 0, .. }) => {}
            Ok(_) | Err(_) => quiet_since = None,
        }
        if let Ok(Open { orders, away: 0 }) = open
            && orders > 0
            && looked_at.elapsed() >= LOOK
        {
            // A key that may not see them is no reason to end the wait.
            if parked::are_all(&run.nodes, key, orders).await.unwrap_or(false) {
                return Ok(End::Parked(orders));
            }
            looked_at = Instant::now();
        }
        if began.elapsed() > limit {
            return open.map(|open| End::Open(open.orders));
        }
        sleep(POLL).await;
    }
}

/// Puts the products into the catalogue, with their stock. A node that was reached once and is lost is tried again for `give_up`.
pub(crate) async fn seed(node: &Node, key: Option<&str>, give_up: Duration, products: Vec<CatalogueProduct>) -> anyhow::Result<()> {
    let (node, next, products) = (Arc::new(node.clone()), Arc::new(AtomicUsize::new(0)), Arc::new(products));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SEEDERS {
        let (node, next, products) = (node.clone(), next.clone(), products.clone());
        let key = key.map(str::to_owned);
        tasks.spawn(async move {
            let connected = Wire::connect(node.address).await;
            let mut wire = connected.with_context(|| format!("cannot reach {}: is the node running?", node.address))?;
            while let Some(product) = products.get(next.fetch_add(1, Ordering::Relaxed)) {
                put(&node, &mut wire, key.as_deref(), give_up, product).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a seeding task stopped")??;
    }
    Ok(())
}

async fn put(node: &Node, wire: &mut Wire, key: Option<&str>, give_up: Duration, product: &CatalogueProduct) -> anyhow::Result<()> {
    let template = Template::new(Method::PUT, &format!("/api/v1/products/{}?mode=set-stock", product.id), &node.host, key)?;
    let body = serde_json::json!({
        "name": product.name, "price": product.price.to_string(), "availableQuantity": product.available
    });
    let (began, mut tries) = (Instant::now(), 0);
    while tries < MAX_SEED_TRIES {
        let head = match send(node, wire, template.with_json(body.to_string().into_bytes(), None)).await {
            Ok(head) => head,
            // It is set to a number: twice is once.
            Err(_) if began.elapsed() < give_up => {
                sleep(LOST_WAIT).await;
                continue;
            }
            Err(error) => return Err(error).context("the catalogue could not be written"),
        };
        tries += 1;
        match (head.status.as_u16(), head.retry_after_s) {
            (200..300, _) => return Ok(()),
            (503, Some(seconds)) => sleep(Duration::from_secs(seconds.min(5)).max(FIRST_BUSY_WAIT)).await,
            (status @ (401 | 403), _) => {
                bail!("the node answers {status} to PUT /api/v1/products: give a key with the role operator (--key or ORDERMILL_KEY)")
            }
            (status, _) => bail!("the node answers {status} to PUT /api/v1/products: {}", String::from_utf8_lossy(wire.body())),
        }
    }
    bail!("the node accepted no product in {MAX_SEED_TRIES} tries: it answers 503")
}

async fn send(node: &Node, wire: &mut Wire, request: Request<Full<Bytes>>) -> Result<Head, Broken> {
    if !wire.is_reusable().await {
        *wire = Wire::connect(node.address).await?;
    }
    wire.exchange(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_read_from_either_place() {
        let metrics = "# HELP ordermill_unsettled_orders x\n# TYPE ordermill_unsettled_orders gauge\nordermill_unsettled_orders_limit 5\nordermill_unsettled_orders 17\n";
        assert_eq!(Gauge::Metrics.read(metrics), Some(17));
        assert_eq!(Gauge::Metrics.read("ordermill_unsettled_orders{node=\"a b\"} 3"), Some(3));
        assert_eq!(Gauge::Metrics.read("ordermill_orders 3"), None);
        assert_eq!(Gauge::Actors.read(r#"{"actors":[],"openOrders":4}"#), Some(4));
        assert_eq!(Gauge::Actors.read("{}"), None);
    }
}
