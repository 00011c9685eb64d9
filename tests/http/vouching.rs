//! What one node says to another of who asks, as somebody hears it who should not.

use crate::app::{CUSTOMER_KEY, keys};
use crate::forwarding::{bearer, has_and_has_not};
use crate::neighbours::{Does, Neighbour, run};
use crate::support::{stored, until};
use ordermill::config::Settings;
use reqwest::Method;

#[test]
fn a_nodes_word_about_who_asks_is_worth_nothing_for_another_request_or_at_another_node() {
    run(|| async {
        let listener = Neighbour::new(Does::HangUp).await;
        let (has, has_not) = has_and_has_not(Some(&listener.url), Settings { access: keys(), ..Settings::default() }).await;
        let id = has.place().await;
        let cancel = format!("/api/v1/orders/{id}/cancel");
        let sent = has_not.send(Method::POST, &cancel, &[("authorization", &bearer(CUSTOMER_KEY)), ("cookie", "c=1")], "").await;
        assert_eq!(sent.status(), 504);
        let seen = listener.seen().pop().unwrap();
        assert!(!seen.contains(CUSTOMER_KEY) && !seen.contains("cookie"), "{seen}");
        let word = seen.lines().find_map(|line| line.strip_prefix("ordermill-asker: ")).unwrap();
        let (ship, as_admin) = (format!("/api/v1/orders/{id}/ship"), word.replace(" customer ", " admin "));
        let parts: Vec<&str> = word.split(' ').collect();
        let longer = format!("{}9 {}", parts[0], parts[1..].join(" "));
        for (node, method, path, word) in [
            (&has_not, Method::POST, &cancel, word),
            (&has, Method::POST, &ship, word),
            (&has, Method::GET, &cancel, word),
            (&has, Method::POST, &format!("{cancel}?x=1"), word),
            (&has, Method::POST, &cancel, as_admin.as_str()),
            (&has, Method::POST, &cancel, longer.as_str()),
            (&has, Method::POST, &cancel, "x"),
        ] {
            let answer = node.send(method.clone(), path, &[("ordermill-asker", word), ("ordermill-forwarded", "a")], "").await;
            assert!(
                answer.status() == 503 || answer.status() == 404 || answer.status() == 405,
                "{method} {path} {word}: {}",
                answer.status()
            );
        }
        assert!(stored(has.handle(), id).await.record.facts.cancel.is_none());
        let answer = has.send(Method::POST, &cancel, &[("ordermill-asker", word), ("ordermill-forwarded", "a")], "").await;
        assert_eq!(answer.status(), 202, "the request that it is for");
    });
}

/// Who catches a node's word has little time to use it.
#[test]
fn a_nodes_word_about_who_asks_is_worth_nothing_when_its_time_is_over() {
    run(|| async {
        let listener = Neighbour::new(Does::HangUp).await;
        let mut settings = Settings { access: keys(), ..Settings::default() };
        settings.cluster.forward_proof_ms = 1;
        let (has, has_not) = has_and_has_not(Some(&listener.url), settings).await;
        let id = has.place().await;
        let cancel = format!("/api/v1/orders/{id}/cancel");
        has_not.send(Method::POST, &cancel, &[("authorization", &bearer(CUSTOMER_KEY))], "").await;
        let seen = listener.seen().pop().unwrap();
        let word = seen.lines().find_map(|line| line.strip_prefix("ordermill-asker: ")).unwrap();
        let ends: i64 = word.split(' ').next().unwrap().parse().unwrap();
        until("its time is over", || async { chrono::Utc::now().timestamp_micros() > ends }).await;
        let answer = has.send(Method::POST, &cancel, &[("ordermill-asker", word), ("ordermill-forwarded", "a")], "").await;
        assert_eq!(answer.status(), 503);
        assert!(stored(has.handle(), id).await.record.facts.cancel.is_none());
    });
}
