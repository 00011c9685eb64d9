//! A database of the first version under this one: what its analytics counted is counted anew, as sales.

use crate::process::{self, CUSTOMER, LIMIT, Plan};
use crate::server::{self, Database};
use std::path::Path;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

const FIRST_VERSION: &str = include_str!("../../migrations/postgres/00000000000001_initial/up.sql");

/// The rows of this version's tables in the first version's, as far as that has columns for them.
const COPY: &str = "DO $$ DECLARE t RECORD; c RECORD; cols TEXT; BEGIN \
    FOR t IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' LOOP \
        SELECT string_agg(quote_ident(o.column_name), ', ') INTO cols FROM information_schema.columns o \
            JOIN information_schema.columns n USING (table_name, column_name) \
            WHERE o.table_schema = 'public' AND n.table_schema = 'newer' AND table_name = t.name; \
        EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM newer.%I', t.name, cols, cols, t.name); \
    END LOOP; \
    FOR c IN SELECT table_name AS of, column_name AS name FROM information_schema.columns \
        WHERE table_schema = 'public' AND is_identity = 'YES' LOOP \
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), 1 + coalesce(max(%I), 0)) FROM public.%I', c.of, c.name, c.name, c.of); \
    END LOOP; END $$";

/// What the first version had counted of two orders of 10.00 and a bogus one of 99999999.00, as far as this version looks at it: orders
/// placed (1) and their totals (2), units ordered (23) and their value (24).
const COUNTED: &str = "DELETE FROM analytics WHERE metric > 22; \
    INSERT INTO analytics VALUES (-2, 23, '\\x07', 1), (-2, 24, '\\x07', 9999999900)";

struct Shop {
    plan: Plan,
    runtime: Runtime,
    owner: Client,
}

impl Shop {
    /// A shop whose database has stood under the first version.
    fn of_the_first_version(database: &Database, folder: &Path) -> Self {
        let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder).on(&database.url());
        let node = plan.start();
        plan.put_product("10.00");
        let bogus = r#"{"productId":"019a0000-0000-7000-8000-00000000dead","quantity":1,"price":99999999.00}"#;
        let placed = [
            plan.place("10.00").unwrap(),
            plan.place("10.00").unwrap(),
            plan.send("POST", "/api/v1/orders", &format!(r#"{{"customerId":"{CUSTOMER}","items":[{bogus}]}}"#)).unwrap(),
        ];
        assert!(placed.iter().all(|answer| answer.status == 202), "{placed:?}");
        node.wait_settled(LIMIT);
        let runtime = Runtime::new().unwrap();
        let owner = runtime.block_on(server::connect(&database.name));
        let shop = Self { plan, runtime, owner };
        shop.until_counted();
        node.stop();
        shop.run("ALTER SCHEMA public RENAME TO newer; CREATE SCHEMA public");
        shop.run(FIRST_VERSION);
        shop.run(COPY);
        shop.run(
            "DROP SCHEMA newer CASCADE; CREATE TABLE __diesel_schema_migrations \
             (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP); \
             INSERT INTO __diesel_schema_migrations VALUES ('00000000000001')",
        );
        shop.run(COUNTED);
        shop
    }

    fn run(&self, statement: &str) {
        self.runtime.block_on(self.owner.batch_execute(statement)).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }

    fn number(&self, select: &str) -> i64 {
        self.runtime.block_on(self.owner.query_one(select, &[])).unwrap().get(0)
    }

    fn until_counted(&self) {
        process::until("every log is counted", LIMIT, || {
            self.number(
                "SELECT count(*) FROM writers w LEFT JOIN analytics_positions p USING (writer) WHERE coalesce(p.seq, 0) < w.last_seq",
            ) == 0
        });
    }

    fn dashboard(&self) -> serde_json::Value {
        serde_json::from_str(&self.plan.get("/api/v1/analytics/dashboard").unwrap().body).unwrap()
    }
}

#[test]
fn a_database_of_the_first_version_is_counted_anew() {
    let database = Database::missing("upgrade");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let shop = Shop::of_the_first_version(&database, folder.path());
    let node = shop.plan.start();
    shop.until_counted();
    process::until("two sales are shown", LIMIT, || shop.dashboard()["averageOrderValue"] == "10.00");
    let board = shop.dashboard();
    assert_eq!(
        (&board["revenue"], &board["sales"]["gross"], &board["sales"]["since"]),
        (&"20.00".into(), &"20.00".into(), &serde_json::Value::Null),
        "{board}"
    );
    assert_eq!(shop.number("SELECT count(*) FROM analytics WHERE metric IN (23, 24)"), 0);
    assert_eq!(shop.number("SELECT count(*) FROM meta WHERE name = 'offsets'"), 1, "Kafka's offsets count where no place is stored");
    // The new version goes on.
    assert_eq!(shop.plan.place("10.00").unwrap().status, 202);
    node.wait_settled(LIMIT);
    shop.until_counted();
    process::until("a third sale", LIMIT, || shop.dashboard()["revenue"] == "30.00");
    node.stop();
    let (sound, report) = shop.plan.verify(&[]);
    assert!(sound, "{report}");
}

/// Where the log was shortened nobody can count it anew.
#[test]
fn a_database_whose_log_was_shortened_keeps_its_numbers_and_says_since_when_sales_are_counted() {
    let database = Database::missing("shortened");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let shop = Shop::of_the_first_version(&database, folder.path());
    shop.run("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - 3");
    let node = shop.plan.start();
    assert_eq!(shop.plan.place("10.00").unwrap().status, 202);
    node.wait_settled(LIMIT);
    shop.until_counted();
    process::until("the new sale is shown", LIMIT, || shop.dashboard()["revenue"] == "10.00");
    let board = shop.dashboard();
    assert!(board["sales"]["since"].is_string(), "{board}");
    assert_eq!(shop.number("SELECT sum(value)::bigint FROM analytics WHERE minute = -1 AND metric = 1"), 4, "placed, old and new");
    node.stop();
}
