//! A complete copy of the file, made beside the process that writes it.

use super::error;
use super::open::{SqliteOptions, io};
use super::statement::{Value, run, sql};
use crate::db::error::StoreError;
use diesel::connection::SimpleConnection;
use std::fs::File;
use std::path::{Path, PathBuf};

sql!(CopyInto, "VACUUM INTO ?");

impl SqliteOptions {
    /// Copies what is committed now to the new file `copy`, which is on the disk when this returns. Nobody else may read it.
    ///
    /// The copy is one read: the writer goes on meanwhile, and its log grows by what it writes. SQLite's own backup interface begins
    /// anew at each write of another process, so that it never ends beside a busy node.
    ///
    /// # Errors
    /// The file cannot be read, `copy` exists, or it cannot be written. Then nothing is left of it.
    pub fn back_up(&self, copy: &Path) -> Result<(), StoreError> {
        let folder = folder_of(copy)?;
        // Under another name until it is whole: half a copy must not pass for one.
        let part = tempfile::Builder::new().prefix(".ordermill-backup-").tempfile_in(&folder).map_err(|error| io(&folder, &error))?;
        let name = part.path().to_str().ok_or_else(|| StoreError::Mismatch(format!("{}: the path is not UTF-8", copy.display())))?;
        let mut conn = self.connect_reader()?;
        let copied = conn.batch_execute("PRAGMA query_only = OFF");
        let copied = copied.and_then(|()| run(&mut conn, CopyInto, [Value::Text(name)]));
        copied.map_err(|failure| error::judge(failure, conn.code(), &self.path).0)?;
        part.as_file().sync_all().map_err(|error| io(copy, &error))?;
        part.persist_noclobber(copy).map_err(|error| io(copy, &error.error))?;
        // The name, too, is to survive a power cut.
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| io(&folder, &error))
    }
}

/// The folder of `copy`, which must be a new file.
fn folder_of(copy: &Path) -> Result<PathBuf, StoreError> {
    let copy = std::path::absolute(copy).map_err(|error| io(copy, &error))?;
    if copy.exists() {
        return Err(StoreError::Mismatch(format!("{}: this file exists; name a new one", copy.display())));
    }
    match copy.parent() {
        Some(folder) if folder.is_dir() => Ok(folder.to_owned()),
        folder => Err(StoreError::Mismatch(format!("{}: there is no such folder", folder.unwrap_or(&copy).display()))),
    }
}
