//! The kinds of actors.

/// The kinds of actors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is an actor of this module")]
pub enum ActorKind {
    Order,
    StockKeeper,
    PaymentGateway,
    Notifier,
    Router,
    Supervisor,
    Journal,
    Analytics,
}

impl ActorKind {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Order,
        Self::StockKeeper,
        Self::PaymentGateway,
        Self::Notifier,
        Self::Router,
        Self::Supervisor,
        Self::Journal,
        Self::Analytics,
    ];

    /// Its name in logs, metrics and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::StockKeeper => "stock-keeper",
            Self::PaymentGateway => "payment-gateway",
            Self::Notifier => "notifier",
            Self::Router => "router",
            Self::Supervisor => "supervisor",
            Self::Journal => "journal",
            Self::Analytics => "analytics",
        }
    }
}
