//! The handlers' insides over the memory store.

use super::*;
use crate::actors::{ActorCount, ActorsReport, Step, StepTimes};
use crate::db::memory::{MemoryDatabase, MemoryStore, Nodes};
use crate::db::{Batch, NewWriter, Store, Write, WriterState};
use crate::domain::{
    CorrelationId, CustomerId, Event, EventBody, LoggedEvent, Money, Order, OrderId, OrderLine, ProductId, Quantity, Shard, Shards, Tally,
    Text, WriterId,
};
use crate::http::numbers::view;
use actix_web::test::TestRequest;
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

struct Node {
    store: MemoryStore,
    state: WriterState,
    board: Arc<Board>,
    counted: i64,
}

impl Node {
    async fn new() -> Self {
        let database = MemoryDatabase::new(Shards::new(4).unwrap(), Nodes::One, Arc::new(|| Timestamp(0)));
        let mut store = database.store();
        let state = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap();
        let times = StepTimes::default();
        times.record(Step::Pay, 2000);
        let watch = move || {
            let journal = ActorCount { kind: "journal".to_owned(), alive: 1, restarts: 0, last_cause: None, waiting: 3, capacity: 10 };
            let report = ActorsReport { actors: vec![journal], open_orders: 5, open_orders_limit: 100, not_ready: Vec::new() };
            let (window, times) = times.summary();
            (report, window, times)
        };
        let board = Arc::new(Board::new(Arc::new(database.clone()), Arc::new(watch), 10, 10));
        Self { store, state, board, counted: 0 }
    }

    async fn write(&mut self, write: Write) {
        let batch = Batch { writer: self.state.writer, commits: self.state.commits, last_seq: self.state.last_seq, writes: vec![write] };
        let committed = self.store.commit(&batch).await.unwrap();
        self.state.commits += 1;
        self.state.last_seq = committed.last_seq;
    }

    async fn count(&mut self, events: &[LoggedEvent]) {
        let mut tally = Tally::default();
        events.iter().for_each(|event| tally.count(event));
        self.counted += 1;
        self.write(Write::SaveAnalytics { add: tally.take(), source: WriterId(1), after: self.counted - 1, seq: self.counted }).await;
    }

    async fn put_product(&mut self, available: i32) {
        let (name, price) = (Text::lossy("Teapot"), Money::from_minor(1999).unwrap());
        self.write(Write::product(ProductId(Uuid::from_u128(7)), name, price, available)).await;
    }

    async fn dashboard(&self) -> Value {
        serde_json::from_slice(&self.board.dashboard().await.unwrap().json).unwrap()
    }

    async fn report(&self, query: &str) -> Report {
        let wanted = wanted(query).unwrap();
        self.board.report(&wanted.span).await.unwrap()
    }
}

fn now() -> Timestamp {
    crate::http::wire::values::now()
}

fn wanted(query: &str) -> Result<Wanted, Problem> {
    Wanted::of(&TestRequest::with_uri(&format!("/?{query}")).to_http_request(), now())
}

/// A confirmed order of two teapots that was placed at `at`.
fn confirmed(at: Timestamp) -> Vec<LoggedEvent> {
    let lines = vec![OrderLine {
        product: ProductId(Uuid::from_u128(7)),
        quantity: Quantity::new(2).unwrap(),
        price: Money::from_minor(1999).unwrap(),
    }];
    let order = Arc::new(Order {
        id: OrderId::from_parts(u64::try_from(at.0 / 1000).unwrap(), [1; 10]),
        shard: Shard(0),
        customer: CustomerId(Uuid::nil()),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::nil()),
        created_at: at,
    });
    let paid = EventBody::PaymentProcessed { amount: order.total, method: Text::lossy("card") };
    [EventBody::OrderCreated(order.clone()), EventBody::InventoryReserved { lines: Vec::new() }, paid, EventBody::OrderConfirmed]
        .into_iter()
        .map(|body| Event::of(&order, at, body))
        .map(|event| LoggedEvent { seq: 1, sale: (event.body == EventBody::OrderConfirmed).then(|| order.clone()), event })
        .collect()
}

