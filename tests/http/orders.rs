//! Orders as their clients see them.

use crate::app::{app, order};
use crate::support::{run, until};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::config::providers::Behaviour;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn an_order_is_accepted_followed_and_shown_whole() {
    run(|| async {
        let app = app(Settings::default()).await;
        let mut body = order(2);
        body["contact"] = json!({"email": "a@example.com", "phone": "+49 30 123456"});
        body["shippingAddress"] = json!({"name": "A", "postalCode": "1"});
        body["items"][0]["price"] = json!(10);
        let placed = app.post_order(&body.to_string()).await;
        assert_eq!((placed.status, placed.at("/status").as_str(), placed.at("/totalAmount").as_str()), (202, "PENDING", "20.00"));
        assert_eq!(placed.header("location"), Some(placed.at("/links/self").as_str()));
        let status = app.get(&format!("{}?wait=30s", placed.at("/links/status"))).await;
        assert_eq!((status.status, status.at("/status").as_str(), status.at("/settled").as_str()), (200, "CONFIRMED", "true"));
        let whole = app.get(&placed.at("/links/self")).await;
        assert_eq!(whole.at("/orderId"), placed.at("/orderId"));
        assert_eq!(whole.body["items"], json!([{"productId": Uuid::from_u128(1), "quantity": 2, "price": "10.00"}]));
        assert_eq!((whole.at("/payment/status"), whole.at("/payment/amount")), ("CHARGED".to_owned(), "20.00".to_owned()));
        assert_eq!(whole.at("/reservations/0/status"), "RESERVED");
        assert_eq!(whole.at("/shippingAddress/postalCode"), "1");
        let notices: Vec<String> = (0..2).map(|n| whole.at(&format!("/notifications/{n}/status"))).collect();
        assert_eq!(notices, ["SENT", "SENT"]);
        let history = whole.body["history"].as_array().unwrap();
        assert_eq!(history[0]["event"], "OrderCreated");
        assert!(history.iter().any(|entry| entry["status"] == "CONFIRMED"), "{history:?}");
        let shipped = app.json(Method::POST, &format!("{}/ship", placed.at("/links/self")), &json!({"carrier": "X"})).await;
        assert_eq!((shipped.status, shipped.at("/status").as_str()), (202, "SHIPPED"));
        let cancelled = app.send(Method::POST, &placed.at("/links/cancel"), &[], b"").await;
        assert_eq!((cancelled.status, cancelled.at("/type").as_str()), (409, "/problems/conflict"));
        let status = app.get(&format!("{}?wait=30", placed.at("/links/status"))).await;
        assert_eq!(status.at("/settled"), "true");
        let whole = app.get(&placed.at("/links/self")).await;
        assert_eq!((whole.at("/shipment/carrier"), whole.at("/reservations/0/status")), ("X".to_owned(), "SHIPPED".to_owned()));
    });
}

#[test]
fn an_order_that_cannot_be_had_says_why() {
    run(|| async {
        let app = app(Settings::default()).await;
        let answer = app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], order(101).to_string().as_bytes()).await;
        assert_eq!(
            (answer.status, answer.at("/status").as_str(), answer.header("preference-applied")),
            (202, "CANCELLED", Some("wait=30"))
        );
        let status = app.get(&answer.at("/links/status")).await;
        assert_eq!(status.at("/reason"), "out-of-stock");
        let whole = app.get(&answer.at("/links/self")).await;
        assert_eq!(
            whole.body["shortages"],
            json!([
                {"productId": Uuid::from_u128(1), "reason": "out-of-stock", "requested": 101, "available": 100}
            ])
        );
    });
}

#[test]
fn a_key_gives_its_first_answer_again() {
    run(|| async {
        let app = app(Settings::default()).await;
        let send = async |key: &str, body: &Value| {
            app.send(Method::POST, "/api/v1/orders", &[JSON, ("idempotency-key", key)], body.to_string().as_bytes()).await
        };
        let first = send("\"abc\"", &order(1)).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
        // Quoted or bare, spelled in another way: the same.
        let mut respelled = order(1);
        respelled["items"][0]["price"] = json!(10.0);
        respelled["paymentMethod"] = json!("CARD");
        let again = send("abc", &respelled).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
        assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
        let other = send("abc", &order(2)).await;
        assert_eq!((other.status, other.at("/type").as_str()), (422, "/problems/idempotency-key-reused"));
        assert_ne!(send("abd", &order(1)).await.at("/orderId"), first.at("/orderId"));
        let bad = send(&"x".repeat(256), &json!({})).await;
        assert_eq!(bad.fields().last().unwrap(), "header /Idempotency-Key is longer than 255 characters");
        assert_eq!(bad.fields().len(), 3);
    });
}

