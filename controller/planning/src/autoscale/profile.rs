//! Which profile is in force, and which comes next (Azure: "Autoscale with multiple profiles").
//!
//! A fixed date that covers now goes before everything, then the recurring profile that began last, then the one without a
//! schedule. A recurring profile has no end: it lasts until the next recurring one begins.

use jiff::Timestamp;

use super::calendar::Weekly;
use super::rule::Rule;

/// Beginnings and ends of others that are looked through for one that matters; of two that begin at the same time the second changes
/// nothing.
const CHANGES_LOOKED_AT: usize = 64;

/// Bounds, rules, and when they are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name.
    pub name: String,
    /// Fewest VMs.
    pub minimum: i32,
    /// Most VMs.
    pub maximum: i32,
    /// VMs that there are to be when metrics cannot be read.
    pub default: i32,
    /// Rules, in the order of the spec.
    pub rules: Vec<Rule>,
    /// When.
    pub schedule: Schedule,
}

/// When a profile is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Whenever no other is.
    Otherwise,
    /// From `start` on, until `end`.
    Fixed {
        /// The first instant.
        start: Timestamp,
        /// The first instant after it.
        end: Timestamp,
    },
    /// From each beginning on, until another recurring profile begins.
    Weekly(Weekly),
    /// Its schedule makes no sense.
    Never,
}

/// The profile in force at an instant.
pub fn in_force(profiles: &[Profile], now: Timestamp) -> Option<&Profile> {
    let fixed = profiles.iter().find(|profile| match &profile.schedule {
        Schedule::Fixed { start, end } => *start <= now && now < *end,
        Schedule::Otherwise | Schedule::Weekly(_) | Schedule::Never => false,
    });
    fixed.or_else(|| recurring(profiles, now)).or_else(|| {
        profiles.iter().find(|profile| match &profile.schedule {
            Schedule::Otherwise => true,
            Schedule::Fixed { start: _, end: _ } | Schedule::Weekly(_) | Schedule::Never => false,
        })
    })
}

/// Of several that began at the same instant the first.
fn recurring(profiles: &[Profile], now: Timestamp) -> Option<&Profile> {
    let begun = profiles.iter().filter_map(|profile| match &profile.schedule {
        Schedule::Weekly(weekly) => Some((weekly.last_start(now)?, profile)),
        Schedule::Otherwise | Schedule::Fixed { start: _, end: _ } | Schedule::Never => None,
    });
    let latest = begun.reduce(|latest, other| if other.0 > latest.0 { other } else { latest });
    latest.map(|(_, profile)| profile)
}

/// When another profile comes into force, and which; `None` where the one in force stays as far as can be seen.
pub fn next_change(profiles: &[Profile], now: Timestamp) -> Option<(Option<&Profile>, Timestamp)> {
    let at_present = in_force(profiles, now);
    let position = profiles.iter().position(|profile| at_present.is_some_and(|present| std::ptr::eq(present, profile)));
    let present = position.zip(at_present.map(|profile| &profile.schedule));
    let matter: Vec<&Schedule> = (0..)
        .zip(profiles)
        .filter(|(index, profile)| may_end(present, (*index, &profile.schedule)))
        .map(|(_, profile)| &profile.schedule)
        .collect();
    let mut at = now;
    for _ in 0..CHANGES_LOOKED_AT {
        at = matter.iter().filter_map(|schedule| boundary(schedule, at)).min()?;
        match (in_force(profiles, at), at_present) {
            (Some(next), Some(present)) if std::ptr::eq(next, present) => {}
            (None, None) => {}
            (next, _) => return Some((next, at)),
        }
    }
    None
}

/// Whether what stands at `index` can end the time of the profile in `present` force. While a date is in force no week begins anything;
/// a week that begins anew goes on, and of two that begin at the same time the first of the spec counts.
fn may_end(present: Option<(usize, &Schedule)>, (index, schedule): (usize, &Schedule)) -> bool {
    match (schedule, present) {
        (Schedule::Otherwise | Schedule::Never, _)
        | (Schedule::Weekly(_), Some((_, Schedule::Fixed { start: _, end: _ }))) => false,
        (Schedule::Weekly(other), Some((position, Schedule::Weekly(weekly)))) => {
            index < position || !weekly.covers(other)
        }
        (Schedule::Fixed { start: _, end: _ }, _)
        | (Schedule::Weekly(_), Some((_, Schedule::Otherwise | Schedule::Never)) | None) => true,
    }
}

/// The first instant after `now` at which a schedule may change something.
fn boundary(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    match schedule {
        Schedule::Otherwise | Schedule::Never => None,
        Schedule::Fixed { start, end } => [*start, *end].into_iter().find(|instant| *instant > now),
        Schedule::Weekly(weekly) => weekly.next_start(now),
    }
}
