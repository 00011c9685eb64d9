//! Hears of invariants that the actors themselves find broken.

use crate::failover::Named;
use ordermill::actors::invariant;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was found; clones share it.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Vec<String>>>, Named);

impl Watch {
    pub fn named(&self) -> Named {
        self.1.clone()
    }

    pub fn found(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Where a node names what is lost.
const LOST: &str = "ordermill::actors::writer::lost";

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == invariant::BROKEN_INVARIANT || metadata.target() == LOST
    }
    fn event(&self, event: &Event<'_>) {
        let mut text = Text("broken:".to_owned());
        event.record(&mut text);
        if event.metadata().target() == LOST {
            let order: Option<ordermill::domain::OrderId> =
                text.0.split(" order.id=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            self.1.0.lock().unwrap().extend(order);
            return;
        }
        self.0.lock().unwrap().push(text.0);
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}
