//! What another team calls an answer of its role.

use super::Text;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The ids that an event of another team came with, as text, for they need be no UUIDs. Ours are functions of the order's id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExternalIds {
    /// The event's.
    pub event: Option<Text<100>>,
    /// That of the payment that it is about.
    pub payment: Option<Text<100>>,
    /// That of the request that it follows.
    pub correlation: Option<Text<100>>,
}

impl ExternalIds {
    /// These, if there are any.
    #[must_use]
    pub fn some(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// For a person: `event evt_12, payment pi_3`.
impl fmt::Display for ExternalIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("event", &self.event), ("payment", &self.payment), ("correlation", &self.correlation)];
        let all: Vec<String> = named.iter().filter_map(|(name, id)| Some(format!("{name} {}", id.as_ref()?))).collect();
        f.write_str(&all.join(", "))
    }
}
