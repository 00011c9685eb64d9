//! PostgreSQL: one database for one node or many. [`PgStore`] is a journal's writing connection; [`PgReads`] is a pool of others that
//! never wait for it.
//!
//! Promises what [`crate::db`] promises, with any number of nodes: stock is never oversold, a key is one order's, a writer that was
//! set not alive writes nothing. A batch is two round trips and a constant number of statements, whatever its size: one that opens the
//! transaction and reads all that it must see (`load`), one that writes what was decided and commits (`flush`). A server that was
//! away, full, read-only or restarted is waited for: the next call opens another connection.
//!
//! Inside: `connect` knows the server and sets sessions, `dial` makes a connection to one host, `codes` lets its errors' codes through, `open` makes databases and tables, `statement` keeps statements prepared,
//! `logins` lets logins of single roles in, `rows` turns rows into the domain's types, `queries` and `letters` are the questions that `reads` and `snapshot` answer, `error`
//! tells whose fault a failure is, `retention` deletes what is old.

mod codes;
mod connect;
mod dead_letter_rows;
mod dial;
mod error;
mod flush;
mod flush_rare_writes;
mod flush_stock;
mod load;
mod logins;
mod open;
mod queries;
mod reads;
mod retention;
mod rows;
mod script;
mod snapshot;
mod statement;
mod store;

pub use connect::PgOptions;
pub use reads::PgReads;
pub use store::PgStore;
