//! Logins for nodes that host some roles: each sees the tables of its roles and what all nodes share, and of the others nothing.
//!
//! The other roles' tables stand in the login's own schema as views without rows, before the real ones in its search path. So the
//! same statements serve every node, and what a login must not see it does not see.

use super::connect::{PgOptions, Session};
use super::error;
use super::statement::{Value, select, sql};
use crate::db::error::StoreError;
use crate::domain::{Role, Roles};
use diesel::sql_types::Text;
use diesel_async::SimpleAsyncConnection;

sql!(HasLogin, "SELECT rolname::text FROM pg_roles WHERE rolname = ?" => Text);

/// What every node reads and writes: which writers are alive, who owns what, the log, letters.
const SHARED: &[&str] = &["writers", "shards", "events", "dead_letters", "audit_log", "answers", "analytics_positions", "consumed"];
/// What every node reads.
const READ: &[&str] = &["meta", "__diesel_schema_migrations"];

/// The tables of a role.
fn tables(role: Role) -> &'static [&'static str] {
    match role {
        Role::Order => &["orders", "order_items", "open_orders", "rare_orders", "idempotency_keys"],
        Role::Inventory => &["products", "inventory_reservations", "inventory_steps"],
        Role::Payment => &["payments", "known_orders", "held_events"],
        Role::Notification => &["notifications", "known_orders", "held_events"],
        Role::Analytics => &["analytics"],
    }
}

/// What a role reads of others' tables: the log's first event of an order says what the order's row says, and the dashboard shows
/// what stock is low.
fn reads(role: Role) -> &'static [&'static str] {
    match role {
        Role::Analytics => &["orders", "products"],
        Role::Order | Role::Inventory | Role::Payment | Role::Notification => &[],
    }
}

/// The statements that make `login` one for nodes that host `roles`.
fn script(roles: Roles, login: &str) -> String {
    let login = quoted(login);
    let own: Vec<&str> = roles.iter().flat_map(tables).copied().collect();
    let read: Vec<&str> = roles.iter().flat_map(reads).copied().filter(|table| !own.contains(table)).collect();
    let mut text = format!("CREATE SCHEMA IF NOT EXISTS {login}; GRANT USAGE ON SCHEMA {login}, public TO {login};");
    let grant = |what: &str, tables: &[&str]| {
        let tables: Vec<String> = tables.iter().map(|table| format!("public.{table}")).collect();
        if tables.is_empty() { String::new() } else { format!("GRANT {what} ON {} TO {login};", tables.join(", ")) }
    };
    text += &grant("SELECT, INSERT, UPDATE, DELETE", SHARED);
    text += &format!("GRANT USAGE ON SEQUENCE public.writers_writer_seq TO {login};");
    text += &grant("SELECT, INSERT, UPDATE, DELETE", &own);
    text += &grant("SELECT", &read);
    text += &grant("SELECT", READ);
    for table in Role::ALL.into_iter().flat_map(tables) {
        if own.contains(table) || read.contains(table) {
            text += &format!("DROP VIEW IF EXISTS {login}.{table};");
        } else {
            text += &format!("REVOKE ALL ON public.{table} FROM {login};");
            text += &format!("CREATE OR REPLACE VIEW {login}.{table} AS SELECT * FROM public.{table} WHERE false;");
            // Also what deletes and locks nothing needs the right to.
            text += &format!("GRANT SELECT, UPDATE, DELETE ON {login}.{table} TO {login};");
        }
    }
    text
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl PgOptions {
    /// Lets `login`, which must exist, serve nodes that host `roles`, and those only.
    ///
    /// # Errors
    /// There is no such login, or this one may not grant.
    pub async fn grant(&self, login: &str, roles: Roles) -> Result<(), StoreError> {
        let judge = |error| error::judge(error).0;
        let mut conn = self.connect(Session::Owner).await?;
        let found: Vec<String> = select(&conn, HasLogin, [Value::Text(login.to_owned())]).await.map_err(judge)?;
        if found.is_empty() {
            return Err(StoreError::Mismatch(format!(
                "there is no login {login}: make it first, for example CREATE ROLE {} LOGIN PASSWORD '…'",
                quoted(login)
            )));
        }
        let path = format!("ALTER ROLE {0} IN DATABASE {1} SET search_path = {0}, public;", quoted(login), quoted(self.database()));
        conn.batch_execute(&format!("BEGIN; {} {path} COMMIT", script(roles, login))).await.map_err(judge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_gets_its_roles_tables_and_empty_ones_in_place_of_the_others() {
        let text = script([Role::Payment].into_iter().collect(), "pay");
        for wanted in ["public.payments", "REVOKE ALL ON public.orders", "\"pay\".orders AS SELECT * FROM public.orders WHERE false"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(text.contains("DROP VIEW IF EXISTS \"pay\".payments"), "what it got later is seen: {text}");
        let both = script([Role::Analytics, Role::Order].into_iter().collect(), "two");
        assert!(!both.contains("REVOKE ALL ON public.orders"), "{both}");
    }

    #[test]
    fn every_table_is_somebodys() {
        for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).unwrap() {
            let up = std::fs::read_to_string(folder.unwrap().path().join("up.sql")).unwrap();
            for line in up.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")) {
                let table = line.split_whitespace().next().unwrap();
                let is_ours = |role: &Role| tables(*role).contains(&table);
                assert!(SHARED.contains(&table) || READ.contains(&table) || Role::ALL.iter().any(is_ours), "{table}");
            }
        }
    }
}
