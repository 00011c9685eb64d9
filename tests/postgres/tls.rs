//! The line to the server is encrypted where it is asked for, and its end is who it should be.

use crate::services::Services;
use ordermill::db::postgres::{PgOptions, PgStore};
use ordermill::db::{NewWriter, Store as _, StoreError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

/// A certificate for 127.0.0.1, signed by one of our own; the server makes both in its folder.
const CERTIFICATES: &str = "COPY (SELECT 1) TO PROGRAM 'umask 077 && cat >/dev/null \
    && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.crt 2>/dev/null \
    && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=server -addext subjectAltName=IP:127.0.0.1 \
       -addext basicConstraints=critical,CA:FALSE -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt 2>/dev/null'";

async fn open(url: &str) -> Result<PgStore, StoreError> {
    let mut store = PgStore::open(PgOptions::new(url, crate::sample::shards()).unwrap(), Handle::current()).await?;
    // Its line is opened when it is first needed.
    store.start_writer(&NewWriter::of_all_roles("node", "http://node", 60_000)).await?;
    Ok(store)
}

/// Waits until the lines that were closed are gone, and those that are left are encrypted.
async fn only_encrypted(owner: &Client) {
    let question = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'ordermill'";
    until("each line is encrypted", async || {
        let lines: Vec<bool> = owner.query(question, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        !lines.is_empty() && lines.iter().all(|is_encrypted| *is_encrypted)
    })
    .await;
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < end, "it never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_encrypted_and_its_end_is_checked() {
    let (_services, url) = tokio::task::block_in_place(|| Services::start("tls", "postgres"));
    let (server, _) = url.rsplit_once('/').unwrap();
    let with = |query: &str| format!("{server}/shop?{query}");
    let (owner, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);

    let refused = open(&with("sslmode=require")).await.err().unwrap();
    assert!(refused.to_string().contains("TLS"), "{refused}");
    // Where the server has none, the default does without.
    drop(open(&with("")).await.unwrap());

    for statement in [CERTIFICATES, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        owner.batch_execute(statement).await.unwrap();
    }
    let authority: String = owner.query_one("SELECT pg_read_file('ca.crt')", &[]).await.unwrap().get(0);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = folder.path().join("ca.crt");
    std::fs::write(&root, authority).unwrap();
    let root = root.display();

    // The server takes its settings up in its own time.
    let mut taken = None;
    until("the server offers TLS", async || {
        taken = open(&with("sslmode=require")).await.ok();
        taken.is_some()
    })
    .await;
    let store = taken.unwrap();
    only_encrypted(&owner).await;
    drop(store);
    // Where the server has it, the default uses it.
    let store = open(&with("")).await.unwrap();
    only_encrypted(&owner).await;
    drop(store);
    drop(open(&with(&format!("sslmode=verify-full&sslrootcert={root}"))).await.unwrap());

    let stranger = open(&with("sslmode=verify-full")).await.err().unwrap();
    assert!(stranger.to_string().contains("certificate"), "{stranger}");
    let elsewhere = with(&format!("sslmode=verify-full&sslrootcert={root}")).replace("127.0.0.1", "localhost");
    let elsewhere = open(&elsewhere).await.err().unwrap();
    assert!(elsewhere.to_string().contains("certificate"), "{elsewhere}");
}
