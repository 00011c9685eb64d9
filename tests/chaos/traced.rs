//! Traces as a receiver on the official types gets them from real nodes: one order whole, on one node and over two; what is sampled; a
//! receiver that is away, slow or refuses.

use crate::cluster::{database, service};
use crate::process::{self, Plan, Served};
use crate::receiver::{Mode, Receiver, Told, attributes};
use crate::{alone, folder, plan};
use std::collections::BTreeMap;
use std::path::Path;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const CORRELATION: &str = "019a0000-0000-4000-8000-0000000000c0";

fn parent(flag: &str) -> String {
    format!("00-{TRACE}-{CLIENT}-{flag}")
}

/// A node that tells its traces at once, and samples none by itself.
fn traced(folder: &Path, receiver: &Receiver) -> Plan {
    plan(folder)
        .with("telemetry.otlp_endpoint", receiver.url())
        .with("telemetry.trace_ratio", 0)
        .with("telemetry.trace_slow_ms", 0)
        .with("telemetry.trace_interval_ms", 10)
}

fn ready(plan: &Plan) -> Served {
    let served = plan.start();
    plan.put_product("10.00");
    served
}

fn place(plan: &Plan, price: &str, headers: &[(&str, &str)]) -> String {
    let placed = plan.place_with(price, headers).unwrap();
    assert_eq!(placed.status, 202, "{placed:?}");
    placed.field("orderId")
}

fn comes_to(plan: &Plan, order: &str, status: &str) {
    process::until(&format!("order {order} comes to {status}"), process::LIMIT, || {
        plan.get(&format!("/api/v1/orders/{order}/status")).is_ok_and(|answer| answer.field("status") == status)
    });
}

/// The steps of an order that goes well.
const STEPS: [&str; 5] = ["place order", "reserve stock", "take payment", "confirm order", "notify customer"];

#[test]
fn one_trace_shows_an_order_from_the_request_to_the_notice() {
    let _alone = alone();
    let (folder, receiver) = (folder(), Receiver::start());
    let plan = traced(folder.path(), &receiver).with("providers.payment.provider", "http").with("providers.payment.url", receiver.url());
    let served = ready(&plan);
    let parent = parent("01");
    let headers =
        [("traceparent", parent.as_str()), ("X-Correlation-Id", CORRELATION), ("baggage", "customer=secret"), ("tracestate", "v=1")];
    let order = place(&plan, "10.00", &headers);
    comes_to(&plan, &order, "CONFIRMED");
    process::until("the trace is whole", process::LIMIT, || {
        let trace = receiver.trace(TRACE);
        STEPS.iter().all(|step| trace.has(step)) && trace.has("POST /api/v1/orders") && trace.has("send") && trace.has("charge")
    });
    let trace = receiver.trace(TRACE);
    assert_eq!(trace.orphans(CLIENT), [""; 0], "{:?}", trace.names());
    let of: BTreeMap<&str, &str> = STEPS.iter().chain(&["charge", "send"]).map(|name| (*name, trace.parent(name))).collect();
    let wanted = [
        ("charge", "reserve stock"),
        ("confirm order", "take payment"),
        ("notify customer", "take payment"),
        ("place order", "POST /api/v1/orders"),
        ("reserve stock", "place order"),
        ("send", "take payment"),
        ("take payment", "reserve stock"),
    ];
    assert_eq!(of, BTreeMap::from(wanted));
    for Told { span, .. } in &trace.0 {
        let known = attributes(span);
        assert_eq!(known.get("correlation.id").map(String::as_str), Some(CORRELATION), "{}", span.name);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{}", span.name);
        assert!(!format!("{span:?}").contains("secret"), "baggage is not taken");
    }
    let request = &trace.find("POST /api/v1/orders").unwrap().span;
    let known = attributes(request);
    assert_eq!((request.kind, hex::encode(&request.parent_span_id).as_str()), (2, CLIENT));
    assert_eq!(
        (known["http.request.method"].as_str(), known["http.route"].as_str(), known["http.response.status_code"].as_str()),
        ("POST", "/api/v1/orders", "202")
    );
    // The provider is told of the call that asks it.
    let charge = hex::encode(&trace.find("charge").unwrap().span.span_id);
    assert_eq!(receiver.charges(), [format!("00-{TRACE}-{charge}-01")]);
    // A commit has links to its steps, and each step has one to its commit.
    process::until("the commits are told", process::LIMIT, || {
        let told = receiver.told();
        STEPS.iter().all(|step| {
            let span = &trace.find(step).unwrap().span;
            let commit = told.iter().find(|commit| commit.span.name == "COMMIT" && span.links[0].span_id == commit.span.span_id);
            commit.is_some_and(|commit| commit.span.links.iter().any(|link| link.span_id == span.span_id && link.trace_id == span.trace_id))
        })
    });
    let told = receiver.told();
    let commit = &told.iter().find(|told| told.span.name == "COMMIT").unwrap().span;
    assert!(commit.parent_span_id.is_empty() && hex::encode(&commit.trace_id) != TRACE);
    assert_eq!(attributes(commit)["db.system.name"], "sqlite");
    served.stop();
}

