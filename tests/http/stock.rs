//! Products and their stock, as persons change them while orders take of it.

use crate::app::{ADMIN_KEY, Answer, app, keys, order};
use crate::support::run;
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::http::routes;
use serde_json::{Value, json};
use uuid::Uuid;

const JSON: (&str, &str) = ("content-type", "application/json");
const CSV: (&str, &str) = ("content-type", "text/csv");
const ONE: &str = "/api/v1/products/00000000-0000-0000-0000-000000000001";

/// Available, reserved.
fn counts(answer: &Answer) -> (String, String) {
    (answer.at("/availableQuantity"), answer.at("/reservedQuantity"))
}

fn pair(available: &str, reserved: &str) -> (String, String) {
    (available.to_owned(), reserved.to_owned())
}

#[test]
fn a_change_of_price_leaves_the_stock_that_orders_have_taken_of() {
    run(|| async {
        let app = app(Settings::default()).await;
        let read = app.get(ONE).await;
        let taken = app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], order(80).to_string().as_bytes()).await;
        assert_eq!(taken.at("/status"), "CONFIRMED");
        // Sent back as it was read, with another price.
        let mut body: Value = read.body.clone();
        body["price"] = json!("11.00");
        let put = app.json(Method::PUT, ONE, &body).await;
        assert_eq!((put.status, put.at("/price"), counts(&put)), (200, "11.00".to_owned(), pair("20", "80")));
        let csv = format!("productId,name,price,availableQuantity\n{},thing,12.00,100\n", Uuid::from_u128(1));
        let imported = app.send(Method::POST, "/api/v1/products/import", &[CSV], csv.as_bytes()).await;
        assert_eq!(imported.status, 200, "{}", imported.text);
        let patched = app.json(Method::PATCH, ONE, &json!({"name": "better thing"})).await;
        assert_eq!((patched.status, patched.at("/name"), patched.at("/price")), (200, "better thing".to_owned(), "12.00".to_owned()));
        assert_eq!(counts(&patched), pair("20", "80"));
        // Asked for, it is set; a count of the shelf takes off what is held.
        let put = app.json(Method::PUT, &format!("{ONE}?mode=set-stock"), &body).await;
        assert_eq!(counts(&put), pair("100", "80"));
        let counted = app.json(Method::PATCH, ONE, &json!({"countedQuantity": 90, "reason": "counted on Monday"})).await;
        assert_eq!(counts(&counted), pair("10", "80"));
        let imported = app.send(Method::POST, "/api/v1/products/import?mode=count", &[CSV], csv.as_bytes()).await;
        assert_eq!((imported.status, counts(&app.get(ONE).await)), (200, pair("20", "80")));
        let too_few = app.json(Method::PATCH, ONE, &json!({"countedQuantity": 79})).await;
        assert_eq!((too_few.status, too_few.at("/type").as_str()), (409, "/problems/conflict"), "{}", too_few.text);
    });
}

