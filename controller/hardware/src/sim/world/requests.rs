//! Sending the requests of load balancers: from one instant at which something changes to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::load_balancing::PoolMemberState;

use super::World;
use super::control::{ControlCode, ControlError};
use crate::machine::Health;
use crate::sim::requests::{Answers, RequestCounts, RequestLoad, Requests, Routed};
use crate::sim::store::Write;

impl World {
    /// Sends what is to be sent until `until`. Nothing of a machine changes in between.
    pub(super) fn pass_requests(&mut self, until: Timestamp) {
        let mut all = std::mem::take(&mut self.requests);
        for ((location, name), requests) in &mut all {
            let from = requests.settled_at();
            if from < until {
                let routed = self.routed(location, name, from);
                requests.pass(until, &routed, |uid| {
                    let record = self.record(uid)?;
                    record.up_since(from, self.host_state(record))
                });
            }
        }
        self.requests = all;
    }

    /// Members that a load balancer takes for healthy, in the order of their uids.
    fn routed(&self, location: &str, pool: &str, now: Timestamp) -> Vec<Routed> {
        let members = self.records().filter(|record| {
            record.placement.location == location
                && record.pools.contains_key(pool)
                && record.pool_state(pool, now) == PoolMemberState::Healthy
        });
        let routed = members.map(|record| {
            let up = record.up_since(now, self.host_state(record)).is_some();
            let answers = match record.visible_health(now, self.surroundings(record)) {
                Health::Healthy if up => Answers::Well,
                Health::Unhealthy if up => Answers::Badly,
                Health::Healthy | Health::Unhealthy | Health::Unknown | Health::Hangs => Answers::NotAtAll,
            };
            Routed { uid: Arc::from(record.uid.as_str()), answers }
        });
        routed.collect()
    }

    /// Sends requests through a load balancer from now on; none sends no more.
    pub(crate) fn set_requests(
        &mut self,
        location: &str,
        name: &str,
        load: Option<RequestLoad>,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let region = self.regions.get(location);
        let known = region.is_some_and(|region| region.definition.load_balancers.iter().any(|one| one.name == name));
        if !known {
            let message = format!("{location} has no load balancer {name}");
            return Err(ControlError { code: ControlCode::NotFound, field: "name", message });
        }
        if let Some((field, message)) = load.and_then(RequestLoad::problem) {
            return Err(ControlError { code: ControlCode::InvalidParameter, field, message });
        }
        let key = (location.to_owned(), name.to_owned());
        match load {
            Some(load) => {
                self.requests
                    .entry(key)
                    .and_modify(|requests| requests.change(load, now))
                    .or_insert_with(|| Requests::new(load, now));
            }
            None => drop(self.requests.remove(&key)),
        }
        self.request_loads.entry(location.to_owned()).or_default().insert(name.to_owned(), load);
        self.writes.push(Write::state("requestLoads", &self.request_loads));
        Ok(())
    }

    /// Begins what the store says, else what the region file says, anew.
    pub(super) fn resume_requests(&mut self, now: Timestamp) {
        let mut loads = BTreeMap::new();
        for (location, region) in &self.regions {
            for balancer in &region.definition.load_balancers {
                let set = self.request_loads.get(location).and_then(|set| set.get(&balancer.name));
                if let Some(load) = set.copied().unwrap_or(balancer.requests) {
                    loads.insert((location.clone(), balancer.name.clone()), Requests::new(load, now));
                }
            }
        }
        self.requests = loads;
    }

    /// The load of a load balancer, and what has become of its requests.
    pub(crate) fn requests_of(&self, location: &str, name: &str) -> Option<(RequestLoad, RequestCounts)> {
        let requests = self.requests.get(&(location.to_owned(), name.to_owned()))?;
        Some((requests.load, requests.counts()))
    }
}
