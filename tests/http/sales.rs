//! The numbers of the business are of sales.

use crate::app::{app, order};
use crate::support::{run, until};
use actix_web::http::Method;
use ordermill::config::Settings;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn sales_are_told_gross_and_net_and_what_was_no_sale_stands_apart() {
    run(|| async {
        let app = app(Settings::default()).await;
        let place = async |body: Value| {
            let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
            app.send(Method::POST, "/api/v1/orders", &headers, body.to_string().as_bytes()).await
        };
        for quantity in [1, 2] {
            assert_eq!(place(order(quantity)).await.at("/status"), "CONFIRMED");
        }
        let mut bogus = order(1);
        bogus["items"] = json!([{"productId": Uuid::from_u128(99), "quantity": 1, "price": "99999999.00"}]);
        assert_eq!(place(bogus).await.at("/status"), "CANCELLED");
        let undone = place(order(4)).await;
        app.send(Method::POST, &undone.at("/links/cancel"), &[], b"").await;
        let board = async || app.get("/api/v1/analytics/dashboard").await;
        until("the cancelled sale is counted", async || board().await.at("/sales/refundedCount") == "1").await;
        let shown = board().await;
        let told = |name: &str| shown.at(&format!("/{name}"));
        let sales = ["sales/count", "sales/gross", "sales/refunded", "sales/net", "revenue", "averageOrderValue"].map(told);
        assert_eq!(sales, ["3", "70.00", "40.00", "30.00", "30.00", "23.33"]);
        let orders = ["orders/placed", "orders/confirmed", "orders/cancelled", "orderValue"].map(told);
        assert_eq!(orders, ["4", "3", "2", "100000069.00"]);
        until("so are the best sellers", async || board().await.at("/topProducts/0/units") == "3").await;
        let shown = board().await;
        let top = shown.body["topProducts"].as_array().unwrap();
        assert_eq!(
            (top.len(), top[0]["productId"].as_str(), top[0]["value"].as_str()),
            (1, Some(Uuid::from_u128(1).to_string().as_str()), Some("30.00"))
        );
    });
}
