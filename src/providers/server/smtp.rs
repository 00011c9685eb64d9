//! Email over SMTP: the part of RFC 5321 that a delivering client needs, with limits on everything.

use crate::domain::{CorrelationId, NoticeId, Text};
use crate::providers::call::ProviderError;
use crate::providers::{Email, Mailer};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Most sessions at the same time; further ones wait to be accepted.
const MAX_SESSIONS: usize = 1_000;
/// The longest line in bytes, including its end (RFC 5321, 4.5.3.1.6).
const MAX_LINE_BYTES: u64 = 1_000;
/// The longest email, in bytes.
const MAX_EMAIL_BYTES: usize = 1024 * 1024;
/// The most recipients of one email.
const MAX_RECIPIENTS: usize = 100;
/// How long a client may be silent before it is disconnected, in milliseconds.
const IDLE_MS: u64 = 60_000;
/// Pause after a connection could not be accepted (because file handles ran out, say), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves `listener` until `shutdown`; then it cuts open sessions.
///
/// # Errors
/// None at present; if a connection cannot be accepted, the server waits and continues.
pub async fn serve_smtp(listener: TcpListener, mailer: Arc<dyn Mailer>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let seats = Arc::new(Semaphore::new(MAX_SESSIONS));
    let mut sessions = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while sessions.try_join_next().is_some() {}
        let accepted = async {
            let seat = seats.clone().acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, seat))
        };
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = accepted => match accepted {
                Ok((stream, seat)) => {
                    let session = Session::new(stream, mailer.clone());
                    sessions.spawn(async move {
                        // A client that is gone needs no answer.
                        drop(session.run().await);
                        drop(seat);
                    });
                }
                Err(_) => sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
            }
        }
    }
}

struct Session {
    line: BufStream<TcpStream>,
    mailer: Arc<dyn Mailer>,
    stage: Stage,
    recipients: Vec<Text<254>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    Greeted,
    Mail,
}

