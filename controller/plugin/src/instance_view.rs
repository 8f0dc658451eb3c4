//! What runs: of a set, and of one VM, in the shape of Azure's instance views.
//!
//! Source: Azure's REST reference of `VirtualMachineScaleSetInstanceView` and `VirtualMachineScaleSetVMInstanceView`.

use scaleset_crds::instance::{InstanceView, InstanceViewStatus};
use scaleset_crds::load_balancing::{PoolMembership, PoolSummary};
use scaleset_crds::repairs::OrchestrationServiceSummary;
use scaleset_crds::scale_set::ScaleSetInstanceView;
use scaleset_crds::{InstanceStatus, ScaleSetStatus};
use serde_json::{Value, json};

use crate::arguments::Output;
use crate::cluster::{Cluster, Instance};
use crate::output::{facts, or_none, print, table};

pub(crate) async fn set(cluster: &Cluster, name: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let status = set.status.clone().unwrap_or_default();
    // Who is in no pool need not be asked for.
    let instances = if status.load_balancer_pools.is_empty() { Vec::new() } else { cluster.instances(&set).await? };
    let members: Vec<PoolMember> = instances.iter().flat_map(members_of).collect();
    match output {
        Output::Json | Output::Yaml => print(&view_of_set(&status, &members), output),
        Output::Table => {
            let view = status.instance_view.unwrap_or_default();
            let mut rows: Vec<Vec<String>> = view
                .statuses_summary
                .iter()
                .map(|summary| vec![String::new(), summary.code.clone(), summary.count.to_string()])
                .collect();
            rows.extend(view.extensions.iter().flat_map(|extension| {
                extension
                    .statuses_summary
                    .iter()
                    .map(|summary| vec![extension.name.clone(), summary.code.clone(), summary.count.to_string()])
            }));
            println!("{}", table(&["EXTENSION", "CODE", "VMS"], &rows));
            if !status.load_balancer_pools.is_empty() {
                println!("\n{}", pools_of_set(&status.load_balancer_pools));
                println!("\n{}", pool_members(&members));
            }
            println!("\n{}", statuses(&view.statuses));
            let service = |service: &OrchestrationServiceSummary| {
                vec![format!("{:?}", service.service_name), format!("{:?}", service.service_state)]
            };
            let services: Vec<Vec<String>> = view.orchestration_services.iter().map(service).collect();
            if !services.is_empty() {
                println!("\n{}", table(&["SERVICE", "STATE"], &services));
            }
            Ok(())
        }
    }
}

/// A VM of a set in a backend pool.
#[derive(Clone, Debug)]
struct PoolMember {
    instance_id: String,
    membership: PoolMembership,
}

fn members_of(instance: &Instance) -> Vec<PoolMember> {
    let pools = instance.status().load_balancer_pools;
    pools.into_iter().map(|membership| PoolMember { instance_id: instance.id(), membership }).collect()
}

fn view_of_set(status: &ScaleSetStatus, members: &[PoolMember]) -> Value {
    let ScaleSetInstanceView { statuses_summary, extensions, orchestration_services, statuses } =
        status.instance_view.clone().unwrap_or_default();
    json!({
        "virtualMachine": {"statusesSummary": statuses_summary},
        "extensions": extensions,
        "statuses": statuses,
        "orchestrationServices": orchestration_services,
        "loadBalancerPools":
            status.load_balancer_pools.iter().map(|pool| view_of_pool(pool, members)).collect::<Vec<Value>>(),
    })
}

fn view_of_pool(pool: &PoolSummary, members: &[PoolMember]) -> Value {
    let mut view = json!(pool);
    let of_pool = members.iter().filter(|member| member.membership.name == pool.name);
    let member = |PoolMember { instance_id, membership }: &PoolMember| {
        let PoolMembership { name: _, state, drained_at } = membership;
        let mut member = json!({"instanceId": instance_id, "state": state});
        if let Some(drained_at) = drained_at {
            member["drainedAt"] = json!(drained_at);
        }
        member
    };
    view["members"] = of_pool.map(member).collect();
    view
}

fn pool_members(members: &[PoolMember]) -> String {
    let row = |PoolMember { instance_id, membership }: &PoolMember| {
        let PoolMembership { name, state, drained_at } = membership;
        let drained_at = or_none(drained_at.as_ref().map(|at| at.0.to_string()));
        vec![name.clone(), instance_id.clone(), format!("{state:?}"), drained_at]
    };
    // Pool by pool; within one the VMs stay in the order of their ids.
    let mut rows: Vec<Vec<String>> = members.iter().map(row).collect();
    rows.sort_by(|one, other| one[0].cmp(&other[0]));
    table(&["LOAD BALANCER", "VM", "STATE", "DRAINED AT"], &rows)
}

fn pools_of_set(pools: &[PoolSummary]) -> String {
    let row = |pool: &PoolSummary| {
        let PoolSummary { name, healthy, draining, total } = pool;
        vec![name.clone(), healthy.to_string(), draining.to_string(), total.to_string()]
    };
    table(&["LOAD BALANCER", "HEALTHY", "DRAINING", "TOTAL"], &pools.iter().map(row).collect::<Vec<_>>())
}

fn pools_of_instance(pools: &[PoolMembership]) -> String {
    let row = |pool: &PoolMembership| {
        let PoolMembership { name, state, drained_at } = pool;
        vec![name.clone(), format!("{state:?}"), or_none(drained_at.as_ref().map(|at| at.0.to_string()))]
    };
    table(&["LOAD BALANCER", "STATE", "DRAINED AT"], &pools.iter().map(row).collect::<Vec<_>>())
}