#[test]
fn a_wait_ends_with_the_order_or_at_its_limit() {
    run(|| async {
        let mut settings = Settings::default();
        settings.server.wait_limit_ms = 2_000;
        settings.server.max_waiting = 1;
        let app = app(settings).await;
        // The payment's stand-in is so slow that nothing is settled in time.
        app.behave(Behaviour { latency_ms: 4_000, ..Default::default() });
        let placed = app.post_order(&order(1).to_string()).await;
        let status = placed.at("/links/status");
        let began = Instant::now();
        let answer = app.get(&format!("{status}?wait=500ms")).await;
        assert_eq!((answer.at("/settled").as_str(), began.elapsed() >= Duration::from_millis(500)), ("false", true));
        let began = Instant::now();
        let (first, second) =
            futures_util::future::join(app.get(&format!("{status}?wait=60s")), app.get(&format!("{status}?wait=60s"))).await;
        assert_eq!((first.status, second.status, second.header("retry-after")), (200, 503, Some("1")));
        assert!(began.elapsed() < Duration::from_secs(3), "cut to the limit: {:?}", began.elapsed());
    });
}

#[test]
fn pages_are_stable_under_inserts() {
    run(|| async {
        let app = app(Settings::default()).await;
        let mut placed = Vec::new();
        for _ in 0..5 {
            placed.push(app.post_order(&order(1).to_string()).await.at("/orderId"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        placed.reverse();
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let page = app.get(&format!("/api/v1/orders?limit=2{next}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            seen.extend(page.body["items"].as_array().unwrap().iter().map(|item| item["orderId"].as_str().unwrap().to_owned()));
            // What comes in meanwhile stands before the first page.
            app.post_order(&order(1).to_string()).await;
            match page.body["nextCursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen, placed);
        for (query, wanted) in [("from=2020-01-01", true), ("to=2020-01-01", false), ("from=2000w", true), ("from=2000w&to=1999w", false)] {
            let page = app.get(&format!("/api/v1/orders?{query}")).await;
            assert_eq!(!page.body["items"].as_array().unwrap().is_empty(), wanted, "{query}: {}", page.text);
        }
        let wrong = app.get("/api/v1/orders?from=soon").await;
        assert!(wrong.status == 400 && wrong.text.contains("2026-01-31 (UTC)"), "{}", wrong.text);
        let filtered = app.get("/api/v1/orders?status=SHIPPED").await;
        assert_eq!(filtered.body, json!({"items": [], "nextCursor": null}));
    });
}

#[test]
fn events_are_told_from_the_first_or_from_the_last_seen() {
    run(|| async {
        let app = app(Settings::default()).await;
        let placed = app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], order(101).to_string().as_bytes()).await;
        assert_eq!(placed.at("/status"), "CANCELLED");
        let events = placed.at("/links/events");
        let all = app.get(&events).await;
        assert_eq!(all.header("content-type"), Some("text/event-stream"));
        assert!(all.text.starts_with("retry: 2000\n\nid: 0\nevent: OrderCreated\ndata: {"), "{}", all.text);
        assert!(all.text.ends_with("event: end\ndata: {}\n\n"), "{}", all.text);
        let last = all.text.matches("id: ").count() - 1;
        let rest = app.send(Method::GET, &events, &[("last-event-id", "0")], b"").await;
        assert!(!rest.text.contains("OrderCreated") && rest.text.contains("id: 1\n"), "{}", rest.text);
        let none = app.send(Method::GET, &events, &[("last-event-id", &last.to_string())], b"").await;
        assert_eq!(none.status, 204, "a browser stops asking");
    });
}

#[test]
fn a_live_stream_goes_on_until_the_node_stops() {
    run(|| async {
        let app = app(Settings::default()).await;
        let placed = app.post_order(&order(1).to_string()).await;
        let state = app.state.clone();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            state.drain();
        };
        let (all, ()) = futures_util::future::join(app.get(&placed.at("/links/events")), stop).await;
        assert!(all.text.contains("event: OrderConfirmed"), "{}", all.text);
        assert_eq!(all.text.matches(": still here").count(), 2, "a heartbeat every 15 s: {}", all.text);
    });
}

/// The cancel was stored, and the node died before it could keep the answer: the repeat is answered as the first would have been.
#[test]
fn a_cancel_whose_answer_was_not_kept_is_answered_again() {
    run(|| async {
        let app = app(Settings::default()).await;
        let placed = app.post_order(&order(1).to_string()).await;
        let uri = format!("{}/cancel", placed.at("/links/self"));
        let status = placed.at("/links/status");
        let cancel = async |key: &str, seen: &str| {
            let headers = [("idempotency-key", key), ("if-match", seen)];
            app.send(Method::POST, &uri, &headers[..if seen.is_empty() { 1 } else { 2 }], b"").await
        };
        let seen = app.get(&placed.at("/links/self")).await.header("etag").unwrap().to_owned();
        assert_eq!(app.send(Method::POST, &uri, &[], b"").await.status, 202);
        until("it is cancelled", async || app.get(&status).await.at("/status") == "CANCELLED").await;
        assert_eq!(app.send(Method::POST, &uri, &[], b"").await.status, 409, "who has no key is told that it is too late");
        for (key, seen) in [("one", ""), ("two", seen.as_str())] {
            let again = cancel(key, seen).await;
            assert_eq!((again.status, again.at("/status").as_str()), (202, "CANCELLED"), "{}", again.text);
            assert_eq!(cancel(key, seen).await.header("idempotency-replayed"), Some("true"));
        }
    });
}
