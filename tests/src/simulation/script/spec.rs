//! `name=value` words and the parts of a spec that they say.

use scaleset_hardware::sim::Maintenance;
use serde_json::{Value, json};

use super::load_balancing;

/// The value of `name=value` among the words.
pub(super) fn option<'word>(words: &[&'word str], name: &str) -> Option<&'word str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The part of a set's spec that the words say. `profile=none` leaves the profile out.
pub(super) fn spec_of(words: &[&str]) -> Value {
    let mut spec = json!({});
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not name=value"));
        let number = || value.parse::<i64>().unwrap_or_else(|_| panic!("{word}: not a number"));
        let part = match name {
            "replicas" if value == "absent" => json!({"replicas": null}),
            "replicas" => json!({"replicas": number()}),
            "zones" => json!({"zones": value.split(',').collect::<Vec<_>>()}),
            "overprovision" => json!({"overprovision": value == "true"}),
            "extensions-on-kept" => json!({"doNotRunExtensionsOnOverprovisionedVMs": value == "true"}),
            "balance" => json!({"zoneBalance": value == "strict"}),
            "fd" => json!({"platformFaultDomainCount": number()}),
            "spg" => json!({"singlePlacementGroup": value == "true"}),
            "mode" => json!({"upgradePolicy": {"mode": value}}),
            "batch" => rolling(&json!({"maxBatchInstancePercent": number(), "maxUnhealthyInstancePercent": number()})),
            "unhealthy" => rolling(&json!({"maxUnhealthyInstancePercent": number()})),
            "unhealthy-upgraded" => rolling(&json!({"maxUnhealthyUpgradedInstancePercent": number()})),
            "pause" => rolling(&json!({"pauseTimeBetweenBatchesSeconds": number()})),
            "surge" => {
                rolling(&json!({"maxSurge": value.parse::<i64>().map_or_else(|_| json!(value), |count| json!(count))}))
            }
            "cross-zone" => rolling(&json!({"enableCrossZoneUpgrade": value == "true"})),
            "rollback" => rolling(&json!({"rollbackFailedInstancesOnPolicyBreach": value == "true"})),
            "scale-in" => json!({"scaleInPolicy": {"rules": [value]}}),
            "force" => json!({"scaleInPolicy": {"forceDeletion": value == "true"}}),
            "unhealthy-first" => json!({"scaleInPolicy": {"prioritizeUnhealthyVMs": value == "true"}}),
            "mix" => {
                let (base, percent) = value.split_once(',').unwrap_or_else(|| panic!("{word}: not base,percent"));
                let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{word}: not a number"));
                json!({"priorityMixPolicy": {
                    "baseRegularPriorityCount": number(base), "regularPriorityPercentageAboveBase": number(percent),
                }})
            }
            "restart-notice" => restart_notice(value),
            "restore" => json!({"spotRestorePolicy": {"enabled": number() > 0, "restoreTimeoutSeconds": number()}}),
            "repairs" if value == "off" => json!({"automaticRepairsPolicy": {"enabled": false}}),
            "repairs" if value == "none" => json!({"automaticRepairsPolicy": null}),
            "repairs" => json!({"automaticRepairsPolicy": {"enabled": true, "repairAction": value}}),
            "grace" => json!({"automaticRepairsPolicy": {"gracePeriodSeconds": number()}}),
            "failed-repairs" => json!({"automaticRepairsPolicy": {"maxConsecutiveFailedRepairs": number()}}),
            "ceiling" => json!({"upgradePolicy": {"maxDisruption": value}}),
            "os-upgrade" => os_upgrade(&json!({"enableAutomaticOSUpgrade": value == "true"})),
            "os-rollback" => os_upgrade(&json!({"disableAutomaticRollback": value == "false"})),
            "os-own-policy" => os_upgrade(&json!({"useRollingUpgradePolicy": value == "true"})),
            "paused" => json!({"upgradePolicy": {"paused": value == "true"}}),
            "profile" if value == "none" => json!({"virtualMachineProfile": null}),
            other => json!({"virtualMachineProfile": profile_part(other, value)}),
        };
        merge(&mut spec, &part);
    }
    spec
}

/// Whether restarts and redeployments that an operation asks for wait for an approval.
fn restart_notice(value: &str) -> Value {
    let event = json!({"automaticallyApprove": value != "true"});
    json!({"scheduledEventsPolicy": {"userInitiatedReboot": event, "userInitiatedRedeploy": event}})
}

fn rolling(policy: &Value) -> Value {
    json!({"upgradePolicy": {"rollingUpgradePolicy": policy}})
}

fn os_upgrade(policy: &Value) -> Value {
    json!({"upgradePolicy": {"automaticOSUpgradePolicy": policy}})
}

