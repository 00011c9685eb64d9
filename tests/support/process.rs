//! The program as a user has it: a node as a child process on a folder and port of its own, asked over HTTP.
#![allow(dead_code, unreachable_pub, reason = "each target uses its own part")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that must come.
pub const LIMIT: Duration = Duration::from_secs(180);
const TICK: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; panics with `what` at the limit.
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "within {limit:?} it never came true: {what}");
        pause(TICK);
    }
}

/// Between two looks at another process.
pub fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

/// How a node is started, again and again, on the same data and the same port.
#[derive(Clone, Debug)]
pub struct Plan {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub database: PathBuf,
    /// In place of the file: a server's database.
    pub server: Option<String>,
    pub address: SocketAddr,
    pub settings: Vec<(String, String)>,
}

impl Plan {
    /// A node of `binary` that keeps its data in `folder`.
    pub fn new(binary: impl Into<PathBuf>, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        Self {
            binary: binary.into(),
            folder: folder.to_owned(),
            database: folder.join("orders.db"),
            server: None,
            address,
            settings: Vec::new(),
        }
    }

    /// On a server's database.
    pub fn on(self, url: &str) -> Self {
        Self { server: Some(url.to_owned()), ..self }
    }

    /// Where the data is, as `--database` takes it.
    pub fn database_url(&self) -> String {
        self.server.clone().unwrap_or_else(|| format!("sqlite:{}", self.database.display()))
    }

