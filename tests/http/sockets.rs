//! Clients that are slow, huge, rude or many, over real sockets.

use crate::app::{order, state_over};
use crate::support::{World1, put_product};
use ordermill::actors::{Actors, AnalyticsSettings, Parts, Where};
use ordermill::config::Settings;
use ordermill::domain::Roles;
use ordermill::http::{HttpState, ServeError, serve};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longer than any limit that must end a connection in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs blocking `test` against a server with these settings.
pub fn with_server(settings: Settings, test: impl FnOnce(SocketAddr) + Send + 'static) {
    with_state(settings, |address, _| test(address));
}

/// The same, with what the server knows.
fn with_state(settings: Settings, test: impl FnOnce(SocketAddr, &HttpState) + Send + 'static) {
    actix::System::new().block_on(async move {
        let world = World1::new(1);
        let parts = Parts {
            settings: world.settings.clone(),
            analytics: AnalyticsSettings::default(),
            world: world.world.clone(),
            store: Box::new(world.database.store()),
            reads: Arc::new(world.database.clone()),
            providers: world.providers.clone(),
            faults: world.faults.clone(),
            roles: Roles::ALL,
            publish: None,
            repeats: None,
            name: "node-1".to_owned(),
            url: "http://127.0.0.1:0".to_owned(),
            tracer: ordermill::telemetry::traces::Tracer::default(),
        };
        let actors = Actors::start(parts, Where::Here).await.unwrap();
        std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
        put_product(actors.handle(), 1, 1000, 10_000).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = state_over(actors.handle(), settings);
        let (server, handle) = serve(listener, state.clone()).unwrap();
        let server = actix::spawn(server);
        let tested = tokio::task::spawn_blocking(move || test(address, &state)).await;
        handle.stop(false).await;
        server.await.unwrap().unwrap();
        tested.unwrap();
    });
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything until the server closes, or (with `until`) until that text came.
pub fn read(stream: &mut TcpStream, until: &str) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
        if !until.is_empty() && String::from_utf8_lossy(&all).contains(until) {
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn post(address: SocketAddr, body: &str) -> String {
    format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Whether an ordinary client is served.
fn check_served(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(post(address, &order(1).to_string()).as_bytes()).unwrap();
    let answer = read(&mut stream, "links");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.server.header_timeout_ms = 1_000;
    settings.server.body_timeout_ms = 500;
    settings.server.disconnect_timeout_ms = 1_000;
    settings
}

#[test]
fn one_connection_serves_many_requests_also_sent_at_once() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        for _ in 0..3 {
            stream.write_all(post(address, &order(1).to_string()).as_bytes()).unwrap();
            assert!(read(&mut stream, "links").starts_with("HTTP/1.1 202 "));
        }
        let health = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(health.repeat(3).as_bytes()).unwrap();
        let mut seen = String::new();
        while seen.matches("200 OK").count() < 3 {
            seen.push_str(&read(&mut stream, "UP"));
        }
    });
}

/// As Java's client offers HTTP/2 with each request, and a browser's page a WebSocket.
#[test]
fn an_offer_of_another_protocol_is_overlooked_and_the_connection_kept() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        let body = order(1).to_string();
        let offer =
            "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\nHost:";
        for _ in 0..3 {
            stream.write_all(post(address, &body).replacen("Host:", offer, 1).as_bytes()).unwrap();
            let answer = read(&mut stream, "links").to_lowercase();
            assert!(
                answer.starts_with("http/1.1 202 ") && !answer.contains("upgrade") && !answer.contains("connection: close"),
                "{answer}"
            );
        }
        let offer = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket";
        let live = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\n{offer}\r\n\r\n");
        for _ in 0..2 {
            stream.write_all(live.as_bytes()).unwrap();
            let answer = read(&mut stream, "UP").to_lowercase();
            assert!(answer.starts_with("http/1.1 200 ") && !answer.contains("upgrade"), "{answer}");
        }
    });
}

/// The client's next request belongs to another node; who is not told would send it here.
#[test]
fn a_node_that_stops_says_with_each_answer_that_the_connection_ends() {
    with_state(Settings::default(), |address, state| {
        let mut stream = connect(address);
        let live = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(live.as_bytes()).unwrap();
        assert!(!read(&mut stream, "UP").contains("connection: close"));
        state.drain();
        stream.write_all(live.as_bytes()).unwrap();
        // Up to the end of the connection.
        let answer = read(&mut stream, "");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    });
}

/// Else a request may meet the end that nobody told of.
#[test]
fn an_idle_connection_is_kept_for_its_whole_time() {
    let mut settings = Settings::default();
    settings.server.keep_alive_ms = 1_000;
    with_server(settings, |address| {
        let live = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let idle: Vec<_> = (0..16)
            .map(|_| {
                // At all times of the library's clock.
                std::thread::park_timeout(Duration::from_millis(40));
                let live = live.clone();
                std::thread::spawn(move || {
                    let mut stream = connect(address);
                    let began = Instant::now();
                    stream.write_all(live.as_bytes()).unwrap();
                    read(&mut stream, "");
                    began.elapsed()
                })
            })
            .collect();
        let shortest = idle.into_iter().map(|one| one.join().unwrap()).min().unwrap();
        assert!(shortest >= Duration::from_millis(1_000), "closed after {shortest:?}");
    });
}

