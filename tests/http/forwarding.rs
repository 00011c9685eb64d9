//! Requests at a node that cannot answer them itself.

use crate::app::{ADMIN_KEY, CUSTOMER_KEY, OPERATOR_KEY, keys, order};
use crate::neighbours::{Does, Neighbour, Node, Shared, agree, json, nowhere, problem, put_stock, run};
use crate::support::{LIMIT, settled, stored, until};
use ordermill::config::Settings;
use ordermill::config::providers::ProviderSettings;
use ordermill::db::{Batch, NewWriter, Outcome, Store as _, Write};
use ordermill::domain::{
    CancelledBy, Channel, DeadLetter, DeadLetterKind, DeadLetterState, NoticeKind, OrderId, OrderStatus, Role, Shards, Timestamp,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const CORRELATION: &str = "0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f";

pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

fn with_roles(roles: &[Role]) -> Settings {
    let mut settings = Settings::default();
    settings.cluster.roles = roles.to_vec();
    settings
}

/// Two nodes that share 24 shards.
async fn pair(settings: &Settings) -> (Shared, Node, Node) {
    let shared = Shared::new(24);
    let first = shared.start("a", settings.clone()).await;
    until("the first has all", || async { first.owns(Role::Order) == 24 }).await;
    put_stock(&first).await;
    let second = shared.start("b", settings.clone()).await;
    agree(Role::Order, &[&first, &second], &[12, 12]).await;
    (shared, first, second)
}

/// A node that has the only shard, behind `url`, and one that has none.
pub async fn has_and_has_not(url: Option<&str>, settings: Settings) -> (Node, Node) {
    let shared = Shared::new(1);
    let has = shared.start_at("has", settings.clone(), url).await;
    until("it has the shard", || async { has.owns(Role::Order) == 1 }).await;
    put_stock(&has).await;
    let has_not = shared.start("has-not", settings).await;
    agree(Role::Order, &[&has, &has_not], &[1, 0]).await;
    (has, has_not)
}

#[test]
fn a_command_reaches_the_owner_with_who_asks_and_correlation() {
    run(|| async {
        let settings = Settings { access: keys(), ..Settings::default() };
        let (_shared, first, second) = pair(&settings).await;
        let (shipped, cancelled) = (second.place().await, second.place().await);
        for id in [shipped, cancelled] {
            settled(second.handle(), id, OrderStatus::Confirmed).await;
        }
        let (operator, customer) = (bearer(OPERATOR_KEY), bearer(CUSTOMER_KEY));
        let headers = [("authorization", operator.as_str()), ("x-correlation-id", CORRELATION), ("content-type", "application/json")];
        let path = format!("/api/v1/orders/{shipped}/ship");
        let answer = first.send(Method::POST, &path, &headers, r#"{"carrier":"X"}"#).await;
        assert_eq!(answer.headers()["x-correlation-id"], CORRELATION);
        let (status, body) = json(answer).await;
        assert_eq!((status, &body["status"]), (202, &json!("SHIPPED")), "{body}");
        let path = format!("/api/v1/orders/{cancelled}/cancel");
        let answer = first.post(&path, &[("authorization", &customer)]).await;
        assert_eq!(answer.status(), 202);
        let by = stored(second.handle(), cancelled).await.record.facts.cancel.map(|(by, _)| by);
        assert_eq!(by, Some(CancelledBy::Customer), "the owner knows whose key it was");
        // The owner's refusal is passed on as it is.
        let path = format!("/api/v1/orders/{shipped}/cancel");
        let (status, body) = json(first.post(&path, &[("authorization", &customer), ("x-correlation-id", CORRELATION)]).await).await;
        assert_eq!((status, &body["type"], &body["correlationId"]), (409, &json!("/problems/conflict"), &json!(CORRELATION)));
    });
}

#[test]
fn what_a_payment_waits_for_is_told_by_the_node_that_makes_it_alone() {
    run(|| async {
        let mut shared = Shared::new(24);
        let first = shared.start("a", Settings::default()).await;
        until("the first has all", || async { first.owns(Role::Order) == 24 }).await;
        put_stock(&first).await;
        let mut slow = ProviderSettings::default();
        slow.sandbox.behaviour.latency_ms = 600_000;
        slow.payment.timeout_ms = 600_000;
        shared.other_providers(&slow);
        let second = shared.start("b", Settings::default()).await;
        agree(Role::Order, &[&first, &second], &[12, 12]).await;
        agree(Role::Payment, &[&first, &second], &[12, 12]).await;
        assert_eq!(first.send(Method::POST, "/api/v1/admin/breakers/payment/open", &JSON, "{}").await.status(), 200);
        let (here, there) = (first.place().await, second.place().await);
        let waits = async |node: &Node, id: OrderId, rest: &str| {
            let (status, body) = json(node.get(&format!("/api/v1/orders/{id}{rest}")).await).await;
            assert_eq!(status, 200, "{body}");
            body["waitsFor"].as_str().map(str::to_owned)
        };
        for id in [here, there] {
            until("its payment is due", || async { stored(first.handle(), id).await.status == OrderStatus::InventoryReserved }).await;
        }
        until("it waits", async || waits(&first, here, "").await.is_some_and(|why| why.contains("opened manually"))).await;
        for rest in ["", "/status"] {
            assert_eq!(waits(&first, there, rest).await, None, "this node's breaker holds up no other node's payment");
            assert_eq!(waits(&second, here, rest).await, None, "that node does not know");
        }
    });
}

#[test]
fn who_may_not_is_refused_before_anything_is_sent_on() {
    run(|| async {
        let neighbour = Neighbour::new(Does::HangUp).await;
        let mut settings = Settings { access: keys(), ..Settings::default() };
        settings.server.body_limit_bytes = 1_000;
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), settings).await;
        let id = has.place().await;
        let path = format!("/api/v1/orders/{id}/ship");
        assert_eq!(has_not.post(&path, &[]).await.status(), 401);
        assert_eq!(has_not.post(&path, &[("authorization", &bearer(CUSTOMER_KEY))]).await.status(), 403);
        let operator = bearer(OPERATOR_KEY);
        let headers = [("authorization", operator.as_str()), ("content-type", "application/json")];
        let long = format!("{{\"carrier\":\"{}\"}}", "x".repeat(1_000));
        assert_eq!(has_not.send(Method::POST, &path, &headers, long).await.status(), 413);
        assert_eq!(neighbour.seen(), Vec::<String>::new());
    });
}

