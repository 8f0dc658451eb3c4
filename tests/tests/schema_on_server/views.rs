//! What people and tools see: first conditions, explanations, tables, scale, selectors, and refusals as kubectl prints
//! them.

use kube::api::ListParams;
use scaleset_crds::condition::{
    AutoscaleCondition, FlexVMCondition, InstanceCondition, ReservationGroupCondition, ScaleSetCondition,
};
use serde_json::{Value, json};

use crate::objects::{autoscale_setting, flex_vm, merged, reservation_group, scale_set_vm, uniform_set};
use crate::server::{DryRun, Server, api, name, run};

fn named(object: &Value, name: &str) -> Value {
    merged(object, &json!({"metadata": {"name": name}}))
}

fn instance_of(set: &str) -> Value {
    merged(&scale_set_vm(), &json!({"metadata": {"name": format!("{set}-3")}, "spec": {"scaleSetRef": {"name": set}}}))
}

#[test]
fn conditions_are_unknown_until_the_first_pass() {
    let of_instance: Vec<&str> = InstanceCondition::ALL.iter().map(|condition| condition.as_str()).collect();
    let of_member: Vec<&str> = FlexVMCondition::ALL.iter().map(|condition| condition.as_str()).collect();
    let of_set: Vec<&str> = ScaleSetCondition::ALL.iter().map(|condition| condition.as_str()).collect();
    let of_group: Vec<&str> = ReservationGroupCondition::ALL.iter().map(|condition| condition.as_str()).collect();
    let of_setting: Vec<&str> = AutoscaleCondition::ALL.iter().map(|condition| condition.as_str()).collect();
    let of_vm = [of_instance.clone(), of_member].concat();
    run(async |server| {
        for (object, expected) in [
            (named(&uniform_set(), "unknown-set"), &of_set),
            (named(&flex_vm(), "unknown-vm"), &of_vm),
            (instance_of("unknown"), &of_instance),
            (named(&reservation_group(), "unknown-group"), &of_group),
            (named(&autoscale_setting(), "unknown-setting"), &of_setting),
        ] {
            // What the creator claims about the status does not count.
            let claim = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready",
                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let stored = server.create(&merged(&object, &claim), DryRun::No).await.expect("a legal object");
            let conditions = stored["status"]["conditions"].as_array().expect("conditions are defaulted").clone();
            let types: Vec<&str> = conditions.iter().filter_map(|condition| condition["type"].as_str()).collect();
            assert_eq!(&types, expected, "{}", object["kind"]);
            for condition in &conditions {
                assert_eq!((&condition["status"], &condition["reason"]), (&json!("Unknown"), &json!("Pending")));
            }
            server.delete(&stored).await;
        }
    });
}