fn profile_part(name: &str, value: &str) -> Value {
    let number = || value.parse::<i64>().unwrap_or_else(|_| panic!("{name}={value}: not a number"));
    match name {
        "size" => json!({"vmSize": value}),
        "priority" => json!({"priority": value}),
        "group" if value == "none" => json!({"capacityReservationGroupRef": null}),
        "group" => json!({"capacityReservationGroupRef": {"name": value}}),
        "eviction" => json!({"evictionPolicy": value}),
        "max-price" => json!({"maxPrice": value}),
        "image" => json!({"storageProfile": {"imageReference": {"version": value}}}),
        "disk" => json!({"storageProfile": {"dataDisks": [
            {"lun": 0, "diskSizeGB": number(), "storageAccountType": "Premium_LRS"}
        ]}}),
        "key" => json!({"osProfile": {"sshPublicKeys": [value]}}),
        "prefix" => json!({"osProfile": {"computerNamePrefix": value}}),
        "subnet" => json!({"networkProfile": {"networkInterfaces": [
            {"name": "nic0", "primary": true, "subnet": value, "publicIPAddress": false}
        ]}}),
        "public-address" => json!({"networkProfile": {"networkInterfaces": [
            {"name": "nic0", "primary": true, "subnet": "default", "publicIPAddress": value == "true"}
        ]}}),
        "pool" => load_balancing::interfaces(value),
        "nics" => {
            let subnet = |number| if number == 0 { "default" } else { "backend" };
            let interface = |number| {
                json!({"name": format!("nic{number}"), "primary": number == 0, "subnet": subnet(number),
                    "publicIPAddress": false})
            };
            json!({"networkProfile": {"networkInterfaces": (0..number()).map(interface).collect::<Vec<_>>()}})
        }
        "os" if value == "Windows" => json!({"storageProfile": {
            "imageReference": {
                "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer",
                "sku": "2022-datacenter-azure-edition",
            },
            "osDisk": {"osType": "Windows", "diskSizeGB": 127},
        }}),
        "app" => json!({"extensions": [{
            "name": "app", "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript",
            "typeHandlerVersion": "2.0", "settings": {"commandToExecute": value},
        }]}),
        "agent" => json!({"extensions": [{
            "name": "agent", "publisher": "Microsoft.Azure.Monitor", "type": value, "typeHandlerVersion": "1.0",
        }]}),
        "health" if value == "probe" => json!({"networkProfile": {"healthProbe": {
            "loadBalancer": "default", "protocol": "Http", "port": 80, "requestPath": "/healthz", "intervalSeconds": 5,
            "numberOfProbes": 2,
        }}}),
        "health" if value == "extension" => json!({"extensions": [{
            "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
            "typeHandlerVersion": "2.0", "settings": {"protocol": "http", "requestPath": "/healthz"},
        }]}),
        "notice" => json!({"scheduledEventsProfile": {"terminateNotificationProfile": {
            "enable": number() > 0, "notBeforeTimeoutSeconds": number().max(300),
        }}}),
        "image-notice" => {
            json!({"scheduledEventsProfile": {"osImageNotificationProfile": {"enable": value == "true"}}})
        }
        "tag" => json!({"tags": {"team": value}}),
        other => panic!("nothing is called {other}"),
    }
}

/// The spec of an operation; `ids=0,1`, `skip-shutdown=true`, `event=…` and `repairs=Suspend` say more of it.
pub(super) fn operation_spec(kind: &str, target: &str, operation_type: &str, words: &[&str]) -> Value {
    let mut spec = json!({"target": {"kind": kind, "name": target}, "type": operation_type});
    if let Some(ids) = option(words, "ids") {
        spec["instanceIds"] = json!(ids.split(',').collect::<Vec<_>>());
    }
    if let Some(skip) = option(words, "skip-shutdown") {
        spec["parameters"] = json!({"skipShutdown": skip == "true"});
    }
    if let Some(action) = option(words, "repairs") {
        spec["parameters"] = json!({"serviceName": "AutomaticRepairs", "action": action});
    }
    if let Some(event_id) = option(words, "event") {
        spec["parameters"] = json!({"eventId": event_id});
    }
    spec
}

/// Maintenance of the hosts that the words name.
pub(super) fn maintenance([kind, location]: [&str; 2], words: &[&str]) -> Maintenance {
    Maintenance {
        kind: serde_json::from_value(json!(kind)).expect("it is a kind of maintenance"),
        location: location.to_owned(),
        zone: option(words, "zone").map(str::to_owned),
        fault_domain: option(words, "fd").map(|domain| domain.parse().expect("a fault domain is a number")),
        host: option(words, "host").map(str::to_owned),
    }
}

/// The spec of a FlexVM in `location`, with what the words say of it.
pub(super) fn flex_vm_spec(location: &str, words: &[&str]) -> Value {
    let mut spec = profile();
    spec["location"] = json!(location);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not name=value"));
        let part = match name {
            "zone" => json!({"zone": value}),
            "set" => json!({"scaleSetRef": {"name": value}}),
            "restart-notice" => restart_notice(value),
            "fd" => json!({"platformFaultDomain": value.parse::<i32>().expect("a fault domain is a number")}),
            other => profile_part(other, value),
        };
        merge(&mut spec, &part);
    }
    spec
}

/// Puts a part into a whole; a null of the part stays one.
pub(super) fn merge(target: &mut Value, part: &Value) {
    match (target.as_object_mut(), part.as_object()) {
        (Some(target), Some(part)) => {
            for (name, value) in part {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (_, _) => *target = part.clone(),
    }
}

pub(super) fn profile() -> Value {
    json!({
        "vmSize": "Standard_D2s_v3",
        "osProfile": {"adminUsername": "azureuser"},
        "storageProfile": {
            "imageReference": {
                "publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts", "version": "latest",
            },
            "osDisk": {"osType": "Linux", "diskSizeGB": 30, "storageAccountType": "Premium_LRS"},
        },
        "networkProfile": {"networkInterfaces": [
            {"name": "nic0", "primary": true, "subnet": "default", "publicIPAddress": false}
        ]},
    })
}
