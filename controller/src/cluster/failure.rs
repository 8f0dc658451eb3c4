//! What a failed call to the API means: for the pass, and for whether the write may have been carried out.

use std::error::Error;

use kube::core::Status;

use super::{ClusterError, Kind, ObjectKey};

/// Whether the API may have done what it did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was refused, or never reached the API.
    NotDone,
    /// It may have been done.
    Unknown,
}

/// Reads a failed write.
pub(super) fn classify(error: &kube::Error, kind: Kind, key: &ObjectKey) -> (ClusterError, Outcome) {
    if let kube::Error::Api(status) = error {
        return classify_status(status, kind, key);
    }
    if let kube::Error::BuildRequest(_) = error {
        return (ClusterError::Refused { status: 400, message: describe(error) }, Outcome::NotDone);
    }
    (ClusterError::Unavailable { message: describe(error) }, transport_outcome(error))
}

fn classify_status(status: &Status, kind: Kind, key: &ObjectKey) -> (ClusterError, Outcome) {
    let (namespace, name) = (key.namespace.clone(), key.name.clone());
    let message = status.message.clone();
    let error = match status.code {
        404 if is_about(status, &key.name) => ClusterError::Gone { kind, namespace, name },
        404 => {
            ClusterError::Unavailable { message: format!("{kind} is not served, or the namespace is gone: {message}") }
        }
        409 if status.reason == "AlreadyExists" => ClusterError::AlreadyExists { kind, namespace, name },
        409 if is_other_uid(&message) => ClusterError::Gone { kind, namespace, name },
        409 => ClusterError::Conflict { kind, namespace, name },
        401 | 408 | 429 => ClusterError::Unavailable { message: format!("{message} ({})", status.code) },
        code @ 400..=499 => ClusterError::Refused { status: code, message },
        code => ClusterError::Unavailable { message: format!("{message} ({code})") },
    };
    // A server that gives up on a request may have handed it on before.
    let outcome = if (400..500).contains(&status.code) { Outcome::NotDone } else { Outcome::Unknown };
    (error, outcome)
}

/// A 404 names the object that is missing; one about the kind or the namespace names another or none.
fn is_about(status: &Status, name: &str) -> bool {
    status.details.as_ref().is_some_and(|details| details.name == name)
}

/// The words of the API for "there is another object of that name, or none": it has no reason of its own for that.
fn is_other_uid(message: &str) -> bool {
    message.contains("uid mismatch") || message.contains("UID in precondition")
}

/// A connection that was never made has carried no request.
fn transport_outcome(error: &kube::Error) -> Outcome {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Outcome::NotDone;
        }
        source = error.source();
    }
    Outcome::Unknown
}

/// The error with its causes, in one line.
pub(crate) fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let mend =
            if status.code == 403 { "; if a right is missing: kubectl apply -f controller/manifests" } else { "" };
        return format!("{} ({}){mend}", status.message, status.code);
    }
    chain(error)
}

/// The error with its causes, in one line, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey { namespace: "default".to_owned(), name: "web-1".to_owned() }
    }

    fn classified(code: u16, reason: &str, message: &str) -> (ClusterError, Outcome) {
        let mut status = Status::failure(message, reason);
        status.code = code;
        status.details = Some(StatusDetails {
            name: "web-1".to_owned(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        });
        classify(&kube::Error::Api(Box::new(status)), Kind::ScaleSetVM, &key())
    }

    #[test]
    fn conflicts_are_told_apart() {
        let (error, _) = classified(409, "Conflict", "the object has been modified");
        assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
        let (error, _) = classified(409, "AlreadyExists", "scalesetvms \"web-1\" already exists");
        assert!(matches!(error, ClusterError::AlreadyExists { .. }), "{error}");
        let (error, _) =
            classified(409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b");
        assert!(matches!(error, ClusterError::Gone { .. }), "{error}");
        let (error, _) = classified(409, "Conflict", "uid mismatch: the provided object specified uid a");
        assert!(matches!(error, ClusterError::Gone { .. }), "{error}");
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        let (error, _) = classified(404, "NotFound", "scalesetvms \"web-1\" not found");
        assert!(matches!(error, ClusterError::Gone { .. }), "{error}");
        let mut status = Status::failure("the server could not find the requested resource", "NotFound");
        status.code = 404;
        let (error, _) = classify(&kube::Error::Api(Box::new(status)), Kind::ScaleSetVM, &key());
        assert!(matches!(error, ClusterError::Unavailable { .. }), "{error}");
    }

    #[test]
    fn a_refusal_was_not_carried_out_and_a_server_error_may_have_been() {
        let (error, outcome) = classified(422, "Invalid", "spec.zone: Invalid value");
        assert!(matches!(error, ClusterError::Refused { status: 422, .. }), "{error}");
        assert_eq!(outcome, Outcome::NotDone);
        let (error, outcome) = classified(429, "TooManyRequests", "please wait");
        assert!(matches!(error, ClusterError::Unavailable { .. }), "{error}");
        assert_eq!(outcome, Outcome::NotDone);
        let (error, outcome) = classified(504, "Timeout", "request did not complete");
        assert!(matches!(error, ClusterError::Unavailable { .. }), "{error}");
        assert_eq!(outcome, Outcome::Unknown);
    }

    #[test]
    fn a_refused_connection_carried_nothing() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(Box::new(refused));
        assert_eq!(classify(&error, Kind::FlexVM, &key()).1, Outcome::NotDone);
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = kube::Error::Service(Box::new(reset));
        assert_eq!(classify(&error, Kind::FlexVM, &key()).1, Outcome::Unknown);
    }
}
