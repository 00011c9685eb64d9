//! What actors run on, whatever they do: mailboxes, bounded tasks, the death watch, retries, fault points.

pub(crate) mod death;
pub mod faults;
pub(crate) mod inbox;
pub mod invariant;
pub(crate) mod live;
pub(crate) mod pause;
pub(crate) mod recent;
pub(crate) mod retry;
pub(crate) mod step_times;
pub(crate) mod tasks;
pub(crate) mod tell;
