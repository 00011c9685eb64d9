//! Requests that break a rule: each is refused with a problem that names what is broken.

use crate::app::{Answer, TestApp, app, order};
use crate::support::run;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::http::routes::ROUTES;
use serde_json::{Value, json};
use uuid::Uuid;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn check_problem(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.at("/status"), answer.status.to_string(), "{what}");
    assert_eq!(answer.header("x-correlation-id").map(str::to_owned), Some(answer.at("/correlationId")), "{what}");
    for field in ["/type", "/title", "/detail", "/instance"] {
        assert!(!answer.at(field).is_empty(), "{what}: no {field} in {}", answer.text);
    }
}

async fn check_fields<S>(app: &TestApp<S>, body: &str, want: &[&str])
where
    S: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    let answer = app.post_order(body).await;
    check_problem(&answer, body);
    assert_eq!((answer.status, answer.at("/type").as_str()), (400, "/problems/invalid-request"), "{body}");
    assert_eq!(answer.fields(), want, "{body}");
}

/// An order with one part replaced.
fn with(pointer: &str, value: Value) -> String {
    let mut order = order(1);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    order.pointer_mut(parent).unwrap()[name] = value;
    order.to_string()
}

#[test]
fn a_parameter_that_no_operation_knows_is_named_by_each() {
    run(|| async {
        let app = app(Settings::default()).await;
        for route in ROUTES.iter().filter(|route| route.path.starts_with("/api/")) {
            let id = Uuid::from_u128(1).to_string();
            let path = route.path.replace("{id}", &id).replace("{name}", "payment").replace("{turn}", "trial");
            let headers: &[_] = if path.ends_with("/import") { &[("content-type", "text/csv")] } else { JSON };
            let answer = app.send(route.method.clone(), &format!("{path}?nonsense=1"), headers, b"{}").await;
            check_problem(&answer, &path);
            assert_eq!((answer.status, answer.fields()), (400, vec!["query /nonsense is not a known parameter".to_owned()]), "{path}");
        }
    });
}

