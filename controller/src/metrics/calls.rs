//! How long passes and calls to the hardware take, wall time.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From a millisecond to ten seconds.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

type Made = fn() -> Histogram;

/// See the module.
#[derive(Debug)]
pub(super) struct Durations {
    passes: Family<ControllerLabels, Histogram, Made>,
    calls: Family<CallLabels, Histogram, Made>,
}

impl Default for Durations {
    fn default() -> Self {
        let histogram: Made = || Histogram::new(SECONDS);
        Self { passes: Family::new_with_constructor(histogram), calls: Family::new_with_constructor(histogram) }
    }
}

impl Durations {
    pub(super) fn register(&self, registry: &mut Registry) {
        let passes = "How long a pass over one object took, by controller";
        registry.register_with_unit("pass_duration", passes, Unit::Seconds, self.passes.clone());
        let calls = "How long a call to the hardware took, by call and result";
        registry.register_with_unit("hardware_call_duration", calls, Unit::Seconds, self.calls.clone());
    }

    pub(super) fn pass(&self, controller: &'static str, took: Duration) {
        self.passes.get_or_create(&ControllerLabels { controller }).observe(took.as_secs_f64());
    }

    pub(super) fn call(&self, call: &'static str, result: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabels { call, result }).observe(took.as_secs_f64());
    }
}
