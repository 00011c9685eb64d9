//! Why the database did not do what was asked.

/// A database's error, with what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data.
    #[error("{0}: the data is in use by another process; stop it or choose another database")]
    InUse(String),
    /// It cannot be written or reached now.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The disk or a quota is full.
    #[error("the disk is full: free some space; the node goes on by itself ({0})")]
    Full(String),
    /// It may not be written.
    #[error("the database cannot be written: give this user write access to its file and folder ({0})")]
    ReadOnly(String),
    /// The disk failed while a transaction was stored: what is read back now may not be on the disk.
    #[error("the disk failed while it stored a transaction: mend it, then start the node again ({0})")]
    Unsynced(String),
    /// The database holds less than it has acknowledged.
    #[error(
        "the database is older than what it has acknowledged: it was restored, or a standby that lacked the last commits took over ({0})"
    )]
    WentBack(String),
    /// What is stored cannot be understood.
    #[error("the database is damaged: restore it from a backup ({0})")]
    Corrupt(String),
    /// It was made by another version, or with other fixed settings.
    #[error("{0}")]
    Mismatch(String),
    /// A statement was refused.
    #[error("a statement failed: {0}")]
    Statement(String),
}
