//! The HTTP server over a node on the memory store, without sockets.

use crate::support::{World1, put_product};
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::{App, Error, test};
use ordermill::actors::{Actors, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::config::{AccessKey, AccessRole, AccessSettings, Secret, Settings};
use ordermill::domain::Timestamp;
use ordermill::http::{Component, Health, HttpParts, HttpState, NodeInfo, Operations, routes};
use ordermill::providers::sandbox::Party;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

pub const CUSTOMER: u128 = 77;
pub const CUSTOMER_KEY: &str = "customer-key-0123456";
pub const OTHER_KEY: &str = "another-key-01234567";
pub const OPERATOR_KEY: &str = "operator-key-0123456";
pub const ADMIN_KEY: &str = "admin-key-0123456789";

/// What the composition root answers in a test.
#[derive(Default)]
pub struct TestOperations {
    pub filter: Mutex<String>,
    /// What is wrong with the database, if anything.
    pub trouble: Mutex<Option<(Health, String)>>,
}

impl Operations for TestOperations {
    fn publish(&self) {}

    fn components(&self) -> Vec<Component> {
        let (health, detail) = self.trouble.lock().unwrap().clone().map_or((Health::Up, None), |(health, detail)| (health, Some(detail)));
        vec![Component { name: "database".to_owned(), health, detail }]
    }

    fn log_filter(&self) -> String {
        self.filter.lock().unwrap().clone()
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        assert!(filter != "panic", "a bug");
        if filter.contains('!') {
            return Err("is not a filter".to_owned());
        }
        *self.filter.lock().unwrap() = filter.to_owned();
        Ok(())
    }
}

/// The four keys that tests use.
pub fn keys() -> AccessSettings {
    let key = |name: &str, role, customer: Option<u128>, secret: &str| AccessKey {
        name: name.to_owned(),
        role,
        customer_id: customer.map(Uuid::from_u128),
        sha256: None,
        key: Some(Secret::new(secret)),
    };
    let keys = vec![
        key("alice", AccessRole::Customer, Some(CUSTOMER), CUSTOMER_KEY),
        key("bob", AccessRole::Customer, Some(CUSTOMER + 1), OTHER_KEY),
        key("ops", AccessRole::Operator, None, OPERATOR_KEY),
        key("root", AccessRole::Admin, None, ADMIN_KEY),
    ];
    AccessSettings { keys }
}

pub fn state_over(handle: &NodeHandle, settings: Settings) -> Arc<HttpState> {
    state_with(handle, settings, Arc::default())
}

fn state_with(handle: &NodeHandle, settings: Settings, operations: Arc<TestOperations>) -> Arc<HttpState> {
    let node = NodeInfo {
        name: "node-1".to_owned(),
        version: "0.0.0",
        commit: "abc",
        roles: vec!["order".to_owned()],
        database: "memory".to_owned(),
        started_at: Timestamp(0),
    };
    let parts = HttpParts { handle: handle.clone(), settings: Arc::new(settings), operations, metrics: None, node };
    Arc::new(HttpState::new(parts).unwrap())
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The field at a JSON pointer, as text.
    pub fn at(&self, pointer: &str) -> String {
        match self.body.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// The broken fields of a problem.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let part = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        errors.iter().map(|error| format!("{} {} {}", part(error, "in"), part(error, "pointer"), part(error, "detail"))).collect()
    }
}

pub struct TestApp<S> {
    pub service: S,
    pub state: Arc<HttpState>,
    pub operations: Arc<TestOperations>,
    pub world: World1,
    pub actors: Actors,
}

/// A node with product 1 (10.00, 100 of them) behind the whole list of routes.
pub async fn app(settings: Settings) -> TestApp<impl Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = Error>> {
    let world = World1::new(1);
    let actors = world.start().await;
    // The actors' hook keeps a panic's text for their keeper; here a failed assertion is to be read.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    put_product(actors.handle(), 1, 1000, 100).await;
    let operations = Arc::new(TestOperations::default());
    let state = state_with(actors.handle(), settings, operations.clone());
    let service = test::init_service(App::new().configure(|config| routes::configure(config, &state))).await;
    TestApp { service, state, operations, world, actors }
}

impl<S: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = Error>> TestApp<S> {
    pub fn handle(&self) -> &NodeHandle {
        self.actors.handle()
    }

    /// How the stand-ins of all parties answer from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        let sandbox = self.world.providers.sandbox.as_ref().unwrap();
        for party in [Party::Payment, Party::Email, Party::Sms] {
            sandbox.behave(party, behaviour);
        }
    }

    pub async fn send(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = test::TestRequest::with_uri(uri).method(method).set_payload(body.to_vec());
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let response = test::call_service(&self.service, request.to_request()).await;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
        let text = String::from_utf8_lossy(&to_bytes(response.into_body()).await.unwrap()).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, body }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, &[], b"").await
    }

    pub async fn get_as(&self, key: &str, uri: &str) -> Answer {
        self.send(Method::GET, uri, &[("authorization", &format!("Bearer {key}"))], b"").await
    }

    pub async fn json(&self, method: Method, uri: &str, body: &Value) -> Answer {
        self.send(method, uri, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    pub async fn post_order(&self, body: &str) -> Answer {
        self.send(Method::POST, "/api/v1/orders", &[("content-type", "application/json")], body.as_bytes()).await
    }
}

/// An order of `quantity` pieces of product 1 at its price.
pub fn order(quantity: u32) -> Value {
    json!({
        "customerId": Uuid::from_u128(CUSTOMER),
        "items": [{ "productId": Uuid::from_u128(1), "quantity": quantity, "price": "10.00" }],
    })
}
