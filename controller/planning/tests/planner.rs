//! The planner's rules as tables: each test builds a snapshot, plans, and has the plan audited.

#[path = "planner/applicants.rs"]
mod applicants;
#[path = "planner/autoscale.rs"]
mod autoscale;
#[path = "planner/autoscale_counts.rs"]
mod autoscale_counts;
#[path = "planner/autoscale_exact.rs"]
mod autoscale_exact;
#[path = "planner/autoscale_unread.rs"]
mod autoscale_unread;
#[path = "planner/ceiling.rs"]
mod ceiling;
#[path = "planner/fleet.rs"]
mod fleet;
#[path = "planner/forced_deletion.rs"]
mod forced_deletion;
#[path = "planner/in_the_middle.rs"]
mod in_the_middle;
#[path = "planner/instance.rs"]
mod instance;
#[path = "planner/instance_spot.rs"]
mod instance_spot;
#[path = "planner/load_balancing.rs"]
mod load_balancing;
#[path = "planner/maintenance.rs"]
mod maintenance;
#[path = "planner/member_groups.rs"]
mod member_groups;
#[path = "planner/membership.rs"]
mod membership;
#[path = "planner/operation.rs"]
mod operation;
#[path = "planner/operation_notice.rs"]
mod operation_notice;
#[path = "planner/os_upgrade.rs"]
mod os_upgrade;
#[path = "planner/overprovision.rs"]
mod overprovision;
#[path = "planner/overtaken.rs"]
mod overtaken;
#[path = "planner/place_holders.rs"]
mod place_holders;
#[path = "planner/placement.rs"]
mod placement;
#[path = "planner/precedence.rs"]
mod precedence;
#[path = "planner/protection.rs"]
mod protection;
#[path = "planner/repair_probes.rs"]
mod repair_probes;
#[path = "planner/repairs.rs"]
mod repairs;
#[path = "planner/repairs_in_vain.rs"]
mod repairs_in_vain;
#[path = "planner/requests.rs"]
mod requests;
#[path = "planner/reservation.rs"]
mod reservation;
#[path = "planner/reservation_group.rs"]
mod reservation_group;
#[path = "planner/respread.rs"]
mod respread;
#[path = "planner/rolling.rs"]
mod rolling;
#[path = "planner/scale_in.rs"]
mod scale_in;
#[path = "planner/scheduled_event.rs"]
mod scheduled_event;
#[path = "planner/seat.rs"]
mod seat;
#[path = "planner/settings.rs"]
mod settings;
#[path = "planner/size_table.rs"]
mod size_table;
#[path = "planner/spot.rs"]
mod spot;
#[path = "planner/spot_placement.rs"]
mod spot_placement;
#[path = "planner/starvation.rs"]
mod starvation;
#[path = "planner/status.rs"]
mod status;
#[path = "planner/sudden_drop.rs"]
mod sudden_drop;
#[path = "planner/surge.rs"]
mod surge;
#[path = "planner/surge_balance.rs"]
mod surge_balance;
#[path = "planner/surge_ends.rs"]
mod surge_ends;
#[path = "planner/surge_spot.rs"]
mod surge_spot;
#[path = "planner/surging.rs"]
mod surging;
#[path = "planner/upgrade.rs"]
mod upgrade;
#[path = "planner/views.rs"]
mod views;
