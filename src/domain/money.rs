//! Amounts in the single currency of a node.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The largest amount that the specification's `DECIMAL(10,2)` holds: 99,999,999.99, in minor units.
pub const MAX_AMOUNT: i64 = 9_999_999_999;

/// An amount in minor units (cents), from 0 to [`MAX_AMOUNT`]. Written as a decimal with two places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

/// Why a text is not a [`Money`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("is not a decimal number such as \"19.99\"")]
    NotANumber,
    /// More than two decimal places.
    #[error("has more than 2 decimal places")]
    TooPrecise,
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Above [`MAX_AMOUNT`].
    #[error("is more than 99999999.99")]
    TooLarge,
}

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// An amount of minor units.
    ///
    /// # Errors
    /// Below zero or above [`MAX_AMOUNT`].
    pub fn from_minor(minor: i64) -> Result<Self, MoneyError> {
        match minor {
            ..0 => Err(MoneyError::Negative),
            0..=MAX_AMOUNT => Ok(Self(minor)),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// The amount in minor units.
    #[must_use]
    pub fn minor(self) -> i64 {
        self.0
    }

    /// Adds two amounts.
    ///
    /// # Errors
    /// The result is above [`MAX_AMOUNT`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Self::from_minor(self.0.saturating_add(other.0))
    }

    /// Multiplies the amount by `count`.
    ///
    /// # Errors
    /// The result is above [`MAX_AMOUNT`].
    pub fn times(self, count: u32) -> Result<Self, MoneyError> {
        Self::from_minor(self.0.saturating_mul(i64::from(count)))
    }

    /// The amount as a decimal with two places.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }
}

impl TryFrom<Decimal> for Money {
    type Error = MoneyError;
    fn try_from(value: Decimal) -> Result<Self, MoneyError> {
        let value = value.normalize();
        if value.scale() > 2 {
            return Err(MoneyError::TooPrecise);
        }
        if value.is_sign_negative() && !value.is_zero() {
            return Err(MoneyError::Negative);
        }
        let cents = value.checked_mul(Decimal::ONE_HUNDRED).ok_or(MoneyError::TooLarge)?;
        Self::from_minor(i64::try_from(cents).map_err(|_| MoneyError::TooLarge)?)
    }
}

/// Digits with at most two places (`19.99`, `5`, `5.5`), exactly; also JSON's exponent form (`1e2`).
impl FromStr for Money {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        if let Some(money) = parse_plain(text) {
            return Ok(money);
        }
        let bytes = text.as_bytes();
        let well_formed = bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'))
            && bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
            && bytes.last().is_some_and(u8::is_ascii_digit);
        if !well_formed {
            return Err(MoneyError::NotANumber);
        }
        let decimal = match text.find(['e', 'E']) {
            Some(at) => Decimal::from_scientific(text).map_err(|_| out_of_range(text, at))?,
            None => Decimal::from_str_exact(text).map_err(|_| out_of_range(text, text.len()))?,
        };
        Self::try_from(decimal)
    }
}

/// The usual form without the detour over a decimal: up to 8 digits and exactly or up to two places.
fn parse_plain(text: &str) -> Option<Money> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(places) || whole.len() > 8 || places.len() > 2 {
        return None;
    }
    let cents: i64 = places.parse().ok()?;
    let cents = if places.len() == 1 { cents * 10 } else { cents };
    Some(Money(whole.parse::<i64>().ok()? * 100 + cents))
}

/// A well-formed number that a 96-bit decimal cannot hold is too small to be whole cents or too large to be an amount.
fn out_of_range(text: &str, mantissa_end: usize) -> MoneyError {
    let negative_exponent = text.get(mantissa_end..).is_some_and(|rest| rest.contains('-'));
    let mantissa = text.get(..mantissa_end).unwrap_or(text);
    if mantissa.matches('.').count() > 1 || mantissa.get(1..).is_some_and(|rest| rest.contains(['-', '+'])) {
        MoneyError::NotANumber
    } else if negative_exponent || mantissa.split_once('.').is_some_and(|(_, places)| places.len() > 2) {
        MoneyError::TooPrecise
    } else {
        MoneyError::TooLarge
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_taken_exactly_or_refused() {
        let cases: &[(&str, Result<i64, MoneyError>)] = &[
            ("19.99", Ok(1999)),
            ("5", Ok(500)),
            ("5.5", Ok(550)),
            ("0.00", Ok(0)),
            ("1e2", Ok(10_000)),
            ("1.500", Ok(150)),
            ("99999999.99", Ok(MAX_AMOUNT)),
            ("100000000", Err(MoneyError::TooLarge)),
            ("1e30", Err(MoneyError::TooLarge)),
            ("1e300", Err(MoneyError::TooLarge)),
            ("99999999999999999999999999999999999", Err(MoneyError::TooLarge)),
            ("19.999", Err(MoneyError::TooPrecise)),
            ("19.990000000000000000000000000000000001", Err(MoneyError::TooPrecise)),
            ("1e-300", Err(MoneyError::TooPrecise)),
            ("-1", Err(MoneyError::Negative)),
            ("", Err(MoneyError::NotANumber)),
            ("abc", Err(MoneyError::NotANumber)),
            ("1_000", Err(MoneyError::NotANumber)),
            ("1.2.3", Err(MoneyError::NotANumber)),
            (" 1", Err(MoneyError::NotANumber)),
            ("NaN", Err(MoneyError::NotANumber)),
            ("1.", Err(MoneyError::NotANumber)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Money>().map(Money::minor), *want, "{text}");
        }
    }

    #[test]
    fn shown_with_two_places() {
        assert_eq!(Money::from_minor(5).map(|m| m.to_string()), Ok("0.05".to_owned()));
        assert_eq!(Money::from_minor(123_456).map(|m| m.to_string()), Ok("1234.56".to_owned()));
    }
}
