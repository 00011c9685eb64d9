//! The node's own answers: health, documents, pages, products.

use crate::app::{app, order};
use crate::support::{run, until};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::config::providers::Behaviour;
use ordermill::http::routes::ROUTES;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn health_is_told_by_parts() {
    run(|| async {
        let app = app(Settings::default()).await;
        let health = app.get("/health").await;
        assert_eq!(
            (health.status, health.at("/status"), health.at("/components/database/status")),
            (200, "UP".into(), "UP".into()),
            "{}",
            health.text
        );
        assert_eq!(health.at("/components/payment/status"), "UP", "{}", health.text);
        let detail = "nodes: 1; of 24 shards here: order 24, inventory 24, payment 24, notification 24, analytics 24";
        assert_eq!((health.at("/components/cluster/status").as_str(), health.at("/components/cluster/detail").as_str()), ("UP", detail));
        for uri in ["/health/live", "/health/ready", "/livez", "/readyz"] {
            assert_eq!(app.get(uri).await.status, 200, "{uri}");
        }
        app.state.drain();
        let ready = app.get("/health/ready").await;
        assert_eq!((ready.status, ready.at("/reasons/0")), (503, "the node is stopping".to_owned()));
        assert_eq!(app.get("/health/live").await.status, 200);
        let info = app.get("/info").await;
        assert_eq!((info.at("/node"), info.at("/version")), ("node-1".to_owned(), "0.0.0".to_owned()));
    });
}

#[test]
fn products_are_put_changed_listed_and_imported() {
    run(|| async {
        let app = app(Settings::default()).await;
        let uri = format!("/api/v1/products/{}", Uuid::from_u128(2));
        let put = app.json(Method::PUT, &uri, &json!({"name": "bolt", "price": 0.5, "availableQuantity": 7})).await;
        assert_eq!((put.status, put.at("/price"), put.at("/availableQuantity")), (200, "0.50".to_owned(), "7".to_owned()));
        let change = async |delta: i64| app.json(Method::POST, &format!("{uri}/stock"), &json!({"delta": delta, "reason": "count"})).await;
        assert_eq!(change(-7).await.at("/availableQuantity"), "0");
        let refused = change(-1).await;
        assert_eq!((refused.status, refused.at("/detail")), (409, "only 0 are available".to_owned()));
        assert_eq!(change(0).await.fields(), ["body /delta must be a 32-bit whole number other than 0"]);
        let unknown = format!("/api/v1/products/{}/stock", Uuid::from_u128(99));
        assert_eq!(app.json(Method::POST, &unknown, &json!({"delta": 1, "reason": "x"})).await.status, 404);
        let rows: String = (10..20).map(|n| format!("{},p{n},1.00,5\n", Uuid::from_u128(n))).collect();
        let csv = format!("productId,name,price,availableQuantity\n{rows}");
        let imported = app.send(Method::POST, "/api/v1/products/import", &[("content-type", "text/csv")], csv.as_bytes()).await;
        assert_eq!((imported.status, imported.at("/imported")), (200, "10".to_owned()));
        let page = app.get("/api/v1/products?limit=5").await;
        let next = app.get(&format!("/api/v1/products?limit=200&cursor={}", page.at("/nextCursor"))).await;
        assert_eq!((page.body["items"].as_array().unwrap().len(), next.body["items"].as_array().unwrap().len()), (5, 7));
        assert_eq!(next.body["nextCursor"], json!(null));
    });
}

#[test]
fn the_document_describes_every_route() {
    run(|| async {
        let app = app(Settings::default()).await;
        let document = app.get("/openapi.json").await.body;
        let pages = [
            "/openapi.json",
            "/asyncapi.json",
            "/docs",
            "/docs/{file:.*}",
            "/problems/{kind}",
            "/",
            "/orders",
            "/orders/{id}",
            "/reports",
            "/attention",
            "/system",
            "/assets/{file}",
            "/livez",
            "/readyz",
        ];
        for route in ROUTES.iter().filter(|route| !pages.contains(&route.path)) {
            let method = route.method.as_str().to_lowercase();
            let operation = &document["paths"][route.path][&method];
            assert!(operation["responses"]["default"].is_object(), "{method} {} is not described", route.path);
        }
        let operations = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        for operation in operations {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let id = &operation["operationId"];
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{id} {status}: a client's generator wants it"
                );
                let is_refusal = status == "default" || status.starts_with(['4', '5']);
                assert!(!is_refusal || response["content"].is_object(), "{id} {status} has a body");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["name"] == "limit") {
                assert_eq!((&parameter["schema"]["minimum"], &parameter["schema"]["maximum"]), (&json!(1), &json!(200)));
            }
        }
        assert_eq!(document["tags"][0]["name"], "orders");
        assert_eq!(document["components"]["schemas"]["Problem"]["type"], "object");
        let operations = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        let mut ids: Vec<&str> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "operation ids are unique");
        let paths = document["paths"].as_object().unwrap().keys();
        for path in paths {
            assert!(ROUTES.iter().any(|route| route.path == path), "{path} is described and not served");
        }
    });
}