#[test]
fn explanations_read_well() {
    run(async |server| {
        let explained = |path: &str| {
            let (text, success) = server.kubectl(&["explain", path]);
            assert!(success, "{text}");
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let policy = explained("scaleset.spec.upgradePolicy");
        for phrase in [
            "How existing VMs catch up with a changed profile. New VMs always take the newest one.",
            "Manual (default): existing VMs stay as they are",
            "Rolling: in batches, each of which must be healthy before the next;",
            "Holds every upgrade that has not started, default false.",
        ] {
            assert!(policy.contains(phrase), "{phrase:?} is not in: {policy}");
        }
        for (kind, phrase) in [
            ("scaleset", "A set of VMs made from one profile (Uniform)"),
            ("scalesetvm", "One instance of a Uniform scale set."),
            ("flexvm", "An ordinary VM."),
            ("crg", "Capacity that is set aside for VMs which name the group"),
        ] {
            let text = explained(kind);
            assert!(text.contains(phrase) && !text.contains("Auto-generated"), "{kind}: {text}");
        }
        let size = explained("scaleset.spec.virtualMachineProfile.vmSize");
        assert!(size.contains("A change costs Restart: the VM restarts with the new size."), "{size}");
    });
}

#[test]
fn tables_have_the_columns_of_the_reference() {
    run(async |server| {
        let group = named(&reservation_group(), "table");
        let setting = named(&autoscale_setting(), "table");
        let stored = [named(&uniform_set(), "table"), named(&flex_vm(), "table"), instance_of("table"), group, setting];
        for object in &stored {
            server.create(object, DryRun::No).await.expect("a legal object");
        }
        let header = |resource: &str, name: &str| {
            let (text, success) = server.kubectl(&["get", resource, name, "-o", "wide"]);
            assert!(success, "{text}");
            text.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let instance = "NAME SET ID SIZE ZONE FD POWER PROVISIONING HEALTH LATEST AGE COMPUTER-NAME HOST PRIVATE-IP";
        assert_eq!(
            header("sset", "table"),
            "NAME MODE DESIRED READY UP-TO-DATE AVAILABLE POLICY STATUS AGE ZONES REVISION RESERVATION"
        );
        assert_eq!(header("ssvm", "table-3"), instance);
        assert_eq!(header("fvm", "table"), instance);
        let group = "NAME RESERVED ASSOCIATED ALLOCATED UNUSED OVERALLOCATED STATUS AGE LOCATION ZONES SHARED-WITH";
        assert_eq!(header("crg", "table"), group);
        let setting = "NAME TARGET ENABLED PROFILE REPLICAS FROM TO STATUS AGE CAUSE COOLDOWN-UNTIL NEXT-PROFILE";
        assert_eq!(header("asetting", "table"), setting);
        for object in &stored {
            server.delete(object).await;
        }
    });
}

/// A category of the same name as a kind would stand for every kind in it, also in `kubectl delete`.
#[test]
fn the_singular_names_one_kind() {
    run(async |server| {
        let stored = [named(&uniform_set(), "singular"), named(&flex_vm(), "singular")];
        for object in &stored {
            server.create(object, DryRun::No).await.expect("a legal object");
        }
        let (text, success) = server.kubectl(&["get", "scaleset", "singular", "-o", "name"]);
        assert!(success, "{text}");
        assert_eq!(text.trim(), "scaleset.compute.scaleset.io/singular");
        let (text, success) = server.kubectl(&["get", "vmss", "-o", "name"]);
        assert!(success, "{text}");
        for object in ["scaleset.compute.scaleset.io/singular", "flexvm.compute.scaleset.io/singular"] {
            assert!(text.contains(object), "{object} is not in: {text}");
        }
        for object in &stored {
            server.delete(object).await;
        }
    });
}

#[test]
fn the_scale_subresource_passes_through_the_rules() {
    run(async |server| {
        let set = server.create(&named(&uniform_set(), "scaled"), DryRun::No).await.expect("a legal set");
        // A set that has never had a count can be scaled, although its scale cannot be read.
        let (text, success) = server.kubectl(&["scale", "scalesets/scaled", "--replicas=3"]);
        assert!(success, "{text}");
        let (text, success) = server.kubectl(&["scale", "scalesets/scaled", "--replicas=101"]);
        assert!(!success && text.contains("spec.replicas: Forbidden: OperationNotAllowed: "), "{text}");
        let (text, success) = server.kubectl(&["scale", "scalesets/scaled", "--replicas=1001"]);
        assert!(!success && text.contains("InvalidParameter: replicas must be 0 to 1000"), "{text}");
        let selector = "compute.scaleset.io/scale-set=scaled";
        server.apply_status(&set, json!({"replicas": 2, "selector": selector})).await.expect("the controller's status");
        let (text, success) = server.kubectl(&["get", "--raw", &path(&set, "scale")]);
        assert!(success, "{text}");
        let scale: Value = serde_json::from_str(&text).expect("a scale");
        assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(3), &json!(2)));
        assert_eq!(scale["status"]["selector"], selector);
        server.delete(&set).await;
    });
}

fn path(set: &Value, subresource: &str) -> String {
    format!("/apis/compute.scaleset.io/v1alpha1/namespaces/default/scalesets/{}/{subresource}", name(set))
}

