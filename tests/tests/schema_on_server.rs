//! The schemas, the admission policy and the controller's role on a real API server, which is the only judge of what
//! they refuse.

#[path = "schema_on_server/admission.rs"]
mod admission;
#[path = "schema_on_server/autoscale_setting.rs"]
mod autoscale_setting;
#[path = "schema_on_server/case.rs"]
mod case;
#[path = "schema_on_server/flex_vm.rs"]
mod flex_vm;
#[path = "schema_on_server/health.rs"]
mod health;
#[path = "schema_on_server/load_balancing.rs"]
mod load_balancing;
#[path = "schema_on_server/objects.rs"]
mod objects;
#[path = "schema_on_server/operation.rs"]
mod operation;
#[path = "schema_on_server/os_upgrade.rs"]
mod os_upgrade;
#[path = "schema_on_server/overprovision.rs"]
mod overprovision;
#[path = "schema_on_server/profile.rs"]
mod profile;
#[path = "schema_on_server/repairs.rs"]
mod repairs;
#[path = "schema_on_server/reservation_group.rs"]
mod reservation_group;
#[path = "schema_on_server/rules.rs"]
mod rules;
#[path = "schema_on_server/scale_set.rs"]
mod scale_set;
#[path = "schema_on_server/scale_set_vm.rs"]
mod scale_set_vm;
#[path = "schema_on_server/scheduled_events.rs"]
mod scheduled_events;
#[path = "schema_on_server/server.rs"]
mod server;
#[path = "schema_on_server/spot.rs"]
mod spot;
#[path = "schema_on_server/views.rs"]
mod views;
