use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::FlexVM;
use scaleset_crds::condition::Reason;
use scaleset_hardware::sim::{Simulation, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Disruption, DisruptionCause, DisruptionNotice, Hardware, Machine, NoticeStage, Owner, Placement,
    QuotaRule, Target, TerminateNotice,
};
use scaleset_planning::instance::plan;
use scaleset_planning::status::instance::InstanceOutcome;
use serde_json::{Value, json};

use super::*;
use crate::cluster::{Kind, ObjectId, ObjectKey};
use crate::instance::machine_view::present;
use crate::instance::observe::{Applicants, Instance, Scaled};
use crate::instance::validate::validate;

const UID: &str = "vm-uid";

fn spec(power: &str) -> Value {
    json!({
        "location": "eastus",
        "vmSize": "Standard_B2s",
        "powerState": power,
        "osProfile": {"adminUsername": "azureuser"},
        "storageProfile": {
            "imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}
        },
        "networkProfile": {"networkInterfaces": [{"name": "nic01", "primary": true, "subnet": "default"}]},
    })
}

fn vm(power: &str) -> FlexVM {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1",
        "kind": "FlexVM",
        "metadata": {
            "namespace": "default", "name": "vm", "uid": UID, "resourceVersion": "7", "generation": 1,
            "finalizers": [scaleset_crds::FINALIZER],
        },
        "spec": spec(power),
    });
    serde_json::from_value(value).unwrap()
}

/// The VM's machine, which runs.
async fn running(vm: &FlexVM) -> Machine {
    let clock = VirtualClock::default();
    let simulation = Simulation::in_memory(clock.clone());
    let request = CreateRequest {
        target: Target { uid: UID.to_owned(), generation: 1 },
        owner: Owner {
            kind: "FlexVM".to_owned(),
            namespace: "default".to_owned(),
            name: "vm".to_owned(),
            set_uid: None,
            instance_number: None,
        },
        computer_name: "vm".to_owned(),
        placement: Placement {
            location: "eastus".to_owned(),
            zone: None,
            platform_fault_domain: None,
            update_domain: None,
            placement_group: None,
        },
        quota: QuotaRule::Counted,
        model_revision: scaleset_planning::revision::model_name("vm", &vm.spec.model()),
        model: Arc::new(vm.spec.model()),
    };
    simulation.create(request).await.unwrap();
    while let Some(next) = simulation.next_event_at() {
        clock.advance_to(next);
    }
    simulation.observe(UID).await.unwrap().unwrap()
}

fn observed(vm: FlexVM, machine: Machine) -> Observed {
    let key = ObjectKey { namespace: "default".to_owned(), name: "vm".to_owned() };
    Observed {
        id: ObjectId { kind: Kind::FlexVM, key, uid: UID.to_owned(), resource_version: "7".to_owned() },
        instance: Instance::FlexVM(Arc::new(vm)),
        set: None,
        revision: None,
        applicants: Applicants::default(),
        group: None,
        silence: None,
        operations: Vec::new(),
        scaled: Scaled::ByHand,
        machine: Ok(Some(machine)),
        now: Timestamp::UNIX_EPOCH,
        wall_now: Timestamp::UNIX_EPOCH,
    }
}

fn maintained() -> DisruptionNotice {
    DisruptionNotice {
        event_id: "maintenance".to_owned(),
        disruption: Disruption::Freeze,
        cause: DisruptionCause::Maintenance,
        not_before: Timestamp::UNIX_EPOCH,
        stage: NoticeStage::Scheduled,
        operation: None,
        duration_seconds: None,
    }
}

/// What is told after a pass that ended with that failure, in order.
fn told(observed: &Observed, failure: Option<Failure>) -> Vec<&'static str> {
    let snapshot = validate(observed);
    let plan = plan(&snapshot);
    let machine = observed.machine.as_ref().ok().and_then(Option::as_ref).expect("it is there");
    let outcome =
        InstanceOutcome { hardware: present(machine), failure, operation_failure: None, restore_refusal: None };
    let executed = Executed { outcome, retry: None, object: ObjectAfter::Kept };
    notices(observed, &snapshot, &plan, &executed).into_iter().map(|notice| notice.reason.as_str()).collect()
}

#[tokio::test]
async fn everything_that_happens_in_one_pass_is_told() {
    let vm = vm("Running");
    let machine = running(&vm).await;
    assert_eq!(told(&observed(vm.clone(), machine.clone()), None), [""; 0], "as wished");
    let mut both = machine;
    both.disruption_notice = Some(maintained());
    both.terminate_notice = Some(TerminateNotice {
        event_id: "deletion".to_owned(),
        not_before: Timestamp::UNIX_EPOCH,
        stage: NoticeStage::Scheduled,
    });
    let full = Failure { reason: Reason::QuotaExceeded, message: "it is used up".to_owned() };
    assert_eq!(told(&observed(vm, both), Some(full)), ["Terminate", "Freeze", "QuotaExceeded"]);
}

#[tokio::test]
async fn a_step_is_told_beside_what_was_announced() {
    let runs = vm("Running");
    let mut machine = running(&runs).await;
    machine.disruption_notice = Some(maintained());
    assert_eq!(told(&observed(runs, machine.clone()), None), ["Freeze"]);
    assert_eq!(told(&observed(vm("Deallocated"), machine.clone()), None), ["Freeze", "SetPower"]);
    let mut known = vm("Deallocated");
    let event = json!({
        "eventId": "maintenance", "eventType": "Freeze", "eventStatus": "Scheduled", "eventSource": "Platform",
        "description": "",
    });
    known.status = serde_json::from_value(json!({"scheduledEvents": [event]})).unwrap();
    assert_eq!(told(&observed(known, machine), None), ["SetPower"], "what is on record was told");
}

#[tokio::test]
async fn what_is_changed_online_of_a_vm_alone_is_told_and_another_name_of_its_revision_is_not() {
    let machine = running(&vm("Running")).await;
    let mut tagged = vm("Running");
    tagged.spec.tags.insert("team".to_owned(), "red".to_owned());
    assert_eq!(told(&observed(tagged, machine.clone()), None), ["Update"]);
    let mut renamed = machine;
    renamed.model_revision = "another".to_owned();
    assert_eq!(told(&observed(vm("Running"), renamed), None), [""; 0]);
}
