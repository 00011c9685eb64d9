//! What a customer reads, as it arrives at a mail server over the wire.

use crate::process::{self, CUSTOMER, PRODUCT, Plan};
use crate::{alone, assert_whole, folder, plan, record};
use ordermill::providers::server::serve_smtp;
use ordermill::providers::{Call, Email, Mailer, ProviderError};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Keeps what the mail server was given.
#[derive(Default)]
struct Post {
    mails: Mutex<Vec<Email>>,
    /// So often it says "come back later" first (451).
    later: AtomicUsize,
}

impl Mailer for Post {
    fn send(&self, email: Email) -> Call<()> {
        let is_early = self.later.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !is_early {
            self.mails.lock().unwrap().push(email);
        }
        let answer = if is_early { Err(ProviderError::Deferred { reason: "greylisted".to_owned() }) } else { Ok(()) };
        Box::pin(std::future::ready(answer))
    }
}

/// A node that mails through it.
fn node(folder: &Path, post: &Arc<Post>) -> Plan {
    plan(folder)
        .with("providers.email.provider", "smtp")
        .with("providers.email.host", "127.0.0.1")
        .with("providers.email.port", mail_server(post))
        .with("providers.email.tls", "none")
}

/// A mail server of the test's own, until the test ends.
fn mail_server(post: &Arc<Post>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (port, post) = (listener.local_addr().unwrap().port(), post.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve_smtp(listener, post, std::future::pending()).await.unwrap();
        });
    });
    port
}

/// An order of one `product` at `price`.
fn place(node: &Plan, product: &str, price: &str, quantity: u32) -> String {
    let items = format!(r#"[{{"productId":"{product}","quantity":{quantity},"price":{price}}}]"#);
    let contact = r#"{"email":"ann@shop.example"}"#;
    let body = format!(r#"{{"customerId":"{CUSTOMER}","items":{items},"contact":{contact}}}"#);
    let answer = node.send("POST", "/api/v1/orders", &body).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.field("orderId")
}

#[test]
fn an_order_that_ends_unpaid_tells_its_customer_why() {
    const UNKNOWN: &str = "019a0000-0000-7000-8000-00000000beef";
    let _alone = alone();
    let (folder, post) = (folder(), Arc::new(Post::default()));
    let node = node(folder.path(), &post).with("order.payment_deadline_ms", 3_000);
    let running = node.start();
    // The payment stand-in answers this total with an error, each time.
    let product = r#"{"name":"Thing","price":10.05,"availableQuantity":10}"#;
    assert!(node.send("PUT", &format!("/api/v1/products/{PRODUCT}"), product).unwrap().status < 300);
    let called_off = place(&node, PRODUCT, "10.05", 1);
    let asked = node.send("POST", &format!("/api/v1/orders/{called_off}/cancel"), "{}").unwrap();
    assert_eq!(asked.status, 202, "{asked:?}");
    let expected = [
        (called_off, "is cancelled. Nothing was charged."),
        (place(&node, PRODUCT, "10.05", 1), "is cancelled: it was not paid in time. Nothing was charged."),
        (place(&node, PRODUCT, "9.00", 1), "is cancelled: a price has changed since you ordered. Nothing was charged."),
        (place(&node, PRODUCT, "10.05", 11), "is cancelled: something in it is not available. Nothing was charged."),
        (place(&node, UNKNOWN, "10.00", 1), "is cancelled: something in it is not available. Nothing was charged."),
    ];
    running.wait_settled(process::LIMIT);
    let mails = post.mails.lock().unwrap().clone();
    for (id, says) in &expected {
        // As the text came: quoted-printable, in short lines.
        let texts = mails.iter().map(|mail| mail.body.replace("=\r\n", "").trim().to_owned());
        let texts: Vec<String> = texts.filter(|text| text.contains(id)).collect();
        assert_eq!(texts, [format!("Your order {id} {says}")], "{id}");
    }
    assert_eq!(mails.len(), expected.len(), "{mails:#?}");
    assert!(mails.iter().all(|mail| mail.subject == "Your order is cancelled" && mail.to.as_str() == "ann@shop.example"), "{mails:#?}");
    let path = folder.path().join("record.txt");
    record(&path, &expected.map(|(id, _)| id));
    assert_whole(running, &path);
}

#[test]
fn a_mail_server_that_greylists_takes_the_notice_in_the_end() {
    let _alone = alone();
    let (folder, post) = (folder(), Arc::new(Post::default()));
    post.later.store(6, Ordering::SeqCst);
    // No failure is tried again: greylisting is none.
    let node = node(folder.path(), &post)
        .with("notification.retries", 0)
        .with("notification.patience_first_ms", 100)
        .with("notification.patience_most_ms", 300)
        .with("notification.patience_ms", 60_000);
    let running = node.start();
    node.put_product("10.00");
    let id = place(&node, PRODUCT, "10.00", 1);
    running.wait_settled(process::LIMIT);
    assert_eq!(post.mails.lock().unwrap().len(), 1, "{}", node.log());
    assert_eq!(post.later.load(Ordering::SeqCst), 0);
    let letters = node.get("/api/v1/admin/dlq").unwrap();
    assert!(letters.body.contains("\"items\":[]"), "{letters:?}");
    let path = folder.path().join("record.txt");
    record(&path, &[id]);
    assert_whole(running, &path);
}

#[test]
fn patience_with_a_mail_server_has_an_end() {
    let _alone = alone();
    let (folder, post) = (folder(), Arc::new(Post::default()));
    post.later.store(usize::MAX, Ordering::SeqCst);
    let node = node(folder.path(), &post)
        .with("notification.patience_first_ms", 100)
        .with("notification.patience_most_ms", 300)
        .with("notification.patience_ms", 2_000);
    let running = node.start();
    node.put_product("10.00");
    place(&node, PRODUCT, "10.00", 1);
    running.wait_settled(process::LIMIT);
    let tries = usize::MAX - post.later.load(Ordering::SeqCst);
    assert!(tries > 4, "{tries} tries in two seconds");
    let letters = node.get("/api/v1/admin/dlq").unwrap();
    assert!(letters.body.contains("notice-failed"), "{letters:?}");
}

#[test]
fn a_customer_without_an_address_is_sent_nothing_and_nobody_is_troubled() {
    let _alone = alone();
    let (folder, post) = (folder(), Arc::new(Post::default()));
    let node = node(folder.path(), &post);
    let running = node.start();
    node.put_product("10.00");
    let id = node.place("10.00").unwrap().field("orderId");
    running.wait_settled(process::LIMIT);
    assert_eq!(*post.mails.lock().unwrap(), []);
    let order = node.get(&format!("/api/v1/orders/{id}")).unwrap();
    assert_eq!(order.field("status"), "CONFIRMED", "{order:?}");
    let letters = node.get("/api/v1/admin/dlq").unwrap();
    assert!(letters.body.contains("\"items\":[]"), "{letters:?}");
    let path = folder.path().join("record.txt");
    record(&path, &[id]);
    assert_whole(running, &path);
}
