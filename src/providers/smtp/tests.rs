//! The mailer against mail servers as they are: that forget lines, are full, refuse, are slow. Real sockets, so real time.

use super::*;
use crate::config::providers::{BreakerSettings, MailParty, MailTls};
use crate::providers::sandbox::tests::email_to;
use crate::providers::{Breaker, CircuitState, Guarded, Paced};
use futures_util::StreamExt;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Long enough for the slowest machine.
const PATIENT_MS: u64 = 60_000;

/// What a server does with a command. `connection` counts from 1; the greeting and the end of the text are commands too: `HI` and `.`.
type Desk = dyn Fn(usize, &str) -> Answer + Send + Sync;

enum Answer {
    Say(&'static str),
    /// After so many milliseconds.
    Late(u64, &'static str),
    /// Nothing, for ever: the line is dead, and neither end was told.
    Silence,
}
use Answer::{Late, Say, Silence};

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    said: Mutex<Vec<String>>,
}

impl Seen {
    fn said(&self, start: &str) -> Vec<String> {
        self.said
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.to_ascii_uppercase().starts_with(&start.to_ascii_uppercase()))
            .cloned()
            .collect()
    }
}

/// The usual answer.
fn polite(command: &str) -> &'static str {
    match command {
        "HI" => "220 mx.test ready",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 ok",
    }
}

async fn server(desk: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let (all, desk) = (seen.clone(), Arc::new(desk));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = all.connections.fetch_add(1, Ordering::SeqCst) + 1;
            all.open.fetch_add(1, Ordering::SeqCst);
            let (all, desk) = (all.clone(), desk.clone());
            tokio::spawn(async move {
                let _gone = serve(BufReader::new(stream), number, &all, &*desk).await;
                all.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, seen)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut line: BufReader<S>, number: usize, seen: &Seen, desk: &Desk) -> std::io::Result<()> {
    let mut command = "HI".to_owned();
    loop {
        match desk(number, &command) {
            Say(reply) => line.write_all(format!("{reply}\r\n").as_bytes()).await?,
            Late(ms, reply) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                line.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
            Silence => std::future::pending().await,
        }
        let in_text = command == "DATA";
        loop {
            let mut text = String::new();
            if line.read_line(&mut text).await? == 0 {
                return Ok(());
            }
            let text = text.trim_end().to_owned();
            seen.said.lock().unwrap().push(text.clone());
            command = if in_text { text } else { text.split(' ').next().unwrap_or_default().to_owned() };
            if !in_text || command == "." {
                break;
            }
        }
    }
}

fn settings(port: u16) -> EmailSettings {
    EmailSettings {
        provider: MailParty::Smtp,
        port,
        tls: MailTls::None,
        hello: Some("mill.shop.test".to_owned()),
        connect_timeout_ms: PATIENT_MS,
        timeout_ms: PATIENT_MS,
        text_timeout_ms: PATIENT_MS,
        ..EmailSettings::default()
    }
}

fn mailer(port: u16) -> SmtpMailer {
    SmtpMailer::new(&settings(port)).unwrap()
}

async fn send(mailer: &impl Mailer, to: &str) -> Result<(), ProviderError> {
    mailer.send(email_to(1, to)).await
}

#[tokio::test]
async fn kept_lines_that_died_silently_cost_no_try() {
    let dead = Arc::new(Mutex::new(HashSet::new()));
    let forgotten = dead.clone();
    let (port, seen) =
        server(move |number, command| if forgotten.lock().unwrap().contains(&number) { Silence } else { Say(polite(command)) }).await;
    let mailer = SmtpMailer::new(&EmailSettings { kept_timeout_ms: 50, max_idle_ms: PATIENT_MS, ..settings(port) }).unwrap();
    let four = futures_util::future::join_all((0..4).map(|_| send(&mailer, "ann@shop.test"))).await;
    assert_eq!(four, vec![Ok(()); 4]);
    let kept = seen.connections.load(Ordering::SeqCst);
    // Something on the way has forgotten all that lie idle.
    dead.lock().unwrap().extend(1..=kept);
    for _ in 0..2 {
        assert_eq!(send(&mailer, "ann@shop.test").await, Ok(()), "the first try, on a fresh line");
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), kept + 1, "the fresh one is kept");
    let two = futures_util::future::join_all((0..2).map(|_| send(&mailer, "ann@shop.test"))).await;
    assert_eq!((two, seen.said("NOOP").len()), (vec![Ok(()); 2], 3), "one dead line was asked, no other one was kept");
}

