//! Sends spans: a bounded queue, and a thread that empties it into requests to the receiver (OTLP over HTTP, protobuf).
//!
//! Whoever tells a span never waits: if the queue is full, the span is dropped and counted. While the receiver is away, one batch is tried
//! again, with a growing delay and a limited number of times; the queue fills, and no more memory than that is ever used.

use super::otlp::{self, Origin};
use crate::config::TelemetrySettings;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Tries of one batch.
const TRIES: u32 = 5;
/// The wait before the second try. It then doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait before a try, whatever the receiver asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest answer that is looked into, in bytes.
const MOST_ANSWER: usize = 64 * 1024;

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The address is none.
    #[error("telemetry.otlp_endpoint: {0}")]
    Endpoint(String),
    /// No HTTP client.
    #[error("no HTTP client for traces")]
    Client(#[from] reqwest::Error),
    /// No thread.
    #[error("no thread for traces")]
    Thread(#[from] std::io::Error),
}

/// What became of the spans so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Put into the queue.
    pub(super) told: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) no_room: AtomicU64,
    pub(super) not_taken: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// The queue's end that everybody has.
#[derive(Debug)]
pub(super) struct Sender {
    spans: mpsc::Sender<Vec<u8>>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    counts: Arc<Counts>,
}

impl Sender {
    pub(super) fn start(settings: &TelemetrySettings, node: &str) -> Result<Self, SenderError> {
        let url = url(&settings.otlp_endpoint).map_err(SenderError::Endpoint)?;
        // Refused only when it is installed already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_millis(settings.trace_timeout_ms);
        let client = Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build()?;
        let (spans, queue) = mpsc::channel(settings.trace_queue.max(1));
        let (flushes, flushing) = mpsc::channel(1);
        let counts = Arc::new(Counts::default());
        let run = Run {
            client,
            url,
            origin: Origin::new(&settings.service_name, node),
            most: settings.trace_batch.max(1),
            every: Duration::from_millis(settings.trace_interval_ms),
            counts: counts.clone(),
            was_away: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("traces".to_owned()).spawn(move || runtime.block_on(run.run(queue, flushing)))?;
        Ok(Self { spans, flushes, counts })
    }

    /// Puts an encoded span in, or drops it.
    pub(super) fn put(&self, span: Vec<u8>) {
        let counter = if self.spans.try_send(span).is_ok() { &self.counts.told } else { &self.counts.no_room };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns when what waits has been tried once.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flushes.send(done).await.is_ok() {
            // Gone with its thread, it has nothing to send any more.
            drop(flushed.await);
        }
    }
}

/// Where traces are posted: the endpoint is the base address of all signals, as OpenTelemetry has it.
fn url(endpoint: &str) -> Result<Url, String> {
    let url: Url = format!("{}/v1/traces", endpoint.trim_end_matches('/')).parse().map_err(|error| format!("{error}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("is not an http or https address".to_owned()) }
}

struct Run {
    client: Client,
    url: Url,
    origin: Origin,
    most: usize,
    every: Duration,
    counts: Arc<Counts>,
    /// What was told last of the receiver.
    was_away: bool,
}

/// What became of a try.
enum Tried {
    Taken,
    Refused(String),
    Failed(String, Option<Duration>),
}

type Flush = oneshot::Sender<()>;

impl Run {
    async fn run(mut self, mut queue: mpsc::Receiver<Vec<u8>>, mut flushes: mpsc::Receiver<Flush>) {
        let mut batch = Vec::with_capacity(self.most);
        loop {
            let flush = tokio::select! {
                flush = flushes.recv() => match flush {
                    Some(flush) => Some(flush),
                    // Nobody is left to tell anything.
                    None => return self.send_all(&mut batch, &mut queue).await,
                },
                taken = queue.recv_many(&mut batch, self.most) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(&mut batch, &mut queue, &mut flushes).await
                }
            };
            let Some(flush) = flush else {
                self.send_often(&mut batch, &mut queue, &mut flushes).await;
                continue;
            };
            self.send_all(&mut batch, &mut queue).await;
            // Who asked may have given up.
            let _gone = flush.send(());
        }
    }

    /// Waits for more spans: until the batch is full, its time is over, or what waits is to be sent now.
    async fn gather(
        &self,
        batch: &mut Vec<Vec<u8>>,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        flushes: &mut mpsc::Receiver<Flush>,
    ) -> Option<Flush> {
        let until = Instant::now() + self.every;
        while batch.len() < self.most {
            let room = self.most - batch.len();
            tokio::select! {
                Some(flush) = flushes.recv() => return Some(flush),
                taken = queue.recv_many(batch, room) => if taken == 0 { return None },
                () = tokio::time::sleep_until(until) => return None,
            }
        }
        None
    }

    /// Sends a batch, again and again while the receiver is away. A flush meanwhile ends that: the process is about to end.
    async fn send_often(&mut self, batch: &mut Vec<Vec<u8>>, queue: &mut mpsc::Receiver<Vec<u8>>, flushes: &mut mpsc::Receiver<Flush>) {
        let body = self.origin.request(batch);
        let count = batch.len() as u64;
        batch.clear();
        let mut wait = FIRST_WAIT;
        for left in (0..TRIES).rev() {
            match self.send(body.clone(), count).await {
                Tried::Taken | Tried::Refused(_) => return,
                Tried::Failed(_, asked) if left > 0 => {
                    let flush = tokio::select! {
                        () = tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)) => None,
                        flush = flushes.recv() => flush,
                    };
                    wait *= 2;
                    if let Some(flush) = flush {
                        self.counts.not_taken.fetch_add(count, Ordering::SeqCst);
                        self.send_all(batch, queue).await;
                        let _gone = flush.send(());
                        return;
                    }
                }
                Tried::Failed(..) => break,
            }
        }
        self.counts.not_taken.fetch_add(count, Ordering::SeqCst);
    }

