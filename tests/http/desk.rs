//! The desk of dead letters and the administration.

use crate::app::{TestApp, app, order};
use crate::support::{put_product, run, until};
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::config::providers::Behaviour;
use serde_json::{Value, json};
use uuid::Uuid;

/// Places orders whose notices are given up.
pub async fn fail_notices<S>(app: &TestApp<S>, count: usize)
where
    S: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    put_product(app.handle(), 1, 1000, 100).await;
    for n in 0..count {
        let mut body = order(1);
        body["contact"] = json!({"email": format!("error-{n}@fail.example")});
        assert_eq!(app.post_order(&body.to_string()).await.status, 202);
    }
}

#[test]
fn the_administration_shows_the_node() {
    run(|| async {
        let app = app(Settings::default()).await;
        let breakers = app.get("/api/v1/admin/breakers").await;
        assert_eq!(breakers.at("/breakers/0/state"), "CLOSED", "{}", breakers.text);
        let actors = app.get("/api/v1/admin/actors").await;
        assert_eq!(actors.at("/openOrders"), "0", "{}", actors.text);
        let cluster = app.get("/api/v1/admin/cluster").await;
        assert_eq!((cluster.at("/shards"), cluster.at("/writers/0/alive")), ("24".to_owned(), "true".to_owned()), "{}", cluster.text);
        assert_eq!(cluster.body["writers"][0]["owns"][0]["shards"].as_array().map(Vec::len), Some(24), "{}", cluster.text);
        assert_eq!(cluster.body["writers"][0].get("unpublished"), None, "there is no Kafka: {}", cluster.text);
        assert!(cluster.text.ends_with("}\n"), "{}", cluster.text);
        let set = app.json(Method::PUT, "/api/v1/admin/log-level", &json!({"filter": "debug"})).await;
        assert_eq!((set.status, app.get("/api/v1/admin/log-level").await.at("/filter")), (200, "debug".to_owned()));
    });
}

#[test]
fn letters_are_listed_grouped_and_acted_on() {
    run(|| async {
        let app = app(Settings::default()).await;
        app.behave(Behaviour { error_rate: 1.0, ..Default::default() });
        fail_notices(&app, 3).await;
        let uri = "/api/v1/admin/dlq?state=OPEN&limit=2";
        until("letters are there", async || app.get("/api/v1/admin/dlq").await.body["items"].as_array().unwrap().len() == 3).await;
        let page = app.get(uri).await;
        let rest = app.get(&format!("{uri}&cursor={}", page.at("/nextCursor"))).await;
        assert_eq!((page.body["items"].as_array().unwrap().len(), rest.body["items"].as_array().unwrap().len()), (2, 1));
        let groups = app.get("/api/v1/admin/dlq/groups").await;
        assert_eq!(groups.at("/groups/0/count"), "3", "{}", groups.text);
        let bulk = json!({"action": "reprocess", "filter": {"cause": groups.at("/groups/0/cause")}, "dryRun": true});
        let dry = app.json(Method::POST, "/api/v1/admin/dlq", &bulk).await;
        assert_eq!((dry.at("/matched"), dry.at("/done")), ("3".to_owned(), "0".to_owned()), "{}", dry.text);
        app.behave(Behaviour::default());
        let one = format!("/api/v1/admin/dlq/{}", page.at("/items/0/letterId"));
        let acted = app.json(Method::POST, &one, &json!({"action": "reprocess", "note": "back again"})).await;
        assert_eq!(
            (acted.status, acted.at("/state"), acted.at("/audit/0/by")),
            (200, "REPROCESSED".into(), "local".into()),
            "{}",
            acted.text
        );
        assert_eq!(app.json(Method::POST, &one, &json!({"action": "skip"})).await.status, 409);
        let bulk = json!({"action": "reprocess", "filter": {}, "perSecond": 2});
        let done = app.json(Method::POST, "/api/v1/admin/dlq", &bulk).await;
        assert_eq!((done.at("/matched"), done.at("/done")), ("2".to_owned(), "2".to_owned()), "{}", done.text);
        assert_eq!(app.get("/api/v1/admin/dlq?state=OPEN").await.body["items"], json!([]));
        let missing = format!("/api/v1/admin/dlq/{}", Uuid::from_u128(3));
        assert_eq!(app.json(Method::POST, &missing, &json!({"action": "skip"})).await.status, 404);
    });
}

