use super::*;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

fn read(lines: &str) -> Retail {
    Retail::read(format!("{HEADER}{lines}").as_bytes()).unwrap()
}

/// The refused lines of a file, without the reader's other results.
fn refused(lines: &str) -> Vec<(u64, Refused)> {
    read(lines).refused.into_iter().map(|line| (line.number, line.reason)).collect()
}

#[test]
fn an_invoice_becomes_an_order_and_equal_lines_become_one() {
    let retail = read(
        "1,TEA,TEA SET,2,1/12/2010 08:26,2.50,77,France\n\
         1,CUP,\"CUP, RED\",1,1/12/2010 08:26,1.25,77,France\n\
         1,TEA,TEA SET,3,1/12/2010 08:26,2.50,77,France\n\
         2,CUP,,4,1/12/2010 09:00,1.25,78,France\n",
    );
    assert!(retail.refused.is_empty());
    for order in &retail.orders {
        assert_eq!(crate::domain::Order::total_of(&order.lines), Ok(order.total));
    }
    let shown: Vec<String> = retail
        .orders
        .iter()
        .map(|order| {
            let lines: Vec<String> = order.lines.iter().map(|line| format!("{} x {}", line.quantity.get(), line.price)).collect();
            format!("{}: {} = {}", order.invoice, lines.join(", "), order.total)
        })
        .collect();
    assert_eq!(shown, ["1: 5 x 2.50, 1 x 1.25 = 13.75", "2: 4 x 1.25 = 5.00"]);
    let names: Vec<(&str, u64)> = retail.products.iter().map(|product| (product.name.as_str(), product.ordered)).collect();
    assert_eq!(names, [("CUP, RED", 5), ("TEA SET", 5)]);
}

#[test]
fn each_kind_of_dirt_is_refused_by_number_and_reason_and_the_rest_goes_on() {
    let cases = [
        ("C1,TEA,T,-1,d,1.00,77,F", Refused::Cancellation),
        (",TEA,T,1,d,1.00,77,F", Refused::NoInvoice),
        ("1,,T,1,d,1.00,77,F", Refused::NoProduct),
        ("1,TEA,T,1,d,1.00,,F", Refused::NoCustomer),
        ("1,TEA,T,-3,d,1.00,77,F", Refused::NegativeQuantity),
        ("1,TEA,T,0,d,1.00,77,F", Refused::QuantityOutOfBounds),
        ("1,TEA,T,10001,d,1.00,77,F", Refused::QuantityOutOfBounds),
        ("1,TEA,T,9999,d,2.50,77,F", Refused::QuantityOutOfBounds),
        ("1,TEA,T,1.5,d,1.00,77,F", Refused::BadQuantity),
        ("1,TEA,T,many,d,1.00,77,F", Refused::BadQuantity),
        ("1,TEA,T,99999999999999999999,d,1.00,77,F", Refused::BadQuantity),
        ("1,TEA,T,1,d,0,77,F", Refused::ZeroPrice),
        ("1,TEA,T,1,d,1.005,77,F", Refused::BadPrice(MoneyErrorKind::TooPrecise)),
        ("1,TEA,T,1,d,\"1,00\",77,F", Refused::BadPrice(MoneyErrorKind::NotANumber)),
        ("1,TEA,T,1,d,-1.00,77,F", Refused::BadPrice(MoneyErrorKind::Negative)),
        ("1,TEA,T,1,d,1e12,77,F", Refused::BadPrice(MoneyErrorKind::TooLarge)),
        ("1,TEA,T,1,d,2.60,77,F", Refused::TwoPrices),
        ("1,CUP,T,1,d,2.60,78,F", Refused::TwoCustomers),
        ("1,CUP,T,10,d,99999999.00,77,F", Refused::TotalTooLarge),
        (
            "1,TEA,T,1,d,1.00",
            Refused::Unreadable(RowError::Short {
                fields: 6,
                missing: vec!["CustomerID".to_owned(), "Country".to_owned()],
                is_long: false,
            }),
        ),
        ("1,TEA,T,1,d,1.00,77,F,more", Refused::Unreadable(RowError::Long { fields: 9, columns: 8, first: "more".to_owned() })),
    ];
    for (line, want) in cases {
        let text = format!("1,TEA,TEA SET,2,d,2.50,77,F\n{line}\n1,TEA,TEA SET,1,d,2.50,77,F\n");
        assert_eq!(refused(&text), [(3, want.clone())], "{line}");
        assert_eq!(refused(&text.replace('\n', "\r\n")).last(), Some(&(3, want)), "{line}");
        let retail = read(&text);
        assert_eq!(retail.orders.len(), 1, "{line}");
        assert_eq!(retail.orders[0].total.to_string(), "7.50", "{line}");
    }
}

