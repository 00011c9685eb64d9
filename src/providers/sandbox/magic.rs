//! Special amounts and addresses, with which a client can request any outcome.
//!
//! | the stand-in | total ends in | email begins with | phone ends in |
//! | --- | --- | --- | --- |
//! | declines (insufficient funds), or refuses the address | `.01` | `bounce` | `0001` |
//! | does it and never answers | `.02` | `timeout` | `0002` |
//! | neither does it nor answers | `.03` | `lost` | `0003` |
//! | fails twice for this order or notice, then does it | `.04` | `flaky` | `0004` |
//! | always fails | `.05` | `fail` | `0005` |
//! | does it and answers after 10 s | `.06` | `slow` | `0006` |
//! | hears of it after 10 s, whether or not anybody still waits | `.07` | `late` | `0007` |
//! | charges, but fails the first two refunds | `.08` | | |
//! | charges, but fails every refund | `.09` | | |
//!
//! An email begins with the word if the part before `@`, up to a `+`, is that word: `flaky@shop.test`, `flaky+7@shop.test`.

use crate::domain::Money;

/// The behaviour that an amount or address requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Magic {
    /// Nothing.
    None,
    /// Decline, refuse.
    Decline,
    /// Do it, never answer.
    DoneUnanswered,
    /// Do nothing, never answer.
    Lost,
    /// Fail twice, then do it.
    Flaky,
    /// Fail.
    Fail,
    /// Do it, answer late.
    SlowAnswer,
    /// Do it late.
    SlowArrival,
    /// Charge; fail two refunds.
    FlakyRefund,
    /// Charge; fail all refunds.
    FailRefund,
}

impl Magic {
    /// The behaviour for a total.
    #[must_use]
    pub fn of_amount(amount: Money) -> Self {
        match amount.minor() % 100 {
            8 => Self::FlakyRefund,
            9 => Self::FailRefund,
            cents => Self::numbered(cents),
        }
    }

    /// The behaviour for an email address.
    #[must_use]
    pub fn of_email(address: &str) -> Self {
        let local = address.split(['@', '+']).next().unwrap_or_default();
        let words = ["bounce", "timeout", "lost", "flaky", "fail", "slow", "late"];
        match words.iter().zip(1..).find(|(word, _)| local.eq_ignore_ascii_case(word)) {
            Some((_, number)) => Self::numbered(number),
            None => Self::None,
        }
    }

    /// The behaviour for a phone number.
    #[must_use]
    pub fn of_phone(number: &str) -> Self {
        let last = number.len().checked_sub(1).and_then(|at| number.get(at..));
        match last.and_then(|digit| digit.parse().ok()) {
            Some(digit) if number.len() > 4 && number.get(..number.len() - 1).is_some_and(|head| head.ends_with("000")) => {
                Self::numbered(digit)
            }
            Some(_) | None => Self::None,
        }
    }

    /// Whether it applies only to refunds.
    #[must_use]
    pub fn is_of_refund(self) -> bool {
        matches!(self, Self::FlakyRefund | Self::FailRefund)
    }

    fn numbered(number: i64) -> Self {
        match number {
            1 => Self::Decline,
            2 => Self::DoneUnanswered,
            3 => Self::Lost,
            4 => Self::Flaky,
            5 => Self::Fail,
            6 => Self::SlowAnswer,
            7 => Self::SlowArrival,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_mean_what_the_table_says() {
        let meanings = [
            (Magic::Decline, 1, "bounce@x.test", "+4930 000 0001"),
            (Magic::DoneUnanswered, 2, "timeout@x.test", "00002"),
            (Magic::Lost, 3, "lost@x.test", "+10003"),
            (Magic::Flaky, 4, "flaky+1@x.test", "+10004"),
            (Magic::Fail, 5, "FAIL@x.test", "+10005"),
            (Magic::SlowAnswer, 6, "slow@x.test", "+10006"),
            (Magic::SlowArrival, 7, "late@x.test", "+10007"),
            (Magic::FlakyRefund, 8, "", ""),
            (Magic::FailRefund, 9, "", ""),
            (Magic::None, 0, "bouncer@x.test", "+10000"),
            (Magic::None, 10, "x@bounce", "+11001"),
            (Magic::None, 99, "", "+10008"),
        ];
        for (meaning, cents, email, phone) in meanings {
            assert_eq!(Magic::of_amount(Money::from_minor(1_200 + cents).unwrap()), meaning, "{cents}");
            let notice = if meaning.is_of_refund() { Magic::None } else { meaning };
            assert_eq!(Magic::of_email(email), notice, "{email}");
            assert_eq!(Magic::of_phone(phone), notice, "{phone}");
        }
    }
}