#[test]
fn a_breaker_is_turned_by_hand_and_whatever_waits_for_it_says_so() {
    run(|| async {
        let app = app(Settings::default()).await;
        assert_eq!(app.get("/health").await.at("/status"), "UP");
        let turn = |name: &str| format!("/api/v1/admin/breakers/{name}");
        let opened = app.json(Method::POST, &turn("payment/open"), &json!({"note": "their maintenance"})).await;
        assert_eq!(
            (opened.status, opened.at("/breakers/0/state"), opened.at("/breakers/0/openedByHand")),
            (200, "OPEN".into(), "true".into())
        );
        let health = app.get("/health").await;
        assert_eq!(
            (health.status, health.at("/status"), health.at("/components/payment/status")),
            (200, "DEGRADED".into(), "DEGRADED".into())
        );
        let placed = app.post_order(&order(1).to_string()).await;
        let uri = format!("/api/v1/orders/{}", placed.at("/orderId"));
        let waits = "the payment provider: circuit breaker opened manually, until somebody closes it";
        until("the order says what it waits for", async || app.get(&uri).await.at("/waitsFor") == waits).await;
        assert_eq!(app.get(&format!("{uri}/status")).await.at("/waitsFor"), waits);
        until("so does the list", async || app.get("/api/v1/orders").await.at("/items/0/waitsFor") == waits).await;
        let closed = app.json(Method::POST, &turn("payment/close"), &json!({})).await;
        assert_eq!((closed.status, closed.at("/breakers/0/state")), (200, "CLOSED".into()), "{}", closed.text);
        until("it is confirmed", async || app.get(&uri).await.at("/status") == "CONFIRMED").await;
        let shown = app.get(&uri).await;
        assert_eq!(shown.at("/waitsFor"), "", "{}", shown.text);
        for unknown in ["payment/shut", "bank/close"] {
            assert_eq!(app.json(Method::POST, &turn(unknown), &json!({})).await.status, 404, "{unknown}");
        }
    });
}

#[test]
fn done_by_hand_needs_a_note_and_is_audited() {
    run(|| async {
        let app = app(Settings::default()).await;
        put_product(app.handle(), 5, 1005, 100).await;
        let body = json!({"customerId": Uuid::from_u128(1), "items": [{"productId": Uuid::from_u128(5), "quantity": 1, "price": "10.05"}]});
        let placed = app.post_order(&body.to_string()).await;
        until("a letter is there", async || app.get("/api/v1/admin/dlq").await.body["items"].as_array().unwrap().len() == 1).await;
        let letter = format!("/api/v1/admin/dlq/{}", app.get("/api/v1/admin/dlq").await.at("/items/0/letterId"));
        let bare = app.json(Method::POST, &letter, &json!({"action": "done"})).await;
        assert_eq!((bare.status, bare.fields()), (400, vec!["body /note is required: say what was done, and where".to_owned()]));
        let wrong = app.json(Method::POST, &letter, &json!({"action": "skip", "override": true})).await;
        assert_eq!((wrong.status, wrong.fields()), (400, vec!["body /override is allowed only with done".to_owned()]));
        app.behave(Behaviour { error_rate: 1.0, ..Default::default() });
        let unasked = app.json(Method::POST, &letter, &json!({"action": "done", "note": "paid at the counter"})).await;
        assert_eq!(unasked.status, 409, "{}", unasked.text);
        assert!(unasked.at("/detail").contains("cannot be asked"), "{}", unasked.text);
        app.behave(Behaviour::default());
        let done = app.json(Method::POST, &letter, &json!({"action": "done", "note": "paid at the counter"})).await;
        let told = done.body["audit"].as_array().unwrap().last().unwrap()["note"].as_str();
        assert_eq!((done.status, done.at("/state"), told), (200, "DONE".into(), Some("paid at the counter")), "{}", done.text);
        let uri = format!("/api/v1/orders/{}", placed.at("/orderId"));
        until("it is confirmed", async || app.get(&uri).await.at("/status") == "CONFIRMED").await;
    });
}

