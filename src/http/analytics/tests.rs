//! The handlers over the memory store.

use super::*;
use crate::actors::{ActorCount, ActorsReport, Step, StepTimes};
use crate::db::memory::{MemoryDatabase, MemoryStore, Nodes};
use crate::db::{Batch, Store, Write, WriterState};
use crate::domain::{
    CorrelationId, CustomerId, Event, EventBody, Line, Money, Order, OrderId, ProductId, Quantity, Shard, Shards, Tally, Text, WriterId,
};
use actix_web::body::MessageBody;
use actix_web::http::header::HeaderValue;
use actix_web::{App, test};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

struct Node {
    store: MemoryStore,
    state: WriterState,
    api: Data<AnalyticsApi>,
    counted: i64,
}

impl Node {
    async fn new(view: AnalyticsView) -> Self {
        let database = MemoryDatabase::new(Shards::new(4).unwrap(), Nodes::One, Arc::new(|| Timestamp(0)));
        let mut store = database.store();
        let state = store.start_writer("node", "url", 1000).await.unwrap();
        let report = || ActorsReport {
            actors: vec![ActorCount { kind: "journal".to_owned(), alive: 1, restarts: 0, last_cause: None, waiting: 3, capacity: 10 }],
            open_orders: 5,
            open_orders_limit: 100,
            not_ready: Vec::new(),
        };
        let times = Arc::new(StepTimes::default());
        times.record(Step::Pay, 2000);
        let api = Data::new(AnalyticsApi::new(Arc::new(database.clone()), Arc::new(report), times, view));
        Self { store, state, api, counted: 0 }
    }

    async fn write(&mut self, write: Write) {
        let batch = Batch { writer: self.state.writer, commits: self.state.commits, last_seq: self.state.last_seq, writes: vec![write] };
        let committed = self.store.commit(&batch).await.unwrap();
        self.state.commits += 1;
        self.state.last_seq = committed.last_seq;
    }

    async fn count(&mut self, events: &[Event]) {
        let mut tally = Tally::default();
        events.iter().for_each(|event| tally.count(event));
        self.counted += 1;
        self.write(Write::SaveAnalytics { add: tally.take(), source: WriterId(1), seq: self.counted }).await;
    }

    async fn put_product(&mut self, available: i32) {
        let (name, price) = (Text::lossy("Teapot"), Money::from_minor(1999).unwrap());
        self.write(Write::PutProduct { id: ProductId(Uuid::from_u128(7)), name, price, available }).await;
    }

