//! Backend pools: what their load balancers hear, and taking a machine out of them before it goes down.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::{HealthProbe, HealthSource};
use scaleset_crds::load_balancing::drain_timeouts;
use scaleset_crds::vocabulary::HealthState;

use super::{Effect, World};
use crate::error::HardwareError;
use crate::machine::{Drain, Health};
use crate::sim::application::Answer;
use crate::sim::health::Watch;
use crate::sim::pool::PoolWatch;
use crate::sim::vm::Record;
use crate::{Ahead, Target};

impl World {
    /// Takes a machine out of its pools, unless what it is drained for would be refused. One that is out, or is in none, is left
    /// as it is.
    pub(crate) fn drain(
        &mut self,
        target: &Target,
        ahead: Option<&Ahead>,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let record = self.fenced(target)?;
        if record.drain.is_some() || record.pools.is_empty() {
            return Ok(self.unchanged(target));
        }
        if let Some(ahead) = ahead {
            self.check_ahead(target, ahead, now)?;
        }
        let record = self.fenced(target)?;
        let drained_at = self.drained_at(record, now);
        self.set_drain(target, Some(Drain { since: now, drained_at }), now);
        Ok(Effect::Changed)
    }

    /// Puts a machine back into its pools, as if it had not drained. One that is about to be evicted stays out.
    pub(crate) fn undrain(&mut self, target: &Target, now: Timestamp) -> Result<Effect, HardwareError> {
        let record = self.fenced(target)?;
        if record.drain.is_none() || record.preemption.is_some() {
            return Ok(self.unchanged(target));
        }
        self.set_drain(target, None, now);
        Ok(Effect::Changed)
    }

    /// Takes a machine out of its pools that is about to be restarted by maintenance of its host.
    pub(super) fn drain_before_maintenance(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get(uid) else { return };
        let drained_at = self.drained_at(record, now);
        if let Some(record) = self.machines.get_mut(uid) {
            record.drain = Some(Drain { since: now, drained_at });
        }
        self.save(uid);
        self.announce(uid);
    }

    /// When maintenance that is approved now begins on a machine: once its requests have ended.
    pub(super) fn drained_if_approved_at(&self, record: &Record, now: Timestamp) -> Timestamp {
        if !record.announced.as_ref().is_some_and(|told| told.drains()) {
            return now;
        }
        record.drain.map_or_else(|| self.drained_at(record, now), |drain| drain.drained_at.max(now))
    }

    fn set_drain(&mut self, target: &Target, drain: Option<Drain>, now: Timestamp) {
        if let Some(record) = self.machines.get_mut(&target.uid) {
            record.drain = drain;
            record.generation = record.generation.max(target.generation);
        }
        self.save(&target.uid);
        self.follow(&target.uid, now);
        self.announce(&target.uid);
    }

    /// When nothing is under way on a machine any more that leaves its pools now: at once where nobody could reach it anyway.
    fn drained_at(&self, record: &Record, now: Timestamp) -> Timestamp {
        if record.up_since(now, self.host_state(record)).is_none() {
            return now;
        }
        let timeouts = drain_timeouts(&self.models.get(record.model).network_profile.network_interfaces);
        let drained = timeouts.into_iter().filter_map(|(pool, seconds)| {
            let report = record.pools.get(pool)?.report(now)?;
            // Whoever is not healthy any more has got no requests since.
            let last = if report.state == HealthState::Healthy { now } else { report.since };
            Some(last + SignedDuration::from_secs(i64::from(seconds)))
        });
        drained.max().map_or(now, |drained| drained.max(now))
    }

    /// What the load balancers of a machine's pools hear of it from `now` on.
    pub(super) fn pool_watches_of(&self, record: &Record, now: Timestamp) -> BTreeMap<String, PoolWatch> {
        let model = self.models.get(record.model);
        let named = drain_timeouts(&model.network_profile.network_interfaces);
        let held = named.into_keys().filter(|_| record.host.is_some() && !record.is_deleted(now));
        let watch = |pool: &str| {
            let probe = self.pool_probe(record, model, pool)?;
            let heard = self.heard_from_outside(record, now);
            let before = record.pools.get(pool).filter(|before| before.probe == probe);
            let watch = match before {
                Some(before) => before.watch.hearing(&heard, HealthSource::Probe(&probe), now),
                None => Watch::new(now, heard),
            };
            Some((pool.to_owned(), PoolWatch { probe, watch }))
        };
        held.filter_map(watch).collect()
    }

    /// The probe that decides about membership: the model's health probe where it is one of that load balancer, else the
    /// load balancer's own.
    fn pool_probe(&self, record: &Record, model: &VirtualMachineModel, pool: &str) -> Option<HealthProbe> {
        let of_model = model.network_profile.health_probe.as_ref().filter(|probe| probe.load_balancer == pool);
        let region = self.regions.get(&record.placement.location)?;
        let own = || region.definition.load_balancers.iter().find(|balancer| balancer.name == pool);
        of_model.cloned().or_else(|| own().map(super::super::region::LoadBalancerDefinition::health_probe))
    }

    /// What the application answers to whoever asks from outside, also while the machine is down.
    fn heard_from_outside(&self, record: &Record, now: Timestamp) -> Vec<Answer> {
        let mut heard = record.heard(self.surroundings(record));
        if heard.first().is_none_or(|first| first.at > now) {
            heard.insert(0, Answer { at: now, health: Health::Unknown });
        }
        heard
    }
}
