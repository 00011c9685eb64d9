//! Shared by the benches: the workload and the bare loop that is the yardstick.

pub mod bare;
pub mod raw;
pub mod workload;