#[test]
fn an_order_takes_a_thousand_products_and_no_more() {
    let lines: String = (0..1002).map(|code| format!("1,{code},T,1,d,1.00,77,F\n")).collect();
    let retail = read(&lines);
    assert_eq!(retail.orders[0].lines.len(), MAX_ITEMS);
    let want: Vec<RefusedLine> = [1002, 1003].map(|number| RefusedLine { number, reason: Refused::TooManyLines }).into_iter().collect();
    assert_eq!(retail.refused, want);
    assert_eq!(retail.products.len(), MAX_ITEMS);
}

#[test]
fn the_most_frequent_price_is_the_catalogues_and_others_are_mispriced() {
    let retail = read(
        "1,TEA,T,1,d,2.00,77,F\n\
         2,TEA,T,1,d,2.50,77,F\n\
         3,TEA,T,1,d,2.50,77,F\n\
         4,CUP,T,1,d,1.00,77,F\n\
         5,CUP,T,1,d,1.10,77,F\n\
         6,TEA,T,1,d,9.99,,F\n",
    );
    let prices: Vec<String> = retail.products.iter().map(|product| product.price.to_string()).collect();
    assert_eq!(prices, ["1.00", "2.50"]);
    assert_eq!(retail.mispriced(), 2);
    assert_eq!(retail.refusals(), BTreeMap::from([(Refused::NoCustomer, (1, 7))]));
}

#[test]
fn ids_are_those_of_the_codes_in_every_reading() {
    let line = "1,TEA,T,1,d,2.00,77,F\n";
    assert_eq!(read(line).orders, read(line).orders);
    let body: serde_json::Value = serde_json::from_str(&read(line).orders[0].body()).unwrap();
    assert_eq!(body["items"][0]["price"], "2.00");
    assert_eq!(body["items"][0]["productId"], read(line).products[0].id.to_string());
    assert_eq!(read(line).products[0].id.0.get_version_num(), 5);
}

#[test]
fn the_header_decides_what_a_file_is() {
    assert!(is_retail(HEADER.as_bytes()));
    assert!(is_retail("\u{feff}\"invoiceno\";\"stockcode\"".as_bytes()));
    assert!(!is_retail(b"id,name,price,availableQuantity"));
    assert_eq!(
        Retail::read(b"InvoiceNo,StockCode,Quantity,UnitPrice,CustomerID\n1,2,3,4,5\n").unwrap_err().to_string(),
        "the first line has no column Description; it must name InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID, \
         separated by , ; | or a tab"
    );
    assert!(matches!(Retail::read(b""), Err(SheetError::Empty { .. })));
    // As a spreadsheet of a country with decimal commas writes it, with a column of its own.
    let text = "\u{feff}invoiceno;stockcode;description;quantity;invoicedate;unitprice;customerid;country;note\r1;TEA;T;1;d;2,50;77;F;x\r";
    assert_eq!(Retail::read(text.as_bytes()).unwrap().orders[0].total.to_string(), "2.50");
    let moved = "Country,CustomerID,UnitPrice,InvoiceDate,Quantity,Description,StockCode,InvoiceNo\r\nF,77,2.00,d,1,T,TEA,1\r\n";
    assert_eq!(Retail::read(format!("\u{feff}{moved}").as_bytes()).unwrap().orders.len(), 1);
}