#[test]
fn a_change_of_what_was_read_before_is_refused() {
    run(|| async {
        let app = app(Settings::default()).await;
        let read = app.get(ONE).await;
        let etag = read.header("etag").unwrap().to_owned();
        let known = app.send(Method::GET, ONE, &[("if-none-match", &etag)], b"").await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        let change = |headers: Vec<(&'static str, String)>, body: Value| {
            let app = &app;
            async move {
                let mut all = vec![JSON];
                all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
                app.send(Method::PATCH, ONE, &all, body.to_string().as_bytes()).await
            }
        };
        let blind = change(vec![], json!({"availableQuantity": 5})).await;
        assert_eq!((blind.status, blind.at("/type").as_str()), (428, "/problems/precondition-required"));
        let first = change(vec![("if-match", etag.clone())], json!({"availableQuantity": 5})).await;
        assert_eq!((first.status, first.at("/availableQuantity")), (200, "5".to_owned()));
        assert_ne!(first.header("etag"), Some(etag.as_str()));
        let stale = change(vec![("if-match", etag.clone())], json!({"availableQuantity": 50})).await;
        assert_eq!((stale.status, stale.at("/type").as_str()), (412, "/problems/precondition-failed"));
        let put = app.send(Method::PUT, ONE, &[JSON, ("if-none-match", "*")], br#"{"name":"n","price":"1.00"}"#).await;
        assert_eq!(put.status, 412, "there is such a product");
        let corrected = app.send(Method::POST, &format!("{ONE}/stock"), &[JSON, ("if-match", &etag)], br#"{"delta":1,"reason":"r"}"#).await;
        assert_eq!((corrected.status, app.get(ONE).await.at("/availableQuantity")), (412, "5".to_owned()));
        let nothing = change(vec![], json!({})).await;
        assert_eq!(nothing.status, 400);

        let placed = app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], order(1).to_string().as_bytes()).await;
        let link = placed.at("/links/self");
        let etag = app.get(&link).await.header("etag").unwrap().to_owned();
        assert_eq!(app.send(Method::GET, &link, &[("if-none-match", &etag)], b"").await.status, 304);
        let shipped = app.send(Method::POST, &format!("{link}/ship"), &[("if-match", &etag)], b"").await;
        assert_eq!(shipped.status, 202);
        let stale = app.send(Method::POST, &format!("{link}/cancel"), &[("if-match", &etag)], b"").await;
        assert_eq!((stale.status, stale.at("/type").as_str()), (412, "/problems/precondition-failed"), "{}", stale.text);
    });
}

