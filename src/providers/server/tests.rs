//! The real clients against these servers, and against servers that misbehave. Real sockets, so real time; only calls that are meant
//! to time out have a short timeout.

use super::*;
use crate::config::providers::{
    BreakerSettings, EmailSettings, HttpParty, MailParty, MailTls, PaymentSettings, ProviderSettings, SmsSettings,
};
use crate::domain::NoticeId;
use crate::providers::call::{Call, ProviderError};
use crate::providers::sandbox::tests::{charge_of, email_to, key, money, sandbox, sms_to};
use crate::providers::sandbox::{ChargeState, SandboxControl};
use crate::providers::{
    Breaker, Charge, Email, Found, Guarded, HttpPayment, HttpTexter, Mailer, PaymentProvider, Providers, SmtpMailer, Texter, Voided,
};
use std::future::Future;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Long enough for the slowest machine.
const PATIENT_MS: u64 = 60_000;
/// For calls that never get an answer.
const SHORT_MS: u64 = 300;

struct Running {
    end: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start<F: Future<Output = std::io::Result<()>> + 'static>(
        serve: impl FnOnce(oneshot::Receiver<()>) -> F,
        set: &tokio::task::LocalSet,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        Self { end, server: set.spawn_local(serve(ended)) }
    }

    async fn stop(self) {
        self.end.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

fn http_server(sandbox: &SandboxControl, set: &tokio::task::LocalSet) -> (Running, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let sandbox = sandbox.clone();
    (Running::start(|ended| serve_http(listener, sandbox, async { drop(ended.await) }), set), url)
}

async fn smtp_server(mailer: Arc<dyn Mailer>, set: &tokio::task::LocalSet) -> (Running, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (Running::start(|ended| serve_smtp(listener, mailer, async { drop(ended.await) }), set), port)
}

fn payment_at(url: &str) -> HttpPayment {
    HttpPayment::new(&PaymentSettings { url: url.to_owned(), timeout_ms: PATIENT_MS, ..PaymentSettings::default() }).unwrap()
}

fn mailer_at(port: u16) -> SmtpMailer {
    SmtpMailer::new(&mail_settings(port)).unwrap()
}

fn mail_settings(port: u16) -> EmailSettings {
    EmailSettings { provider: MailParty::Smtp, port, tls: MailTls::None, timeout_ms: PATIENT_MS, ..EmailSettings::default() }
}

/// The answer in a word, without its reason.
fn word<T: std::fmt::Debug>(answer: &Result<T, ProviderError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(ProviderError::Failed { .. }) => "failed".to_owned(),
        Err(ProviderError::Unknown { .. }) => "unknown".to_owned(),
        Err(ProviderError::Rejected { .. }) => "rejected".to_owned(),
        Err(ProviderError::Deferred { .. }) => "deferred".to_owned(),
        Err(ProviderError::Busy { .. }) => "busy".to_owned(),
        Err(ProviderError::Open { .. }) => "open".to_owned(),
    }
}

