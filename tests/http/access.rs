//! Who may do what: every route with every role.

use crate::app::{ADMIN_KEY, CUSTOMER, CUSTOMER_KEY, OPERATOR_KEY, OTHER_KEY, app, keys, order};
use crate::support::run;
use actix_web::http::Method;
use ordermill::config::{AccessRole, Settings};
use ordermill::http::Need;
use ordermill::http::routes::ROUTES;
use serde_json::json;
use uuid::Uuid;

fn with_keys() -> Settings {
    let mut settings = Settings { access: keys(), ..Settings::default() };
    settings.server.open_metrics = false;
    settings
}

#[test]
fn every_route_asks_for_its_role() {
    run(|| async {
        let app = app(with_keys()).await;
        let senders = [
            (None, None),
            (Some("Bearer unknown-key-0123456"), None),
            (Some(CUSTOMER_KEY), Some(AccessRole::Customer)),
            (Some(OPERATOR_KEY), Some(AccessRole::Operator)),
            (Some(ADMIN_KEY), Some(AccessRole::Admin)),
        ];
        for route in ROUTES {
            // No route is let through by its content here: an id that is none, no body.
            let uri = route.path.replace("{id}", "x").replace("{file:.*}", "x").replace("{file}", "x").replace("{kind}", "x");
            for (key, role) in senders {
                let headers = key.map(|key| format!("Bearer {key}"));
                let headers: Vec<_> = headers.iter().map(|value| ("authorization", value.as_str())).collect();
                let status = app.send(route.method.clone(), &uri, &headers, b"").await.status;
                let needed = match route.need {
                    Need::Nothing => None,
                    Need::Metrics => Some(AccessRole::Operator),
                    Need::Role(role) => Some(role),
                };
                let want = match (needed, role) {
                    (None, _) => None,
                    (Some(_), None) => Some(401),
                    (Some(needed), Some(role)) if role < needed => Some(403),
                    (Some(_), Some(_)) => None,
                };
                match want {
                    Some(want) => assert_eq!(status, want, "{} {uri} as {role:?}", route.method),
                    None => assert!(status != 401 && status != 403, "{} {uri} as {role:?}: {status}", route.method),
                }
            }
        }
    });
}

#[test]
fn a_customers_key_sees_its_own_orders_only() {
    run(|| async {
        let app = app(with_keys()).await;
        let post = async |key: &str| {
            let headers = [("content-type", "application/json"), ("authorization", &format!("Bearer {key}"))];
            app.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string().as_bytes()).await
        };
        assert_eq!(post(OTHER_KEY).await.status, 403, "an order for another customer");
        let placed = post(CUSTOMER_KEY).await;
        assert_eq!(placed.status, 202);
        let whole = placed.at("/links/self");
        for (part, method) in [
            ("", Method::GET),
            ("/status", Method::GET),
            ("/status?wait=1s", Method::GET),
            ("/events", Method::GET),
            ("/cancel", Method::POST),
        ] {
            let uri = format!("{whole}{part}");
            let answer = app.send(method, &uri, &[("authorization", &format!("Bearer {OTHER_KEY}"))], b"").await;
            assert_eq!((answer.status, answer.at("/type").as_str()), (404, "/problems/not-found"), "{uri}");
        }
        let count = async |key: &str, query: &str| {
            let answer = app.get_as(key, &format!("/api/v1/orders{query}")).await;
            (answer.status, answer.body["items"].as_array().map_or(0, Vec::len))
        };
        let own = format!("?customerId={}", Uuid::from_u128(CUSTOMER));
        assert_eq!(count(CUSTOMER_KEY, "").await, (200, 1));
        assert_eq!(count(CUSTOMER_KEY, &own).await, (200, 1));
        assert_eq!(count(OTHER_KEY, "").await, (200, 0));
        assert_eq!(count(OTHER_KEY, &own).await.0, 403);
        assert_eq!(count(OPERATOR_KEY, "").await, (200, 1));
        let headers = [("authorization", &*format!("Bearer {CUSTOMER_KEY}"))];
        assert_eq!(app.send(Method::POST, &format!("{whole}/cancel"), &headers, b"").await.status, 202);
    });
}

#[test]
fn an_operators_key_works_dead_letters_and_breakers_and_sets_no_log_level() {
    run(|| async {
        let app = app(with_keys()).await;
        for path in ["dlq", "dlq/groups", "breakers", "cluster", "actors", "log-level"] {
            let uri = format!("/api/v1/admin/{path}");
            assert_eq!(app.get_as(OPERATOR_KEY, &uri).await.status, 200, "{uri}");
            assert_eq!(app.get_as(CUSTOMER_KEY, &uri).await.status, 403, "{uri}");
        }
        let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {OPERATOR_KEY}"))];
        let letter = format!("/api/v1/admin/dlq/{}", Uuid::from_u128(1));
        assert_eq!(app.send(Method::POST, &letter, &headers, b"{\"action\":\"skip\"}").await.status, 404, "there is no such letter");
        for turn in ["open", "trial", "close"] {
            let uri = format!("/api/v1/admin/breakers/payment/{turn}");
            assert_eq!(app.send(Method::POST, &uri, &headers, b"{}").await.status, 200, "{turn}");
            let customer = [headers[0], ("authorization", &*format!("Bearer {CUSTOMER_KEY}"))];
            assert_eq!(app.send(Method::POST, &uri, &customer, b"{}").await.status, 403, "{turn}");
        }
        let set = app.send(Method::PUT, "/api/v1/admin/log-level", &headers, b"{\"filter\":\"debug\"}").await;
        assert_eq!(set.status, 403);
    });
}

#[test]
fn an_idempotency_key_belongs_to_its_holder() {
    run(|| async {
        let app = app(with_keys()).await;
        let post = async |key: &str| {
            let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {key}")), ("idempotency-key", "one")];
            app.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string().as_bytes()).await.at("/orderId")
        };
        assert_eq!(post(CUSTOMER_KEY).await, post(CUSTOMER_KEY).await);
        assert_ne!(post(CUSTOMER_KEY).await, post(OPERATOR_KEY).await);
    });
}

#[test]
fn without_keys_a_page_of_another_site_can_do_nothing() {
    run(|| async {
        let app = app(Settings::default()).await;
        for headers in [[("host", "evil.example")], [("origin", "https://evil.example")]] {
            for (method, uri) in [(Method::GET, "/api/v1/orders"), (Method::POST, "/api/v1/orders"), (Method::GET, "/metrics")] {
                let answer = app.send(method, uri, &headers, json!({}).to_string().as_bytes()).await;
                assert_eq!((answer.status, answer.at("/type").as_str()), (403, "/problems/forbidden"), "{uri} {headers:?}");
            }
        }
    });
}