#[test]
fn an_orders_trace_goes_on_after_a_crash() {
    let _alone = alone();
    let (folder, receiver) = (folder(), Receiver::start());
    let plan = traced(folder.path(), &receiver)
        .with("providers.payment.provider", "http")
        .with("providers.payment.url", receiver.url())
        .with("providers.breaker.open_ms", 1000);
    receiver.set_pays(false);
    let mut served = ready(&plan);
    let order = place(&plan, "10.00", &[("traceparent", &parent("01")), ("X-Correlation-Id", CORRELATION)]);
    comes_to(&plan, &order, "INVENTORY_RESERVED");
    served.kill();
    receiver.set_pays(true);
    let served = plan.start();
    comes_to(&plan, &order, "CONFIRMED");
    process::until("the new process tells the rest", process::LIMIT, || {
        let trace = receiver.trace(TRACE);
        ["take payment", "confirm order", "notify customer"].iter().all(|step| trace.has(step))
    });
    served.stop();
}

#[test]
fn one_trace_shows_an_order_over_two_nodes_and_kafka() {
    let _alone = alone();
    let receiver = Receiver::start();
    let name = format!("traced_{}", std::process::id());
    let (database, brokers) = (database(&name), service("ORDERMILL_TEST_KAFKA"));
    let folders = [folder(), folder()];
    let plans: Vec<Plan> = (folders.iter().zip(["order,analytics", "inventory,payment,notification"]))
        .map(|(folder, roles)| {
            traced(folder.path(), &receiver)
                .on(&database)
                .with("cluster.roles", roles)
                .with("kafka.brokers", &brokers)
                .with("kafka.prefix", format!("{}.", name.replace('_', "-")))
        })
        .collect();
    let mut nodes: Vec<Served> = plans.iter().map(Plan::spawn).collect();
    nodes.iter_mut().for_each(Served::wait_ready);
    plans[1].put_product("10.00");
    // Sent to the node that must send it on.
    let (parent, mut order) = (parent("01"), String::new());
    process::until("the other node is known", process::LIMIT, || {
        let placed = plans[1].place_with("10.00", &[("traceparent", &parent), ("X-Correlation-Id", CORRELATION)]).unwrap();
        assert!([202, 503].contains(&placed.status), "{placed:?}");
        order = placed.field("orderId");
        placed.status == 202
    });
    comes_to(&plans[0], &order, "CONFIRMED");
    let kafka = ["order-events", "inventory-events", "payment-events", "notification-events"];
    process::until("the trace is whole", process::LIMIT, || {
        let trace = receiver.trace(TRACE);
        let sent = kafka.iter().all(|topic| trace.0.iter().any(|told| told.span.kind == 4 && told.span.name.ends_with(topic)));
        let processed =
            kafka.iter().all(|topic| trace.0.iter().any(|told| told.span.kind == 5 && told.span.name == format!("process {topic}")));
        STEPS.iter().all(|step| trace.has(step))
            && sent
            && processed
            && trace
                .0
                .iter()
                .filter(|told| attributes(&told.span).get("http.response.status_code").is_some_and(|status| status == "202"))
                .count()
                == 2
    });
    let trace = receiver.trace(TRACE);
    assert_eq!(trace.orphans(CLIENT), [""; 0], "{:?}", trace.names());
    assert_eq!(trace.nodes().len(), 2);
    for (step, parent) in [("reserve stock", "place order"), ("take payment", "reserve stock"), ("confirm order", "take payment")] {
        assert_eq!(trace.parent(step), parent);
    }
    let node_of = |name: &str| trace.find(name).unwrap().node.clone();
    assert_ne!(node_of("place order"), node_of("reserve stock"));
    assert_eq!(node_of("place order"), node_of("confirm order"));
    let processed = trace.0.iter().find(|told| told.span.name == "process payment-events").unwrap();
    let known = attributes(&processed.span);
    assert_eq!((known["messaging.system"].as_str(), known["order.role"].as_str()), ("kafka", "order"));
    assert_eq!(known["order.id"], order);
    nodes.into_iter().for_each(Served::stop);
}

#[test]
fn what_is_not_sampled_is_told_only_where_it_went_wrong() {
    let _alone = alone();
    let (folder, receiver) = (folder(), Receiver::start());
    let plan = traced(folder.path(), &receiver).with("order.payment_retries", 0).with("notification.retries", 0);
    let served = ready(&plan);
    plan.put(FAILING, "10.05");
    let good = place(&plan, "10.00", &[("X-Correlation-Id", CORRELATION)]);
    comes_to(&plan, &good, "CONFIRMED");
    let refused = place(&plan, "10.00", &[("traceparent", &parent("00"))]);
    comes_to(&plan, &refused, "CONFIRMED");
    let parked = place_of(&plan, FAILING, "10.05", "019a0000-0000-4000-8000-0000000000c1");
    let told_for = |trace: &str| {
        let trace = receiver.trace(trace);
        trace.find("place order").map(|told| attributes(&told.span).remove("order.told_for").unwrap_or_default())
    };
    process::until("a parked order is told", process::LIMIT, || {
        told_for("019a0000-0000-4000-8000-0000000000c1").as_deref() == Some("parked")
    });
    let trace = receiver.trace("019a0000-0000-4000-8000-0000000000c1");
    assert_eq!(trace.parent("reserve stock"), "place order");
    let park = &trace.find("park order").unwrap().span;
    assert_eq!(park.status.as_ref().unwrap().code, 2);
    assert_eq!(attributes(park)["order.id"], parked);
    served.stop();
    // All that was to be told has been told by the stop: of the orders that went well there is nothing.
    let known = receiver.told();
    assert!(known.iter().all(|told| attributes(&told.span).get("order.id") == Some(&parked)), "{known:?}");
}

