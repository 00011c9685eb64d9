//! Several nodes on one memory database, each with its own port; and a neighbour whose every answer the test decides.

use crate::app::{order, state_over};
use crate::support::{World1, put_product, until};
use actix_web::dev::ServerHandle;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NodeHandle, Parts, Where, World};
use ordermill::config::{ClusterKey, Settings};
use ordermill::db::Batch;
use ordermill::db::memory::{Answer, Call, Fault, Faults, MemoryDatabase, MemoryStore, Nodes};
use ordermill::domain::{OrderId, Role, Shards};
use ordermill::http::serve;
use reqwest::{Method, Response};
use serde_json::Value;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Runs the test in real time: its nodes have real sockets.
pub fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + 'static) {
    actix::System::new().block_on(async move { test().await });
}

/// A database that cannot be read.
pub struct Unreadable;

impl Faults for Unreadable {
    fn commit(&self, _: &Batch) -> Fault {
        Fault::NONE
    }

    fn call(&self, call: Call) -> Answer {
        Answer { fails: call == Call::Read, ..Answer::PROCEED }
    }
}

/// The database of all nodes.
pub struct Shared {
    world: World1,
}

/// A node, behind its own port or, if the test wants, behind another address.
pub struct Node {
    pub actors: Actors,
    address: SocketAddr,
    client: reqwest::Client,
    server: ServerHandle,
}

impl Shared {
    pub fn new(shards: u16) -> Self {
        let mut world = World1::new(1);
        let clock = world.world.clone();
        world.database = MemoryDatabase::new(Shards::new(shards).unwrap(), Nodes::Many, Arc::new(move || clock.now()));
        world.settings.cluster_tick_ms = 20;
        // Nobody is taken over in these tests, however slow the machine is.
        world.settings.lease_ms = 600_000;
        Self { world }
    }

    /// A connection that writes, beside the nodes.
    pub fn store(&self) -> MemoryStore {
        self.world.database.store()
    }

    /// Whether no node can read the database; writes are stored all the same.
    pub fn cannot_be_read(&self, fails: bool) {
        self.world.database.set_faults(fails.then(|| Arc::new(Unreadable) as Arc<dyn Faults>));
    }

    /// The nodes that are started from now on have providers and breakers of their own, as nodes have.
    pub fn other_providers(&mut self, settings: &ordermill::config::providers::ProviderSettings) {
        self.world.providers = ordermill::providers::Providers::from_settings(settings).unwrap();
    }

    /// A node that others reach at its own port.
    pub async fn start(&self, name: &str, settings: Settings) -> Node {
        self.start_at(name, settings, None).await
    }

    /// A node that others reach, or think so, at `url`.
    pub async fn start_at(&self, name: &str, settings: Settings, url: Option<&str>) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let parts = Parts {
            settings: ActorSettings { cluster_key: ClusterKey::of(&settings.access), ..self.world.settings.clone() },
            analytics: AnalyticsSettings::default(),
            world: self.world.world.clone(),
            store: Box::new(self.world.database.store()),
            reads: Arc::new(self.world.database.clone()),
            providers: self.world.providers.clone(),
            faults: self.world.faults.clone(),
            roles: settings.cluster.hosted(),
            publish: None,
            repeats: None,
            name: name.to_owned(),
            url: url.map_or_else(|| format!("http://{address}"), str::to_owned),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        let actors = Actors::start(parts, Where::Here).await.unwrap();
        std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
        let (serving, server) = serve(listener, state_over(actors.handle(), settings)).unwrap();
        actix::spawn(serving);
        Node { actors, address, client: reqwest::Client::new(), server }
    }
}

impl Node {
    pub fn handle(&self) -> &NodeHandle {
        self.actors.handle()
    }

    pub fn owns(&self, role: Role) -> usize {
        self.handle().role_shards().borrow().shards_of(role).len()
    }

    /// An order that this node has placed.
    pub async fn place(&self) -> OrderId {
        let lines = vec![crate::support::line(1, 1, 1000)];
        let placed = self.handle().place(crate::support::new_order(lines), None, crate::support::LIMIT).await;
        placed.unwrap().order.id
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send(Method::POST, path, headers, "").await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post_order(&self, headers: &[(&str, &str)]) -> Response {
        let headers: Vec<(&str, &str)> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
        self.send(Method::POST, "/api/v1/orders", &headers, order(1).to_string()).await
    }

    pub async fn stop(self) {
        self.server.stop(false).await;
        self.actors.stop(Duration::from_secs(5)).await;
    }
}

/// Waits until each node knows that the shards of `role` are shared out as these nodes own them.
pub async fn agree(role: Role, nodes: &[&Node], shares: &[usize]) {
    until("the nodes agree on whose the shards are", || async {
        let owned: Vec<usize> = nodes.iter().map(|node| node.owns(role)).collect();
        let known = nodes.iter().all(|node| {
            let cluster = node.handle().cluster();
            let of = |other: &Node| {
                let writer = other.handle().writer();
                cluster.shards.iter().filter(|row| row.role == role && row.writer == Some(writer)).count()
            };
            nodes.iter().map(|other| of(other)).eq(owned.iter().copied())
        });
        owned == shares && known
    })
    .await;
}

/// Product 1 (10.00).
pub async fn put_stock(node: &Node) {
    put_product(node.handle(), 1, 1000, 100_000).await;
}

pub async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

/// What became of a request: status, the order that a problem names, and whether it says when to come again.
pub async fn problem(response: Response) -> (u16, Option<Uuid>, bool) {
    let says_when = response.headers().contains_key("retry-after");
    let (status, body) = json(response).await;
    (status, body["orderId"].as_str().and_then(|id| Uuid::try_parse(id).ok()), says_when)
}

/// What a neighbour does with a connection's request.
#[derive(Clone)]
pub enum Does {
    /// Reads it and hangs up.
    HangUp,
    /// Reads it and says nothing.
    Nothing,
    /// Answers with this.
    Answer(String),
}

/// A neighbour that does as it is told and remembers what it was sent.
#[derive(Clone)]
pub struct Neighbour {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
    pieces: mpsc::UnboundedSender<String>,
}

impl Neighbour {
    pub async fn new(does: Does) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (pieces, more) = mpsc::unbounded_channel();
        let more = Arc::new(tokio::sync::Mutex::new(more));
        let told = seen.clone();
        actix::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                actix::spawn(serve_one(stream, does.clone(), told.clone(), more.clone()));
            }
        });
        Self { url, seen, pieces }
    }

    /// The requests so far, head and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Says more, after its answer; an empty piece ends it.
    pub fn say(&self, piece: &str) {
        self.pieces.send(piece.to_owned()).unwrap();
    }
}

type Pieces = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>;

async fn serve_one(mut stream: TcpStream, does: Does, seen: Arc<Mutex<Vec<String>>>, pieces: Pieces) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.len() >= length.unwrap_or(0)
        {
            seen.lock().unwrap().push(text);
            break;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    match does {
        Does::HangUp => {}
        Does::Nothing => std::future::pending().await,
        Does::Answer(answer) => {
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut pieces = pieces.lock().await;
            while let Some(piece) = pieces.recv().await {
                if piece.is_empty() || stream.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// An address where nobody listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
