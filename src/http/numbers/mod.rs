//! The business' numbers as clients see them.

pub(crate) mod attention;
pub(crate) mod board;
pub(crate) mod view;