#[test]
fn an_order_is_placed_through_a_node_that_takes_none() {
    run(|| async {
        let (has, has_not) = has_and_has_not(None, Settings::default()).await;
        let placed = has_not.post_order(&[("prefer", "wait=30"), ("idempotency-key", "k"), ("x-correlation-id", CORRELATION)]).await;
        assert_eq!((placed.status().as_u16(), placed.headers()["preference-applied"].to_str().unwrap()), (202, "wait=30"));
        assert_eq!(placed.headers()["x-correlation-id"], CORRELATION);
        let location = placed.headers()["location"].to_str().unwrap().to_owned();
        let (_, body) = json(placed).await;
        assert_eq!((&body["status"], &body["correlationId"]), (&json!("CONFIRMED"), &json!(CORRELATION)));
        assert_eq!(location, format!("/api/v1/orders/{}", body["orderId"].as_str().unwrap()));
        // The key is one key at all nodes.
        for node in [&has, &has_not] {
            let again = node.post_order(&[("idempotency-key", "k")]).await;
            assert_eq!(again.headers()["idempotency-replayed"], "true");
            assert_eq!(json(again).await.1["orderId"], body["orderId"]);
        }
        // Reads are answered where they are asked.
        let (status, whole) = json(has_not.get(&location).await).await;
        assert_eq!((status, &whole["status"]), (200, &json!("CONFIRMED")));
    });
}

#[test]
fn an_owner_that_is_not_there_takes_nothing_and_the_client_may_come_again() {
    run(|| async {
        let (has, has_not) = has_and_has_not(Some(&nowhere()), Settings::default()).await;
        let id = has.place().await;
        let cancel = has_not.post(&format!("/api/v1/orders/{id}/cancel"), &[]).await;
        assert_eq!(problem(cancel).await, (503, Some(id.0), true));
        assert_eq!(problem(has_not.post_order(&[]).await).await, (503, None, true));
        assert!(stored(has.handle(), id).await.record.facts.cancel.is_none());
        // What is stored can be read here too, also by who waits for it.
        let (status, body) = json(has_not.get(&format!("/api/v1/orders/{id}/status?wait=20s")).await).await;
        assert_eq!((status, &body["settled"], &body["status"]), (200, &json!(true), &json!("CONFIRMED")));
        let ship = has.post(&format!("/api/v1/orders/{id}/ship"), &[]).await;
        assert_eq!(ship.status(), 202);
        let events = has_not.get(&format!("/api/v1/orders/{id}/events")).await.text().await.unwrap();
        assert!(events.contains("event: OrderShipped") && events.ends_with("event: end\ndata: {}\n\n"), "{events}");
    });
}