#[actix_rt::test]
async fn an_empty_node_has_a_dashboard() {
    let node = Node::new().await;
    let dashboard = node.dashboard().await;
    assert_eq!(dashboard["orders"]["placed"], 0);
    assert_eq!(dashboard["revenue"], "0.00");
    assert_eq!(dashboard["averageOrderValue"], Value::Null);
    assert_eq!(dashboard["timeSeries"].as_array().unwrap().len(), 60);
}

#[actix_rt::test]
async fn the_dashboard_shows_what_was_counted() {
    let mut node = Node::new().await;
    node.put_product(3).await;
    node.count(&[confirmed(now()), confirmed(now())].concat()).await;
    let dashboard = node.dashboard().await;
    assert_eq!(dashboard["orders"]["byStatus"]["CONFIRMED"], 2);
    assert_eq!(dashboard["orders"]["byStatusExact"], true);
    assert_eq!(dashboard["revenue"], "79.96");
    assert_eq!(dashboard["averageOrderValue"], "39.98");
    assert_eq!(dashboard["conversion"], 1.0);
    assert_eq!(dashboard["topProducts"][0]["name"], "Teapot");
    assert_eq!(dashboard["topProducts"][0]["units"], 4);
    assert_eq!(dashboard["topProducts"][0]["value"], "79.96");
    assert_eq!(dashboard["lowStock"][0]["availableQuantity"], 3);
    let series = dashboard["timeSeries"].as_array().unwrap();
    assert_eq!(series.iter().map(|point| point["placed"].as_i64().unwrap()).sum::<i64>(), 2);
}

#[actix_rt::test]
async fn the_metrics_show_rates_times_and_queues() {
    let mut node = Node::new().await;
    node.count(&confirmed(now())).await;
    let metrics = serde_json::to_value(node.board.metrics().await.unwrap()).unwrap();
    assert!(metrics["throughput"]["placedPerSecond"].as_f64().unwrap() > 0.0);
    assert_eq!(metrics["errorRates"]["payments"], 0.0);
    assert_eq!(metrics["errorRates"]["notifications"], Value::Null);
    assert_eq!((&metrics["latencies"][0]["step"], &metrics["latencies"][0]["count"]), (&"pay".into(), &1.into()));
    assert_eq!(metrics["queues"][0]["waiting"], 3);
    assert_eq!(metrics["openOrders"], 5);
}