/// What the page for trying the API shows is taken as it is: each body that an operation has.
#[test]
fn every_example_works() {
    run(|| async {
        let app = app(Settings::default()).await;
        let document = app.get("/openapi.json").await.body;
        let examples: Vec<(String, Method, String, Value)> = examples(&document);
        let example = |method: Method, path: &str| {
            let (.., type_, body) = examples.iter().find(|(known, of, ..)| known == path && *of == method).unwrap();
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            (type_.clone(), text)
        };
        let send = async |method: Method, path: &str, uri: &str| {
            let (type_, body) = example(method.clone(), path);
            let answer = app.send(method, uri, &[("content-type", &type_)], body.as_bytes()).await;
            assert!((200..300).contains(&answer.status), "{uri}: {}", answer.text);
            answer
        };
        let product = "/api/v1/products/5e0a7c1e-0000-4000-8000-000000000001";
        let mut done = vec![
            send(Method::PUT, "/api/v1/products/{id}", product).await,
            send(Method::PATCH, "/api/v1/products/{id}", product).await,
            send(Method::POST, "/api/v1/products/{id}/stock", &format!("{product}/stock")).await,
            send(Method::POST, "/api/v1/products/import", "/api/v1/products/import").await,
        ];
        let placed = send(Method::POST, "/api/v1/orders", "/api/v1/orders").await;
        done.push(send(Method::POST, "/api/v1/orders/{id}/ship", &format!("{}/ship", placed.at("/links/self"))).await);
        done.push(placed);

        app.behave(Behaviour { error_rate: 1.0, ..Default::default() });
        super::desk::fail_notices(&app, 1).await;
        let letters = async || app.get("/api/v1/admin/dlq").await.body["items"].as_array().unwrap().len();
        until("there is a letter", async || letters().await == 1).await;
        let letter = app.get("/api/v1/admin/dlq").await.at("/items/0/letterId");
        done.push(send(Method::POST, "/api/v1/admin/dlq", "/api/v1/admin/dlq").await);
        done.push(send(Method::POST, "/api/v1/admin/dlq/{id}", &format!("/api/v1/admin/dlq/{letter}")).await);
        let breakers = "/api/v1/admin/breakers/{name}/{turn}";
        done.push(send(Method::POST, breakers, "/api/v1/admin/breakers/payment/close").await);
        done.push(send(Method::PUT, "/api/v1/admin/log-level", "/api/v1/admin/log-level").await);
        assert_eq!(done.len(), examples.len(), "each was tried");
    });
}

/// Address, method, type and example of every body.
fn examples(document: &Value) -> Vec<(String, Method, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (type_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                assert!(!content["example"].is_null(), "{method} {path} has an example");
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                found.push((path.clone(), method, type_.clone(), content["example"].clone()));
            }
        }
    }
    found
}

#[test]
fn the_events_are_described_too() {
    run(|| async {
        let app = app(Settings::default()).await;
        let document = app.get("/asyncapi.json").await;
        assert_eq!((document.status, document.at("/asyncapi").as_str()), (200, "3.0.0"));
        assert!(app.get("/openapi.json").await.at("/info/description").contains("/asyncapi.json"));
    });
}

/// `UPDATE_CONTRACTS=1 cargo test` writes the file anew.
#[test]
fn the_committed_document_is_the_served_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/openapi.json");
    let served = format!("{}\n", ordermill::http::openapi::text());
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == served,
        "contracts/openapi.json is not what is served: look at the difference, then UPDATE_CONTRACTS=1 cargo test"
    );
}

/// The page says what its numbers of sales are of.
#[test]
fn the_page_says_what_a_sale_is() {
    run(|| async {
        let app = app(Settings::default()).await;
        let script = app.get("/assets/page-dashboard.js").await.text;
        assert!(script.contains("orders that were confirmed; cancelled later, they are refunded"));
        assert!(include_str!("../../docs/api.md").contains("A sale is an order that was confirmed"), "so does the guide");
        for number in ["sales.gross", "sales.refunded", "averageOrderValue"] {
            assert!(script.contains(&format!("board.{number}")), "{number}");
        }
    });
}