#[test]
fn an_answer_that_is_lost_says_which_order_to_ask_for_and_nothing_is_sent_twice() {
    run(|| async {
        let mut impatient = Settings::default();
        impatient.cluster.forward_limit_ms = 100;
        for (does, settings) in [(Does::HangUp, Settings::default()), (Does::Nothing, impatient)] {
            let neighbour = Neighbour::new(does).await;
            let (has, has_not) = has_and_has_not(Some(&neighbour.url), settings).await;
            let id = has.place().await;
            let cancel = has_not.post(&format!("/api/v1/orders/{id}/cancel"), &[]).await;
            assert_eq!(problem(cancel).await, (504, Some(id.0), true));
            assert_eq!(neighbour.seen().len(), 1, "{:?}", neighbour.seen());
            let (status, promised, _) = problem(has_not.post_order(&[("idempotency-key", "k")]).await).await;
            let promised = promised.expect("the order to ask for");
            assert_eq!(status, 504);
            let seen = neighbour.seen();
            assert_eq!(seen.len(), 2, "{seen:?}");
            let sent = seen.last().unwrap();
            assert!(sent.contains(&format!("ordermill-promised-id: {promised} ")) && sent.contains("idempotency-key: k\r\n"), "{sent}");
            assert!(sent.ends_with(&order(1).to_string()), "{sent}");
            // The very request places that order when it does arrive.
            let header = sent.lines().find_map(|line| line.strip_prefix("ordermill-promised-id: ")).unwrap();
            let placed = has.post_order(&[("ordermill-promised-id", header), ("ordermill-forwarded", "has-not")]).await;
            assert_eq!(json(placed).await.1["orderId"], json!(promised));
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_lost_too() {
    run(|| async {
        let neighbour = Neighbour::new(Does::Answer("HTTP/1.1 202 Accepted\r\ncontent-length: 50\r\n\r\n{\"or".to_owned())).await;
        neighbour.say("");
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), Settings::default()).await;
        let id = has.place().await;
        assert_eq!(problem(has_not.post(&format!("/api/v1/orders/{id}/cancel"), &[]).await).await, (504, Some(id.0), true));
    });
}

#[test]
fn what_another_node_has_sent_on_is_not_sent_on_again() {
    run(|| async {
        let neighbour = Neighbour::new(Does::HangUp).await;
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), Settings::default()).await;
        let id = has.place().await;
        let mark = [("ordermill-forwarded", "another")];
        assert_eq!(problem(has_not.post(&format!("/api/v1/orders/{id}/cancel"), &mark).await).await, (503, Some(id.0), true));
        assert_eq!(problem(has_not.post_order(&mark).await).await, (503, None, true));
        let status = has_not.send(Method::GET, &format!("/api/v1/orders/{id}/status?wait=20s"), &mark, "").await;
        assert_eq!(status.status(), 200, "read here");
        assert_eq!(neighbour.seen(), Vec::<String>::new());
    });
}

#[test]
fn a_node_that_has_just_started_does_not_say_that_no_node_takes_orders() {
    run(|| async {
        let shared = Shared::new(1);
        let has = shared.start("has", Settings::default()).await;
        until("it has the shard", || async { has.owns(Role::Order) == 1 }).await;
        put_stock(&has).await;
        shared.cannot_be_read(true);
        let mut hasty = Settings::default();
        hasty.order.request_limit_ms = 100;
        let fresh = shared.start("hasty", hasty).await;
        let (status, body) = json(fresh.post_order(&[]).await).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(status == 503 && detail.contains("has just started and does not know yet"), "{status}: {detail}");
        // One with more time waits until it knows.
        let fresh = shared.start("patient", Settings::default()).await;
        let learns = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            shared.cannot_be_read(false);
        };
        let (placed, ()) = tokio::join!(fresh.post_order(&[]), learns);
        assert_eq!(placed.status(), 202);
    });
}