#[actix_rt::test]
async fn a_report_has_the_same_rows_as_json_and_as_csv() {
    let mut node = Node::new().await;
    node.count(&confirmed(Timestamp::parse("2026-01-05T23:59:59Z").unwrap())).await;
    node.count(&confirmed(Timestamp::parse("2026-01-07T00:00:00Z").unwrap())).await;
    let report = node.report("from=2026-01-05&to=2026-01-07T00:00:00%2B00:00&bucket=day").await;
    assert_eq!(report.rows.iter().map(|row| row.placed).collect::<Vec<_>>(), [1, 0]);
    assert_eq!((report.from.as_str(), report.to.as_str()), ("2026-01-05T00:00:00.000000Z", "2026-01-07T00:00:00.000000Z"));
    let csv = String::from_utf8(view::csv(&report.rows).unwrap()).unwrap();
    insta::assert_snapshot!(csv.replace('\r', ""), @r"
    start,placed,confirmed,shipped,failed,cancelled,revenue,orderValue,averageOrderValue,conversion,paymentsCharged,paymentsFailed,paymentsRefunded,noticesSent,noticesGivenUp,grossSales,refunds,stockReserved,stockInsufficient
    2026-01-05T00:00:00.000000Z,1,1,0,0,0,39.98,39.98,39.98,1,1,0,0,0,0,39.98,0.00,1,0
    2026-01-06T00:00:00.000000Z,0,0,0,0,0,0.00,0.00,,,0,0,0,0,0,0.00,0.00,0,0
    ");
}

#[actix_rt::test]
async fn the_csv_columns_are_the_json_fields() {
    let node = Node::new().await;
    let report = serde_json::to_value(node.report("bucket=week").await).unwrap();
    let mut fields: Vec<&str> = report["rows"][0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = view::CSV_COLUMNS.to_vec();
    fields.sort_unstable();
    columns.sort_unstable();
    assert_eq!(fields, columns);
}

#[test]
fn a_broken_query_names_every_parameter() {
    let cases: &[(&str, &[&str])] = &[
        ("from=yesterday&to=never&bucket=month&format=xml&page=2", &["/page", "/bucket", "/format", "/to", "/from"]),
        ("from=2026-01-02&to=2026-01-02", &["/to"]),
        ("from=2020-01-01&to=2026-01-02", &["/from"]),
        ("from=-1-01-01T00:00:00Z", &["/from"]),
    ];
    for (query, want) in cases {
        let problem = format!("{:?}", wanted(query).unwrap_err());
        let at = |pointer: &&str| problem.find(&format!("pointer: \"{pointer}\""));
        assert!(want.iter().map(at).is_sorted() && want.iter().all(|pointer| at(pointer).is_some()), "{query}: {problem}");
        assert_eq!(problem.matches("pointer: ").count(), want.len(), "{query}: {problem}");
    }
}

#[test]
fn a_report_reaches_back_from_now_unless_told() {
    let minutes = |query: &str| wanted(query).map(|wanted| (wanted.span.to - wanted.span.from, wanted.format)).unwrap();
    assert_eq!(minutes(""), (720 * 60, Format::Json));
    assert_eq!(minutes("bucket=hour"), (24 * 60, Format::Json));
    assert_eq!(minutes("from=7d"), (7 * 24 * 60 + 1, Format::Json), "with the minute that is running");
    assert_eq!(minutes("from=2h&to=1h"), (60, Format::Json));
    assert_eq!(minutes("bucket=week&to=2026-01-05&format=csv"), (12 * 7 * 24 * 60, Format::Csv));
    assert_eq!(minutes("from=2026-01-05T00:00:00+01:00&to=2026-01-05"), (60, Format::Json));
}

#[actix_rt::test]
async fn days_of_half_an_hours_offset_are_24_hours_and_follow_each_other() {
    let mut node = Node::new().await;
    for at in ["2026-01-04T18:29:00Z", "2026-01-04T18:31:00Z", "2026-01-05T18:29:00Z", "2026-01-05T18:31:00Z"] {
        node.count(&confirmed(Timestamp::parse(at).unwrap())).await;
    }
    let day = |from: &str, to: &str| format!("from={from}T00:00:00%2B05:30&to={to}T00:00:00%2B05:30");
    let placed = |report: &Report| report.rows.iter().map(|row| (row.start[..16].to_owned(), row.placed)).collect::<Vec<_>>();
    let both = node.report(&day("2026-01-05", "2026-01-07")).await;
    assert_eq!(placed(&both), [("2026-01-04T18:30".to_owned(), 2), ("2026-01-05T18:30".to_owned(), 1)]);
    let first = node.report(&day("2026-01-05", "2026-01-06")).await;
    assert_eq!((first.from.as_str(), first.to.as_str()), ("2026-01-04T18:30:00.000000Z", "2026-01-05T18:30:00.000000Z"));
    assert_eq!(placed(&first), placed(&both)[..1]);
    assert_eq!(placed(&node.report(&day("2026-01-06", "2026-01-07")).await), placed(&both)[1..]);
}

#[actix_rt::test]
async fn a_stream_tells_changes_only_and_ends_with_the_node() {
    tokio::time::pause();
    let mut node = Node::new().await;
    let stop = watch::Sender::new(false);
    let mut looking = Looking {
        board: node.board.clone(),
        stopping: stop.subscribe(),
        first: Some(node.board.dashboard().await.unwrap()),
        version: 0,
        heartbeat: Duration::from_secs(5),
        end: Instant::now() + Duration::from_secs(3600),
        _place: Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap(),
    };
    let text = |bytes: Option<Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    assert!(text(looking.next().await).starts_with("event: dashboard\ndata: {"));
    node.count(&confirmed(now())).await;
    let told = text(looking.next().await);
    assert!(told.contains("\"placed\":1") && told.ends_with("}\n\n"), "{told}");
    stop.send_replace(true);
    assert_eq!(looking.next().await, None);
}