    /// Sends all that waits, one try for each batch; ends at the first that is not taken.
    async fn send_all(&mut self, batch: &mut Vec<Vec<u8>>, queue: &mut mpsc::Receiver<Vec<u8>>) {
        loop {
            while batch.len() < self.most {
                let Ok(span) = queue.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let body = self.origin.request(batch);
            batch.clear();
            if let Tried::Failed(..) = self.send(body, count).await {
                self.counts.not_taken.fetch_add(count, Ordering::SeqCst);
                return;
            }
        }
    }

    async fn send(&mut self, body: Vec<u8>, count: u64) -> Tried {
        let tried = self.try_send(body, count).await;
        match &tried {
            Tried::Taken if self.was_away => tracing::info!(url = %self.url, "traces are taken again"),
            Tried::Failed(why, _) | Tried::Refused(why) if !self.was_away => {
                tracing::warn!(url = %self.url, cause = %why, "traces are not taken; some will be lost");
            }
            Tried::Taken | Tried::Failed(..) | Tried::Refused(_) => {}
        }
        self.was_away = !matches!(tried, Tried::Taken);
        tried
    }

    async fn try_send(&self, body: Vec<u8>, count: u64) -> Tried {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Tried::Failed(format!("{:#}", anyhow::Error::from(error.without_url())), None),
        };
        let status = response.status();
        if status.is_success() {
            let refused = otlp::refused(&read(response).await).min(count);
            self.counts.refused.fetch_add(refused, Ordering::SeqCst);
            self.counts.sent.fetch_add(count - refused, Ordering::SeqCst);
            return Tried::Taken;
        }
        let asked = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        // The answers after which the protocol has a client try again.
        let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if again.contains(&status) {
            return Tried::Failed(status.to_string(), asked.map(Duration::from_secs));
        }
        self.counts.refused.fetch_add(count, Ordering::SeqCst);
        Tried::Refused(status.to_string())
    }
}

/// The beginning of an answer; what is lost of it is not worth another try.
async fn read(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_ANSWER {
            return Vec::new();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_endpoint() {
        for (endpoint, wanted) in [
            ("http://jaeger:4318", Ok("http://jaeger:4318/v1/traces")),
            ("https://otlp.example/base/", Ok("https://otlp.example/base/v1/traces")),
            ("jaeger:4318", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(url(endpoint).map(|url| url.to_string()).as_deref().map_err(|_| ()), wanted, "{endpoint}");
        }
    }
}
