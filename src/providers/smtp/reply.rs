//! What a mail server's reply means: whose fault a failure is, and whether to try again.

use crate::providers::call::{ProviderError, error_chain};
use lettre::transport::smtp;

/// The stage of the dialogue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Before the recipient was named: connection, greeting, login, sender.
    Sender,
    /// The recipient, and the request to send the text.
    Recipient,
    /// The text was sent.
    Text,
}

/// When to try again after a server said "not now" (421), in milliseconds.
const BUSY_MS: u64 = 1_000;

/// What `error` means at `stage`. An error without a reply is a broken connection.
pub(super) fn meaning(stage: Stage, error: &smtp::Error) -> ProviderError {
    let reason = error_chain(error);
    match error.status().map(u16::from) {
        Some(code) => of_reply(stage, code, reason),
        None => ProviderError::failed(reason).away(),
    }
}

fn of_reply(stage: Stage, code: u16, reason: String) -> ProviderError {
    match (stage, code) {
        (_, 421) => ProviderError::Busy { retry_in_ms: BUSY_MS, reason },
        // About us: login, sender, quota. Nothing of this email will make it better.
        (Stage::Sender, _) => ProviderError::failed(reason).away(),
        (Stage::Recipient | Stage::Text, 400..=499) => ProviderError::Deferred { reason },
        (Stage::Recipient | Stage::Text, _) if is_about_us(code, &reason) => ProviderError::failed(reason).away(),
        (Stage::Recipient | Stage::Text, _) => ProviderError::Rejected { reason },
    }
}

/// Whether a permanent refusal at the recipient stage is about the sender: we may not relay, or must log in first. Then a setting is wrong
/// and not the recipient, and the email should be sent once the setting is corrected.
fn is_about_us(code: u16, reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    matches!(code, 530 | 534 | 535 | 538) || reason.contains("relay") || (reason.contains("5.7.") && reason.contains("authenticat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stage: Stage, replies: &[&str], want: ProviderError) {
        for reply in replies {
            let code = reply.get(..3).unwrap().parse().unwrap();
            let got = of_reply(stage, code, (*reply).to_owned());
            assert_eq!(std::mem::discriminant(&got), std::mem::discriminant(&want), "{stage:?} {reply}: {got:?}");
        }
    }

    /// As Postfix, Exim, OpenSMTPD and large providers say it.
    #[test]
    fn whose_fault_a_refusal_is() {
        let (failed, rejected) = (ProviderError::failed(""), ProviderError::rejected(""));
        let deferred = ProviderError::Deferred { reason: String::new() };
        let busy = ProviderError::Busy { retry_in_ms: 0, reason: String::new() };
        let not_now = &[
            "421 4.7.0 mx Error: too many connections from 192.0.2.1",
            "421 Too many concurrent SMTP connections; please try again later",
        ];
        for stage in [Stage::Sender, Stage::Recipient, Stage::Text] {
            check(stage, not_now, busy.clone());
        }
        check(
            Stage::Sender,
            &[
                "550 not from you",
                "451 4.3.0 later",
                "530 5.7.0 Must issue a STARTTLS command first",
                "452 4.3.1 Insufficient system storage",
            ],
            failed.clone(),
        );
        let later = &[
            "450 4.2.0 <ann@shop.test>: Recipient address rejected: Greylisted, see http://postgrey.example",
            "451 4.7.1 Greylisting in action, please come back later",
            "452 4.2.2 <ann@shop.test> mailbox full",
        ];
        check(Stage::Recipient, later, deferred.clone());
        check(Stage::Text, &["451 4.3.0 queue file write error", "452 4.2.2 over quota"], deferred);
        let ours = &[
            "554 5.7.1 <ann@shop.test>: Relay access denied",
            "550 relay not permitted",
            "550 5.7.1 Unable to relay",
            "550 5.7.1 Client was not authenticated",
            "530 5.7.0 Authentication required",
        ];
        check(Stage::Recipient, ours, failed);
        let theirs = &[
            "550 5.1.1 <ann@shop.test>: Recipient address rejected: User unknown in virtual mailbox table",
            "550 Unrouteable address",
            "552 5.2.2 mailbox full",
            "554 5.7.1 <ann@shop.test>: Recipient address rejected: Access denied",
        ];
        check(Stage::Recipient, theirs, rejected.clone());
        check(Stage::Text, &["554 5.7.1 Spam message rejected", "552 5.3.4 Message size exceeds fixed limit"], rejected);
    }
}
