//! The names of writes and of what became of them, for logs.

use super::write::{Outcome, Write};

impl Write {
    /// Its name in logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Save { .. } => "save",
            Self::Reserve { .. } => "reserve",
            Self::Release { .. } => "release",
            Self::HoldStock { .. } => "hold-stock",
            Self::ShipStock { .. } => "ship-stock",
            Self::SavePayment { .. } => "save-payment",
            Self::SaveNotice { .. } => "save-notice",
            Self::ChangeProduct(_) => "change-product",
            Self::KeepAnswer { .. } => "keep-answer",
            Self::AddLetter(_) => "add-letter",
            Self::ParkStep { .. } => "park-step",
            Self::MarkLetter { .. } => "mark-letter",
            Self::Audit(_) => "audit",
            Self::CloseLetter(_) => "close-letter",
            Self::SaveAnalytics { .. } => "save-analytics",
            Self::Published { .. } => "published",
            Self::ClaimLog { .. } => "claim-log",
            Self::EndExpired { .. } => "end-expired",
            Self::KnowOrder { .. } => "know-order",
            Self::HoldEvent { .. } => "hold-event",
            Self::TakeShards { .. } => "take-shards",
            Self::ReleaseShards { .. } => "release-shards",
        }
    }
}

impl Outcome {
    /// Its name in logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated(_) => "repeated",
            Self::KeyTaken { .. } => "key-taken",
            Self::Product(_) => "product",
            Self::Answered { .. } => "answered",
            Self::Stock(_) => "stock",
            Self::Missing => "missing",
            Self::Taken(_) => "taken",
            Self::Recorded => "recorded",
            Self::NotStored => "not-stored",
            Self::NotOurs => "not-ours",
            Self::Refused(_) => "refused",
        }
    }
}
