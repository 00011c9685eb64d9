//! What pages are told: who asks, what needs attention, what an order waits for, and one stream of all that changes.

use crate::app::{CUSTOMER, CUSTOMER_KEY, OPERATOR_KEY, OTHER_KEY, app, keys, order};
use crate::desk::fail_notices;
use crate::neighbours::Unreadable;
use crate::support::{put_product, run, until};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::config::providers::Behaviour;
use ordermill::http::Health;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The events of a stream: id, name, data.
fn events(text: &str) -> Vec<(String, String, Value)> {
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned();
        (field("id"), field("event"), serde_json::from_str(&field("data")).unwrap_or(Value::Null))
    };
    text.split("\n\n").map(event).filter(|(_, name, _)| !name.is_empty()).collect()
}

fn names(text: &str) -> Vec<String> {
    events(text).into_iter().map(|(_, name, _)| name).collect()
}

/// Streams end after this time.
fn short() -> Settings {
    let mut settings = Settings::default();
    settings.server.stream_limit_ms = 1_500;
    settings
}

#[test]
fn a_stream_tells_what_has_changed_and_nothing_twice() {
    run(|| async {
        let app = app(short()).await;
        put_product(app.handle(), 1, 1000, 100).await;
        let id = app.post_order(&order(1).to_string()).await.at("/orderId");
        until("it is settled", async || app.get(&format!("/api/v1/orders/{id}")).await.at("/settled") == "true").await;
        let uri = format!("/api/v1/live?topics=attention,orders,order&orderId={id}");
        let first = app.get(&uri).await;
        assert_eq!(first.header("content-type"), Some("text/event-stream"));
        assert_eq!(names(&first.text), ["elsewhere", "attention", "orders", "order"], "{}", first.text);
        let told = events(&first.text);
        assert_eq!(told[1].2, json!({"items": []}), "all is well");
        assert_eq!((told[2].2["items"][0]["orderId"].as_str(), told[3].2["orderId"].as_str()), (Some(id.as_str()), Some(id.as_str())));

        let last = told[3].0.clone();
        let resumed = async || app.send(Method::GET, &uri, &[("last-event-id", &last)], b"").await.text;
        assert_eq!(names(&resumed().await), ["elsewhere"], "what was seen is not sent again");
        assert_eq!(app.json(Method::POST, &format!("/api/v1/orders/{id}/cancel"), &json!({})).await.status, 202);
        until("it is cancelled", async || app.get(&format!("/api/v1/orders/{id}")).await.at("/settled") == "true").await;
        let text = resumed().await;
        assert_eq!(names(&text), ["elsewhere", "orders", "order"], "what has changed meanwhile is: {text}");
        assert_eq!(events(&text)[2].2["status"], "CANCELLED");
    });
}

#[test]
fn a_page_is_told_what_its_key_may_see() {
    run(|| async {
        let app = app(Settings { access: keys(), ..short() }).await;
        put_product(app.handle(), 1, 1000, 100).await;
        let headers = [("content-type", "application/json"), ("authorization", &format!("Bearer {OPERATOR_KEY}"))];
        let id = app.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string().as_bytes()).await.at("/orderId");
        let who = app.get_as(CUSTOMER_KEY, "/api/v1/whoami").await;
        assert_eq!((who.at("/name"), who.at("/role"), who.at("/hasKeys")), ("alice".to_owned(), "customer".to_owned(), "true".to_owned()));
        assert_eq!(who.at("/customerId"), Uuid::from_u128(CUSTOMER).to_string());
        assert_eq!(app.get_as(OPERATOR_KEY, "/api/v1/whoami").await.at("/role"), "operator");
        assert_eq!(app.get("/api/v1/whoami").await.status, 401);

        let own = app.get_as(CUSTOMER_KEY, "/api/v1/live?topics=orders").await;
        assert_eq!(events(&own.text)[1].2["items"][0]["orderId"], json!(id));
        let others = app.get_as(OTHER_KEY, "/api/v1/live?topics=orders").await;
        assert_eq!(events(&others.text)[1].2["items"], json!([]), "another customer's orders are not in it");
        let of_all = format!("/api/v1/live?topics=orders&customerId={}", Uuid::from_u128(CUSTOMER));
        let cases = [
            (OTHER_KEY, of_all.as_str(), 403),
            (OTHER_KEY, &format!("/api/v1/live?topics=order&orderId={id}"), 404),
            (CUSTOMER_KEY, "/api/v1/live?topics=attention", 403),
            (CUSTOMER_KEY, "/api/v1/live?topics=orders,dashboard", 403),
            (OPERATOR_KEY, "/api/v1/live?topics=secrets", 400),
            (CUSTOMER_KEY, "/api/v1/admin/attention", 403),
        ];
        for (key, uri, status) in cases {
            assert_eq!(app.get_as(key, uri).await.status, status, "{uri}");
        }
    });
}

