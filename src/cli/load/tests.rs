use super::*;
use clap::Parser;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the fake node does with one request.
enum Act {
    /// Answers at once.
    Whole(String),
    /// Answers byte by byte.
    Dribble(String),
    /// Answers and closes without saying so.
    ThenClose(String),
    /// Closes in the middle of the answer.
    CutOff(String),
    /// Resets without an answer.
    Reset,
    /// Never answers.
    Silence,
}

struct Request {
    line: String,
    key: Option<String>,
    body: String,
    /// Counted over all orders, from 0.
    order: u64,
}

#[derive(Default)]
struct Fake {
    orders: AtomicU64,
    asked: AtomicU64,
    products: AtomicU64,
    seen: Mutex<Vec<(Option<String>, String)>>,
}

/// A node that answers orders as the test says and everything else as a node does.
async fn fake(answer: impl Fn(&Request) -> Act + Send + Sync + 'static) -> (String, Arc<Fake>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, answer) = (Arc::new(Fake::default()), Arc::new(answer));
    let shared = node.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (node, answer) = (shared.clone(), answer.clone());
            tokio::spawn(async move { serve(stream, &node, &*answer).await });
        }
    });
    (url, node)
}

async fn serve(mut stream: TcpStream, node: &Fake, answer: &(impl Fn(&Request) -> Act + Sync)) {
    stream.set_nodelay(true).unwrap();
    let mut input = Vec::new();
    while let Some(mut request) = read_request(&mut stream, &mut input).await {
        let act = if request.line.starts_with("POST /api/v1/orders ") {
            request.order = node.orders.fetch_add(1, Ordering::SeqCst);
            node.seen.lock().unwrap().push((request.key.clone(), request.body.clone()));
            answer(&request)
        } else if request.line.starts_with("PUT ") && node.products.fetch_add(1, Ordering::SeqCst) == 0 {
            Act::Reset
        } else if request.line.starts_with("GET /metrics") {
            Act::Whole(with_length("200 OK", "", "ordermill_unsettled_orders 0\n"))
        } else if request.line.contains("/status?wait=30s") {
            // The end of the wait comes first, then the end of the order.
            let settled = node.asked.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            Act::Whole(with_length("200 OK", "", &format!(r#"{{"status":"CONFIRMED","settled":{settled}}}"#)))
        } else if request.line.contains("/events") {
            Act::Dribble(story())
        } else {
            Act::Whole(with_length("200 OK", "", "{}"))
        };
        match act {
            Act::Whole(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Act::Dribble(text) => {
                for byte in text.as_bytes() {
                    stream.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
            Act::ThenClose(text) => return drop(stream.write_all(text.as_bytes()).await),
            Act::CutOff(text) => return drop(stream.write_all(&text.as_bytes()[..text.len() / 2]).await),
            Act::Reset => return stream.set_zero_linger().unwrap(),
            Act::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<Request> {
    loop {
        let text = String::from_utf8_lossy(input).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                let mut headers = head.lines().filter_map(|line| line.split_once(':'));
                headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
            };
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            if rest.len() >= length {
                input.drain(..head.len() + 4 + length);
                let line = head.lines().next().unwrap().to_owned();
                return Some(Request { line, key: header("idempotency-key"), body: rest[..length].to_owned(), order: 0 });
            }
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

fn with_length(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn accepted(order: u64) -> String {
    with_length("202 Accepted", "Content-Type: application/json\r\n", &format!(r#"{{"orderId":"order-{order}","status":"PENDING"}}"#))
}

/// An event stream that tells of an order's life up to CONFIRMED and ends.
fn story() -> String {
    let events = ["PENDING", "INVENTORY_RESERVED", "CONFIRMED"].map(|status| format!("data: {{\"status\":\"{status}\"}}\n\n"));
    let chunks: String = events.iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect();
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LoadArgs,
}

async fn run(url: &str, options: &str) -> Report {
    let line = format!("load --json --url {url} --products 20 {options}");
    measure(&Line::parse_from(line.split_whitespace()).args).await.unwrap()
}

/// The counts by which a run differs from one in which all `accepted` orders went well.
fn differing(report: &Report, accepted: u64) -> Vec<String> {
    let counts = serde_json::to_value(&report.counts).unwrap();
    let mut out: Vec<String> = Vec::new();
    for (name, count) in counts.as_object().unwrap() {
        let want = if name == "accepted" { accepted } else { 0 };
        if count.as_u64() != Some(want) {
            out.push(format!("{name} {count}"));
        }
    }
    out
}

#[tokio::test]
async fn all_orders_of_a_closed_loop_are_accepted_and_settled() {
    let (url, node) = fake(|request| Act::Whole(accepted(request.order))).await;
    let report = run(&url, "--orders 500 --connections 7").await;
    assert_eq!(differing(&report, 500), [] as [&str; 0]);
    assert_eq!(report.accepted_ms.unwrap().count, 500);
    assert!(report.settled_per_second.unwrap() > 0.0);
    let bodies: BTreeSet<String> = node.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    assert!(bodies.len() > 400, "{} different orders", bodies.len());
    assert!(report.text().contains("accepted          500"), "{}", report.text());
}

#[tokio::test]
async fn oddly_cut_answers_are_read() {
    let (url, _) = fake(|request| {
        let body = accepted(request.order).split_once("\r\n\r\n").unwrap().1.to_owned();
        Act::Dribble(match request.order % 4 {
            0 => accepted(request.order),
            1 => format!("HTTP/1.1 100 Continue\r\n\r\n{}", accepted(request.order)),
            2 => format!(
                "HTTP/1.1 202 Accepted\r\ntransfer-encoding:chunked\r\n\r\n5\r\n{}\r\n{:X};x=y\r\n{}\r\n0\r\n\r\n",
                &body[..5],
                body.len() - 5,
                &body[5..]
            ),
            _ => format!("HTTP/1.1 202\r\nConnection: Keep-Alive\r\nCONTENT-LENGTH:{}  \r\n\r\n{body}", body.len()),
        })
    })
    .await;
    let report = run(&url, "--orders 40 --connections 2").await;
    assert_eq!(differing(&report, 40), [] as [&str; 0]);
}

#[tokio::test]
async fn busy_answers_are_waited_for_and_counted_apart() {
    let (url, node) = fake(|request| match request.order {
        0 | 3 => Act::Whole(with_length("503 Service Unavailable", "Retry-After: 0\r\n", "{}")),
        _ => Act::Whole(accepted(request.order)),
    })
    .await;
    let report = run(&url, "--orders 5 --connections 1 --idempotency").await;
    assert_eq!(differing(&report, 5), ["busy 2"]);
    let seen = node.seen.lock().unwrap();
    assert_eq!(seen.len(), 7);
    assert_eq!(seen[0], seen[1], "the same order under the same key");
    assert_eq!(seen[3], seen[4]);
}

#[tokio::test]
async fn a_final_error_is_counted_by_status_and_type() {
    let problem = |status: &str| with_length(status, "", r#"{"type":"urn:ordermill:invalid","detail":"bad"}"#);
    let (url, _) = fake(move |request| match request.order {
        1 | 2 => Act::Whole(problem("422 Unprocessable Content")),
        3 => Act::Whole(problem("500 Internal Server Error")),
        4 => Act::Whole(with_length("503 Service Unavailable", "", "")),
        5 => Act::Whole(with_length("202 Accepted", "", "{}")),
        6 => Act::Whole(with_length("504 Gateway Timeout", "", r#"{"orderId":"x"}"#)),
        7 => Act::Whole(with_length("504 Gateway Timeout", "", "<html>")),
        _ => Act::Whole(accepted(request.order)),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let report = run(&url, &format!("--orders 10 --connections 1 --record {}", record.display())).await;
    assert_eq!(differing(&report, 3), ["refused 4", "unknown 3", "unnamed 1", "unresolved 1", "withoutId 1"]);
    assert_eq!(report.unexpected, 6, "all but the 504 that names its order");
    assert_eq!(std::fs::read_to_string(record).unwrap(), "order-0\nmaybe x\norder-8\norder-9\n");
    let shown: Vec<String> =
        report.refusals.iter().map(|refusal| format!("{} x {} {}", refusal.count, refusal.cause.status, refusal.cause.kind)).collect();
    assert_eq!(shown, ["2 x 422 urn:ordermill:invalid", "1 x 500 urn:ordermill:invalid", "1 x 503 "]);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_order_unknown_or_is_asked_for_again_under_its_key() {
    let broken = |request: &Request| match request.order {
        1 => Act::Reset,
        3 => Act::CutOff(accepted(request.order)),
        5 => Act::Whole("SMTP ready\r\n\r\n".to_owned()),
        _ => Act::Whole(accepted(request.order)),
    };
    let (url, _) = fake(broken).await;
    let report = run(&url, "--orders 8 --connections 1").await;
    assert_eq!(differing(&report, 5), ["malformed 1", "resets 2", "unknown 3"]);

    let (url, node) = fake(broken).await;
    let report = run(&url, "--orders 8 --connections 1 --idempotency").await;
    assert_eq!(differing(&report, 8), ["malformed 1", "resets 2", "sentAgain 3"]);
    let keys: BTreeSet<Option<String>> = node.seen.lock().unwrap().iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys.len(), 8, "one key an order");
    assert!(!keys.contains(&None));
}

#[tokio::test]
async fn a_node_that_is_lost_leaves_its_connections_to_the_others() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (broken, _) = fake(|_| Act::Reset).await;
    let (whole, node) = fake(|request| Act::Whole(accepted(request.order))).await;
    let urls = format!("http://{gone},{broken},{whole}");
    let report = run(&urls, "--orders 30 --connections 3 --idempotency --no-settle").await;
    assert_eq!((report.counts.accepted, report.counts.unexpected(), report.failure.as_deref()), (30, 0, None));
    assert!(report.counts.resets >= 1 && report.counts.no_connection >= 1, "{:?}", report.counts);
    assert_eq!(node.seen.lock().unwrap().len(), 30, "each order came once to who takes it");
}

#[tokio::test]
async fn an_order_is_followed_at_any_node() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (url, _) = fake(|request| Act::Whole(accepted(request.order))).await;
    let urls = [format!("http://{gone}"), url];
    let nodes = nodes(&urls, None).await.unwrap();
    let followers = Followers::new(1.0, 1, &nodes, None, Duration::from_secs(20));
    let tickets = Tickets::start(Some(4), None);
    while let Some(ticket) = tickets.next().await {
        followers.consider(ticket, b"order-1");
    }
    while followers.active() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let followed = followers.result(|followed, _| followed.clone());
    assert_eq!((followed.settled, followed.confirmed, followed.lost), (4, 4, 0));
}

#[tokio::test]
async fn connections_that_the_node_closes_are_opened_again() {
    let (url, _) = fake(|request| match request.order % 3 {
        0 => Act::Whole(accepted(request.order)),
        1 => Act::ThenClose(accepted(request.order).replace("\r\nContent-Type", "\r\nConnection: close\r\nContent-Type")),
        _ => Act::ThenClose("HTTP/1.1 202 Accepted\r\n\r\n{\"orderId\":\"x\"}".to_owned()),
    })
    .await;
    let report = run(&url, "--orders 30 --connections 1").await;
    assert_eq!(report.counts.accepted, 30);
    assert_eq!(report.counts.errors(), 0);
}

#[tokio::test]
async fn a_connection_that_is_lost_while_the_catalogue_is_written_is_made_again() {
    let (url, node) = fake(|request| Act::Whole(accepted(request.order))).await;
    let report = run(&url, "--connections 1 --orders 1").await;
    assert_eq!(report.counts.accepted, 1);
    assert_eq!(node.products.load(Ordering::SeqCst), 21, "20 products, and one again");
}

#[tokio::test]
async fn a_silent_node_costs_a_timeout_and_is_not_waited_for_at_the_end() {
    let (url, _) = fake(|request| if request.order == 2 { Act::Silence } else { Act::Whole(accepted(request.order)) }).await;
    let report = run(&url, "--orders 6 --connections 2 --timeout 1").await;
    assert_eq!(differing(&report, 5), ["timeouts 1", "unknown 1"]);
}

#[tokio::test]
async fn recorded_orders_are_in_the_file_and_sampled_ones_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accepted");
    let (url, _) = fake(|request| Act::Whole(accepted(request.order))).await;
    let report = run(&url, &format!("--orders 60 --connections 3 --sample 1 --record {}", path.display())).await;
    assert_eq!(differing(&report, 60), [] as [&str; 0]);
    let ids: BTreeSet<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(ids, (0..60).map(|order| format!("order-{order}")).collect());
    let sample = report.sample.unwrap();
    assert_eq!((sample.settled, sample.confirmed, sample.passed_over, sample.lost), (60, 60, 0, 0));
    assert_eq!(report.settled_ms.unwrap().count, 60);
}

#[tokio::test]
async fn an_open_loop_counts_latency_from_the_time_an_order_was_due() {
    // One connection and a node that stalls once: the orders that were due meanwhile are late through no fault of theirs.
    let (url, _) = fake(|request| if request.order == 5 { Act::Silence } else { Act::Whole(accepted(request.order)) }).await;
    let report = run(&url, "--orders 50 --rate 100 --connections 1 --timeout 1").await;
    assert_eq!(differing(&report, 49), ["timeouts 1", "unknown 1"]);
    assert!(report.accepted_ms.unwrap().p50 > 500.0, "{:?}", report.accepted_ms);
    assert_eq!(report.r#loop, "open");
}

#[tokio::test]
async fn real_orders_are_sent_once_each_with_what_is_wrong_with_them_in_the_notes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.csv");
    let text = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                1,TEA,T,1,d,2.00,77,F\n2,TEA,T,2,d,2.00,78,F\nC3,TEA,T,-2,d,2.00,78,F\n4,TEA,T,1,d,2.01,79,F\n";
    std::fs::write(&path, text).unwrap();
    let (url, node) = fake(|request| Act::Whole(accepted(request.order))).await;
    let report = run(&url, &format!("--csv {} --connections 1", path.display())).await;
    assert_eq!(differing(&report, 3), [] as [&str; 0]);
    assert_eq!(node.seen.lock().unwrap().len(), 3);
    insta::assert_snapshot!(report.notes.join("\n"), @r"
    the file: 3 orders of 3 lines, 1 products, 1 lines refused
      1 x cancellation of an earlier invoice (first: line 4)
    of one pass through the file, 1 orders sell at another price than the catalogue's: a node with pricing=check cancels them
    and 1 have a total that ends in .01 to .09, by which the sandbox declines, fails or delays a payment unless providers.sandbox.magic is false: those that fail for good become dead letters and wait for a person
    ");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_an_error_with_a_hint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let line = format!("load --json --url {url} --orders 1");
    let error = measure(&Line::parse_from(line.split_whitespace()).args).await.unwrap_err();
    assert!(format!("{error:#}").contains("is the node running?"), "{error:#}");
    let report = run(&url, "--orders 4 --connections 2 --no-seed --give-up 0").await;
    assert!(report.failure.is_some());
    assert_eq!(report.counts.not_sent, 2, "those that were taken: {:?}", report.counts);
}