/// Every view has its own address, and all are the same shell.
#[test]
fn pages_load_nothing_from_elsewhere() {
    run(|| async {
        let app = app(Settings::default()).await;
        let id = Uuid::from_u128(1);
        let shell = app.get("/").await;
        assert!(shell.text.contains("<title>ordermill</title>") && !shell.text.contains("<script>"));
        for uri in ["/orders", &format!("/orders/{id}"), "/reports", "/attention", "/system"] {
            let page = app.get(uri).await;
            // But for the way up: addresses in it are relative.
            let text = if uri == format!("/orders/{id}") { page.text.replace("=\"../", "=\"./") } else { page.text };
            assert_eq!((page.status, &text), (200, &shell.text), "{uri}");
        }
        let policy = shell.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let script = app.get("/assets/app.js").await.text;
        assert!(!shell.text.contains("href=\"/") && !shell.text.contains("src=\"/"), "an address of the shell is not relative");
        let named = shell.text.split('"').chain(script.split('"')).map(|part| part.trim_start_matches('.'));
        let mut files: Vec<String> = named
            .filter(|name| name.ends_with(".js") || name.ends_with(".css"))
            .map(|name| if name.starts_with("/assets/") { name.to_owned() } else { format!("/assets{name}") })
            .collect();
        files.extend(
            ["/assets/uplot.js", "/assets/uplot.css", "/assets/uplot-licence.txt", "/docs/", "/docs/swagger-initializer.js"]
                .map(str::to_owned),
        );
        assert!(files.len() > 12, "{files:?}");
        for uri in files {
            let answer = app.get(&uri).await;
            assert_eq!(answer.status, 200, "{uri}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{uri}");
            assert!(!answer.text.contains("https://cdn") && !answer.text.contains("//unpkg"), "{uri}");
        }
        assert_eq!(app.get("/docs").await.header("location"), Some("docs/"));
        assert_eq!(app.get("/problems/invalid-request").await.status, 200);
        assert_eq!(app.send(Method::HEAD, "/health", &[], b"").await.status, 200);
    });
}

/// What a browser has is not sent again, and what is sent is small.
#[test]
fn files_of_pages_are_compressed_and_asked_for_once() {
    run(|| async {
        let app = app(Settings::default()).await;
        for uri in ["/", "/assets/app.js", "/assets/uplot.js"] {
            let plain = app.get(uri).await;
            assert_eq!(plain.header("content-encoding"), None, "{uri}");
            let packed = app.send(Method::GET, uri, &[("accept-encoding", "br, gzip;q=0.8")], b"").await;
            assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")), "{uri}");
            let etag = plain.header("etag").unwrap();
            let again = app.send(Method::GET, uri, &[("if-none-match", etag)], b"").await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{uri}");
        }
    });
}

#[test]
fn a_bug_in_a_handler_is_an_answer_and_harms_no_other() {
    run(|| async {
        let app = app(Settings::default()).await;
        let answer = app.json(Method::PUT, "/api/v1/admin/log-level", &json!({"filter": "panic"})).await;
        assert_eq!((answer.status, answer.at("/type").as_str()), (500, "/problems/internal-error"));
        assert!(!answer.text.contains("a bug"), "what exactly happened is for the log");
        assert_eq!(answer.header("x-correlation-id").map(str::to_owned), Some(answer.at("/correlationId")));
        assert_eq!(app.json(Method::PUT, "/api/v1/admin/log-level", &json!({"filter": "info"})).await.status, 200);
    });
}

#[test]
fn a_full_node_says_when_to_come_back() {
    run(|| async {
        let mut settings = Settings::default();
        settings.server.max_requests = 1;
        let app = app(settings).await;
        app.behave(Behaviour { latency_ms: 1_000, ..Default::default() });
        let body = order(1).to_string();
        let headers = [("content-type", "application/json"), ("prefer", "wait=5")];
        let slow = app.send(Method::POST, "/api/v1/orders", &headers, body.as_bytes());
        let (slow, second) = futures_util::future::join(slow, app.post_order(&body)).await;
        assert_eq!(slow.status, 202);
        assert_eq!((second.status, second.at("/type").as_str(), second.header("retry-after")), (503, "/problems/overloaded", Some("1")));
        assert_eq!(app.get("/api/v1/admin/actors").await.status, 200, "administration goes on");
        assert_eq!(app.post_order(&body).await.status, 202, "room again");
    });
}
