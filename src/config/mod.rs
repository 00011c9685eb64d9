//! What can be set, one file a concern. Every type has its defaults; an unknown key is an error.
pub mod providers;
