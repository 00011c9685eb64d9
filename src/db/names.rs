//! The names of writes, for logs.

use super::write::Write;

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
            Self::Consumed { .. } => "consumed",
            Self::ClaimLog { .. } => "claim-log",
            Self::EndExpired { .. } => "end-expired",
            Self::KnowOrder { .. } => "know-order",
            Self::HoldEvent { .. } => "hold-event",
            Self::TakeShards { .. } => "take-shards",
            Self::ReleaseShards { .. } => "release-shards",
        }
    }
}
