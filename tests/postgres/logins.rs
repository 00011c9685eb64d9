//! A login of one role that turns against the others.

use crate::options;
use crate::server::{self, Database};
use ordermill::db::postgres::PgStore;
use ordermill::db::{NewWriter, Store as _};
use ordermill::domain::Role;
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

/// A login that is let in for the payment role; dropped with its rights at the end.
struct Login(String);

impl Login {
    async fn grant(database: &Database, name: &str) -> (Self, Client) {
        let login = Self(format!("{}_{name}", database.name));
        server::run(&format!("CREATE ROLE {} LOGIN PASSWORD 'secret'", login.0)).await;
        options(database).grant(&login.0, [Role::Payment].into_iter().collect()).await.unwrap();
        let url = database.url();
        let (_, place) = url.rsplit_once('@').unwrap();
        let (client, line) = tokio_postgres::connect(&format!("postgres://{}:secret@{place}", login.0), NoTls).await.unwrap();
        tokio::spawn(line);
        (login, client)
    }

    async fn drop_in(self, database: &Database) {
        let client = server::connect(&database.name).await;
        client.batch_execute(&format!("DROP OWNED BY {0}; DROP SCHEMA {0} CASCADE; DROP ROLE {0}", self.0)).await.unwrap();
    }
}

/// What the server says to a statement: the rows that it touched, or its refusal.
async fn says(client: &Client, statement: &str) -> Result<u64, String> {
    let done = client.execute(statement, &[]).await;
    done.map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_changes_another_writers_row() {
    let database = Database::missing("logins");
    let mut store = PgStore::open(options(&database), Handle::current()).await.unwrap();
    let new = NewWriter::of_all_roles("orders", "http://orders", 600_000);
    let victim = store.start_writer(&new).await.unwrap().writer.0;
    let (login, bad) = Login::grant(&database, "pay").await;
    let refused = Err("42501".to_owned());
    // Another's row, of a writer that lives.
    for change in [
        "url = 'http://evil'",
        "proof = 'x'",
        "node = 'evil'",
        "roles = 'payment'",
        "login = current_user",
        "alive = false",
        "lease_until = now()",
        "commits = commits + 1",
        "last_seq = 7",
        "published_seq = 7",
        "publisher = 1, publish_until = now()",
    ] {
        assert_eq!(says(&bad, &format!("UPDATE writers SET {change} WHERE writer = {victim}")).await, refused, "{change}");
    }
    assert_eq!(says(&bad, &format!("DELETE FROM writers WHERE writer = {victim}")).await, refused);
    // A row of its own is its own, whatever it says, and proves nothing.
    let made = format!(
        "INSERT INTO writers (node, url, roles, alive, lease_until, login) \
         VALUES ('orders', 'http://evil', 'order', true, now() + interval '1 h', '{}')",
        "postgres"
    );
    assert_eq!(says(&bad, &made).await, Ok(1));
    let copied = format!("UPDATE writers SET proof = (SELECT proof FROM writers WHERE writer = {victim}) WHERE url = 'http://evil'");
    assert_eq!(says(&bad, &copied).await, Ok(1));
    let owner = server::connect(&database.name).await;
    let row = owner.query_one("SELECT login::text, writer, url, proof FROM writers WHERE url = 'http://evil'", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), login.0, "not whom it said");
    let parts = [row.get::<_, i64>(1).to_string(), row.get::<_, String>(2)];
    let proof: String = row.get(3);
    assert!(!new.key.proves(ordermill::config::Purpose::Address, &[&parts[0], &parts[1]], &proof), "another's proof");
    assert_eq!(says(&bad, "UPDATE writers SET url = 'http://other' WHERE url = 'http://evil'").await, refused, "nor does its own change");
    // What the protocol needs of every node.
    owner
        .execute(&format!("UPDATE writers SET lease_until = now() - interval '1 h', last_seq = 5 WHERE writer = {victim}"), &[])
        .await
        .unwrap();
    assert_eq!(says(&bad, &format!("UPDATE writers SET alive = false WHERE writer = {victim}")).await, Ok(1), "its lease has ended");
    let claim = format!("UPDATE writers SET publisher = $1, publish_until = now() + interval '1 h' WHERE writer = {victim}");
    let own: i64 = parts[0].parse().unwrap();
    assert_eq!(says(&bad, &claim.replace("$1", &victim.to_string())).await, refused, "for another");
    assert_eq!(says(&bad, &claim.replace("$1", &own.to_string())).await, Ok(1));
    assert_eq!(says(&bad, &format!("UPDATE writers SET published_seq = 9 WHERE writer = {victim}")).await, refused, "past its end");
    assert_eq!(says(&bad, &format!("UPDATE writers SET published_seq = 5 WHERE writer = {victim}")).await, Ok(1));
    drop(bad);
    login.drop_in(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_roles_login_still_works() {
    let database = Database::missing("logins");
    let _made = PgStore::open(options(&database), Handle::current()).await.unwrap();
    let (login, client) = Login::grant(&database, "good").await;
    drop(client);
    let url = database.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let its = ordermill::db::postgres::PgOptions::new(&format!("postgres://{}:secret@{place}", login.0), crate::sample::shards()).unwrap();
    let mut desk = crate::Desk::at(its, 60_000).await;
    let letter = crate::sample::letter(&crate::sample::order(1), 1, "cause", 1);
    desk.commit(vec![ordermill::db::Write::AddLetter(letter)]).await.unwrap();
    assert!(desk.store.renew(desk.writer.writer, 60_000).await.unwrap());
    desk.store.end_writer(desk.writer.writer).await.unwrap();
    drop(desk);
    login.drop_in(&database).await;
}