#[test]
fn nobody_but_a_node_can_promise_an_id() {
    run(|| async {
        let (has, _) = has_and_has_not(None, Settings { access: keys(), ..Settings::default() }).await;
        let id = has.place().await;
        let proof = "0".repeat(64);
        let (operator, forged) = (bearer(OPERATOR_KEY), format!("{id} {proof}"));
        for promise in [forged.as_str(), &id.to_string(), "x y", ""] {
            let refused = has.post_order(&[("authorization", &operator), ("ordermill-promised-id", promise)]).await;
            assert_eq!(problem(refused).await, (503, None, true), "{promise}");
        }
        assert_eq!(
            json(has.send(Method::GET, "/api/v1/orders", &[("authorization", &operator)], "").await).await.1["items"][1],
            json!(null)
        );
    });
}

/// A writer's row that a login of the database has made up, with all shards of `shared`.
async fn made_up(shared: &Shared, url: &str) {
    let mut store = shared.store();
    let new = NewWriter::of_all_roles("made-up", url, 600_000);
    let state = store.start_writer(&new).await.unwrap();
    let take = Write::TakeShards { roles: Role::ALL.to_vec(), shards: Shards::new(1).unwrap().all().collect() };
    let batch = Batch { writer: state.writer, commits: 0, last_seq: 0, writes: vec![take] };
    let taken = store.commit(&batch).await.unwrap();
    assert!(matches!(&taken.outcomes[0], Outcome::Taken(markers) if markers.len() == Role::ALL.len()), "{taken:?}");
}

#[test]
fn an_address_that_a_login_of_the_database_has_made_up_is_sent_nothing() {
    run(|| async {
        let listener = Neighbour::new(Does::HangUp).await;
        let shared = Shared::new(1);
        made_up(&shared, &listener.url).await;
        let settings = Settings { access: keys(), ..with_roles(&[Role::Order]) };
        let node = shared.start("a", settings).await;
        until("the node knows the row", || async { node.handle().cluster().writers.len() == 2 }).await;
        let (operator, admin) = (bearer(OPERATOR_KEY), bearer(ADMIN_KEY));
        let headers = [("authorization", operator.as_str())];
        assert_eq!(problem(node.post_order(&headers).await).await, (503, None, true));
        let id = Uuid::from_u128(5);
        for path in [format!("/api/v1/orders/{id}/cancel"), "/api/v1/products/import".to_owned()] {
            assert_eq!(node.post(&path, &[("authorization", &admin)]).await.status(), 503, "{path}");
        }
        for path in [format!("/api/v1/orders/{id}/status?wait=1s"), "/api/v1/products".to_owned(), "/api/v1/analytics/dashboard".to_owned()]
        {
            let status = node.send(Method::GET, &path, &headers, "").await.status();
            assert!(status == 404 || status == 503, "{path}: {status}");
        }
        assert_eq!(listener.seen(), Vec::<String>::new(), "no request and no key");
    });
}

#[test]
fn a_live_stream_is_passed_on_piece_by_piece() {
    run(|| async {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
        let neighbour = Neighbour::new(Does::Answer(head.to_owned())).await;
        let mut settings = Settings { access: keys(), ..Settings::default() };
        settings.server.max_streams = 1;
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), settings).await;
        let id = has.place().await;
        let path = format!("/api/v1/orders/{id}/events");
        let customer = bearer(CUSTOMER_KEY);
        let headers = [("authorization", customer.as_str()), ("last-event-id", "1"), ("x-correlation-id", CORRELATION)];
        let mut stream = has_not.send(Method::GET, &path, &headers, "").await;
        assert_eq!((stream.status().as_u16(), stream.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
        for piece in ["data: 1\n\n", "data: 2\n\n"] {
            neighbour.say(&format!("{:x}\r\n{piece}\r\n", piece.len()));
            // Nothing more is sent before this has come.
            assert_eq!(stream.chunk().await.unwrap().unwrap(), piece);
        }
        let other = has_not.send(Method::GET, &path, &headers, "").await;
        assert_eq!(problem(other).await, (503, None, true), "streams that are passed on are counted too");
        neighbour.say("0\r\n\r\n");
        assert_eq!(stream.chunk().await.unwrap(), None);
        let sent = neighbour.seen().first().unwrap().clone();
        assert!(!sent.contains(crate::app::CUSTOMER_KEY), "the key stays here: {sent}");
        for header in ["last-event-id: 1".into(), format!("x-correlation-id: {CORRELATION}"), "ordermill-forwarded: node-1".into()] {
            assert!(sent.contains(&format!("\r\n{header}\r\n")), "{header} in {sent}");
        }
        assert!(sent.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{sent}");
        let other = has_not.send(Method::GET, &path, &[("authorization", &bearer(crate::app::OTHER_KEY))], "").await;
        assert_eq!(other.status(), 404, "another customer's order");
    });
}

#[test]
fn who_waits_is_answered_by_the_owner() {
    run(|| async {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"from\":\"far\"}";
        let neighbour = Neighbour::new(Does::Answer(answer.to_owned())).await;
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), Settings::default()).await;
        let id = has.place().await;
        let path = format!("/api/v1/orders/{id}/status?wait=30s");
        assert_eq!(has_not.get(&path).await.text().await.unwrap().trim_end(), "{\"from\":\"far\"}");
        assert!(neighbour.seen()[0].starts_with(&format!("GET {path} HTTP/1.1\r\n")));
    });
}

