//! The objects that a set makes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use scaleset_crds::flex_vm::FlexOsProfile;
use scaleset_crds::instance::ScaleSetReference;
use scaleset_crds::spot::{Priority, SpotProfile};
use scaleset_crds::{
    API_VERSION, FINALIZER, FlexVM, FlexVMSpec, ScaleSetVM, ScaleSetVMSpec, VirtualMachineProfile, labels,
};
use scaleset_planning::plan::NewMember;
use scaleset_planning::snapshot::{MemberKind, SetFacts};

use crate::cluster::NewObject;

/// The object of a new member. Its finalizer is in the body, so that there is no moment at which hardware could be lost.
pub(super) fn new_member(set: &SetFacts, member: &NewMember, profile: &VirtualMachineProfile) -> NewObject {
    match member.kind {
        MemberKind::ScaleSetVM => NewObject::ScaleSetVM(Box::new(scale_set_vm(set, member, profile))),
        MemberKind::FlexVM => NewObject::FlexVM(Box::new(flex_vm(set, member, profile))),
    }
}

fn scale_set_vm(set: &SetFacts, member: &NewMember, profile: &VirtualMachineProfile) -> ScaleSetVM {
    let spec = ScaleSetVMSpec {
        scale_set_ref: ScaleSetReference { name: set.name.clone() },
        instance_id: member.number.to_string(),
        model_revision: member.revision.clone(),
        zone: member.zone.clone(),
        platform_fault_domain: member.fault_domain,
        update_domain: member.update_domain,
        placement_group: member.placement_group.clone(),
        surplus: member.surplus,
        power_state: None,
        protection_policy: None,
    };
    ScaleSetVM { metadata: metadata(set, member, profile, &member.number.to_string()), spec, status: None }
}

fn flex_vm(set: &SetFacts, member: &NewMember, profile: &VirtualMachineProfile) -> FlexVM {
    let spec = flex_vm_spec(set, member, profile);
    FlexVM { metadata: metadata(set, member, profile, &member.name), spec, status: None }
}

fn flex_vm_spec(set: &SetFacts, member: &NewMember, profile: &VirtualMachineProfile) -> FlexVMSpec {
    let VirtualMachineProfile {
        vm_size,
        spot,
        capacity_reservation_group_ref,
        os_profile,
        storage_profile,
        network_profile,
        extensions,
        scheduled_events_profile,
        tags,
    } = profile.clone();
    FlexVMSpec {
        scale_set_ref: Some(ScaleSetReference { name: set.name.clone() }),
        location: set.location.clone(),
        zone: member.zone.clone(),
        platform_fault_domain: member.fault_domain,
        power_state: None,
        protection_policy: None,
        // The policy of its set holds for it.
        scheduled_events_policy: None,
        vm_size,
        spot: match member.priority {
            Priority::Regular => SpotProfile::default(),
            Priority::Spot => spot,
        },
        capacity_reservation_group_ref,
        os_profile: FlexOsProfile {
            computer_name: Some(member.computer_name.clone()),
            credentials: os_profile.credentials,
        },
        storage_profile,
        network_profile: network_profile.into(),
        extensions,
        scheduled_events_profile,
        tags,
    }
}

fn metadata(set: &SetFacts, member: &NewMember, profile: &VirtualMachineProfile, instance_id: &str) -> ObjectMeta {
    let mut entries = vec![
        (labels::SCALE_SET.to_owned(), set.name.clone()),
        (labels::INSTANCE_ID.to_owned(), instance_id.to_owned()),
        (labels::MODEL_REVISION.to_owned(), member.revision.clone()),
        (labels::MADE_BY.to_owned(), labels::MADE_BY_SET.to_owned()),
    ];
    entries.extend(member.zone.iter().map(|zone| (labels::ZONE.to_owned(), zone.clone())));
    entries.extend(member.fault_domain.iter().map(|domain| (labels::FAULT_DOMAIN.to_owned(), domain.to_string())));
    let group = profile.capacity_reservation_group_ref.iter();
    entries.extend(group.map(|group| (labels::CAPACITY_RESERVATION_GROUP.to_owned(), group.name.clone())));
    ObjectMeta {
        name: Some(member.name.clone()),
        namespace: Some(set.namespace.clone()),
        labels: Some(entries.into_iter().collect()),
        annotations: annotations(member),
        owner_references: Some(vec![owner(set)]),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    }
}

fn annotations(member: &NewMember) -> Option<BTreeMap<String, String>> {
    let roll = member.roll.as_ref().map(|mark| (labels::ROLLING_UPGRADE.to_owned(), mark.to_string()));
    let repair = member.repair.as_ref().map(|mark| (labels::REPAIR.to_owned(), mark.to_string()));
    let number = match member.kind {
        MemberKind::ScaleSetVM => None,
        MemberKind::FlexVM => Some((labels::INSTANCE_NUMBER.to_owned(), member.number.to_string())),
    };
    let all: BTreeMap<String, String> = roll.into_iter().chain(repair).chain(number).collect();
    if all.is_empty() { None } else { Some(all) }
}

fn owner(set: &SetFacts) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "ScaleSet".to_owned(),
        name: set.name.clone(),
        uid: set.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The object that keeps a profile.
pub(super) fn new_revision(set: &SetFacts, name: &str, number: i64, profile: &VirtualMachineProfile) -> NewObject {
    let data = serde_json::to_value(profile).expect("a profile is plain data");
    NewObject::ControllerRevision(Box::new(ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(set.namespace.clone()),
            labels: Some([(labels::SCALE_SET.to_owned(), set.name.clone())].into()),
            owner_references: Some(vec![owner(set)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }))
}