#[test]
fn every_post_that_changes_something_is_done_once_under_its_key() {
    run(|| async {
        let app = app(Settings { access: keys(), ..Settings::default() }).await;
        let root = format!("Bearer {ADMIN_KEY}");
        let post = |uri: String, media: &'static str, body: &'static str| {
            let (app, root) = (&app, &root);
            async move {
                let headers = [("content-type", media), ("idempotency-key", "once"), ("authorization", root)];
                let first = app.send(Method::POST, &uri, &headers, body.as_bytes()).await;
                let again = app.send(Method::POST, &uri, &headers, body.as_bytes()).await;
                assert_eq!((again.status, &again.text), (first.status, &first.text), "{uri}");
                assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")), "{uri}");
                let other = app.send(Method::POST, &uri, &headers, format!("{body} ").as_bytes()).await;
                (first, other)
            }
        };
        let (first, other) = post(format!("{ONE}/stock"), "application/json", r#"{"delta":5,"reason":"delivery"}"#).await;
        assert_eq!((first.status, first.at("/availableQuantity"), other.status), (200, "105".to_owned(), 422), "{}", other.text);
        let shown = app.get_as(ADMIN_KEY, ONE).await;
        assert_eq!(shown.at("/availableQuantity"), "105", "booked once");

        let csv = "id,name,price,availableQuantity\n00000000-0000-0000-0000-000000000001,thing,10.00,7\n";
        let (first, _) = post("/api/v1/products/import?mode=set-stock".to_owned(), "text/csv", csv).await;
        assert_eq!(first.at("/imported"), "1");

        let headers = [JSON, ("authorization", root.as_str()), ("prefer", "wait=30")];
        let place = |cents: &str| {
            let mut body = order(1);
            body["items"][0]["price"] = json!(cents);
            body.to_string()
        };
        let placed = app.send(Method::POST, "/api/v1/orders", &headers, place("10.00").as_bytes()).await;
        let link = placed.at("/links/self");
        let (shipped, _) = post(format!("{link}/ship"), "application/json", r#"{"carrier":"A","trackingNumber":"1"}"#).await;
        assert_eq!(shipped.status, 202);
        let placed = app.send(Method::POST, "/api/v1/orders", &headers, place("10.00").as_bytes()).await;
        let (cancelled, _) = post(placed.at("/links/cancel"), "application/json", "{}").await;
        assert_eq!(cancelled.status, 202);
        // Without its key it is too late by then.
        let settled = app.get_as(ADMIN_KEY, &format!("{}?wait=30s", placed.at("/links/status"))).await;
        assert_eq!(settled.at("/status"), "CANCELLED");
        let late = app.send(Method::POST, &placed.at("/links/cancel"), &headers, b"{}").await;
        assert_eq!(late.status, 409);

        let bulk = r#"{"action":"discard","filter":{}}"#;
        let (bulk, _) = post("/api/v1/admin/dlq".to_owned(), "application/json", bulk).await;
        assert_eq!(bulk.status, 200);

        let (turned, _) = post("/api/v1/admin/breakers/payment/trial".to_owned(), "application/json", "{}").await;
        assert_eq!(turned.status, 200);

        let tried = ["/api/v1/orders", "/api/v1/orders/{id}/cancel", "/api/v1/orders/{id}/ship", "/api/v1/products/import"];
        let tried = [
            &tried[..],
            &["/api/v1/products/{id}/stock", "/api/v1/admin/dlq", "/api/v1/admin/dlq/{id}", "/api/v1/admin/breakers/{name}/{turn}"],
        ]
        .concat();
        for entry in routes::ROUTES.iter().filter(|entry| entry.method == Method::POST) {
            assert!(tried.contains(&entry.path), "{} changes something: does it honour Idempotency-Key?", entry.path);
        }
    });
}

#[test]
fn a_discontinued_product_gets_no_new_order_and_a_cancel_does_not_put_it_on_sale() {
    run(|| async {
        let app = app(Settings::default()).await;
        let send = |body: Value| {
            let app = &app;
            async move { app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], body.to_string().as_bytes()).await }
        };
        let before = send(order(3)).await;
        let off = app.json(Method::PATCH, ONE, &json!({"discontinued": true, "reason": "recalled"})).await;
        assert_eq!((off.status, off.at("/discontinued"), counts(&off)), (200, "true".to_owned(), pair("97", "3")));
        let refused = send(order(1)).await;
        assert_eq!(refused.at("/status"), "CANCELLED");
        let whole = app.get(&refused.at("/links/self")).await;
        assert_eq!((whole.at("/reason").as_str(), whole.at("/shortages/0/reason").as_str()), ("discontinued", "discontinued"));
        // A put of name and price and a cancelled order leave it off sale.
        app.json(Method::PUT, ONE, &json!({"name": "thing", "price": "10.00"})).await;
        app.send(Method::POST, &before.at("/links/cancel"), &[], b"").await;
        let settled = app.get(&format!("{}?wait=30s", before.at("/links/status"))).await;
        assert_eq!(settled.at("/status"), "CANCELLED");
        assert_eq!(counts(&app.get(ONE).await), pair("100", "0"));
        assert_eq!(send(order(1)).await.at("/status"), "CANCELLED");
        app.json(Method::PATCH, ONE, &json!({"discontinued": false})).await;
        assert_eq!(send(order(1)).await.at("/status"), "CONFIRMED");
        let listed = app.get(&format!("/api/v1/products/corrections?productId={}", Uuid::from_u128(1))).await;
        let notes: Vec<&str> = listed.body["items"].as_array().unwrap().iter().map(|item| item["note"].as_str().unwrap()).collect();
        assert_eq!(notes, ["on sale again", "discontinued: recalled"]);
    });
}

