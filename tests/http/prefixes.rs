//! A node behind proxies: under a path, and what it believes of what they say.

use crate::app::{CUSTOMER_KEY, OPERATOR_KEY, app, keys, order};
use crate::forwarding::{bearer, has_and_has_not};
use crate::neighbours::{Does, Neighbour, json, run};
use crate::sockets::{connect, read, with_server};
use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, call_service};
use ordermill::config::Settings;
use ordermill::config::server::OWN_PATHS;
use ordermill::http::routes::ROUTES;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

fn behind(proxies: &[&str], base_path: &str) -> Settings {
    let mut settings = Settings::default();
    settings.server.trusted_proxies = proxies.iter().map(|proxy| (*proxy).to_owned()).collect();
    base_path.clone_into(&mut settings.server.base_path);
    settings
}

#[test]
fn no_prefix_can_begin_as_a_path_of_the_nodes_own_does() {
    let mut firsts: Vec<&str> = ROUTES.iter().filter_map(|route| route.path.split('/').nth(1)).filter(|first| !first.is_empty()).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts, OWN_PATHS);
}

/// As a proxy sends it that passes the path on as it is, and one that strips the prefix.
#[test]
fn a_node_under_a_path_answers_with_and_without_it_and_each_link_has_it() {
    with_server(behind(&[], "/a/shop"), |address| {
        let ask = |method: &str, path: &str, body: &str| {
            let mut stream = connect(address);
            let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
            let rest = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
            read(&mut stream, "")
        };
        for sent in ["/a/shop", ""] {
            let placed = ask("POST", &format!("{sent}/api/v1/orders"), &order(1).to_string());
            let body: Value = serde_json::from_str(placed.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            let whole = format!("/a/shop/api/v1/orders/{}", body["orderId"].as_str().unwrap());
            let links = json!({ "self": whole, "status": format!("{whole}/status"), "events": format!("{whole}/events"), "cancel": format!("{whole}/cancel") });
            assert!(placed.contains(&format!("location: {whole}\r\n")), "{placed}");
            assert_eq!(body["links"], links);
            for shown in [ask("GET", &whole, ""), ask("POST", &format!("{whole}/cancel"), "")] {
                assert!(shown.contains(&format!("\"links\":{{\"self\":\"{whole}\",\"status\":\"{whole}/status\"")), "{shown}");
            }
            let missing = ask("GET", &format!("{sent}/api/v1/orders/{}", Uuid::nil()), "");
            let told =
                [r#""type":"/a/shop/problems/not-found""#.to_owned(), format!(r#""instance":"/a/shop/api/v1/orders/{}""#, Uuid::nil())];
            assert!(told.iter().all(|told| missing.contains(told)), "{missing}");
            assert!(ask("GET", "/a/shop/problems/not-found", "").starts_with("HTTP/1.1 200 "), "the type leads to its page");
            assert!(ask("GET", &format!("{sent}/openapi.json"), "").contains(r#""url": "/a/shop""#));
            assert!(ask("GET", &format!("{sent}/docs"), "").contains("location: docs/\r\n"));
            assert!(ask("GET", &format!("{sent}/docs/swagger-initializer.js"), "").contains("../openapi.json"));
            // What the pages load is relative to them.
            assert!(ask("GET", &format!("{sent}/orders"), "").contains(r#" src="./assets/app.js""#));
            assert!(ask("GET", &format!("{sent}/orders/{}", Uuid::nil()), "").contains(r#" src="../assets/app.js""#));
            assert!(ask("GET", &format!("{sent}/assets/app.js"), "").starts_with("HTTP/1.1 200 "));
        }
        let front = ask("GET", "/a/shop", "");
        assert!(front.starts_with("HTTP/1.1 308 ") && front.contains("location: /a/shop/\r\n"), "{front}");
        for nothing in ["/a/shopping/health", "/a/health", "/a/shop/a/shop/health"] {
            assert!(ask("GET", nothing, "").starts_with("HTTP/1.1 404 "), "{nothing}");
        }
        assert!(ask("GET", "/health/ready", "").starts_with("HTTP/1.1 200 "));
    });
}

/// `instance` of a refusal to `peer`, which says that of its client.
#[actix_web::test]
async fn the_prefix_of_a_trusted_proxy_counts_and_nobody_elses() {
    let app = app(behind(&["10.0.0.0/8", "2001:db8::7"], "/own")).await;
    let cases: &[(&str, &[&str], &str)] = &[
        ("10.1.2.3", &["/shop"], "/shop"),
        ("::ffff:10.1.2.3", &["/shop/"], "/shop"),
        ("2001:db8::7", &["/outer, /inner"], "/outer/inner"),
        ("10.1.2.3", &["/outer", "/inner"], "/outer/inner"),
        ("10.1.2.3", &["/"], ""),
        ("10.1.2.3", &[], "/own"),
        ("11.1.2.3", &["/shop"], "/own"),
        ("127.0.0.1", &["/shop"], "/own"),
        ("2001:db8::8", &["/shop"], "/own"),
        // What is no path is no prefix, whoever says it.
        ("10.1.2.3", &["//evil.example"], "/own"),
        ("10.1.2.3", &["/shop", "https://evil.example"], "/own"),
        ("10.1.2.3", &["/\"><script>"], "/own"),
    ];
    for (peer, prefixes, want) in cases {
        let mut request = TestRequest::with_uri("/none").peer_addr(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711));
        for prefix in *prefixes {
            request = request.append_header(("x-forwarded-prefix", *prefix));
        }
        let answer = call_service(&app.service, request.to_request()).await;
        let body: Value = serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap();
        assert_eq!(body["instance"], format!("{want}/none"), "{peer} {prefixes:?}");
        assert_eq!(body["type"], format!("{want}/problems/no-such-route"), "{peer} {prefixes:?}");
    }
}

#[test]
fn what_a_proxy_says_lets_nobody_in() {
    run(|| async {
        let says = [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-host", "127.0.0.1"), ("forwarded", "for=127.0.0.1;host=localhost")];
        let with_keys = Settings { access: keys(), ..behind(&["127.0.0.0/8"], "") };
        let (node, _) = has_and_has_not(None, with_keys).await;
        for header in says {
            assert_eq!(node.send(reqwest::Method::GET, "/api/v1/admin/cluster", &[header], "").await.status(), 401, "{header:?}");
        }
        // A node without keys is this machine's alone: a proxy on it must not open it to others.
        let (node, _) = has_and_has_not(None, behind(&["127.0.0.0/8"], "")).await;
        for (header, want) in says.map(|header| (header, 200)).into_iter().chain([
            (("x-forwarded-for", "203.0.113.7"), 403),
            (("x-real-ip", "203.0.113.7"), 403),
            (("forwarded", "for=203.0.113.7"), 403),
            (("forwarded", "for=127.0.0.1, for=\"[2001:db8::7]:80\""), 403),
        ]) {
            assert_eq!(node.send(reqwest::Method::GET, "/api/v1/admin/cluster", &[header], "").await.status(), want, "{header:?}");
        }
    });
}

#[test]
fn the_node_that_answers_learns_the_prefix_of_the_one_that_was_asked_and_of_nobody_else() {
    run(|| async {
        // Its own neighbours are not among the proxies of the one that answers.
        let (has, has_not) = has_and_has_not(None, Settings { access: keys(), ..behind(&["127.0.0.1"], "") }).await;
        let operator = bearer(OPERATOR_KEY);
        let access = ("authorization", operator.as_str());
        let placed = has_not.post_order(&[access, ("x-forwarded-prefix", "/shop")]).await;
        let location = placed.headers()["location"].to_str().unwrap().to_owned();
        let (status, body) = json(placed).await;
        assert_eq!((status, &body["links"]["self"]), (202, &json!(location)));
        assert_eq!(location, format!("/shop/api/v1/orders/{}", body["orderId"].as_str().unwrap()));
        let path = location.strip_prefix("/shop").unwrap();
        let (status, refused) = json(has_not.post(&format!("{path}/ship"), &[("authorization", &bearer(CUSTOMER_KEY))]).await).await;
        assert_eq!((status, &refused["type"]), (403, &json!("/problems/forbidden")), "no prefix, no links with one");
        for forged in ["/evil", "/evil 0000", "/evil "] {
            let placed = has.post_order(&[access, ("ordermill-prefix", forged)]).await;
            assert!(placed.headers()["location"].to_str().unwrap().starts_with("/api/"), "{forged}");
        }
    });
}

#[test]
fn what_proxies_say_of_a_client_goes_no_further_than_the_node_that_was_asked() {
    run(|| async {
        let neighbour = Neighbour::new(Does::HangUp).await;
        let (_, has_not) = has_and_has_not(Some(&neighbour.url), Settings::default()).await;
        let says =
            [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-prefix", "/evil"), ("forwarded", "for=127.0.0.1"), ("x-real-ip", "::1")];
        assert_eq!(has_not.post_order(&says).await.status(), 504);
        let seen = neighbour.seen().concat();
        assert!(seen.starts_with("POST /api/v1/orders "), "{seen}");
        assert!(says.iter().all(|(name, _)| !seen.contains(&format!("\n{name}: "))) && !seen.contains("ordermill-prefix"), "{seen}");
    });
}

/// Not a path of the node's own, and no text that a link cannot have.
#[test]
fn settings_that_no_link_can_have_are_refused() {
    for (base_path, proxy, want) in [
        ("/shop", "10.0.0.7", ""),
        ("", "10.0.0.0/8", ""),
        ("/orders", "10.0.0.7", "server.base_path is \"/orders\""),
        ("/api/shop", "10.0.0.7", "server.base_path is \"/api/shop\""),
        ("shop", "10.0.0.7", "server.base_path is \"shop\""),
        ("//evil.example", "10.0.0.7", "server.base_path is \"//evil.example\""),
        ("", "proxy.internal", "server.trusted_proxies has \"proxy.internal\""),
    ] {
        let told = behind(&[proxy], base_path).check().err().map(|error| error.0.join("\n")).unwrap_or_default();
        assert!(told.starts_with(want) && told.is_empty() == want.is_empty(), "{base_path} {proxy}: {told}");
    }
}
