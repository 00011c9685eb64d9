//! Each role on nodes of its own, with a database login that sees no other role's tables: the saga crosses Kafka at every step, while
//! nodes are killed.

use crate::cluster::{database, service};
use crate::process::{self, CUSTOMER, PRODUCT, Plan, Served};
use crate::{alone, folder, plan};

/// Products whose prices make the sandbox decline a charge; and one that is in no catalogue.
const DECLINED: &str = "019a0000-0000-7000-8000-000000000003";
const UNKNOWN: &str = "019a0000-0000-7000-8000-000000000005";

const NODES: [&str; 5] = ["order", "inventory", "payment", "notification", "analytics"];

fn place(plan: &Plan, product: &str, price: &str) -> String {
    let body = format!(r#"{{"customerId":"{CUSTOMER}","items":[{{"productId":"{product}","quantity":1,"price":{price}}}]}}"#);
    let mut id = String::new();
    process::until("an order is accepted", process::LIMIT, || match plan.send("POST", "/api/v1/orders", &body) {
        Ok(answer) if answer.status == 202 => {
            id = answer.field("orderId");
            true
        }
        Ok(answer) if answer.status == 503 => false,
        Ok(answer) => panic!("{answer:?}"),
        Err(_) => false,
    });
    id
}

fn ends(plan: &Plan, id: &str, status: &str) {
    process::until(&format!("order {id} is {status}"), process::LIMIT, || {
        plan.get(&format!("/api/v1/orders/{id}/status")).is_ok_and(|answer| answer.field("status") == status)
    });
}

fn tell(plan: &Plan, id: &str, what: &str) {
    process::until(&format!("{what} is taken"), process::LIMIT, || {
        plan.send("POST", &format!("/api/v1/orders/{id}/{what}"), "{}").is_ok_and(|answer| answer.status == 202)
    });
}

/// Makes the logins, lets each in for its role, and says at which address each is used.
fn logins(owner: &Plan, name: &str, database: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let migrated = owner.run(&["migrate", "--database", database]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let (scheme, rest) = database.split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    let of_role = |role: &&str| {
        let login = format!("{name}_{role}");
        let statement = format!("CREATE ROLE {login} LOGIN PASSWORD 'secret-of-{role}'");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(database, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(&statement).await.unwrap();
        });
        let output = owner.run(&["migrate", "--database", database, "--login", &format!("{login}={role}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{scheme}://{login}:secret-of-{role}@{place}")
    };
    NODES.iter().map(of_role).collect()
}

/// What a login sees of a table: rows, or a refusal.
fn rows(url: &str, table: &str) -> Result<i64, String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
        row.map(|row| row.get(0)).map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
    })
}

#[test]
fn roles_on_nodes_of_their_own_settle_every_kind_of_order_under_kills() {
    let _alone = alone();
    let name = format!("roles_{}", std::process::id());
    let (database, brokers) = (database(&name), service("ORDERMILL_TEST_KAFKA"));
    let folders: Vec<_> = NODES.iter().map(|_| folder()).collect();
    let addresses = logins(&plan(folders[0].path()), &name, &database);
    let plans: Vec<Plan> = (folders.iter().zip(NODES).zip(&addresses))
        .map(|((folder, role), address)| {
            plan(folder.path())
                .on(address)
                .with("cluster.roles", role)
                .with("kafka.brokers", &brokers)
                .with("kafka.prefix", format!("{}.", name.replace('_', "-")))
                .with("store.lease_ms", 3000)
                .with("store.postgres.idle_transaction_ms", 1000)
                .with("store.postgres.lock_wait_ms", 2000)
                .with("store.postgres.silence_ms", 1500)
                .with("cluster.redrive_far_first_ms", 2000)
                // An order that sleeps while another node owes its notice is looked after this often.
                .with("order.redrive_most_ms", 6000)
        })
        .collect();
    let mut nodes: Vec<Served> = plans.iter().map(Plan::spawn).collect();
    nodes.iter_mut().for_each(Served::wait_ready);
    let (order, stock) = (&plans[0], &plans[1]);
    stock.put_product("10.00");
    stock.put(DECLINED, "10.01");
    let mut wanted = Vec::new();
    for round in 0..5 {
        // At whatever node it is asked: what it does not host it sends on.
        let door = &plans[[0, 2, 3][round % 3]];
        wanted.push((place(door, PRODUCT, "10.00"), "CONFIRMED"));
        wanted.push((place(door, DECLINED, "10.01"), "FAILED"));
        wanted.push((place(door, UNKNOWN, "10.00"), "CANCELLED"));
        wanted.push((place(door, PRODUCT, "9.00"), "CANCELLED"));
        let early = place(order, PRODUCT, "10.00");
        tell(order, &early, "cancel");
        wanted.push((early, "CANCELLED"));
        let shipped = place(order, PRODUCT, "10.00");
        let undone = place(order, PRODUCT, "10.00");
        nodes[round].kill();
        nodes[round] = plans[round].spawn();
        nodes[round].wait_ready();
        ends(order, &shipped, "CONFIRMED");
        tell(order, &shipped, "ship");
        wanted.push((shipped, "SHIPPED"));
        ends(order, &undone, "CONFIRMED");
        tell(order, &undone, "cancel");
        wanted.push((undone, "CANCELLED"));
    }
    for (id, status) in &wanted {
        ends(order, id, status);
    }
    process::until("all is settled", process::LIMIT, || plan(folders[0].path()).on(&database).open_orders() == 0);
    let mut said = String::new();
    process::until("the database keeps every invariant", process::LIMIT, || {
        let (sound, report) = plan(folders[0].path()).on(&database).verify(&[]);
        said = report;
        sound
    });
    println!("{said}");
    let of_pay = &addresses[2];
    assert!(rows(of_pay, "payments").unwrap() > 0);
    assert_eq!(rows(of_pay, "orders"), Ok(0), "in their place stands an empty view");
    assert_eq!(rows(of_pay, "public.orders"), Err("permission denied for table orders".to_owned()));
    assert!(rows(&addresses[0], "orders").unwrap() > 0);
    assert_eq!(rows(&addresses[0], "payments"), Ok(0));
}
