//! The payment role: charges when the stock is held, undoes when the order is to end.

mod calls;
pub(crate) mod gateway;
mod stray;
pub(crate) mod task;
pub(crate) mod trouble;