#[test]
fn a_slow_order_is_told() {
    let _alone = alone();
    let (folder, receiver) = (folder(), Receiver::start());
    let plan = traced(folder.path(), &receiver).with("telemetry.trace_slow_ms", 1).with("providers.sandbox.behaviour.latency_ms", 5);
    let served = ready(&plan);
    place(&plan, "10.00", &[("traceparent", &parent("00"))]);
    process::until("a slow order is told", process::LIMIT, || receiver.trace(TRACE).has("notify customer"));
    served.stop();
    let trace = receiver.trace(TRACE);
    assert_eq!(attributes(&trace.find("place order").unwrap().span)["order.told_for"], "slow");
    assert_eq!(trace.orphans(CLIENT), [""; 0]);
    assert_eq!(trace.names().into_iter().collect::<Vec<_>>(), ["notify customer", "place order", "reserve stock", "take payment"]);
}

#[test]
fn the_share_is_sampled_and_a_client_decides_otherwise() {
    let _alone = alone();
    let (folder, receiver) = (folder(), Receiver::start());
    let plan = traced(folder.path(), &receiver).with("telemetry.trace_ratio", 1);
    let served = ready(&plan);
    let refused = place(&plan, "10.00", &[("traceparent", &parent("00"))]);
    comes_to(&plan, &refused, "CONFIRMED");
    let sampled = place(&plan, "10.00", &[("X-Correlation-Id", CORRELATION)]);
    comes_to(&plan, &sampled, "CONFIRMED");
    // The trace of a request without a context has the id that its answer names.
    process::until("the sampled one is told", process::LIMIT, || receiver.trace(CORRELATION).has("notify customer"));
    assert_eq!(receiver.trace(CORRELATION).parent("place order"), "POST /api/v1/orders");
    served.stop();
    assert!(receiver.trace(TRACE).0.is_empty());
}

/// The sandbox fails every charge of this amount.
const FAILING: &str = "019a0000-0000-7000-8000-000000000004";

fn place_of(plan: &Plan, product: &str, price: &str, correlation: &str) -> String {
    let customer = process::CUSTOMER;
    let body = format!(r#"{{"customerId":"{customer}","items":[{{"productId":"{product}","quantity":1,"price":{price}}}]}}"#);
    let placed = plan.send_with("POST", "/api/v1/orders", &[("X-Correlation-Id", correlation)], &body).unwrap();
    assert_eq!(placed.status, 202, "{placed:?}");
    placed.field("orderId")
}

/// Every order settles, and no more spans wait than there is room for, whatever the receiver does: `lost` counts the others.
fn orders_settle(plan: &Plan, orders: usize, lost: &[&str]) {
    let served = ready(plan);
    let placed: Vec<String> = (0..orders).map(|_| place(plan, "10.00", &[])).collect();
    for order in &placed {
        comes_to(plan, order, "CONFIRMED");
    }
    process::until("what is lost is counted", process::LIMIT, || {
        lost.iter().all(|reason| plan.metric(&format!("ordermill_trace_spans_dropped_total{{reason=\"{reason}\"}}")) > 0.0)
    });
    assert_eq!(plan.metric("ordermill_trace_spans_sent_total"), 0.0);
    served.stop();
}

#[test]
fn a_receiver_that_is_away_silent_or_refuses_costs_spans_and_nothing_else() {
    let _alone = alone();
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (mode, lost) in [
        (None, &["no-room"][..]),
        (Some(Mode::Silent), &["no-room", "not-taken"]),
        (Some(Mode::Refuses(503)), &["no-room"]),
        (Some(Mode::Refuses(400)), &["refused"]),
    ] {
        let (folder, receiver) = (folder(), Receiver::start());
        let mut plan = traced(folder.path(), &receiver).with("telemetry.trace_ratio", 1);
        plan = plan.with("telemetry.trace_queue", 50).with("telemetry.trace_batch", 10).with("telemetry.trace_timeout_ms", 200);
        match mode {
            Some(mode) => receiver.set(mode),
            None => plan = plan.with("telemetry.otlp_endpoint", &away),
        }
        orders_settle(&plan, 40, lost);
        assert!(receiver.told().is_empty(), "{mode:?}");
        assert_eq!(receiver.requests() > 0, mode.is_some(), "{mode:?}");
    }
}
