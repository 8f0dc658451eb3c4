//! vCPU quotas of one region: what is allowed, what is in use, whether more fits (Azure: virtual machine vCPU quotas).
//!
//! A machine counts from its allocation to its deletion or deallocation; a stopped machine counts. Spot machines count
//! against a quota of their own and no other, until their deletion (Azure: Spot VMs, quota); who holds them counts them.

use std::collections::BTreeMap;

use scaleset_crds::spot::Priority;

use crate::error::HardwareError;
use crate::headroom::Quota;
use crate::sim::region::Quotas;

/// The name of the quota over all families.
pub(crate) const REGIONAL_TOTAL: &str = "regional total";
/// The name of the quota over all Spot machines.
pub(crate) const SPOT: &str = "spot";

/// What a machine takes of its region and of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) family: String,
    pub(crate) vcpus: i32,
    pub(crate) memory_mib: i64,
    /// Spot machines count against a quota of their own.
    pub(crate) priority: Priority,
}

/// Limits and use.
#[derive(Clone, Debug)]
pub(crate) struct QuotaLedger {
    limits: Quotas,
    total: i64,
    families: BTreeMap<String, i64>,
}

/// One quota: its name, its limit if it has one, and its use, in vCPUs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct QuotaUse {
    pub(crate) name: String,
    pub(crate) limit: Option<i64>,
    pub(crate) usage: i64,
}

impl QuotaLedger {
    pub(crate) fn new(limits: Quotas) -> Self {
        Self { limits, total: 0, families: BTreeMap::new() }
    }

    /// Whether `wanted` fits once `given_up` is given back.
    pub(crate) fn check(&self, wanted: &Claim, given_up: Option<&Claim>) -> Result<(), HardwareError> {
        let vcpus = i64::from(wanted.vcpus);
        let freed = given_up.map_or(0, |claim| i64::from(claim.vcpus));
        let freed_in_family =
            given_up.filter(|claim| claim.family == wanted.family).map_or(0, |claim| i64::from(claim.vcpus));
        if let Some(limit) = self.limits.families.get(&wanted.family) {
            let usage = self.families.get(&wanted.family).copied().unwrap_or(0);
            fits(&wanted.family, *limit, usage, vcpus - freed_in_family)?;
        }
        fits(REGIONAL_TOTAL, self.limits.regional_total, self.total, vcpus - freed)
    }

    /// Whether a Spot machine fits beside others that use `usage` once `given_up` is given back.
    pub(crate) fn check_spot(&self, usage: i64, wanted: &Claim, given_up: Option<&Claim>) -> Result<(), HardwareError> {
        let freed = given_up.map_or(0, |claim| i64::from(claim.vcpus));
        self.limits.spot.map_or(Ok(()), |limit| fits(SPOT, limit, usage, i64::from(wanted.vcpus) - freed))
    }

    pub(crate) fn take(&mut self, claim: &Claim) {
        self.add(claim, i64::from(claim.vcpus));
    }

    pub(crate) fn give_back(&mut self, claim: &Claim) {
        self.add(claim, -i64::from(claim.vcpus));
    }

    /// Every quota that is limited or in use, the total first, the one of Spot machines last.
    pub(crate) fn uses(&self, spot: i64) -> Vec<QuotaUse> {
        let total =
            QuotaUse { name: REGIONAL_TOTAL.to_owned(), limit: Some(self.limits.regional_total), usage: self.total };
        let mut names: Vec<&String> = self.limits.families.keys().chain(self.families.keys()).collect();
        names.sort();
        names.dedup();
        let family = |name: &String| QuotaUse {
            name: name.clone(),
            limit: self.limits.families.get(name).copied(),
            usage: self.families.get(name).copied().unwrap_or(0),
        };
        let spot = QuotaUse { name: SPOT.to_owned(), limit: self.limits.spot, usage: spot };
        let spot = (spot.limit.is_some() || spot.usage > 0).then_some(spot);
        std::iter::once(total).chain(names.into_iter().map(family)).chain(spot).collect()
    }

