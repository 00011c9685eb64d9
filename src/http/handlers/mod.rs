//! The handlers, by what they are about. Each reads its request, asks [`NodeHandle`](crate::actors::NodeHandle), and answers.

pub(crate) mod admin;
pub(crate) mod analytics;
pub(crate) mod dead_letters;
pub(crate) mod import;
pub(crate) mod live;
pub(crate) mod node;
pub(crate) mod orders;
pub(crate) mod products;
