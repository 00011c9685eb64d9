//! The desk of dead letters and the administration.

use crate::app::{TestApp, app, order};
use crate::support::{put_product, run, until};
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use ordermill::config::Settings;
use ordermill::config::providers::Behaviour;
use serde_json::json;
use uuid::Uuid;

/// Places orders whose notices are given up.
async fn fail_notices<S>(app: &TestApp<S>, count: usize)
where
    S: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    put_product(app.front(), 1, 1000, 100).await;
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
