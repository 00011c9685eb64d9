//! Bounded text from outside.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A text of 1 to `MAX` characters without control characters (so no U+0000, which PostgreSQL cannot store).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Box<str>);

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No characters.
    #[error("is empty")]
    Empty,
    /// Longer than the bound, in characters.
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// A control character such as U+0000.
    #[error("contains a control character")]
    Control,
}

impl<const MAX: usize> Text<MAX> {
    /// Checks and wraps `text`.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > MAX && text.chars().count() > MAX {
            return Err(TextError::TooLong(MAX));
        }
        if text.chars().any(char::is_control) {
            return Err(TextError::Control);
        }
        Ok(Self(text.into()))
    }

    /// As much of `text` as fits, with control characters replaced by spaces; for ordermill's own texts, such as error causes.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let clean: String = text.chars().take(MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self(if clean.is_empty() { "-".into() } else { clean.into() })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
