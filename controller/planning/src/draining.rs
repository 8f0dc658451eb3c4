//! Members that have left their backend pools and wait for what is under way before they are taken down.

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::load_balancing::PoolMembership;

use crate::plan::Hold;
use crate::snapshot::Member;
use crate::wording::some_names;

/// Who waits, and until when at the latest.
pub(crate) fn hold(members: &[Member]) -> Option<Hold> {
    let draining: Vec<&Member> = members.iter().filter(|member| member.is_draining()).collect();
    let names: Vec<&str> = draining.iter().map(|member| member.name.as_str()).collect();
    let last = draining.iter().filter_map(|member| drained_at(member)).max();
    let until = last.map(|last| format!(" until {last} scenario time at the latest")).unwrap_or_default();
    (!draining.is_empty()).then(|| Hold {
        reason: Reason::Draining,
        count: draining.len(),
        message: format!(
            "{} draining ({}), out of their backend pools, wait{until} for what is under way",
            draining.len(),
            some_names(&names)
        ),
    })
}

fn drained_at(member: &Member) -> Option<Timestamp> {
    let ends = |PoolMembership { name: _, state: _, drained_at }: &PoolMembership| drained_at.as_ref().map(|at| at.0);
    member.report.pools.iter().filter_map(ends).max()
}