#[test]
fn what_persons_did_to_the_stock_is_listed() {
    run(|| async {
        let app = app(Settings::default()).await;
        let two = format!("/api/v1/products/{}", Uuid::from_u128(2));
        app.json(Method::PUT, &two, &json!({"name": "cup", "price": "1.00", "availableQuantity": 3})).await;
        for (uri, delta) in [(ONE, 5), (ONE, -2), (two.as_str(), 1), (ONE, -1)] {
            let done = app.json(Method::POST, &format!("{uri}/stock"), &json!({"delta": delta, "reason": "found"})).await;
            assert_eq!(done.status, 200);
        }
        let refused = app.json(Method::POST, &format!("{ONE}/stock"), &json!({"delta": -1000, "reason": "lost"})).await;
        assert_eq!(refused.status, 409);
        let first = app.get("/api/v1/products/corrections?limit=3").await;
        let next = app.get(&format!("/api/v1/products/corrections?limit=3&cursor={}", first.at("/nextCursor"))).await;
        let notes = |page: &Answer| -> Vec<String> {
            page.body["items"].as_array().unwrap().iter().map(|item| item["note"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (notes(&first), notes(&next)),
            (vec!["-1: found".into(), "+1: found".into(), "-2: found".into()], vec!["+5: found".into()])
        );
        assert_eq!(next.body["nextCursor"], Value::Null);
        assert_eq!((first.at("/items/1/productId"), first.at("/items/1/by")), (Uuid::from_u128(2).to_string(), "local".to_owned()));
        let one = app.get(&format!("/api/v1/products/corrections?productId={}", Uuid::from_u128(2))).await;
        assert_eq!(notes(&one), ["+1: found"]);
    });
}

#[test]
fn goods_that_leave_a_second_way_are_never_dropped() {
    run(|| async {
        let app = app(Settings::default()).await;
        let placed = app.send(Method::POST, "/api/v1/orders", &[JSON, ("prefer", "wait=30")], order(1).to_string().as_bytes()).await;
        let ship = format!("{}/ship", placed.at("/links/self"));
        let first = json!({"carrier": "A", "trackingNumber": "1"});
        assert_eq!(app.json(Method::POST, &ship, &first).await.status, 202);
        assert_eq!(app.json(Method::POST, &ship, &first).await.status, 202, "said again");
        assert_eq!(app.send(Method::POST, &ship, &[], b"").await.status, 202, "says nothing else");
        let other = app.json(Method::POST, &ship, &json!({"carrier": "A", "trackingNumber": "2"})).await;
        assert_eq!((other.status, other.at("/type").as_str()), (409, "/problems/conflict"), "{}", other.text);
        assert_eq!(app.get(&placed.at("/links/self")).await.at("/shipment/trackingNumber"), "1");
    });
}

#[test]
fn an_import_is_checked_without_writing_and_a_body_may_begin_with_a_mark() {
    run(|| async {
        let app = app(Settings::default()).await;
        let csv = format!("\u{feff}Id;Name;Price\r\n\r\n{};cup;1,50\r\n", Uuid::from_u128(2));
        let checked = app.send(Method::POST, "/api/v1/products/import?dryRun=true", &[CSV], csv.as_bytes()).await;
        assert_eq!((checked.status, checked.at("/usable"), checked.at("/imported")), (200, "1".to_owned(), "0".to_owned()));
        let two = format!("/api/v1/products/{}", Uuid::from_u128(2));
        assert_eq!(app.get(&two).await.status, 404);
        assert_eq!(app.send(Method::POST, "/api/v1/products/import", &[CSV], csv.as_bytes()).await.at("/imported"), "1");
        let shown = app.get(&two).await;
        assert_eq!((shown.at("/price"), shown.at("/availableQuantity")), ("1.50".to_owned(), "0".to_owned()));
        let broken = app.send(Method::POST, "/api/v1/products/import", &[CSV], b"id,name,price\r\n\r\nx,n,1\r\n").await;
        assert!(broken.fields()[0].starts_with("body /3/productId must be a UUID"), "{:?}", broken.fields());
        let marked = app.post_order(&format!("\u{feff}{}", order(1))).await;
        assert_eq!(marked.status, 202, "{}", marked.text);
    });
}

/// One blocking thread, and that is held: a file waits for it, while the worker answers others.
#[test]
fn a_file_is_read_beside_the_worker() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    actix::System::with_tokio_rt(runtime).block_on(async {
        let app = app(Settings::default()).await;
        let (free, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv());
        let csv = format!("productId,name,price\n{},Mug,12.50\n", Uuid::from_u128(7));
        let uri = "/api/v1/products/import?dryRun=true";
        let mut import = std::pin::pin!(app.send(Method::POST, uri, &[("content-type", "text/csv")], csv.as_bytes()));
        for _ in 0..10 {
            tokio::select! {
                biased;
                answer = &mut import => panic!("it was read by the worker: {answer:?}"),
                live = app.get("/health/live") => assert_eq!(live.status, 200),
            }
        }
        drop(free);
        assert_eq!(import.await.at("/usable"), "1");
        assert!(holding.await.unwrap().is_err(), "its sender is gone");
    });
}