/// A node may die between what it did and keeping the answer; here the first request keeps none.
#[test]
fn a_decision_is_answered_again_under_its_key_although_its_answer_was_not_kept() {
    run(|| async {
        let app = app(Settings::default()).await;
        put_product(app.handle(), 5, 1005, 100).await;
        let body = json!({"customerId": Uuid::from_u128(1), "items": [{"productId": Uuid::from_u128(5), "quantity": 1, "price": "10.05"}]});
        app.post_order(&body.to_string()).await;
        until("a letter is there", async || app.get("/api/v1/admin/dlq").await.body["items"].as_array().unwrap().len() == 1).await;
        let letter = format!("/api/v1/admin/dlq/{}", app.get("/api/v1/admin/dlq").await.at("/items/0/letterId"));
        let decide = async |key: Option<&str>, body: &Value| {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(key.map(|key| ("idempotency-key", key)));
            app.send(Method::POST, &letter, &headers, body.to_string().as_bytes()).await
        };
        let decision = json!({"action": "done", "note": "paid at the counter"});
        let first = decide(None, &decision).await;
        assert_eq!((first.status, first.at("/state")), (200, "DONE".to_owned()), "{}", first.text);
        for (number, replayed) in [None, Some("true")].into_iter().enumerate() {
            let again = decide(Some("one"), &decision).await;
            assert_eq!((again.status, &again.text), (200, &first.text), "{number}");
            assert_eq!(again.header("idempotency-replayed"), replayed);
        }
        assert_eq!(decide(None, &decision).await.status, 409, "without its key it is a new request");
        for other in [json!({"action": "done", "note": "given back"}), json!({"action": "skip", "note": "paid at the counter"})] {
            assert_eq!(decide(Some("two"), &other).await.status, 409, "nobody has decided that: {other}");
        }
    });
}

/// The same of a shipment, whose order may have failed meanwhile.
#[test]
fn a_shipment_is_answered_again_under_its_key_although_its_answer_was_not_kept() {
    run(|| async {
        let app = app(Settings::default()).await;
        put_product(app.handle(), 6, 1001, 100).await;
        app.behave(Behaviour { latency_ms: 500, ..Default::default() });
        let body = json!({"customerId": Uuid::from_u128(1), "items": [{"productId": Uuid::from_u128(6), "quantity": 1, "price": "10.01"}]});
        let link = app.post_order(&body.to_string()).await.at("/links/self");
        let ship = async |key: Option<&str>, body: &Value| {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(key.map(|key| ("idempotency-key", key)));
            app.send(Method::POST, &format!("{link}/ship"), &headers, body.to_string().as_bytes()).await
        };
        let shipment = json!({"carrier": "A", "trackingNumber": "1"});
        assert_eq!(ship(None, &shipment).await.status, 202);
        until("its payment has failed", async || app.get(&link).await.at("/status") == "PAYMENT_FAILED").await;
        assert_eq!(ship(None, &shipment).await.status, 409, "without its key it is a new request");
        let again = ship(Some("one"), &shipment).await;
        assert_eq!((again.status, again.at("/status")), (202, "PAYMENT_FAILED".to_owned()), "{}", again.text);
        assert_eq!(ship(Some("two"), &json!({"carrier": "B"})).await.status, 409, "nobody has shipped it so");
    });
}