#[tokio::test]
async fn the_http_payment_client_gets_the_answers_of_the_books() {
    let set = tokio::task::LocalSet::new();
    let sandbox = sandbox();
    let (server, url) = http_server(&sandbox, &set);
    set.run_until(async {
        let payment = payment_at(&url);
        let no = "Declined { reason: \"insufficient funds\" }";
        for (order, amount, charged, found, voided, refunded) in [
            (1, "19.99", "Approved", "Approved { refunded: false }", "AlreadyCharged", "()"),
            (2, "10.01", no, no, "Voided", "rejected"),
            (5, "10.05", "failed", "NotFound", "Voided", "rejected"),
            (8, "10.08", "Approved", "Approved { refunded: false }", "AlreadyCharged", "failed"),
        ] {
            let key = key(order, 1);
            assert_eq!(word(&payment.find(key).await), "NotFound");
            for _ in 0..2 {
                assert_eq!(word(&payment.charge(charge_of(key, amount)).await), charged, "{amount}");
            }
            assert_eq!(word(&payment.find(key).await), found, "{amount}");
            assert_eq!(word(&payment.void(key).await), voided, "{amount}");
            assert_eq!(word(&payment.refund(key, money(amount)).await), refunded, "{amount}");
        }
        assert_eq!(payment.find(key(1, 1)).await, Ok(Found::Approved { refunded: true }));
        assert_eq!(payment.find(key(5, 1)).await, Ok(Found::Voided));
        let refused = payment.charge(charge_of(key(5, 1), "10.05")).await;
        assert_eq!(refused, Ok(Charge::Declined { reason: crate::domain::Text::lossy("voided") }));
        let states: Vec<_> = sandbox.charges().iter().map(|charge| (charge.amount, charge.state)).collect();
        let none = (money("0.00"), ChargeState::Voided);
        let want = [
            (money("19.99"), ChargeState::Refunded),
            (money("10.01"), ChargeState::Declined),
            none,
            (money("10.08"), ChargeState::Approved),
        ];
        assert_eq!(states, want);
        server.stop().await;
        let gone = payment.find(key(1, 1)).await;
        assert!(word(&gone) == "failed" && gone.as_ref().is_err_and(ProviderError::is_away), "nobody listens any more: {gone:?}");
    })
    .await;
}

#[tokio::test]
async fn a_timeout_is_unknown_and_asking_by_key_tells() {
    let set = tokio::task::LocalSet::new();
    let (server, url) = http_server(&sandbox(), &set);
    set.run_until(async {
        let patient = payment_at(&url);
        let hasty = Guarded::new(payment_at(&url), Breaker::new("payment", BreakerSettings::default()), SHORT_MS);
        // The first call makes the connection, so that the short ones time out on the answer.
        assert_eq!(patient.find(key(1, 1)).await, Ok(Found::NotFound));
        for (order, amount, found) in
            [(2, "1.02", Found::Approved { refunded: false }), (3, "1.03", Found::NotFound), (7, "1.07", Found::NotFound)]
        {
            assert_eq!(word(&hasty.charge(charge_of(key(order, 1), amount)).await), "unknown", "{amount}");
            assert_eq!(patient.find(key(order, 1)).await, Ok(found), "{amount}");
        }
        assert_eq!(patient.void(key(7, 1)).await, Ok(Voided::Voided));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_sms_client_sends_under_the_notices_id() {
    let set = tokio::task::LocalSet::new();
    let sandbox = sandbox();
    let (server, url) = http_server(&sandbox, &set);
    set.run_until(async {
        let texter = HttpTexter::new(&SmsSettings { url, timeout_ms: PATIENT_MS, ..SmsSettings::default() }).unwrap();
        for (id, phone, answer) in [(1, "+49 30 123", "()"), (2, "+490001", "rejected"), (5, "+490005", "failed")] {
            assert_eq!(word(&texter.send(sms_to(id, phone)).await), answer, "{phone}");
        }
        assert_eq!(sandbox.sent(), [(NoticeId(Uuid::from_bytes([1; 16])), "+49 30 123".to_owned())]);
        server.stop().await;
    })
    .await;
}

/// Answers each connection's first request with `answer` and closes. Keeps what was asked.
async fn raw_http(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            heads.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

#[tokio::test]
async fn every_call_that_moves_money_carries_a_key_of_its_own() {
    let (url, asked) = raw_http("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let (payment, key) = (payment_at(&url), key(1, 2));
    for _ in 0..2 {
        assert_eq!(word(&payment.charge(charge_of(key, "1.00")).await), "unknown");
        assert_eq!(word(&payment.void(key).await), "unknown");
        assert_eq!(word(&payment.refund(key, money("1.00")).await), "unknown");
    }
    let key_of = |head: &String| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("idempotency-key: "));
        line.and_then(|line| line.split_once(": ")).map_or_else(String::new, |(_, key)| key.to_owned())
    };
    let keys: Vec<String> = asked.lock().unwrap().iter().map(key_of).collect();
    let once = [key.to_string(), format!("{key}:void"), format!("{key}:refund")];
    assert_eq!(keys, [&once[..], &once[..]].concat());
}

#[tokio::test]
async fn an_answer_from_something_in_between_is_judged_by_its_number() {
    for (answer, judged, away) in [
        ("", "unknown", true),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "unknown", true),
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "unknown", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "unknown", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"status\":\"approved\"", "unknown", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"status\":\"voided\"}", "unknown", false),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "unknown", false),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "failed", true),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "failed", true),
        ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", "failed", true),
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "rejected", false),
    ] {
        let payment = payment_at(&raw_http(answer).await.0);
        let got = payment.charge(charge_of(key(1, 1), "1.00")).await;
        assert_eq!((word(&got).as_str(), got.is_err_and(|error| error.is_away())), (judged, away), "{answer}");
    }
}