    async fn get(&self, path: &str) -> (StatusCode, String, String) {
        let app = test::init_service(App::new().configure(routes(self.api.clone()))).await;
        let response = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        let content = response.headers().get(CONTENT_TYPE).map_or("", |value: &HeaderValue| value.to_str().unwrap()).to_owned();
        let status = response.status();
        (status, content, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, content, body) = self.get(path).await;
        assert_eq!((status, content.as_str()), (StatusCode::OK, "application/json"), "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// A confirmed order of two teapots that was placed at `at`.
fn confirmed(at: Timestamp) -> Vec<Event> {
    let lines =
        vec![Line { product: ProductId(Uuid::from_u128(7)), quantity: Quantity::new(2).unwrap(), price: Money::from_minor(1999).unwrap() }];
    let order = Arc::new(Order {
        id: OrderId::from_parts(u64::try_from(at.0 / 1000).unwrap(), [1; 10]),
        shard: Shard(0),
        customer: CustomerId(Uuid::nil()),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId(Uuid::nil()),
        created_at: at,
    });
    let paid = EventBody::PaymentProcessed { amount: order.total, method: Text::lossy("card") };
    [EventBody::OrderCreated(order.clone()), EventBody::InventoryReserved { lines: Vec::new() }, paid, EventBody::OrderConfirmed]
        .into_iter()
        .map(|body| Event::of(&order, at, body))
        .collect()
}

#[actix_rt::test]
async fn an_empty_node_has_a_dashboard() {
    let node = Node::new(AnalyticsView::default()).await;
    let dashboard = node.json("/api/v1/analytics/dashboard").await;
    assert_eq!(dashboard["orders"]["placed"], 0);
    assert_eq!(dashboard["revenue"], "0.00");
    assert_eq!(dashboard["averageOrderValue"], Value::Null);
    assert_eq!(dashboard["timeSeries"].as_array().unwrap().len(), 60);
}

#[actix_rt::test]
async fn the_dashboard_shows_what_was_counted() {
    let mut node = Node::new(AnalyticsView::default()).await;
    node.put_product(3).await;
    node.count(&[confirmed(board::now()), confirmed(board::now())].concat()).await;
    let dashboard = node.json("/api/v1/analytics/dashboard").await;
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
    let mut node = Node::new(AnalyticsView::default()).await;
    node.count(&confirmed(board::now())).await;
    let metrics = node.json("/api/v1/analytics/metrics").await;
    assert!(metrics["throughput"]["placedPerSecond"].as_f64().unwrap() > 0.0);
    assert_eq!(metrics["errorRates"]["payments"], 0.0);
    assert_eq!(metrics["errorRates"]["notifications"], Value::Null);
    assert_eq!((&metrics["latencies"][0]["step"], &metrics["latencies"][0]["count"]), (&"pay".into(), &1.into()));
    assert_eq!(metrics["queues"][0]["waiting"], 3);
    assert_eq!(metrics["openOrders"], 5);
    assert_eq!(metrics["consumerLag"], serde_json::json!([]));
}

#[actix_rt::test]
async fn a_report_has_the_same_rows_as_json_and_as_csv() {
    let mut node = Node::new(AnalyticsView::default()).await;
    node.count(&confirmed(Timestamp::parse("2026-01-05T23:59:59Z").unwrap())).await;
    node.count(&confirmed(Timestamp::parse("2026-01-07T00:00:00Z").unwrap())).await;
    let query = "/api/v1/analytics/reports?from=2026-01-05&to=2026-01-07T00:00:00%2B00:00&bucket=day";
    let report = node.json(query).await;
    let placed: Vec<_> = report["rows"].as_array().unwrap().iter().map(|row| row["placed"].as_i64().unwrap()).collect();
    assert_eq!(placed, [1, 0]);
    assert_eq!(report["from"], "2026-01-05T00:00:00.000000Z");
    let (_, content, csv) = node.get(&format!("{query}&format=csv")).await;
    assert_eq!(content, "text/csv; charset=utf-8");
    insta::assert_snapshot!(csv.replace('\r', ""), @r"
    start,placed,confirmed,shipped,failed,cancelled,revenue,orderValue,averageOrderValue,conversion,paymentsCharged,paymentsFailed,paymentsRefunded,noticesSent,noticesGivenUp
    2026-01-05T00:00:00.000000Z,1,1,0,0,0,39.98,39.98,39.98,1,1,0,0,0,0
    2026-01-06T00:00:00.000000Z,0,0,0,0,0,0.00,0.00,,,0,0,0,0,0
    ");
}

#[actix_rt::test]
async fn the_csv_columns_are_the_json_fields() {
    let node = Node::new(AnalyticsView::default()).await;
    let report = node.json("/api/v1/analytics/reports?bucket=week").await;
    let mut fields: Vec<&str> = report["rows"][0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = view::CSV_COLUMNS.to_vec();
    fields.sort_unstable();
    columns.sort_unstable();
    assert_eq!(fields, columns);
}

#[actix_rt::test]
async fn a_broken_query_names_every_parameter() {
    let node = Node::new(AnalyticsView::default()).await;
    let cases: &[(&str, &[&str])] = &[
        ("from=yesterday&to=never&bucket=month&format=xml&page=2", &["from", "to", "bucket", "format", ""]),
        ("from=2026-01-02&to=2026-01-02", &["to"]),
        ("from=2020-01-01&to=2026-01-02", &["from"]),
        ("from=-1-01-01T00:00:00Z", &["from"]),
    ];
    for (query, want) in cases {
        let (status, content, body) = node.get(&format!("/api/v1/analytics/reports?{query}")).await;
        assert_eq!((status, content.as_str()), (StatusCode::BAD_REQUEST, "application/problem+json"), "{query}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        let named: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(named, *want, "{query}");
    }
}

async fn next(body: &mut (impl MessageBody<Error: std::fmt::Debug> + Unpin)) -> Option<String> {
    let bytes = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_next(cx)).await?;
    Some(String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

#[actix_rt::test]
async fn a_stream_tells_changes_only_and_ends_with_the_node() {
    tokio::time::pause();
    let mut node = Node::new(AnalyticsView { streams: 1, ..AnalyticsView::default() }).await;
    let mut body = stream(node.api.clone()).await.unwrap().into_body();
    assert!(next(&mut body).await.unwrap().starts_with("event: dashboard\ndata: {"));
    assert!(matches!(stream(node.api.clone()).await, Err(AnalyticsError::Streams)));
    node.count(&confirmed(board::now())).await;
    let told = next(&mut body).await.unwrap();
    assert!(told.contains("\"placed\":1") && told.ends_with("}\n\n"), "{told}");
    node.api.close();
    assert_eq!(next(&mut body).await, None);
}

#[actix_rt::test]
async fn every_route_is_described() {
    let document = <AnalyticsDoc as utoipa::OpenApi>::openapi();
    let mut described: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(described, ROUTES);
}