#[test]
fn attention_names_what_waits_for_a_person() {
    run(|| async {
        let app = app(Settings::default()).await;
        assert_eq!(app.get("/api/v1/admin/attention").await.body, json!({"items": []}));
        app.behave(Behaviour { error_rate: 1.0, ..Default::default() });
        fail_notices(&app, 3).await;
        let items = async || app.get("/api/v1/admin/attention").await.body["items"].as_array().unwrap().clone();
        let parked = |items: &[Value]| items.iter().find(|item| item["kind"] == "parked-orders").map(|item| item["count"].clone());
        until("the parked orders are told", async || parked(&items().await) == Some(json!(3))).await;
        assert_eq!(app.json(Method::POST, "/api/v1/admin/breakers/sms/open", &json!({})).await.status, 200);
        let all = items().await;
        let breaker = all.iter().find(|item| item["kind"] == "breaker" && item["detail"].as_str().unwrap().starts_with("sms: ")).unwrap();
        assert_eq!(breaker["level"], "ERROR");

        let groups = app.get("/api/v1/admin/dlq/groups").await;
        assert!(
            groups.at("/groups/0/newest") >= groups.at("/groups/0/oldest") && !groups.at("/groups/0/newest").is_empty(),
            "{}",
            groups.text
        );
        for (step, matched) in [(groups.at("/groups/0/step"), "3"), ("another".to_owned(), "0")] {
            let bulk = json!({"action": "discard", "filter": {"step": step}, "dryRun": true});
            assert_eq!(app.json(Method::POST, "/api/v1/admin/dlq", &bulk).await.at("/matched"), matched, "{step}");
            let listed = app.get(&format!("/api/v1/admin/dlq?step={step}")).await;
            assert_eq!(listed.body["items"].as_array().unwrap().len().to_string(), matched, "{step}");
        }
    });
}

#[test]
fn attention_does_not_say_that_all_is_well_when_it_cannot_know() {
    run(|| async {
        let app = app(short()).await;
        let told = async || {
            let answer = app.get("/api/v1/admin/attention").await;
            let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone();
            items.iter().map(|item| format!("{} {} {}", item["level"], item["kind"], item["detail"]).replace('"', "")).collect::<Vec<_>>()
        };
        *app.operations.trouble.lock().unwrap() = Some((Health::Degraded, "slow".to_owned()));
        assert_eq!(told().await, ["WARNING component database: slow"]);
        *app.operations.trouble.lock().unwrap() = Some((Health::Down, "gone".to_owned()));
        app.world.database.set_faults(Some(Arc::new(Unreadable)));
        until("what was read is old", async || told().await.len() == 2).await;
        let items = told().await;
        assert_eq!(items[0], "ERROR component database: gone");
        assert!(items[1].starts_with("ERROR component database: it cannot be read: "), "{items:?}");
        let stream = events(&app.get("/api/v1/live?topics=attention").await.text);
        assert_eq!(stream[1].2["items"].as_array().map(Vec::len), Some(2), "{stream:?}");
        app.world.database.set_faults(None);
        *app.operations.trouble.lock().unwrap() = None;
        until("all is well", async || told().await.is_empty()).await;
    });
}

#[test]
fn only_operators_are_told_a_providers_words() {
    run(|| async {
        let mut settings = Settings { access: keys(), ..Settings::default() };
        settings.server.stream_limit_ms = 1_500;
        let app = app(settings).await;
        app.behave(Behaviour { error_rate: 1.0, ..Default::default() });
        let headers = [("content-type", "application/json"), ("authorization", &format!("Bearer {OPERATOR_KEY}"))];
        let id = app.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string().as_bytes()).await.at("/orderId");
        let uri = format!("/api/v1/orders/{id}");
        until("a try has failed", async || !app.get_as(OPERATOR_KEY, &uri).await.at("/owes/0/lastError").is_empty()).await;
        let shown = app.get_as(CUSTOMER_KEY, &uri).await;
        assert_eq!((shown.at("/owes/0/answer"), shown.at("/owes/0/lastError")), ("CHARGE".to_owned(), String::new()), "{}", shown.text);
        let stream = app.get_as(CUSTOMER_KEY, &format!("/api/v1/live?topics=order&orderId={id}")).await;
        assert_eq!(names(&stream.text)[..2], ["elsewhere", "order"]);
        assert!(!stream.text.contains("lastError"), "{}", stream.text);
    });
}

#[test]
fn an_order_tells_what_it_is_owed() {
    run(|| async {
        let app = app(Settings::default()).await;
        put_product(app.handle(), 1, 1000, 100).await;
        assert_eq!(app.json(Method::POST, "/api/v1/admin/breakers/payment/open", &json!({})).await.status, 200);
        let id = app.post_order(&order(1).to_string()).await.at("/orderId");
        let uri = format!("/api/v1/orders/{id}");
        until("it waits for its payment", async || app.get(&uri).await.at("/status") == "INVENTORY_RESERVED").await;
        let waiting = app.get(&uri).await;
        assert_eq!(
            (waiting.at("/owes/0/role"), waiting.at("/owes/0/answer")),
            ("payment".to_owned(), "CHARGE".to_owned()),
            "{}",
            waiting.text
        );
        assert_eq!((waiting.at("/owes/0/external"), waiting.at("/owes/1")), ("false".to_owned(), String::new()));
        assert_eq!(app.json(Method::POST, "/api/v1/admin/breakers/payment/close", &json!({})).await.status, 200);
        until("it is settled", async || app.get(&uri).await.at("/settled") == "true").await;
        assert_eq!(app.get(&uri).await.body["owes"], json!([]));

        let (known, unknown) = (Uuid::from_u128(1), Uuid::from_u128(9));
        let products = app.get(&format!("/api/v1/products?ids={unknown},{known}")).await;
        assert_eq!((products.at("/items/0/productId"), products.at("/items/1")), (known.to_string(), String::new()), "{}", products.text);
        assert_eq!(app.get("/api/v1/products?ids=1").await.status, 400);
    });
}
