//! What fails inside of a database's transaction, and whose fault it is; the same for every kind of database.

use super::codec::CodecError;
use crate::db::error::StoreError;
use diesel::result::Error;

/// A failure inside of a transaction.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] Error),
    /// A blob does not parse, or cannot be made.
    #[error("stored data of {what}: {source}")]
    Codec {
        /// Of what.
        what: &'static str,
        /// Why.
        source: CodecError,
    },
    /// A column holds what no version of this program writes.
    #[error("stored data: {0}")]
    Column(&'static str),
    /// An order is in a shard that this store does not have.
    #[error("there is no shard {0}")]
    NoShard(u16),
    /// The writer's row did not match.
    #[error("the writer's row did not match")]
    NoMatch,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blame {
    /// One write's.
    Write,
    /// Two transactions met: the same again may succeed.
    Clash,
    /// The database's; the connection is still good.
    Database,
    /// The database's; the connection is opened again before it is used again.
    Connection,
}

impl Failure {
    pub(super) fn codec(what: &'static str) -> impl FnOnce(CodecError) -> Self {
        move |source| Self::Codec { what, source }
    }

    /// What to tell, and whose fault it is; of a failed statement `of_statement` knows.
    pub(super) fn judge(self, of_statement: impl FnOnce(Error) -> (StoreError, Blame)) -> (StoreError, Blame) {
        match self {
            Self::Sql(error) => of_statement(error),
            Self::Codec { .. } | Self::Column(_) => (StoreError::Corrupt(self.to_string()), Blame::Write),
            Self::NoShard(_) => (StoreError::Statement(self.to_string()), Blame::Write),
            Self::NoMatch => (StoreError::Statement(self.to_string()), Blame::Database),
        }
    }
}