/// Takes every email and keeps it.
#[derive(Default)]
struct Kept(Mutex<Vec<Email>>);

impl Mailer for Kept {
    fn send(&self, email: Email) -> Call<()> {
        self.0.lock().unwrap().push(email);
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn an_email_arrives_whole() {
    let set = tokio::task::LocalSet::new();
    let kept = Arc::new(Kept::default());
    let (server, port) = smtp_server(kept.clone(), &set).await;
    set.run_until(async {
        let email = Email { subject: "Your order".to_owned(), body: "Hello\n.\n..\nBye".to_owned(), ..email_to(1, "ann@shop.test") };
        assert_eq!(mailer_at(port).send(email.clone()).await, Ok(()));
        let got = kept.0.lock().unwrap().pop().unwrap();
        assert_eq!(got, Email { body: "Hello\r\n.\r\n..\r\nBye\r\n".to_owned(), ..email });
        assert_eq!(mailer_at(port).send(email_to(2, "jörg@shop.test")).await, Ok(()));
        let got = kept.0.lock().unwrap().pop().unwrap();
        assert_eq!(got.to.as_str(), "jörg@shop.test");
        assert!(got.body.contains("=C3=B6n its way.\r\n.\r\nBye"), "{}", got.body);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_smtp_client_gets_the_answers_of_the_stand_in() {
    let set = tokio::task::LocalSet::new();
    let sandbox = sandbox();
    let (server, port) = smtp_server(Arc::new(sandbox.mailer()), &set).await;
    set.run_until(async {
        let mailer = mailer_at(port);
        for (to, answers) in [
            ("ann@shop.test", ["()", "()", "()"]),
            ("bounce@shop.test", ["rejected"; 3]),
            ("flaky@shop.test", ["deferred", "deferred", "()"]),
            ("fail@shop.test", ["deferred"; 3]),
            ("no address", ["rejected"; 3]),
        ] {
            for answer in answers {
                assert_eq!(word(&mailer.send(email_to(1, to)).await), answer, "{to}");
            }
        }
        let hasty = Guarded::new(mailer, Breaker::new("email", BreakerSettings::default()), SHORT_MS);
        assert_eq!(word(&hasty.send(email_to(2, "timeout@shop.test")).await), "unknown");
        assert_eq!(word(&hasty.send(email_to(3, "lost@shop.test")).await), "unknown");
        let sent: Vec<_> = sandbox.sent().into_iter().map(|(_, to)| to).collect();
        assert_eq!(sent, ["ann@shop.test", "ann@shop.test", "ann@shop.test", "flaky@shop.test", "timeout@shop.test"]);
        server.stop().await;
        assert_eq!(word(&mailer_at(port).send(email_to(1, "ann@shop.test")).await), "failed", "nobody listens any more");
    })
    .await;
}

/// Speaks each connection's lines, one for each thing heard (a command, or a text up to its dot), and closes. Counts connections.
async fn smtp_script(script: &'static [&'static str]) -> (u16, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(Mutex::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            let mut stream = BufReader::new(stream);
            let mut said = "";
            for reply in script {
                hear(&mut stream, said).await;
                let _written = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
                said = reply;
            }
            if said.starts_with("354") {
                hear(&mut stream, said).await;
            }
        }
    });
    (port, connections)
}

/// What a client says after a reply: nothing before the greeting, a text after 354, else a command.
async fn hear(stream: &mut BufReader<TcpStream>, said: &str) {
    let mut line = String::new();
    while !said.is_empty() && stream.read_line(&mut line).await.unwrap_or(0) > 0 && said.starts_with("354") && line != ".\r\n" {
        line.clear();
    }
}

#[tokio::test]
async fn where_the_dialogue_breaks_decides_whether_it_may_have_been_mailed() {
    let cases: &[(&[&str], &str)] = &[
        (&["554 go away"], "failed"),
        (&["220 hi"], "failed"),
        (&["220 hi", "250 hi"], "failed"),
        (&["220 hi", "250 hi", "550 not from you"], "failed"),
        (&["220 hi", "250 hi", "250 ok", "550 <ann@shop.test> is unknown"], "rejected"),
        (&["220 hi", "250 hi", "250 ok", "450 mailbox busy"], "deferred"),
        (&["220 hi", "250 hi", "250 ok", "250 ok"], "failed"),
        (&["220 hi", "250 hi", "250 ok", "250 ok", "354 go on"], "unknown"),
        (&["220 hi", "250 hi", "250 ok", "250 ok", "354 go on", "554 spam"], "rejected"),
        (&["220 hi", "250 hi", "250 ok", "250 ok", "354 go on", "452 full"], "deferred"),
        (&["220 hi", "250 hi", "250 ok", "250 ok", "354 go on", "250 taken"], "()"),
    ];
    for (script, answer) in cases {
        let (port, _) = smtp_script(script).await;
        let got = mailer_at(port).send(email_to(1, "ann@shop.test")).await;
        assert_eq!(word(&got), *answer, "{script:?}: {got:?}");
        assert!(!format!("{got:?}").contains("ann@"), "{got:?}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() {
    let twice: &[&str] =
        &["220 hi", "250 hi", "250 ok", "250 ok", "354 go on", "250 ok", "250 noop", "250 ok", "250 ok", "354 go on", "250 ok"];
    let (port, connections) = smtp_script(twice).await;
    let mailer = mailer_at(port);
    for (email, connected) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        assert_eq!(mailer.send(email_to(email, "ann@shop.test")).await, Ok(()), "email {email}");
        assert_eq!(*connections.lock().unwrap(), connected, "email {email}");
    }
}

#[tokio::test]
async fn no_email_goes_over_an_open_line_when_tls_is_asked_for() {
    let (port, _) = smtp_script(&["220 hi", "250 hi", "250 ok", "250 ok", "354 go on", "250 taken"]).await;
    let mailer = SmtpMailer::new(&EmailSettings { tls: MailTls::Starttls, ..mail_settings(port) }).unwrap();
    assert_eq!(word(&mailer.send(email_to(1, "ann@shop.test")).await), "failed");
}

#[tokio::test]
async fn the_smtp_server_keeps_to_the_protocol_and_its_limits() {
    let set = tokio::task::LocalSet::new();
    let kept = Arc::new(Kept::default());
    let (server, port) = smtp_server(kept.clone(), &set).await;
    let long = format!("NOOP {}", "x".repeat(2_000));
    let dialogue: &[(&str, &str)] = &[
        ("MAIL FROM:<a@x.test>", "503"),
        ("helo x", "250"),
        ("RCPT TO:<b@x.test>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:a@x.test", "503"),
        ("mail from:<a@x.test> SIZE=10", "250"),
        ("DATA", "503"),
        ("RCPT TO:<>", "501"),
        ("RCPT TO:<b@x.test>", "250"),
        ("NOOP", "250"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("VRFY b", "502"),
        ("", "502"),
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<b@x.test>", "250"),
        ("RCPT TO:<c@x.test>", "250"),
        ("DATA", "354"),
        ("Subject: two\r\n\r\n..dot\r\n.", "250"),
        (&long, "500"),
    ];
    set.run_until(async {
        let mut line = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        expect_reply(&mut line, "220", "greeting").await;
        for (command, code) in dialogue {
            line.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
            expect_reply(&mut line, code, command).await;
        }
        let kept: Vec<_> = kept.0.lock().unwrap().iter().map(|email| (email.to.to_string(), email.body.clone())).collect();
        assert_eq!(kept, [("b@x.test".to_owned(), ".dot\r\n".to_owned()), ("c@x.test".to_owned(), ".dot\r\n".to_owned())]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_smtp_server_takes_no_endless_email() {
    let set = tokio::task::LocalSet::new();
    let (server, port) = smtp_server(Arc::new(Kept::default()), &set).await;
    set.run_until(async {
        let mut line = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        line.write_all(b"EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n").await.unwrap();
        for code in ["220", "250-", "250-", "250-", "250-", "250 ", "250", "250", "354"] {
            expect_reply(&mut line, code, "before the text").await;
        }
        let text = format!("{}\r\n", "x".repeat(900)).repeat(1200);
        let _cut = line.write_all(text.as_bytes()).await;
        expect_reply(&mut line, "552", "after the text").await;
        server.stop().await;
    })
    .await;
}

async fn expect_reply(line: &mut BufReader<TcpStream>, code: &str, to: &str) {
    let mut reply = String::new();
    line.read_line(&mut reply).await.unwrap();
    assert!(reply.starts_with(code), "{to:.40}: {reply:?} instead of {code}");
}

#[tokio::test]
async fn settings_choose_the_parties_and_bad_ones_are_named() {
    let set = tokio::task::LocalSet::new();
    let sandbox = sandbox();
    let (server, url) = http_server(&sandbox, &set);
    set.run_until(async {
        let mut settings = ProviderSettings::default();
        assert!(Providers::from_settings(&settings).unwrap().sandbox.is_some());
        settings.payment = PaymentSettings { provider: HttpParty::Http, url: url.clone(), ..settings.payment };
        settings.sms = SmsSettings { provider: HttpParty::Http, url, ..settings.sms };
        settings.email.provider = MailParty::Smtp;
        let providers = Providers::from_settings(&settings).unwrap();
        assert!(providers.sandbox.is_none());
        assert_eq!(providers.payment.charge(charge_of(key(1, 1), "1.00")).await, Ok(Charge::Approved));
        assert_eq!(sandbox.charges().len(), 1);
        let names: Vec<_> = providers.breakers.snapshots().iter().map(|snapshot| snapshot.name).collect();
        assert_eq!(names, ["payment", "email", "sms"]);
        server.stop().await;
    })
    .await;
    type Change = fn(&mut ProviderSettings);
    let cases: &[(Change, &str)] = &[
        (
            |s| s.payment = PaymentSettings { provider: HttpParty::Http, url: "localhost".to_owned(), ..PaymentSettings::default() },
            "payment.url",
        ),
        (|s| s.sms = SmsSettings { provider: HttpParty::Http, url: "ftp://x".to_owned(), ..SmsSettings::default() }, "sms.url"),
        (|s| s.email = EmailSettings { from: "nobody".to_owned(), ..mail_settings(25) }, "email.from"),
        (|s| s.email = EmailSettings { username: Some("u".to_owned()), ..mail_settings(25) }, "email.password"),
        (|s| s.payment.timeout_ms = 0, "payment.timeout_ms"),
        (|s| s.breaker.failures = 0, "breaker.failures"),
        (|s| s.sandbox.behaviour.error_rate = f64::NAN, "sandbox.behaviour.error_rate"),
    ];
    for (spoil, setting) in cases {
        let mut settings = ProviderSettings::default();
        spoil(&mut settings);
        assert_eq!(Providers::from_settings(&settings).err().map(|error| error.setting), Some(*setting));
    }
}
