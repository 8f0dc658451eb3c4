//! Asks the Kubernetes API whose token a caller shows (`TokenReview`): no secret has to be shared or kept.
//!
//! It is asked one question at a time about each token: who shows the same one meanwhile waits for the answer. So a controller
//! that begins with hundreds of calls at once, or with a token that does not let it in, costs one question, and wrong tokens of
//! others do not keep it waiting.

mod asking;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::timeout;
use tonic::Status;

use asking::Asking;

use super::verdicts::{TokenHash, Verdict, Verdicts};

/// How long a caller waits for its answer, its turn included.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Lets in one Kubernetes user, for one audience.
pub struct TokenReviewer {
    client: Client,
    audience: String,
    user: String,
    verdicts: Mutex<Verdicts>,
    /// Who asks the API.
    asking: Asking,
}

impl std::fmt::Debug for TokenReviewer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, audience, user, verdicts: _, asking: _ } = self;
        write!(formatter, "TokenReviewer({user} for {audience})")
    }
}

impl TokenReviewer {
    /// Lets in `user` (of an account: `system:serviceaccount:NAMESPACE:NAME`) with tokens made for `audience`.
    pub fn new(client: Client, audience: String, user: String) -> Self {
        Self { client, audience, user, verdicts: Mutex::default(), asking: Asking::default() }
    }

    pub(super) async fn review(&self, token: &str) -> Result<(), Status> {
        let hash = TokenHash::of(token);
        let verdict = match self.remembered(hash) {
            Some(verdict) => verdict,
            None => timeout(ANSWER_MAX, self.found(hash, token))
                .await
                .unwrap_or_else(|_| Err(cannot(&format!("no answer within {} s", ANSWER_MAX.as_secs()))))?,
        };
        match verdict {
            Verdict::Good => Ok(()),
            Verdict::Refused { reason } => Err(Status::unauthenticated(reason)),
        }
    }

    /// What the API says, or has said to who was before us.
    async fn found(&self, hash: TokenHash, token: &str) -> Result<Verdict, Status> {
        let _turn = self.asking.turn(hash).await;
        if let Some(verdict) = self.remembered(hash) {
            return Ok(verdict);
        }
        let _place = self.asking.place().await;
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| cannot(&error.to_string()))?;
        let verdict = match self.judge(&answer.status.unwrap_or_default()) {
            Ok(()) => Verdict::Good,
            Err(reason) => Verdict::Refused { reason },
        };
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.remember(hash, verdict.clone(), Instant::now());
        Ok(verdict)
    }

    fn judge(&self, status: &TokenReviewStatus) -> Result<(), String> {
        let TokenReviewStatus { audiences, authenticated, error, user } = status;
        if !authenticated.unwrap_or_default() {
            return Err(format!("the token is not valid: {}", error.as_deref().unwrap_or("no reason given")));
        }
        if !audiences.iter().flatten().any(|audience| *audience == self.audience) {
            return Err(format!("the token must be for the audience {}", self.audience));
        }
        let user = user.as_ref().and_then(|user| user.username.as_deref()).unwrap_or_default();
        if user == self.user { Ok(()) } else { Err(format!("the token must be of {}, it is of {user}", self.user)) }
    }

    fn remembered(&self, hash: TokenHash) -> Option<Verdict> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).of(hash, Instant::now())
    }
}

fn cannot(why: &str) -> Status {
    Status::unavailable(format!("the kubernetes api cannot review the token: {why}"))
}

#[cfg(test)]
mod tests;
