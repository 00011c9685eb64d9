//! What the program and its repository tell people about themselves: version, man pages, scripts, guides, settings.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod scripts;
mod version;
