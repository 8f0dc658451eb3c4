//! Who may call.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use tonic::Status;

use super::token_review::TokenReviewer;
use crate::token::TokenFile;

/// Who may call, beyond what TLS asks for.
#[derive(Debug)]
pub enum Guard {
    /// Whoever can connect: on loopback, or with a certificate of ours.
    Open,
    /// Who has the token of that file.
    Token(TokenFile),
    /// Who has a token of a Kubernetes account.
    Review(TokenReviewer),
}

impl Guard {
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<(), Status> {
        match self {
            Self::Open => Ok(()),
            Self::Token(file) => {
                // Hashes tell by the time of their comparison nothing about what was hashed.
                let same = Sha256::digest(bearer(headers)?) == Sha256::digest(file.current());
                if same { Ok(()) } else { Err(Status::unauthenticated("the token is not the shared one")) }
            }
            Self::Review(reviewer) => reviewer.review(bearer(headers)?).await,
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Status> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer "));
    token.ok_or_else(|| Status::unauthenticated("a token is needed; give one with --hardware-token-file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn only_the_shared_token_is_let_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret-1\n").unwrap();
        let guard = Guard::Token(TokenFile::open(file.path().to_owned()).unwrap());
        assert!(guard.admit(&with("Bearer secret-1")).await.is_ok());
        assert!(!format!("{guard:?}").contains("secret"), "{guard:?} goes into the log");
        for refused in [with("Bearer secret-2"), with("secret-1"), with("Bearer "), HeaderMap::new()] {
            let status = guard.admit(&refused).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{refused:?}");
            assert!(!status.message().contains("secret"), "a token is never told: {status}");
        }
        assert!(Guard::Open.admit(&HeaderMap::new()).await.is_ok());
    }
}