#[test]
fn members_are_found_by_field() {
    run(async |server| {
        let in_set = json!({"spec": {"scaleSetRef": {"name": "fields"}, "zone": "2", "powerState": "Stopped"}});
        let stored = [
            merged(&named(&flex_vm(), "fields-a"), &in_set),
            merged(&named(&flex_vm(), "fields-b"), &json!({"spec": {"zone": "1"}})),
            merged(&instance_of("fields"), &json!({"spec": {"zone": "2"}})),
        ];
        for object in &stored {
            server.create(object, DryRun::No).await.expect("a legal object");
        }
        let found = async |object: &Value, selector: &str| {
            let list = api(&server.admin, object).list(&ListParams::default().fields(selector)).await;
            list.map(|list| list.items.into_iter().filter_map(|item| item.metadata.name).collect::<Vec<String>>())
        };
        let [member, alone, instance] = &stored;
        assert_eq!(found(member, "spec.scaleSetRef.name=fields").await.expect("selectable"), ["fields-a"]);
        assert_eq!(found(member, "spec.zone=2,spec.powerState=Stopped").await.expect("selectable"), ["fields-a"]);
        assert_eq!(found(alone, "spec.zone=1,spec.powerState=Running").await.expect("selectable"), ["fields-b"]);
        assert_eq!(
            found(instance, "spec.scaleSetRef.name=fields,spec.zone=2").await.expect("selectable"),
            ["fields-3"]
        );
        found(member, "spec.location=eastus").await.expect_err("not declared");
        for object in &stored {
            server.delete(object).await;
        }
    });
}

/// The value in force may be known to the status only; the rules read it there.
#[test]
fn pinned_values_count_where_the_spec_is_silent() {
    run(async |server| {
        let fill = json!({"spec": {"replicas": 500}});
        let opened = merged(&named(&uniform_set(), "pinned"), &json!({"spec": {"singlePlacementGroup": false}}));
        let opened = server.create(&opened, DryRun::No).await.expect("a legal set");
        let opened =
            server.apply_status(&opened, json!({"singlePlacementGroup": false})).await.expect("a legal status");
        let silent = merged(&opened, &json!({"spec": {"singlePlacementGroup": null}}));
        server.replace(&merged(&silent, &fill), DryRun::Yes).await.expect("the pinned false stays in force");
        server.delete(&opened).await;

        let zoned = json!({"spec": {"zones": ["1", "2"], "replicas": 200}});
        let grouped = merged(&named(&uniform_set(), "grouped"), &json!({"spec": {"singlePlacementGroup": true}}));
        let grouped = server.create(&grouped, DryRun::No).await.expect("a legal set");
        let refused =
            server.replace(&merged(&grouped, &zoned), DryRun::Yes).await.expect_err("zones mean max spreading");
        assert!(refused.to_string().contains("InvalidParameter: singlePlacementGroup must be false"), "{refused}");
        let status = json!({"singlePlacementGroup": true, "platformFaultDomainCount": 5});
        let grouped = server.apply_status(&grouped, status).await.expect("a legal status");
        let zonal = server.replace(&merged(&grouped, &zoned), DryRun::Yes).await;
        zonal.expect("five fault domains are pinned, and each zone has a group");
        server.delete(&grouped).await;
    });
}

/// A region with three fault domains has pinned three as the default of a set that names none.
#[test]
fn zones_do_not_come_to_fault_domains_that_they_cannot_have() {
    run(async |server| {
        let zoned = json!({"spec": {"zones": ["1", "2"]}});
        for (count, goes) in [(1, true), (2, false), (3, false), (4, false), (5, true)] {
            let set = named(&uniform_set(), &format!("domains-{count}"));
            let set = server.create(&set, DryRun::No).await.expect("a legal set");
            let status = json!({"platformFaultDomainCount": count});
            let set = server.apply_status(&set, status).await.expect("a legal status");
            match server.replace(&merged(&set, &zoned), DryRun::Yes).await {
                Ok(_) => assert!(goes, "{count} are in force"),
                Err(refused) => {
                    let message =
                        "InvalidParameter: platformFaultDomainCount must be 1 or 5 in a Uniform set with zones";
                    assert!(!goes && refused.to_string().contains(message), "{count} are in force: {refused}");
                }
            }
            let other = merged(&set, &json!({"spec": {"replicas": 2}}));
            server.replace(&other, DryRun::Yes).await.expect("nothing else is refused for them");
            server.delete(&set).await;
        }
        let zonal = merged(&named(&uniform_set(), "domains-before"), &zoned);
        let zonal = server.create(&zonal, DryRun::No).await.expect("a legal set");
        for replicas in [1, 2] {
            let status = json!({"platformFaultDomainCount": 3, "replicas": replicas});
            server.apply_status(&zonal, status).await.expect("a set that has both can be reported on");
        }
        server.delete(&zonal).await;
    });
}