#[test]
fn every_broken_field_of_an_order_is_named() {
    run(|| async {
        let app = app(Settings::default()).await;
        let uuid = "must be a UUID such as \"0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f\"";
        check_fields(&app, "{}", &["body /customerId is required", "body /items is required"]).await;
        check_fields(
            &app,
            r#"{"customerId":7,"items":[{"productId":"x","quantity":0,"price":"1.999","note":1},7,{}],"foo/~":{"a":[]},"paymentMethod":""}"#,
            &[
                "body /foo~1~0 is not a known field",
                "body /customerId must be a string",
                "body /items/0/note is not a known field",
                &format!("body /items/0/productId {uuid}"),
                "body /items/0/quantity must be 1 to 10000",
                "body /items/0/price has more than 2 decimal places",
                "body /items/1 must be an object",
                "body /items/2/productId is required",
                "body /items/2/quantity is required",
                "body /items/2/price is required",
                "body /paymentMethod is empty",
            ],
        )
        .await;
        let id = Uuid::from_u128(1);
        let item = json!({"productId": id, "quantity": 1, "price": "1.00"});
        let cases: &[(String, &[&str])] = &[
            ("[]".to_owned(), &["body  must be an object"]),
            ("null".to_owned(), &["body  must be an object"]),
            (with("/customerId", json!(null)), &["body /customerId is required"]),
            (with("/customerId", json!("00000000000000000000000000000001")), &[&format!("body /customerId {uuid}")]),
            (with("/items", json!([])), &["body /items must have 1 to 1000 items, not 0"]),
            (with("/items", json!({})), &["body /items must be a list"]),
            (with("/items", json!([item, item])), &["body /items/1/productId repeats a product of an earlier item"]),
            (with("/items/0/quantity", json!(10_001)), &["body /items/0/quantity must be 1 to 10000"]),
            (with("/items/0/quantity", json!(-1)), &["body /items/0/quantity must be 1 to 10000"]),
            (with("/items/0/quantity", json!(1.5)), &["body /items/0/quantity must be a whole number"]),
            (with("/items/0/quantity", json!("1")), &["body /items/0/quantity must be a whole number"]),
            (with("/items/0/price", json!(0)), &["body /items/0/price must be more than 0"]),
            (with("/items/0/price", json!("-1")), &["body /items/0/price is negative"]),
            (with("/items/0/price", json!(true)), &["body /items/0/price is not a decimal number such as \"19.99\""]),
            (with("/items/0/price", json!("1,5")), &["body /items/0/price is not a decimal number such as \"19.99\""]),
            (
                with("/contact", json!({"email": "a b@c", "phone": "call me", "locale": "?"})),
                &[
                    BAD_LOCAL,
                    "body /contact/phone must be a telephone number such as \"+49 30 123456\"",
                    "body /contact/locale must be a language tag such as \"de-CH\"",
                ],
            ),
            (with("/contact", json!({"email": "a@b\r\nBcc: c@d"})), &["body /contact/email contains a control character"]),
            (
                with("/shippingAddress", json!({"city": "a\u{0}b", "zip": "1"})),
                &["body /shippingAddress/zip is not a known field", "body /shippingAddress/city contains a control character"],
            ),
            (with("/paymentMethod", json!("x".repeat(51))), &["body /paymentMethod is longer than 50 characters"]),
        ];
        for (body, want) in cases {
            check_fields(&app, body, want).await;
        }
        let raw_price = |price: &str| order(1).to_string().replace("\"10.00\"", price);
        check_fields(&app, &raw_price("1e30"), &["body /items/0/price is more than 99999999.99"]).await;
        check_fields(&app, &raw_price("1e-30"), &["body /items/0/price has more than 2 decimal places"]).await;
        check_fields(&app, &raw_price(r#""\ud800""#), &["body /items/0/price is not valid Unicode text"]).await;
        let twice = order(1).to_string().replacen('{', r#"{"customerId":null,"#, 1);
        check_fields(&app, &twice, &["body /customerId appears more than once"]).await;
        let many: Vec<Value> = (0..1001).map(|n| json!({"productId": Uuid::from_u128(n), "quantity": 1, "price": 1})).collect();
        check_fields(&app, &with("/items", json!(many)), &["body /items must have 1 to 1000 items, not 1001"]).await;
        let dear: Vec<Value> = (0..2).map(|n| json!({"productId": Uuid::from_u128(n), "quantity": 10_000, "price": 9999.99})).collect();
        check_fields(&app, &with("/items", json!(dear)), &["body /items total is more than 99999999.99"]).await;
    });
}

#[test]
fn more_broken_fields_than_an_answer_holds_are_counted() {
    run(|| async {
        let app = app(Settings::default()).await;
        let items: Vec<Value> = (0..1000).map(|_| json!({})).collect();
        let answer = app.post_order(&with("/items", json!(items))).await;
        check_problem(&answer, "3,000 broken fields");
        assert_eq!(answer.fields().len(), 100);
        assert_eq!(answer.at("/detail"), "3000 fields are invalid; the first 100 are listed");
    });
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    run(|| async {
        let app = app(Settings::default()).await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let bodies: &[&[u8]] = &[
            b"",
            b"{",
            b"{\"a\":}",
            b"{}x",
            b"{'a':1}",
            b"\xff\xfe",
            b"{\"customerId\":\"\xc3\x28\"}",
            b"nul",
            b"{\"a\":1,}",
            b"{1:2}",
            b"\x00",
            b"{\"a\":\"\x00\"}",
            &deep.as_bytes()[..100_001],
        ];
        for body in bodies {
            let shown = String::from_utf8_lossy(body).chars().take(40).collect::<String>();
            let answer = app.send(Method::POST, "/api/v1/orders", JSON, body).await;
            check_problem(&answer, &shown);
            assert_eq!((answer.status, answer.at("/type").as_str()), (400, "/problems/malformed-body"), "{shown}");
        }
        // Nested 100,000 deep, as the body and as an unknown field: no stack is used up.
        check_fields(&app, &deep, &["body  must be an object"]).await;
        let nested = order(1).to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
        check_fields(&app, &nested, &["body /x is not a known field"]).await;
        let items = order(1).to_string().replace("\"10.00\"", &deep[..]);
        check_fields(&app, &items, &["body /items/0/price is not a decimal number such as \"19.99\""]).await;
    });
}

#[test]
fn routes_methods_types_and_ids_are_checked() {
    run(|| async {
        let app = app(Settings::default()).await;
        let id = Uuid::from_u128(9);
        type Case = (Method, &'static str, &'static [(&'static str, &'static str)], &'static str, u16, &'static str);
        let cases: &[Case] = &[
            (Method::GET, "/nothing", &[], "", 404, "/problems/no-such-route"),
            (Method::GET, "/api/v1/orders/", &[], "", 404, "/problems/no-such-route"),
            (Method::GET, "/api/v1/orders/a/b/c", &[], "", 404, "/problems/no-such-route"),
            (Method::DELETE, "/api/v1/orders", &[], "", 405, "/problems/method-not-allowed"),
            (Method::POST, "/health", &[], "", 405, "/problems/method-not-allowed"),
            (Method::OPTIONS, "/api/v1/orders", &[], "", 405, "/problems/method-not-allowed"),
            (Method::POST, "/api/v1/orders", &[], "{}", 415, "/problems/unsupported-media-type"),
            (Method::POST, "/api/v1/orders", &[("content-type", "text/plain")], "{}", 415, "/problems/unsupported-media-type"),
            (
                Method::POST,
                "/api/v1/orders",
                &[("content-type", "application/json"), ("content-encoding", "gzip")],
                "{}",
                415,
                "/problems/unsupported-media-type",
            ),
            (Method::GET, "/api/v1/orders/x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders/x/status", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders/x/events", &[], "", 400, "/problems/invalid-request"),
            (Method::POST, "/api/v1/orders/x/cancel", &[], "", 400, "/problems/invalid-request"),
            (Method::POST, "/api/v1/orders/x/ship", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/products/x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/admin/dlq/x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?limit=0", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?limit=201", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?limit=x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?cursor=x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?status=NEW", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?from=yesterday", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/orders?page=2", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/products?cursor=x", &[], "", 400, "/problems/invalid-request"),
            (Method::GET, "/api/v1/admin/dlq?state=x&kind=y", &[], "", 400, "/problems/invalid-request"),
            (Method::POST, "/api/v1/admin/dlq", JSON, "{\"action\":\"reprocess\"}", 400, "/problems/invalid-request"),
            (Method::PUT, "/api/v1/admin/log-level", JSON, "{\"filter\":\"!\"}", 400, "/problems/invalid-request"),
            (Method::POST, "/api/v1/products/import", JSON, "{}", 415, "/problems/unsupported-media-type"),
            (Method::POST, "/api/v1/products/import", &[("content-type", "text/csv")], "a,b\n1,2\n", 400, "/problems/invalid-request"),
            (Method::GET, "/problems/none", &[], "", 404, "/problems/not-found"),
            (Method::GET, "/assets/none", &[], "", 404, "/problems/not-found"),
            (Method::GET, "/docs/none", &[], "", 404, "/problems/not-found"),
            (Method::GET, "/metrics", &[], "", 404, "/problems/not-found"),
        ];
        for (method, uri, headers, body, status, kind) in cases {
            let answer = app.send(method.clone(), uri, headers, body.as_bytes()).await;
            check_problem(&answer, uri);
            assert_eq!((answer.status, answer.at("/type").as_str()), (*status, *kind), "{method} {uri}: {}", answer.text);
        }
        for uri in ["", "/status", "/events"].map(|part| format!("/api/v1/orders/{id}{part}")) {
            assert_eq!(app.get(&uri).await.status, 404, "{uri}");
        }
        assert_eq!(app.get(&format!("/api/v1/orders/{id}/status?wait=30s")).await.status, 404);
        assert_eq!(
            app.get(&format!("/api/v1/orders/{id}/status?wait=soon")).await.fields(),
            ["query /wait must be a time such as 30s or 500ms"]
        );
        for command in ["cancel", "ship"] {
            let answer = app.send(Method::POST, &format!("/api/v1/orders/{id}/{command}"), &[], b"").await;
            assert_eq!((answer.status, answer.at("/orderId")), (404, id.to_string()), "{command}");
        }
        assert_eq!(app.send(Method::DELETE, "/api/v1/orders", &[], b"").await.header("allow"), Some("POST, GET, HEAD"));
        assert_eq!(
            app.send(Method::DELETE, &format!("/api/v1/products/{id}"), &[], b"").await.header("allow"),
            Some("GET, HEAD, PUT, PATCH")
        );
    });
}

#[test]
fn long_bodies_are_refused_and_the_longest_is_taken() {
    run(|| async {
        let app = app(Settings::default()).await;
        let limit = Settings::default().server.body_limit_bytes;
        let fill = |length: usize| {
            let text = order(1).to_string();
            format!("{}{}", " ".repeat(length - text.len()), text)
        };
        let answer = app.post_order(&fill(limit + 1)).await;
        check_problem(&answer, "one byte too many");
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
        assert_eq!(app.post_order(&fill(limit)).await.status, 202);
    });
}

#[test]
fn a_correlation_id_is_taken_made_or_replaced() {
    run(|| async {
        let app = app(Settings::default()).await;
        let id = Uuid::from_u128(5).to_string();
        let send = async |value: &str| {
            let headers = [("content-type", "application/json"), ("x-correlation-id", value)];
            app.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string().as_bytes()).await
        };
        let answer = send(&id).await;
        assert_eq!((answer.header("x-correlation-id"), answer.at("/correlationId")), (Some(id.as_str()), id.clone()));
        let answer = send("not a uuid").await;
        assert!(answer.header("x-correlation-id").is_some_and(|made| made != id && Uuid::try_parse(made).is_ok()));
        let stored = app.get(&answer.at("/links/self")).await;
        assert_eq!(stored.at("/correlationId"), answer.header("x-correlation-id").unwrap());
    });
}

const BAD_LOCAL: &str = "body /contact/email must be an email address: the part before the \"@\" has a dot at an end, two dots in a row, a \
                         forbidden character or more than 64 bytes";

/// The mailer judges by the same function.
#[test]
fn an_email_address_that_no_server_takes_is_refused_with_the_reason() {
    run(|| async {
        let app = app(Settings::default()).await;
        let item = json!({"productId": Uuid::from_u128(1), "quantity": 1, "price": "1.00"});
        let with = |email: &str| json!({"customerId": Uuid::from_u128(2), "items": [item], "contact": {"email": email}}).to_string();
        let no_domain =
            "body /contact/email must be an email address: the part after the \"@\" is not a domain name such as \"example.org\"";
        for (email, problem) in [("a..b@example.org", BAD_LOCAL), (".a@example.org", BAD_LOCAL), ("a@example..org", no_domain)] {
            check_fields(&app, &with(email), &[problem]).await;
        }
    });
}
