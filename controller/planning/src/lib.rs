//! The pure core: from a snapshot of the world to a plan with reasons.
//!
//! Nothing here can reach a network, a clock, an environment or a random source: `now` is a field of the snapshot,
//! names are derived by hashing, maps are ordered. The same snapshot gives the same plan. A planner cannot fail; what
//! it may not do becomes a [`plan::Hold`] with the numbers that were compared.
//!
//! - [`scale_set`] plans for a set: membership, upgrade, scale, repairs, in that order;
//! - [`instance`] plans one VM's next step, `ScaleSetVM` and `FlexVM` alike;
//! - [`reservation_group`] plans for a capacity reservation group;
//! - [`autoscale`] decides how many VMs a set is to have;
//! - [`operation`] plans the next step of what a person has asked for once;
//! - [`view`] compares the model view with the instance view;
//! - [`status`] turns snapshot, plan and outcome into what people read;
//! - [`audit`] judges a finished plan and shares no code with the planners.

pub mod audit;
pub mod autoscale;
pub mod budget;
mod draining;
pub mod instance;
pub mod limits;
mod load_balancer;
pub mod membership;
pub mod naming;
mod notice;
pub mod operation;
pub mod overprovision;
pub mod placement;
pub mod plan;
pub mod priority_mix;
mod remedy;
mod repair;
pub mod reservation;
pub mod reservation_group;
mod respread;
pub mod revision;
pub mod scale_in;
pub mod scale_set;
pub mod snapshot;
pub mod status;
pub mod sudden_drop;
mod unsettled;
pub mod upgrade;
pub mod view;
pub mod wording;
mod zone_balance;
