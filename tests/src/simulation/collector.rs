//! Collects the log lines of the passes: the decisions, in their own words.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Where the lines go.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

/// A subscriber that keeps what the passes say at level INFO and above.
pub(crate) struct Collector {
    pub(crate) lines: Lines,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// `who: what: why`, then whatever else was said.
    fn into_line(mut self) -> String {
        let message = self.take("message").unwrap_or_default();
        let who = self.take("vm").or_else(|| self.take("set")).or_else(|| self.take("group"));
        let action = self.take("action");
        let what = match (message.as_str(), action) {
            ("done" | "step", Some(action)) => action,
            (_, Some(action)) => format!("{message}: {action}"),
            (_, None) => message,
        };
        let why = self.take("reason").or_else(|| self.take("error"));
        let rest = self.0.into_iter().map(|(name, value)| format!("{name}={value}"));
        who.into_iter().chain([what]).chain(why).chain(rest).collect::<Vec<_>>().join(": ")
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("scaleset_controller")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(fields.into_line());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