pub(crate) async fn instance(cluster: &Cluster, name: &str, id: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let instance = cluster.instance(&set, id).await?;
    let status = instance.status();
    match output {
        Output::Json | Output::Yaml => print(&view_of_instance(&status), output),
        Output::Table => {
            let view = status.instance_view.clone().unwrap_or_default();
            let lines = [
                ("Name", instance.name()),
                ("Computer name", or_none(status.computer_name)),
                ("Fault domain", or_none(view.platform_fault_domain)),
                ("Update domain", or_none(status.update_domain)),
                ("Placement group", or_none(view.placement_group_id)),
                ("Host", or_none(view.assigned_host)),
                (
                    "Operating system",
                    or_none(view.os_name.zip(view.os_version).map(|(name, version)| format!("{name} {version}"))),
                ),
                ("Image version", or_none(view.image_version)),
                ("Agent", or_none(view.vm_agent.map(|agent| agent.version))),
                ("Health", or_none(view.vm_health.map(|health| health.status.display_status))),
                ("Disks", view.disks.join(", ")),
                ("Private address", or_none(status.private_ip_address)),
                ("Public address", or_none(status.public_ip_address)),
            ];
            println!("{}", facts(&lines));
            let rows: Vec<Vec<String>> =
                view.extensions.iter().map(|extension| vec![extension.name.clone(), extension.code.clone()]).collect();
            if !rows.is_empty() {
                println!("\n{}", table(&["EXTENSION", "CODE"], &rows));
            }
            if !status.load_balancer_pools.is_empty() {
                println!("\n{}", pools_of_instance(&status.load_balancer_pools));
            }
            println!("\n{}", statuses(&view.statuses));
            Ok(())
        }
    }
}

fn view_of_instance(status: &InstanceStatus) -> Value {
    let InstanceView {
        platform_fault_domain,
        placement_group_id,
        assigned_host,
        os_name,
        os_version,
        image_version: _,
        vm_agent,
        vm_health,
        disks,
        extensions,
        statuses,
    } = status.instance_view.clone().unwrap_or_default();
    let extensions: Vec<Value> = extensions
        .iter()
        .map(|extension| json!({"name": extension.name, "statuses": [{"code": extension.code, "level": "Info"}]}))
        .collect();
    let mut view = json!({
        "platformUpdateDomain": status.update_domain,
        "platformFaultDomain": platform_fault_domain,
        "placementGroupId": placement_group_id,
        "computerName": status.computer_name,
        "osName": os_name,
        "osVersion": os_version,
        "vmAgent": vm_agent.map(|agent| json!({"vmAgentVersion": agent.version})),
        "disks": disks.iter().map(|name| json!({"name": name})).collect::<Vec<Value>>(),
        "extensions": extensions,
        "vmHealth": vm_health,
        "statuses": statuses,
        "assignedHost": assigned_host,
        "loadBalancerPools": (!status.load_balancer_pools.is_empty()).then_some(&status.load_balancer_pools),
    });
    if let Some(fields) = view.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    view
}

fn statuses(statuses: &[InstanceViewStatus]) -> String {
    let row = |status: &InstanceViewStatus| {
        vec![
            status.code.clone(),
            format!("{:?}", status.level),
            status.display_status.clone(),
            status.message.clone().unwrap_or_default(),
        ]
    };
    table(&["STATUS", "LEVEL", "DISPLAY", "MESSAGE"], &statuses.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use scaleset_crds::load_balancing::PoolMemberState;
    use scaleset_crds::vocabulary::StatusLevel;

    use super::*;

    #[test]
    fn a_vm_has_azures_shape_without_what_is_not_known() {
        let status = InstanceStatus {
            computer_name: Some("web000000".to_owned()),
            instance_view: Some(InstanceView {
                disks: vec!["web-0_disk1".to_owned()],
                statuses: vec![InstanceViewStatus {
                    code: "PowerState/running".to_owned(),
                    level: StatusLevel::Info,
                    display_status: "VM running".to_owned(),
                    message: None,
                    time: None,
                }],
                ..InstanceView::default()
            }),
            ..InstanceStatus::default()
        };
        let expected = json!({
            "computerName": "web000000",
            "disks": [{"name": "web-0_disk1"}],
            "extensions": [],
            "statuses": [{"code": "PowerState/running", "level": "Info", "displayStatus": "VM running"}],
        });
        assert_eq!(view_of_instance(&status), expected);
    }

    #[test]
    fn a_pool_of_a_set_names_its_members_with_their_states() {
        let pool = |name: &str| PoolSummary { name: name.to_owned(), healthy: 1, draining: 1, total: 2 };
        let member = |id: &str, pool: &str, state| {
            let membership = PoolMembership { name: pool.to_owned(), state, drained_at: None };
            PoolMember { instance_id: id.to_owned(), membership }
        };
        let members = [
            member("0", "web-lb", PoolMemberState::Healthy),
            member("0", "other", PoolMemberState::Healthy),
            member("7", "web-lb", PoolMemberState::Draining),
        ];
        let expected = json!({
            "name": "web-lb", "healthy": 1, "draining": 1, "total": 2,
            "members": [{"instanceId": "0", "state": "Healthy"}, {"instanceId": "7", "state": "Draining"}],
        });
        assert_eq!(view_of_pool(&pool("web-lb"), &members), expected);
        let lines: Vec<String> = pool_members(&members)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<&str>>().join(" "))
            .collect();
        let head = "LOAD BALANCER VM STATE DRAINED AT";
        assert_eq!([&lines[0], &lines[1], &lines[3]], [head, "other 0 Healthy <none>", "web-lb 7 Draining <none>"]);
    }
}
