//! Validation of email addresses, shared by the HTTP server and the mailer: every address that is accepted can be sent to.

use email_address::EmailAddress;

/// A valid email address in the form that mail servers take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailAddress {
    /// The part before the `@`.
    pub local: String,
    /// The domain in ASCII form (`xn--…`), so that the server needs no SMTPUTF8 for it.
    pub domain: String,
}

/// Why a text is not an email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailAddressError {
    /// No `@`, or nothing on one side of it.
    #[error("must be an email address such as \"ada@example.org\"")]
    Form,
    /// The part before the `@`: a dot at an end or two in a row, a character that is not allowed, or more than 64 bytes.
    #[error(
        "must be an email address: the part before the \"@\" has a dot at an end, two dots in a row, a forbidden character or more than \
         64 bytes"
    )]
    Local,
    /// The part after the `@` is not a domain.
    #[error("must be an email address: the part after the \"@\" is not a domain name such as \"example.org\"")]
    Domain,
    /// More than 254 bytes in its ASCII form (RFC 5321, 4.5.3.1.3 with its erratum).
    #[error("must be an email address of at most 254 bytes")]
    TooLong,
}

impl MailAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// See [`MailAddressError`].
    pub fn parse(text: &str) -> Result<Self, MailAddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(MailAddressError::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(MailAddressError::Form);
        }
        // Quoted local parts are valid, and nobody has one: they are how commands are smuggled into the dialogue with a server.
        if local.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;:()[]\\\"".contains(c))
            || !EmailAddress::is_valid_local_part(local)
        {
            return Err(MailAddressError::Local);
        }
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| MailAddressError::Domain)?;
        if !EmailAddress::is_valid_domain(&domain) {
            return Err(MailAddressError::Domain);
        }
        if local.len() + 1 + domain.len() > 254 {
            return Err(MailAddressError::TooLong);
        }
        Ok(Self { local: local.to_owned(), domain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, MailAddressError>) {
        let got = MailAddress::parse(text);
        assert_eq!(got.map(|address| format!("{}@{}", address.local, address.domain)), want.map(str::to_owned), "{text}");
    }

    #[test]
    fn what_is_an_address_and_how_it_is_told_to_a_server() {
        use MailAddressError::{Domain, Form, Local, TooLong};
        check("ada@example.org", Ok("ada@example.org"));
        check("a.b+tag@example.org", Ok("a.b+tag@example.org"));
        check("kunde@bücher.example", Ok("kunde@xn--bcher-kva.example"));
        check("kunde@BÜCHER.example", Ok("kunde@xn--bcher-kva.example"));
        check("kunde@xn--bcher-kva.example", Ok("kunde@xn--bcher-kva.example"));
        check("用户@例子.example", Ok("用户@xn--fsqu00a.example"));
        check("orders@localhost", Ok("orders@localhost"));
        for text in ["", "@", "ada", "ada@", "@example.org"] {
            check(text, Err(Form));
        }
        for text in ["a..b@example.org", ".a@example.org", "a.@example.org", "a b@example.org", "\"a\"@example.org", "a@b@example.org"] {
            check(text, Err(Local));
        }
        check(&format!("{}@example.org", "a".repeat(65)), Err(Local));
        for text in ["a@.example.org", "a@example..org", "a@-x.example", "a@x_y.example", "a@ex ample.org", "a@[127.0.0.1]"] {
            check(text, Err(Domain));
        }
        check(
            &format!("a@{}.{}.{}.example.org", "b".repeat(63), "c".repeat(63), "d".repeat(63)),
            Ok(&format!("a@{}.{}.{}.example.org", "b".repeat(63), "c".repeat(63), "d".repeat(63))),
        );
        check(&format!("{}@{}.{}.{}.example.org", "a".repeat(64), "b".repeat(63), "c".repeat(63), "d".repeat(63)), Err(TooLong));
    }
}