enum Next {
    Reply(&'static str),
    ReplyAndClose(&'static str),
    Data,
    Close,
}

impl Session {
    fn new(stream: TcpStream, mailer: Arc<dyn Mailer>) -> Self {
        Self { line: BufStream::new(stream), mailer, stage: Stage::Connected, recipients: Vec::new() }
    }

    async fn run(mut self) -> io::Result<()> {
        self.say("220 ordermill sandbox").await?;
        loop {
            let Some(command) = self.read_line().await? else {
                return self.say("500 line too long, or too long silent").await;
            };
            match self.obey(&String::from_utf8_lossy(&command)) {
                Next::Reply(reply) => self.say(reply).await?,
                Next::ReplyAndClose(reply) => return self.say(reply).await,
                Next::Close => return Ok(()),
                Next::Data => {
                    self.say("354 end with a line of one dot").await?;
                    match self.take_email().await? {
                        Next::Reply(reply) => self.say(reply).await?,
                        Next::ReplyAndClose(reply) => return self.say(reply).await,
                        Next::Data | Next::Close => return Ok(()),
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: &str) -> Next {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match (verb.to_ascii_uppercase().as_str(), self.stage) {
            ("EHLO", _) => {
                self.reset();
                Next::Reply("250-ordermill\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SMTPUTF8")
            }
            ("HELO", _) => {
                self.reset();
                Next::Reply("250 ordermill")
            }
            ("NOOP", _) => Next::Reply("250 OK"),
            ("QUIT", _) => Next::ReplyAndClose("221 bye"),
            ("RSET", Stage::Connected) => Next::Reply("250 OK"),
            ("RSET", Stage::Greeted | Stage::Mail) => {
                self.reset();
                Next::Reply("250 OK")
            }
            ("MAIL", Stage::Greeted) if path(rest, "FROM:").is_some() => {
                self.stage = Stage::Mail;
                Next::Reply("250 OK")
            }
            ("RCPT", Stage::Mail) => self.add_recipient(path(rest, "TO:")),
            ("DATA", Stage::Mail) if !self.recipients.is_empty() => Next::Data,
            ("MAIL" | "RCPT" | "DATA", _) => Next::Reply("503 not now, or not so"),
            _ => Next::Reply("502 no such command"),
        }
    }

    fn reset(&mut self) {
        self.stage = Stage::Greeted;
        self.recipients.clear();
    }

    fn add_recipient(&mut self, address: Option<&str>) -> Next {
        if self.recipients.len() >= MAX_RECIPIENTS {
            return Next::Reply("452 too many recipients");
        }
        match address.and_then(|address| Text::new(address).ok()) {
            Some(address) => {
                self.recipients.push(address);
                Next::Reply("250 OK")
            }
            None => Next::Reply("501 no address"),
        }
    }

    async fn take_email(&mut self) -> io::Result<Next> {
        let mut email = Vec::new();
        loop {
            let Some(line) = self.read_line().await? else {
                return Ok(Next::ReplyAndClose("500 line too long, or too long silent"));
            };
            if line == b"." {
                break;
            }
            email.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            email.extend_from_slice(b"\r\n");
            if email.len() > MAX_EMAIL_BYTES {
                return Ok(Next::ReplyAndClose("552 too long"));
            }
        }
        let email = String::from_utf8_lossy(&email).into_owned();
        let recipients = std::mem::take(&mut self.recipients);
        self.reset();
        for to in recipients {
            match self.mailer.send(email_of(&email, to)).await {
                Ok(()) => {}
                Err(ProviderError::Rejected { .. }) => return Ok(Next::Reply("550 no such mailbox")),
                Err(ProviderError::Failed { .. } | ProviderError::Deferred { .. }) => return Ok(Next::Reply("451 try again")),
                Err(ProviderError::Busy { .. } | ProviderError::Open { .. }) => return Ok(Next::ReplyAndClose("421 not now")),
                Err(ProviderError::Unknown { .. }) => return Ok(Next::Close),
            }
        }
        Ok(Next::Reply("250 taken"))
    }

    /// Reads one line without its end. `None` if it is too long or does not come.
    async fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.line).take(MAX_LINE_BYTES);
        let Ok(read) = timeout(Duration::from_millis(IDLE_MS), limited.read_until(b'\n', &mut line)).await else {
            return Ok(None);
        };
        let ended = read? == 0;
        match line.strip_suffix(b"\n") {
            Some(whole) => Ok(Some(whole.strip_suffix(b"\r").unwrap_or(whole).to_vec())),
            None if ended => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Ok(None),
        }
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.line.write_all(reply.as_bytes()).await?;
        self.line.write_all(b"\r\n").await?;
        self.line.flush().await
    }
}

/// The text between `<` and `>` after `FROM:` or `TO:`.
fn path<'a>(rest: &'a str, prefix: &str) -> Option<&'a str> {
    let head = rest.trim_start().get(..prefix.len())?;
    let (path, _) = rest.trim_start().get(prefix.len()..)?.trim_start().strip_prefix('<')?.split_once('>')?;
    head.eq_ignore_ascii_case(prefix).then_some(path)
}

/// Reads an email. The notice's id is the first part of the message id, as our client makes it; another client's email gets a new id.
fn email_of(text: &str, to: Text<254>) -> Email {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let header = |name: &str| head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name));
    let value = |name: &str| header(name).map(|(_, value)| value.trim()).unwrap_or_default();
    let message_id = value("Message-ID").trim_matches(['<', '>']);
    let own = message_id.split('@').next().and_then(|id| id.parse().ok());
    let id = own.unwrap_or_else(|| NoticeId(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())));
    let correlation = value("X-Correlation-Id").parse().unwrap_or(CorrelationId::of(Uuid::nil()));
    Email { id, to, subject: value("Subject").to_owned(), body: body.to_owned(), correlation }
}
