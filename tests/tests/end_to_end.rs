//! The whole operator: a real API server, the real controller as a child process under its own identity, simulated
//! hardware with a journal. What a person does is done with kubectl; what happened is told by the API server and the
//! hardware, never by the controller.

#[path = "end_to_end/argocd.rs"]
mod argocd;
#[path = "end_to_end/autoscale.rs"]
mod autoscale;
#[path = "end_to_end/converged.rs"]
mod converged;
#[path = "end_to_end/crash.rs"]
mod crash;
#[path = "end_to_end/deletion.rs"]
mod deletion;
#[path = "end_to_end/drift.rs"]
mod drift;
#[path = "end_to_end/flexible.rs"]
mod flexible;
#[path = "end_to_end/gitops.rs"]
mod gitops;
#[path = "end_to_end/hpa.rs"]
mod hpa;
#[path = "end_to_end/kstatus.rs"]
mod kstatus;
#[path = "end_to_end/life.rs"]
mod life;
#[path = "end_to_end/load_balancing.rs"]
mod load_balancing;
#[path = "end_to_end/maintenance.rs"]
mod maintenance;
#[path = "end_to_end/namespaced.rs"]
mod namespaced;
#[path = "end_to_end/observability.rs"]
mod observability;
#[path = "end_to_end/operation_notice.rs"]
mod operation_notice;
#[path = "end_to_end/operations.rs"]
mod operations;
#[path = "end_to_end/os_upgrade.rs"]
mod os_upgrade;
#[path = "end_to_end/overprovision.rs"]
mod overprovision;
#[path = "end_to_end/owner_references.rs"]
mod owner_references;
#[path = "end_to_end/placement.rs"]
mod placement;
#[path = "end_to_end/plugin.rs"]
mod plugin;
#[path = "end_to_end/refusals.rs"]
mod refusals;
#[path = "end_to_end/repairs.rs"]
mod repairs;
#[path = "end_to_end/reservation.rs"]
mod reservation;
#[path = "end_to_end/revisions.rs"]
mod revisions;
#[path = "end_to_end/rights.rs"]
mod rights;
#[path = "end_to_end/rivals.rs"]
mod rivals;
#[path = "end_to_end/rolling.rs"]
mod rolling;
#[path = "end_to_end/room.rs"]
mod room;
#[path = "end_to_end/samples.rs"]
mod samples;
#[path = "end_to_end/scene.rs"]
mod scene;
#[path = "end_to_end/scheduled_events.rs"]
mod scheduled_events;
#[path = "end_to_end/spot.rs"]
mod spot;
#[path = "end_to_end/start.rs"]
mod start;
#[path = "end_to_end/upgrade.rs"]
mod upgrade;
#[path = "end_to_end/versions.rs"]
mod versions;
#[path = "end_to_end/world.rs"]
mod world;