#[test]
fn bounds_and_unknown_fields_are_refused_without_a_rule() {
    let profile = |change: Value| json!({"spec": {"virtualMachineProfile": change}});
    let table = [
        (json!({"spec": {"location": ""}}), "spec.location"),
        (json!({"spec": {"orchestrationMode": "Hybrid"}}), "supported values: \"Uniform\", \"Flexible\""),
        (
            json!({"spec": {"upgradePolicy": {"mode": "Sometimes"}}}),
            "supported values: \"Manual\", \"Automatic\", \"Rolling\"",
        ),
        (
            json!({"spec": {"upgradePolicy": {"maxDisruption": "NextReimage"}}}),
            "supported values: \"None\", \"Online\", \"Restart\", \"Reimage\", \"Replace\"",
        ),
        (json!({"spec": {"zones": ["1", "2", "3", "4"]}}), "spec.zones"),
        (json!({"spec": {"zones": ["1", "1"]}}), "Duplicate value"),
        (json!({"spec": {"scaleInPolicy": {"rules": ["LuckiestVM"]}}}), "spec.scaleInPolicy.rules[0]"),
        (profile(json!({"storageProfile": {"osDisk": {"diskSizeGB": 0}}})), "osDisk.diskSizeGB"),
        (profile(json!({"storageProfile": {"dataDisks": [{"lun": 64, "diskSizeGB": 1}]}})), "dataDisks[0].lun"),
        (profile(json!({"networkProfile": {"networkInterfaces": []}})), "networkInterfaces"),
        (profile(json!({"tags": {"team": "t".repeat(257)}})), "tags.team"),
    ];
    run(async |server| {
        for (change, expected) in &table {
            let answer = server.create(&merged(&named(&uniform_set(), "bounds"), change), DryRun::Yes).await;
            let error = answer.expect_err(expected).to_string();
            assert!(error.contains(expected), "{change}: {error}");
        }
        let unknown = merged(&named(&uniform_set(), "bounds"), &json!({"spec": {"availabilitySet": "web"}}));
        let (text, success) = apply(server, &unknown);
        assert!(!success && text.contains("unknown field \"spec.availabilitySet\""), "{text}");
    });
}

#[test]
fn refusals_read_well_in_kubectl() {
    run(async |server| {
        let rolling =
            json!({"spec": {"upgradePolicy": {"mode": "Rolling"}, "replicas": 1001, "singlePlacementGroup": false}});
        let (text, success) = apply(server, &merged(&named(&uniform_set(), "refused"), &rolling));
        assert!(!success, "{text}");
        // Older API servers name the type of the value first.
        let text = text.replace("\"object\": ", "");
        for line in [
            "spec.upgradePolicy.mode: Invalid value: BadRequest: rolling upgrade mode is not supported for this set",
            "spec.replicas: Invalid value: InvalidParameter: replicas must be 0 to 1000",
        ] {
            assert!(text.contains(line), "{line:?} is not in: {text}");
        }
    });
}

/// A dry-run apply by kubectl, from a file that is gone afterwards.
fn apply(server: &Server, object: &Value) -> (String, bool) {
    let mut file = tempfile::Builder::new().suffix(".json").tempfile().expect("a temporary file");
    serde_json::to_writer(&mut file, object).expect("the file can be written");
    let path = file.path().to_string_lossy().into_owned();
    server.kubectl(&["apply", "--dry-run=server", "-f", &path])
}