#[test]
fn a_client_of_http_1_0_is_sent_no_chunks() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        stream.write_all(post(address, &order(1).to_string()).as_bytes()).unwrap();
        let answer = read(&mut stream, "/events");
        let id = answer.split("\"orderId\":\"").nth(1).and_then(|rest| rest.get(..36)).unwrap().to_owned();
        let mut events = connect(address);
        events.write_all(format!("GET /api/v1/orders/{id}/events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").as_bytes()).unwrap();
        let seen = read(&mut events, "OrderConfirmed");
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("chunked") && !head.contains("keep-alive"), "{head}");
        assert!(body.starts_with("retry: 2000"), "{body}");
    });
}

/// Most proxies give up after a minute.
#[test]
fn nobody_waits_as_long_as_a_proxy_does() {
    assert!(Settings::default().server.wait_limit_ms < 60_000);
}

#[test]
fn a_refused_request_with_its_body_leaves_the_connection_whole() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        let wrong = post(address, "not json").replace("application/json", "text/plain");
        stream.write_all(wrong.as_bytes()).unwrap();
        assert!(read(&mut stream, "correlationId").starts_with("HTTP/1.1 415 "));
        let unread = format!("POST /nothing HTTP/1.1\r\nHost: {address}\r\nContent-Length: 5\r\n\r\nGET /");
        let mut second = connect(address);
        second.write_all(unread.as_bytes()).unwrap();
        assert!(read(&mut second, "correlationId").starts_with("HTTP/1.1 404 "));
        second.write_all(post(address, &order(1).to_string()).as_bytes()).ok();
        let next = read(&mut second, "links");
        assert!(next.is_empty() || next.starts_with("HTTP/1.1 202 "), "the body was read as a request: {next}");
        check_served(address);
    });
}

#[test]
fn a_chunked_body_without_end_is_cut_off_at_the_limit() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        let head = format!(
            "POST /api/v1/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
        // The server may close before all is sent.
        for _ in 0..64 {
            if stream.write_all(chunk.as_bytes()).is_err() {
                break;
            }
        }
        let answer = read(&mut stream, "correlationId");
        assert!(answer.is_empty() || (answer.starts_with("HTTP/1.1 413 ") && answer.contains("/problems/body-too-large")), "{answer}");
        check_served(address);
    });
}

#[test]
fn a_body_that_does_not_come_is_answered_and_closed() {
    with_server(quick(), |address| {
        for part in ["{\"customerId\":", ""] {
            let mut stream = connect(address);
            let head = format!(
                "POST /api/v1/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{part}"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let answer = read(&mut stream, "");
            assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("/problems/request-timeout"), "{answer}");
        }
        check_served(address);
    });
}

#[test]
fn a_head_that_does_not_come_is_closed() {
    with_server(quick(), |address| {
        for part in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-A: "] {
            let mut stream = connect(address);
            stream.write_all(part.as_bytes()).unwrap();
            let answer = read(&mut stream, "");
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
        }
        check_served(address);
    });
}

#[test]
fn what_is_no_http_is_refused() {
    with_server(quick(), |address| {
        let huge = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX-A: {}\r\n\r\n", "a".repeat(200_000));
        let many = format!("GET / HTTP/1.1\r\nHost: {address}\r\n{}\r\n", "X-A: a\r\n".repeat(200));
        let both = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc");
        let cases: &[&[u8]] = &[
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"HELLO\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            huge.as_bytes(),
            many.as_bytes(),
            both.as_bytes(),
        ];
        for case in cases {
            let shown: String = String::from_utf8_lossy(case).chars().take(60).collect();
            let mut stream = connect(address);
            // The server may close before all is sent.
            drop(stream.write_all(case));
            drop(stream.shutdown(std::net::Shutdown::Write));
            let answer = read(&mut stream, "");
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
        }
        check_served(address);
    });
}

#[test]
fn idle_connections_and_slow_ones_do_not_stop_service() {
    let mut settings = Settings::default();
    // No slow connection ends before the ordinary client is served.
    settings.server.header_timeout_ms = 3_600_000;
    settings.server.body_timeout_ms = 3_600_000;
    with_server(settings, |address| {
        let mut idle: Vec<TcpStream> = (0..2_000).map(|_| connect(address)).collect();
        for stream in idle.iter_mut().take(1_000) {
            stream
                .write_all(
                    b"POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
                )
                .unwrap();
        }
        check_served(address);
    });
}

#[test]
fn a_live_stream_that_nobody_reads_holds_nothing_up() {
    with_server(Settings::default(), |address| {
        let mut stream = connect(address);
        stream.write_all(post(address, &order(1).to_string()).as_bytes()).unwrap();
        let answer = read(&mut stream, "/events");
        let id = answer.split("\"orderId\":\"").nth(1).and_then(|rest| rest.get(..36)).unwrap();
        assert!(Uuid::try_parse(id).is_ok());
        let mut events = connect(address);
        events.write_all(format!("GET /api/v1/orders/{id}/events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
        let seen = read(&mut events, "OrderConfirmed");
        assert!(seen.contains("event: OrderCreated") && seen.contains("event: OrderConfirmed"), "{seen}");
        check_served(address);
    });
}

#[test]
fn without_keys_it_refuses_to_listen_to_others() {
    actix::System::new().block_on(async {
        let world = World1::new(1);
        let actors = world.start().await;
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let refused = serve(listener, state_over(actors.handle(), Settings::default()));
        assert!(matches!(refused, Err(ServeError::Open(_))));
    });
}