    /// With a setting, such as `order.open_limit`.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        let variable = format!("ORDERMILL_{}", name.to_uppercase().replace('.', "__"));
        self.settings.retain(|(known, _)| *known != variable);
        self.settings.push((variable, value.to_string()));
        self
    }

    /// The node's log, of all its runs.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("node.log")).unwrap_or_default();
        text.lines().filter(|line| !line.contains("no access keys are set")).fold(String::new(), |all, line| all + line + "\n")
    }

    /// No run of the node has found an invariant broken.
    pub fn assert_sound(&self) {
        let log = self.log();
        assert!(!log.contains("an invariant is broken"), "{log}");
    }

    /// `http://…`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Served {
        let mut served = self.spawn();
        served.wait_ready();
        served
    }

    /// Starts it.
    pub fn spawn(&self) -> Served {
        let log = File::options().create(true).append(true).open(self.folder.join("node.log")).expect("a log file");
        let mut command = self.program();
        command
            .args(["serve", "--listen", &self.address.to_string(), "--database"])
            .arg(self.database_url())
            .env("ORDERMILL_TELEMETRY__LOG", "warn")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.binary.display()));
        Served { child, plan: self.clone(), started: Instant::now() }
    }

    /// The program, without the settings that somebody may have in the environment.
    fn program(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORDERMILL_") {
                command.env_remove(name);
            }
        }
        // A node ends if its database cannot be reached when it starts. On a busy machine, the default of 5 s is not enough.
        command.env("ORDERMILL_STORE__POSTGRES__CONNECT_TIMEOUT_MS", LIMIT.as_millis().to_string());
        command
    }

    /// One command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program can be started")
    }

    /// A command of the program, its outputs piped.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `verify` on the node's database: whether it is sound, and the report.
    pub fn verify(&self, more: &[&str]) -> (bool, String) {
        let database = self.database_url();
        let mut arguments = vec!["verify", "--database", &database];
        arguments.extend_from_slice(more);
        let output = self.run(&arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> std::io::Result<Answer> {
        exchange(self.address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// `POST` or `PUT` of JSON.
    pub fn send(&self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        self.send_with(method, path, &[], body)
    }

    /// The same with these headers.
    pub fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<Answer> {
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n{more}");
        exchange(self.address, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Places an order for `quantity` of the product of [`Plan::put_product`].
    pub fn place(&self, price: &str) -> std::io::Result<Answer> {
        self.place_with(price, &[])
    }

    /// The same with these headers.
    pub fn place_with(&self, price: &str, headers: &[(&str, &str)]) -> std::io::Result<Answer> {
        let body = format!(r#"{{"customerId":"{CUSTOMER}","items":[{{"productId":"{PRODUCT}","quantity":1,"price":{price}}}]}}"#);
        self.send_with("POST", "/api/v1/orders", headers, &body)
    }

    /// Puts the one product of the small tests into the catalogue.
    pub fn put_product(&self, price: &str) {
        self.put(PRODUCT, price);
    }

    /// Puts a product into the catalogue, with stock enough.
    pub fn put(&self, product: &str, price: &str) {
        let body = format!(r#"{{"name":"Thing","price":{price},"availableQuantity":1000000}}"#);
        let answer = self.send("PUT", &format!("/api/v1/products/{product}"), &body).expect("an answer");
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// A number of `/metrics`; 0 while it was never counted.
    pub fn metric(&self, name: &str) -> f64 {
        let body = self.get("/metrics").map(|answer| answer.body).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        body.lines().find_map(of).unwrap_or(0.0)
    }

    /// What is known of orders that do not settle.
    fn unsettled(&self) -> String {
        let letters = self.get("/api/v1/admin/dlq").map(|answer| answer.body).unwrap_or_default();
        let (_, verified) = self.verify(&[]);
        format!("{} orders; dead letters: {letters}\n{verified}\n{}", self.open_orders(), self.log())
    }

    /// The orders that owe anything, as the database has them: those of a shard that no node owns at the moment are in no gauge.
    pub fn open_orders(&self) -> i64 {
        match &self.server {
            None => open_orders_of_file(&self.database),
            Some(url) => open_orders_of_server(url.clone()),
        }
    }
}

fn open_orders_of_file(file: &Path) -> i64 {
    use diesel::{Connection, RunQueryDsl};
    let mut conn = diesel::SqliteConnection::establish(&format!("file:{}?mode=rw", file.display())).expect("the node's file");
    let counted = diesel::sql_query("SELECT count(*) AS count FROM orders WHERE open = 1").get_result::<Count>(&mut conn);
    counted.expect("the open orders").count
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// On a thread and runtime of its own: the caller may be on one that must not be blocked.
fn open_orders_of_server(url: String) -> i64 {
    let counted = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            let row = client.query_one("SELECT count(*) FROM open_orders", &[]).await.ok()?;
            Some(row.get::<_, i64>(0))
        })
    });
    // A server that does not answer has settled nothing.
    counted.join().expect("the count").unwrap_or(i64::MAX)
}

/// The product of the small tests.
pub const PRODUCT: &str = "019a0000-0000-7000-8000-000000000001";
/// Their customer.
pub const CUSTOMER: &str = "019a0000-0000-7000-8000-000000000002";

/// A running node.
pub struct Served {
    child: Child,
    pub plan: Plan,
    pub started: Instant,
}

impl Served {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is ready.
    pub fn wait_ready(&mut self) {
        let end = Instant::now() + LIMIT;
        loop {
            if self.plan.get("/health/ready").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "the node ended with {ended:?}:\n{}", self.plan.log());
            assert!(Instant::now() < end, "the node was never ready:\n{}", self.plan.log());
            pause(Duration::from_millis(1));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by name: `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(sent.expect("a shell").success(), "SIG{name} could not be sent");
    }

    /// Waits for its end.
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status;
            }
            assert!(Instant::now() < end, "the node did not end within {limit:?}:\n{}", self.plan.log());
            pause(TICK);
        }
    }

    /// CPU time so far, of all threads.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("Linux's /proc");
        // The name, in parentheses, may contain spaces; user and system time are fields 14 and 15, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).expect("a number of ticks");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// A size of `/proc/PID/status` in MiB: `VmRSS`, `VmHWM`.
    pub fn mib(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux's /proc");
        let kib =
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.expect("a size") / 1024.0
    }

    /// SIGTERM, and its end in order.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended(LIMIT);
        assert!(status.success(), "the node ended with {status}:\n{}", self.plan.log());
    }

    /// Waits until nothing is owed any more.
    pub fn wait_settled(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.plan.open_orders() > 0 {
            assert!(Instant::now() < end, "after {limit:?} not all is settled: {}", self.plan.unsettled());
            pause(TICK);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, or it must.
        drop(self.child.kill());
        drop(self.child.wait());
        if !std::thread::panicking() {
            self.plan.assert_sound();
        }
    }
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(':').filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(known, _)| known.len());
        self.head.lines().find_map(|line| of(line).and_then(|length| line.get(length + 1..)).map(str::trim))
    }

    /// A field of a JSON body.
    pub fn field(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap_or_default()
    }
}

fn exchange(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut short");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Ok(Answer { status, head: head.to_owned(), body })
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = more.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        rest = more.get(size..).unwrap_or_default().trim_start_matches("\r\n");
    }
    body
}
