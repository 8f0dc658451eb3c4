//! Flags about the election of a leader.

use std::time::Duration;

use clap::value_parser;

use crate::leader::{Timing, TimingError};

/// Whether and how one of several replicas is elected to lead.
#[derive(Clone, Debug, clap::Args)]
pub struct ElectionArgs {
    /// Runs beside other replicas: one leads, the others stand by. Needs hardware that all of them reach
    /// (--hardware-url).
    #[arg(long)]
    pub leader_elect: bool,
    /// Name of the Lease, in --namespace, whose holder leads.
    #[arg(long, value_name = "NAME", default_value = "scaleset-controller")]
    pub leader_elect_lease_name: String,
    /// How long a leader that is not heard of any more is waited for.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = seconds())]
    pub leader_elect_lease_duration_seconds: u64,
    /// How long a leader tries to renew the Lease before it stops.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = seconds())]
    pub leader_elect_renew_deadline_seconds: u64,
    /// How long to wait between two tries.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = seconds())]
    pub leader_elect_retry_period_seconds: u64,
}

impl ElectionArgs {
    /// The three durations, if they fit together.
    pub fn timing(&self) -> Result<Timing, TimingError> {
        Timing::new(
            Duration::from_secs(self.leader_elect_lease_duration_seconds),
            Duration::from_secs(self.leader_elect_renew_deadline_seconds),
            Duration::from_secs(self.leader_elect_retry_period_seconds),
        )
    }
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    value_parser!(u64).range(1..=3_600)
}
