//! A line to the server that is cut at a chosen moment: of what is asked and answered, the n-th from now.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Where a round trip is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// Before the server hears the question.
    Question,
    /// After the server has answered, before the answer is heard.
    Answer,
}

const NEVER: i64 = i64::MAX;

/// The line; each connection through it is cut alike, and the ones after it are whole again.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: std::net::SocketAddr,
    questions: Arc<AtomicI64>,
    answers: Arc<AtomicI64>,
}

impl Proxy {
    /// A line to `host:port`.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            questions: Arc::new(AtomicI64::new(NEVER)),
            answers: Arc::new(AtomicI64::new(NEVER)),
        };
        let line = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(line.clone().carry(client, upstream));
            }
        });
        proxy
    }

    /// `url` through this line.
    pub(crate) fn through(&self, url: &str) -> String {
        let (handle, rest) = url.rsplit_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{handle}@{}/{database}", self.address)
    }

    /// Cuts the line at the `nth` round trip from now; the first is 1.
    pub(crate) fn cut(&self, moment: Moment, nth: i64) {
        let counter = if moment == Moment::Question { &self.questions } else { &self.answers };
        counter.store(nth, Ordering::SeqCst);
    }

    /// A round trip begins where the client speaks after the server has.
    async fn carry(self, client: TcpStream, upstream: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = upstream.into_split();
        let (mut asked, mut told) = (vec![0; 65_536], vec![0; 65_536]);
        let mut is_asking = false;
        loop {
            let whole = tokio::select! {
                question = from_client.read(&mut asked) => {
                    let begins = !std::mem::replace(&mut is_asking, true);
                    !(begins && is_due(&self.questions)) && pass(question, &asked, &mut to_server).await
                }
                answer = from_server.read(&mut told) => {
                    let begins = std::mem::replace(&mut is_asking, false);
                    if begins && is_due(&self.answers) {
                        drain(&mut from_server, &mut told).await;
                        false
                    } else {
                        pass(answer, &told, &mut to_client).await
                    }
                }
            };
            if !whole {
                return;
            }
        }
    }
}

/// Counts one round trip; whether it is the one to be cut, after which nothing is.
fn is_due(counter: &AtomicI64) -> bool {
    if counter.load(Ordering::SeqCst) == NEVER || counter.fetch_sub(1, Ordering::SeqCst) > 1 {
        return false;
    }
    counter.store(NEVER, Ordering::SeqCst);
    true
}

async fn pass(read: std::io::Result<usize>, bytes: &[u8], to: &mut OwnedWriteHalf) -> bool {
    match read {
        Ok(length) if length > 0 => to.write_all(&bytes[..length]).await.is_ok(),
        Ok(_) | Err(_) => false,
    }
}

/// Lets the server say all that it has to say to what it was asked: then it has done it.
async fn drain(server: &mut OwnedReadHalf, bytes: &mut [u8]) {
    let quiet = std::time::Duration::from_millis(300);
    while let Ok(Ok(length)) = tokio::time::timeout(quiet, server.read(bytes)).await {
        if length == 0 {
            return;
        }
    }
}
