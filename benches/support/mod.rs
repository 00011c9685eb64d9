//! Shared by the benches: the workload, the bare loop that is the yardstick, and the clocks.

#![allow(dead_code, unreachable_pub, reason = "each bench uses its part")]

pub mod bare;
pub mod raw;
pub mod stopwatch;
pub mod workload;
