//! Room on hosts that Spot machines leave for a regular machine that found none: nobody else takes it meanwhile.
//!
//! A promise is kept until the machine has its place, or nobody asks for it any more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::machine::Owner;
use crate::sim::quota::Claim;

/// How long a promise holds since it was asked for last. Whoever asks again and again with a growing wait is back before.
pub(crate) const HELD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Room on one host for one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// Number of the call that it was given to: who came first is served first.
    pub(crate) number: u64,
    pub(crate) host: String,
    pub(crate) vcpus: i32,
    pub(crate) memory_mib: i64,
    /// Who asks, to be told when there is room.
    pub(crate) owner: Owner,
    /// When it is forgotten.
    pub(crate) until: Timestamp,
}

/// The promises of one region, by the uid of the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises(BTreeMap<String, Promise>);

impl Promises {
    /// What was promised to a machine.
    pub(crate) fn to(&self, uid: &str) -> Option<&Promise> {
        self.0.get(uid)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Promise)> {
        self.0.iter()
    }

    pub(crate) fn give(&mut self, uid: &str, promise: Promise) {
        self.0.insert(uid.to_owned(), promise);
    }

    pub(crate) fn take_back(&mut self, uid: &str) -> Option<Promise> {
        self.0.remove(uid)
    }

    /// vCPUs and memory of a host that others than `asks` were promised, and before it if it was itself.
    pub(crate) fn to_others(&self, host: &str, asks: &str) -> (i32, i64) {
        let own = self.0.get(asks).filter(|promise| promise.host == host).map(|promise| promise.number);
        let first = |promise: &Promise| own.is_none_or(|own| promise.number < own);
        let others =
            self.0.iter().filter(|(uid, promise)| promise.host == host && uid.as_str() != asks && first(promise));
        others
            .fold((0, 0), |(vcpus, memory_mib), (_, promise)| (vcpus + promise.vcpus, memory_mib + promise.memory_mib))
    }

    /// Forgets what nobody has asked for in time.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, promise| promise.until > now);
    }
}

impl Promise {
    /// Whether it is for just this claim.
    pub(crate) fn is_for(&self, claim: &Claim) -> bool {
        self.vcpus == claim.vcpus && self.memory_mib == claim.memory_mib
    }
}
