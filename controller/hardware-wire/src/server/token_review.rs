//! Asks the Kubernetes API whose token a caller shows (`TokenReview`): no secret has to be shared or kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tonic::Status;

/// How long an answer of the API is believed. A token that is withdrawn is refused after this long at the latest.
const BELIEVED_FOR: Duration = Duration::from_mins(1);
/// Most tokens that are remembered.
const REMEMBERED_MAX: usize = 64;
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Lets in one Kubernetes user, for one audience.
pub struct TokenReviewer {
    client: Client,
    audience: String,
    user: String,
    /// When a token was found good, by its hash: tokens themselves are not kept.
    good: Mutex<BTreeMap<[u8; 32], Instant>>,
}

impl std::fmt::Debug for TokenReviewer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, audience, user, good: _ } = self;
        write!(formatter, "TokenReviewer({user} for {audience})")
    }
}

impl TokenReviewer {
    /// Lets in `user` (of an account: `system:serviceaccount:NAMESPACE:NAME`) with tokens made for `audience`.
    pub fn new(client: Client, audience: String, user: String) -> Self {
        Self { client, audience, user, good: Mutex::default() }
    }

    pub(super) async fn review(&self, token: &str) -> Result<(), Status> {
        let key: [u8; 32] = Sha256::digest(token).into();
        if self.remembers(key) {
            return Ok(());
        }
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let asked = timeout(ANSWER_MAX, reviews.create(&parameters, &review)).await;
        let cannot = |why: String| Status::unavailable(format!("the kubernetes api cannot review the token: {why}"));
        let answer = asked.map_err(|_| cannot(format!("no answer within {} s", ANSWER_MAX.as_secs())))?;
        let answer = answer.map_err(|error| cannot(error.to_string()))?;
        self.judge(&answer.status.unwrap_or_default()).map_err(Status::unauthenticated)?;
        self.remember(key);
        Ok(())
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

    fn remembers(&self, key: [u8; 32]) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(&key).is_some_and(|since| since.elapsed() < BELIEVED_FOR)
    }

    fn remember(&self, key: [u8; 32]) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|_, since| since.elapsed() < BELIEVED_FOR);
        if good.len() < REMEMBERED_MAX {
            good.insert(key, Instant::now());
        }
    }
}
