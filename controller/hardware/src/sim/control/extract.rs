//! Reading requests and answering refusals, all as JSON.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::sim::world::{ControlCode, ControlError};

/// A JSON body; an empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

/// Parameters behind the question mark.
pub(super) struct Parameters<T>(pub(super) T);

/// A body or parameters that cannot be read.
pub(super) struct Unreadable {
    field: String,
    message: String,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Unreadable;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| Unreadable { field: String::new(), message: error.to_string() })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." || path == "?" { String::new() } else { path };
            Unreadable { field, message: error.into_inner().to_string() }
        })?;
        reader.end().map_err(|error| Unreadable { field: String::new(), message: error.to_string() })?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Unreadable;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Unreadable { field: String::new(), message: error.body_text() }),
        }
    }
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        let Self { field, message } = self;
        let error = json!({"error": {"code": "InvalidParameter", "field": field, "message": message}});
        (StatusCode::BAD_REQUEST, Json(error)).into_response()
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self.code {
            ControlCode::NotFound => StatusCode::NOT_FOUND,
            ControlCode::InvalidParameter => StatusCode::BAD_REQUEST,
            ControlCode::Conflict => StatusCode::CONFLICT,
            ControlCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({"error": self}))).into_response()
    }
}
