//! Status as a function of snapshot, plan and outcome: computed whole, written once.

pub mod autoscale;
pub mod instance;
pub mod operation;
pub mod reservation_group;
pub mod scale_set;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use scaleset_crds::condition::Reason;

/// Longest message in a blocker or an instance view.
const MESSAGE_CHARACTERS_MAX: usize = 1_024;

/// Three-valued status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

impl Truth {
    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says, before time and generation are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Status.
    pub truth: Truth,
    /// Reason.
    pub reason: Reason,
    /// In words, with numbers, stable while nothing changes.
    pub message: String,
}

impl Verdict {
    fn new(truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { truth, reason, message: message.into() }
    }

    fn into_condition(self, condition_type: &str, generation: i64, now: Timestamp) -> Condition {
        Condition {
            type_: condition_type.to_owned(),
            status: self.truth.as_str().to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time: Time(whole_seconds(now)),
        }
    }
}

/// The API keeps whole seconds; anything finer would make an equal status look different.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a timestamp's second is a timestamp")
}

pub(crate) fn cut(text: &str) -> String {
    if text.chars().count() <= MESSAGE_CHARACTERS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MESSAGE_CHARACTERS_MAX - 1).collect();
    format!("{kept}…")
}