#[test]
fn a_node_sends_what_is_another_roles_to_a_node_that_hosts_it() {
    run(|| async {
        let shared = Shared::new(4);
        let orders = shared.start("orders", with_roles(&[Role::Order])).await;
        let stock = shared.start("stock", with_roles(&[Role::Inventory, Role::Analytics])).await;
        agree(Role::Order, &[&orders, &stock], &[4, 0]).await;
        agree(Role::Inventory, &[&orders, &stock], &[0, 4]).await;
        let path = format!("/api/v1/products/{}", Uuid::from_u128(7));
        let body = json!({"name": "bolt", "price": "0.50", "availableQuantity": 7}).to_string();
        let put = orders.send(Method::PUT, &path, &[("content-type", "application/json")], body).await;
        assert_eq!(json(put).await.1["availableQuantity"], json!(7));
        assert_eq!(json(orders.get(&path).await).await.1["name"], json!("bolt"));
        let rows: String = (10..6_000).map(|n| format!("{},p{n},1.00,5\n", Uuid::from_u128(n))).collect();
        let csv = format!("productId,name,price,availableQuantity\n{rows}");
        assert!(csv.len() > Settings::default().server.body_limit_bytes, "longer than a JSON body may be");
        let imported = orders.send(Method::POST, "/api/v1/products/import", &[("content-type", "text/csv")], csv).await;
        assert_eq!(json(imported).await.1["imported"], json!(5_990));
        assert_eq!(orders.get("/api/v1/analytics/dashboard").await.status(), 200);
        // And the other way: whatever is an order's.
        let placed = stock.post_order(&[]).await;
        assert_eq!(placed.status(), 202);
        let (_, body) = json(placed).await;
        let id = body["orderId"].as_str().unwrap();
        assert_eq!(json(stock.get(&format!("/api/v1/orders/{id}")).await).await.1["orderId"], body["orderId"]);
        assert_eq!(json(stock.get("/api/v1/orders").await).await.1["items"][0]["orderId"], body["orderId"]);
        assert_eq!(stock.post(&format!("/api/v1/orders/{id}/cancel"), &[]).await.status(), 202);
        assert_eq!(stock.get("/api/v1/orders/nonsense").await.status(), 400);
        stock.stop().await;
        let gone = orders.get("/api/v1/products").await;
        assert_eq!(problem(gone).await, (503, None, true));
    });
}

#[test]
fn a_node_without_a_shard_is_not_ready_and_each_tells_who_there_is() {
    run(|| async {
        let (has, has_not) = has_and_has_not(None, Settings::default()).await;
        assert_eq!(has.get("/health/ready").await.status(), 200);
        let (status, body) = json(has_not.get("/health/ready").await).await;
        assert_eq!((status, &body["reasons"]), (503, &json!(["shards: none is this node's yet"])));
        let (_, health) = json(has_not.get("/health").await).await;
        let cluster = &health["components"]["cluster"];
        assert_eq!(cluster["status"], json!("DOWN"));
        assert!(cluster["detail"].as_str().unwrap().starts_with("nodes: 2; of 1 shards here: order 0, "), "{cluster}");
        let (_, view) = json(has_not.get("/api/v1/admin/cluster").await).await;
        assert_eq!((&view["shards"], &view["freeShards"]), (&json!(1), &json!(0)));
        let row = |name: &str| view["writers"].as_array().unwrap().iter().find(|row| row["node"] == name).unwrap().clone();
        assert_eq!((&row("has")["owns"][0], &row("has-not")["owns"]), (&json!({"role": "order", "shards": [0]}), &json!([])));
        assert_eq!(row("has")["roles"], json!(["order", "inventory", "payment", "notification", "analytics"]));
        assert!(row("has")["leaseLeftMs"].as_i64().unwrap() > 500_000, "{view}");
    });
}