#[tokio::test]
async fn a_line_that_was_idle_for_long_is_not_used_again() {
    let (port, seen) = server(|_, command| Say(polite(command))).await;
    let mailer = SmtpMailer::new(&EmailSettings { max_idle_ms: 0, ..settings(port) }).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&mailer, "ann@shop.test").await, Ok(()));
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_is_tired_of_a_kept_line_gets_a_fresh_one() {
    let used = Mutex::new(HashSet::new());
    let tired = move |number, command: &str| match command {
        "MAIL" if !used.lock().unwrap().insert(number) => Say("451 4.7.0 too many messages on this connection"),
        _ => Say(polite(command)),
    };
    let (port, seen) = server(tired).await;
    let mailer = mailer(port);
    for _ in 0..3 {
        assert_eq!(send(&mailer, "ann@shop.test").await, Ok(()));
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn full_mailboxes_and_greylisting_are_no_failure_of_the_server_and_cost_no_connection() {
    let full = |_, command: &str| match command {
        "RCPT" => Say("452 4.2.2 mailbox full"),
        _ => Say(polite(command)),
    };
    let (port, seen) = server(full).await;
    let breaker = Breaker::new("email", BreakerSettings::default());
    let guarded = Guarded::new(mailer(port), breaker.clone(), PATIENT_MS);
    for _ in 0..10 {
        let answer = send(&guarded, "full@shop.test").await;
        assert_eq!(answer, Err(ProviderError::Deferred { reason: "transient error (452): 4.2.2 mailbox full".to_owned() }));
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.failures_in_window), (CircuitState::Closed, 0));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_to_relay_is_the_servers_and_its_reason_is_told_once() {
    let closed = |_, command: &str| match command {
        "RCPT" => Say("554 5.7.1 <ann@shop.test>: Relay access denied"),
        _ => Say(polite(command)),
    };
    let (port, _) = server(closed).await;
    let reason = "permanent error (554): 5.7.1 <the recipient>: Relay access denied".to_owned();
    assert_eq!(send(&mailer(port), "ann@shop.test").await, Err(ProviderError::failed(reason).away()));
}

#[tokio::test]
async fn each_step_has_its_own_limit() {
    let slow = |_, command: &str| match command {
        "." => Late(600, "250 taken"),
        _ => Say(polite(command)),
    };
    let (port, _) = server(slow).await;
    // Longer than a command may take: the text may.
    let patient = SmtpMailer::new(&EmailSettings { timeout_ms: 400, ..settings(port) }).unwrap();
    assert_eq!(send(&patient, "ann@shop.test").await, Ok(()));
    let hasty = SmtpMailer::new(&EmailSettings { text_timeout_ms: 50, ..settings(port) }).unwrap();
    assert_eq!(send(&hasty, "ann@shop.test").await, Err(ProviderError::unknown("no answer to the text within 50 ms").away()));
    let (port, _) = server(|_, command| if command == "RCPT" { Silence } else { Say(polite(command)) }).await;
    let hasty = SmtpMailer::new(&EmailSettings { timeout_ms: 50, ..settings(port) }).unwrap();
    assert_eq!(send(&hasty, "ann@shop.test").await, Err(ProviderError::failed("no answer of the mail server within 50 ms").away()));
}

#[tokio::test]
async fn a_server_that_allows_two_connections_takes_two_hundred_emails() {
    let open: Arc<Mutex<Option<Arc<Seen>>>> = Arc::default();
    let counted = open.clone();
    let few = move |_, command: &str| match command {
        "HI" if counted.lock().unwrap().as_ref().is_some_and(|seen| seen.open.load(Ordering::SeqCst) > 2) => {
            Say("421 4.7.0 too many connections")
        }
        _ => Say(polite(command)),
    };
    let (port, seen) = server(few).await;
    *open.lock().unwrap() = Some(seen.clone());
    let breaker = Breaker::new("email", BreakerSettings::default());
    let paced = Paced::new(Guarded::new(mailer(port), breaker.clone(), PATIENT_MS), 8, 0, PATIENT_MS);
    let insist = async || {
        loop {
            match send(&paced, "ann@shop.test").await {
                Err(ProviderError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                answer => return answer,
            }
        }
    };
    let answers = futures_util::future::join_all((0..200).map(|_| insist())).await;
    assert_eq!(answers, vec![Ok(()); 200]);
    assert_eq!(breaker.snapshot().failures_in_window, 0);
    let refused = seen.connections.load(Ordering::SeqCst);
    assert!(refused < 20, "its limit was found out, not tried 200 times: {refused} connections");
}

#[tokio::test]
async fn an_email_over_which_the_server_hangs_holds_up_no_other() {
    let (is_well, hung) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let well = is_well.clone();
    let desk = move |_, command: &str| match command {
        "MAIL" if !well.load(Ordering::SeqCst) => Say("451 4.3.0 out of order"),
        "." if hung.fetch_add(1, Ordering::SeqCst) == 0 => Silence,
        _ => Say(polite(command)),
    };
    let (port, _) = server(desk).await;
    let breaker =
        Breaker::new("email", BreakerSettings { failures: 1, open_first_ms: 10, open_ms: 20, trial_ms: 100, ..BreakerSettings::default() });
    let paced = Paced::new(Guarded::new(mailer(port), breaker.clone(), PATIENT_MS), 8, 0, 100);
    assert!(send(&paced, "ann@shop.test").await.is_err());
    assert_ne!(breaker.snapshot().state, CircuitState::Closed);
    is_well.store(true, Ordering::SeqCst);
    let insist = async |number| {
        loop {
            match paced.send(email_to(number, "ann@shop.test")).await {
                Err(ProviderError::Open { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                answer => return answer,
            }
        }
    };
    // The first trial hangs for a minute.
    let mut emails: futures_util::stream::FuturesUnordered<_> = (0..5).map(insist).collect();
    for _ in 0..4 {
        assert_eq!(emails.next().await, Some(Ok(())));
    }
    assert_eq!(breaker.snapshot().state, CircuitState::Closed);
}

#[tokio::test]
async fn what_is_mailed_says_what_it_is_and_goes_to_the_domain_in_ascii() {
    let (port, seen) = server(|_, command| Say(polite(command))).await;
    assert_eq!(send(&mailer(port), "kunde@bücher.example").await, Ok(()));
    assert_eq!(seen.said("EHLO"), ["EHLO mill.shop.test"]);
    assert_eq!(seen.said("RCPT"), ["RCPT TO:<kunde@xn--bcher-kva.example>"]);
    assert_eq!(seen.said("MAIL"), ["MAIL FROM:<orders@localhost>"]);
    assert_eq!(seen.said("MIME-Version"), ["MIME-Version: 1.0"]);
    assert_eq!(seen.said("Auto-Submitted"), ["Auto-Submitted: auto-generated"]);
    assert_eq!(seen.said("Date").len(), 1);
}

/// A certificate of an authority of our own for the server, and one for the client.
const CERTIFICATES: &str = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.crt \
    && for who in server client; do openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who -addext subjectAltName=DNS:localhost \
    -addext basicConstraints=critical,CA:FALSE \
    -CA ca.crt -CAkey ca.key -keyout $who.key -out $who.crt || exit 1; done";

async fn tls_server(folder: &std::path::Path) -> u16 {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig};
    crate::providers::call::install_tls();
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.crt")).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(vec![certificate("server.crt")], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(line) = acceptor.accept(stream).await else { continue };
            tokio::spawn(async move { serve(BufReader::new(line), 1, &Seen::default(), &|_, command| Say(polite(command))).await });
        }
    });
    port
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_trusted_by_setting_and_shown_our_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("sh").args(["-c", CERTIFICATES]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = tls_server(folder.path()).await;
    let file = |name: &str| Some(folder.path().join(name).display().to_string());
    let public = EmailSettings { tls: MailTls::Implicit, host: "localhost".to_owned(), ..settings(port) };
    let refused = send(&SmtpMailer::new(&public).unwrap(), "ann@shop.test").await;
    assert!(matches!(&refused, Err(ProviderError::Failed { reason, .. }) if reason.contains("UnknownIssuer")), "{refused:?}");
    let ours = EmailSettings { ca_file: file("ca.crt"), ..public };
    let nameless = send(&SmtpMailer::new(&ours).unwrap(), "ann@shop.test").await;
    assert!(matches!(nameless, Err(ProviderError::Failed { .. })), "it wants our certificate: {nameless:?}");
    let named = EmailSettings { client_cert_file: file("client.crt"), client_key_file: file("client.key"), ..ours.clone() };
    assert_eq!(send(&SmtpMailer::new(&named).unwrap(), "ann@shop.test").await, Ok(()));
    for (wrong, setting) in [
        (EmailSettings { ca_file: file("none.crt"), ..named.clone() }, "email.ca_file"),
        (EmailSettings { client_key_file: None, ..named.clone() }, "email.client_key_file"),
        (EmailSettings { client_cert_file: file("client.key"), ..named }, "email.client_cert_file"),
    ] {
        assert_eq!(SmtpMailer::new(&wrong).err().map(|error| error.setting), Some(setting));
    }
}