    /// The limited quotas that `claim` counts against, its family's first; Spot machines use `spot`.
    pub(crate) fn of(&self, claim: &Claim, spot: i64) -> Vec<Quota> {
        let Claim { family, vcpus: _, memory_mib: _, priority } = claim;
        if *priority == Priority::Spot {
            let of_spot = self.limits.spot.map(|limit| Quota { name: SPOT.to_owned(), limit, usage: spot });
            return of_spot.into_iter().collect();
        }
        let of_family = self.limits.families.get(family).map(|limit| Quota {
            name: family.clone(),
            limit: *limit,
            usage: self.families.get(family).copied().unwrap_or(0),
        });
        let total = Quota { name: REGIONAL_TOTAL.to_owned(), limit: self.limits.regional_total, usage: self.total };
        of_family.into_iter().chain([total]).collect()
    }

    fn add(&mut self, claim: &Claim, vcpus: i64) {
        if claim.priority == Priority::Spot {
            return;
        }
        self.total += vcpus;
        *self.families.entry(claim.family.clone()).or_default() += vcpus;
    }
}

fn fits(name: &str, limit: i64, usage: i64, required: i64) -> Result<(), HardwareError> {
    if required <= 0 || usage + required <= limit {
        return Ok(());
    }
    Err(HardwareError::Quota { family: name.to_owned(), limit, usage, required })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(total: i64, family: i64) -> QuotaLedger {
        QuotaLedger::new(Quotas {
            regional_total: total,
            families: BTreeMap::from([("standardDSv3Family".to_owned(), family)]),
            spot: Some(4),
        })
    }

    fn claim(family: &str, vcpus: i32) -> Claim {
        Claim { family: family.to_owned(), vcpus, memory_mib: 1_024, priority: Priority::Regular }
    }

    #[test]
    fn the_numbers_of_a_refusal_are_limit_usage_required_and_the_new_limit() {
        let mut ledger = ledger(1_000, 100);
        ledger.take(&claim("standardDSv3Family", 56));
        let refusal = ledger.check(&claim("standardDSv3Family", 56), None).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "QuotaExceeded: standardDSv3Family vcpu quota: limit 100, usage 56, additional required 56, minimum new limit 112"
        );
    }

    #[test]
    fn quota_is_exact_for_family_and_total_and_follows_a_change_of_size() {
        let mut ledger = ledger(10, 8);
        let held = claim("standardDSv3Family", 6);
        ledger.take(&held);
        let table = [
            ("standardDSv3Family", 2, None, true),
            ("standardDSv3Family", 3, None, false),
            ("standardBSFamily", 4, None, true),
            ("standardBSFamily", 5, None, false),
            ("standardDSv3Family", 8, Some(&held), true),
            ("standardDSv3Family", 9, Some(&held), false),
            ("standardBSFamily", 10, Some(&held), true),
            ("standardBSFamily", 11, Some(&held), false),
        ];
        for (family, vcpus, given_up, accepted) in table {
            let outcome = ledger.check(&claim(family, vcpus), given_up);
            assert_eq!(outcome.is_ok(), accepted, "{family} {vcpus} {given_up:?}: {outcome:?}");
        }
        ledger.give_back(&held);
        assert_eq!(ledger.uses(0)[0].usage, 0);
    }

    #[test]
    fn spot_machines_count_against_their_own_quota_alone() {
        let mut ledger = ledger(10, 8);
        let spot = Claim { priority: Priority::Spot, ..claim("standardDSv3Family", 3) };
        ledger.take(&spot);
        assert_eq!(ledger.uses(3).iter().map(|quota| quota.usage).collect::<Vec<_>>(), [0, 0, 3]);
        assert!(ledger.check_spot(1, &spot, None).is_ok());
        assert!(ledger.check_spot(4, &spot, Some(&spot)).is_ok(), "it keeps what it has");
        let refusal = ledger.check_spot(2, &spot, None).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "QuotaExceeded: spot vcpu quota: limit 4, usage 2, additional required 3, minimum new limit 5"
        );
    }
}