#[test]
fn another_teams_role_is_nobodys_here() {
    run(|| async {
        let mut settings = with_roles(&[Role::Order, Role::Payment, Role::Notification, Role::Analytics]);
        settings.cluster.external_roles = vec![Role::Inventory];
        let node = Shared::new(1).start("a", settings).await;
        let answer = node.get("/api/v1/products").await;
        let (status, body) = json(answer).await;
        assert_eq!((status, &body["detail"]), (404, &json!("the inventory role is run by another team")));
    });
}

/// A letter about a notice of an order.
async fn notice_letter(node: &Node, id: OrderId) -> DeadLetter {
    let shard = Shards::new(1).unwrap().of(id);
    let step = format!("{}/{}", NoticeKind::Confirmation.name(), Channel::Email.name());
    let letter = DeadLetter::about(id, shard, DeadLetterKind::Notice, 1, Role::Notification, &step, Timestamp(1));
    let added = node.handle().write(Write::AddLetter(letter.clone()), LIMIT).await;
    assert!(matches!(added, Ok(Some(Outcome::Done))), "{added:?}");
    letter
}

#[test]
fn what_is_decided_at_the_desk_is_done_by_the_orders_owner() {
    run(|| async {
        let settings = Settings { access: keys(), ..Settings::default() };
        let (has, has_not) = has_and_has_not(None, settings).await;
        let admin = bearer(ADMIN_KEY);
        let headers = [("authorization", admin.as_str()), ("content-type", "application/json")];
        let letter = notice_letter(&has, has.place().await).await;
        let path = format!("/api/v1/admin/dlq/{}", letter.id.0);
        let (status, body) = json(has_not.send(Method::POST, &path, &headers, r#"{"action":"reprocess","note":"n"}"#).await).await;
        assert_eq!((status, &body["state"]), (200, &json!("REPROCESSED")), "{body}");
        assert_eq!((&body["audit"][0]["by"], &body["audit"][0]["note"]), (&json!("root"), &json!("n")));
        let letters = [notice_letter(&has, has.place().await).await, notice_letter(&has, has.place().await).await];
        let all = r#"{"action":"reprocess","filter":{},"perSecond":100}"#;
        let (_, body) = json(has_not.send(Method::POST, "/api/v1/admin/dlq", &headers, all).await).await;
        assert_eq!((&body["matched"], &body["done"], &body["failed"]), (&json!(2), &json!(2), &json!([])), "{body}");
        for letter in letters {
            let state = has.handle().reads().letter(letter.id).await.unwrap().unwrap().state;
            assert_eq!(state, DeadLetterState::Reprocessed);
        }
    });
}

#[test]
fn what_the_desk_asks_of_an_owner_is_asked_of_the_owner() {
    run(|| async {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let neighbour = Neighbour::new(Does::Answer(answer.to_owned())).await;
        let (has, has_not) = has_and_has_not(Some(&neighbour.url), Settings::default()).await;
        let letter = notice_letter(&has, has.place().await).await;
        let path = format!("/api/v1/admin/dlq/{}", letter.id.0);
        let headers = [("content-type", "application/json")];
        for (path, body) in
            [(path.as_str(), r#"{"action":"reprocess"}"#), ("/api/v1/admin/dlq", r#"{"action":"reprocess","filter":{},"note":"n"}"#)]
        {
            neighbour.say("");
            assert_eq!(has_not.send(Method::POST, path, &headers, body).await.status(), 200);
        }
        let seen = neighbour.seen();
        assert!(seen.iter().all(|sent| sent.starts_with(&format!("POST {path} HTTP/1.1\r\n"))), "{seen:?}");
        let bodies: Vec<&str> = seen.iter().map(|sent| sent.split_once("\r\n\r\n").unwrap().1).collect();
        assert_eq!(bodies, [r#"{"action":"reprocess"}"#, r#"{"action":"reprocess","note":"n"}"#]);
        // What asks nothing of the owner is done here.
        let (status, body) = json(has_not.send(Method::POST, &path, &headers, r#"{"action":"discard"}"#).await).await;
        assert_eq!((status, &body["state"], neighbour.seen().len()), (200, &json!("DISCARDED"), 2));
    });
}
