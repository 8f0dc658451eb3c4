//! Tables in the manner of kubectl.

use scaleset_controller::cluster::Kind;
use scaleset_crds::labels;
use serde_json::Value;

use crate::simulation::stage::Stage;

/// Sets, instances, the latest rolling upgrade, what is held back, what is pending, and how many machines there are.
pub(super) fn objects(stage: &Stage) -> String {
    let sets = stage.cluster.all(Kind::ScaleSet);
    let vms: Vec<Value> =
        [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| stage.cluster.all(kind)).collect();
    let mut lines = Vec::new();
    if !sets.is_empty() {
        let head = ["SET", "DESIRED", "REPLICAS", "READY", "UP-TO-DATE", "AVAILABLE", "STATUS", "ZONES", "NEXT"];
        lines.extend(aligned(&head, sets.iter().map(set_row).collect()));
    }
    if !vms.is_empty() {
        let head = ["VM", "SIZE", "ZONE", "FD", "POWER", "PROVISIONING", "LATEST", "COMPUTER-NAME"];
        lines.extend(aligned(&head, vms.iter().map(vm_row).collect()));
    }
    lines.extend(reservations(stage));
    lines.extend(vms.iter().filter_map(reserved));
    lines.extend(sets.iter().filter_map(upgrade));
    lines.extend(sets.iter().filter_map(|set| priorities(set, &vms)));
    lines.extend(sets.iter().filter_map(document));
    lines.extend(vms.iter().flat_map(events));
    lines.extend(sets.iter().flat_map(blockers));
    lines.extend(vms.iter().flat_map(pending));
    lines.extend(vms.iter().filter_map(surplus));
    lines.push(format!("machines: {}", stage.machines().len()));
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// How many events the members of a set were told of.
fn document(set: &Value) -> Option<String> {
    let summary = set["status"]["scheduledEvents"].as_object()?;
    let (count, incarnation) = (&summary["count"], &summary["documentIncarnation"]);
    Some(format!("{} events: {count}, incarnation {incarnation}", text(&set["metadata"]["name"])))
}

/// What a VM was told of.
fn events(vm: &Value) -> Vec<String> {
    let of_vm = text(&vm["metadata"]["name"]);
    let events = vm["status"]["scheduledEvents"].as_array().into_iter().flatten();
    let line = |event: &Value| {
        let [kind, status, not_before, source] =
            ["eventType", "eventStatus", "notBefore", "eventSource"].map(|field| text(&event[field]));
        let why = event["description"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{of_vm} event: {kind} {status}, not before {not_before}, {source}{why}")
    };
    events.map(line).collect()
}

/// Reservations of every group.
fn reservations(stage: &Stage) -> Vec<String> {
    let groups = stage.cluster.all(Kind::CapacityReservationGroup);
    let row = |group: &Value, reservation: &Value| {
        let fields = ["currentCapacity", "associated", "allocated", "unused", "overallocated", "provisioningState"];
        let name = [text(&group["metadata"]["name"]), text(&reservation["name"]), text(&reservation["zone"])];
        name.into_iter().chain(fields.map(|field| text(&reservation[field]))).collect::<Vec<String>>()
    };
    let of_group = |group: &Value| -> Vec<Vec<String>> {
        let all = group["status"]["capacityReservations"].as_array().into_iter().flatten();
        all.map(|reservation| row(group, reservation)).collect()
    };
    let head = ["GROUP", "RESERVATION", "ZONE", "RESERVED", "ASSOCIATED", "ALLOCATED", "UNUSED", "OVER", "STATE"];
    if groups.is_empty() { Vec::new() } else { aligned(&head, groups.iter().flat_map(of_group).collect()) }
}

/// The reservation that a VM uses.
fn reserved(vm: &Value) -> Option<String> {
    let of = &vm["status"]["capacityReservation"];
    let said = ["group", "reservation", "state"].map(|field| text(&of[field])).join(" ");
    (!of.is_null()).then(|| format!("{} reservation: {said}", text(&vm["metadata"]["name"])))
}

/// Members of a set of Spot VMs by priority, and who was evicted.
fn priorities(set: &Value, vms: &[Value]) -> Option<String> {
    if set["spec"]["virtualMachineProfile"]["priority"] != "Spot" {
        return None;
    }
    let name = text(&set["metadata"]["name"]);
    let members: Vec<&Value> = vms.iter().filter(|vm| vm["spec"]["scaleSetRef"]["name"] == name.as_str()).collect();
    let spot = |vm: &&&Value| vm["kind"] == "ScaleSetVM" || vm["spec"]["priority"] == "Spot";
    let spot = members.iter().filter(spot).count();
    let evicted = members.iter().filter(|vm| !vm["status"]["eviction"].is_null()).count();
    let noted = set["status"]["evictions"].as_array().map_or(0, Vec::len);
    let regular = members.len() - spot;
    Some(format!("{name}: {regular} regular, {spot} Spot, {evicted} of them evicted; {noted} evictions noted"))
}

/// An instance that may yet go, or waits to hear that it stays.
fn surplus(vm: &Value) -> Option<String> {
    let mark = vm["spec"]["surplus"].as_str()?;
    Some(format!("{} surplus: {mark}", text(&vm["metadata"]["name"])))
}

/// The revisions of a set by number, with how many instances are to follow each.
pub(super) fn revisions(stage: &Stage, set: &str) -> String {
    let uid = stage.cluster.get(Kind::ScaleSet, set).map(|set| text(&set["metadata"]["uid"])).unwrap_or_default();
    let mut revisions: Vec<Value> = stage.cluster.all(Kind::ControllerRevision);
    revisions.retain(|revision| text(&revision["metadata"]["ownerReferences"][0]["uid"]) == uid);
    revisions.sort_by_key(|revision| revision["revision"].as_i64());
    let instances = stage.cluster.all(Kind::ScaleSetVM);
    let rows = revisions.iter().map(|revision| {
        let name = &revision["metadata"]["name"];
        let followers = instances.iter().filter(|vm| vm["spec"]["modelRevision"] == *name).count();
        vec![text(&revision["revision"]), text(name), followers.to_string()]
    });
    let lines = aligned(&["NUMBER", "REVISION", "FOLLOWED-BY"], rows.collect());
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The services of a set with their states, and the marks that repairs have left on VMs.
pub(super) fn services(stage: &Stage, set: &str) -> String {
    let object = stage.cluster.get(Kind::ScaleSet, set).unwrap_or_default();
    let services = object["status"]["orchestrationServices"].as_array().cloned().unwrap_or_default();
    let of_service = services.iter().map(|service| {
        let fields = ["serviceName", "serviceState", "suspendedBy", "lastStatusChangeTime", "message"];
        fields.map(|field| text(&service[field])).join(" ").trim_end().to_owned()
    });
    let vms = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| stage.cluster.all(kind));
    let marks = vms.filter_map(|vm| {
        let mark = vm["metadata"]["annotations"][labels::REPAIR].as_str()?.to_owned();
        Some(format!("{} repair: {mark}", text(&vm["metadata"]["name"])))
    });
    of_service.chain(marks).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// What the condition `CapacitySatisfied` of a set says.
pub(super) fn covered(stage: &Stage, set: &str) -> String {
    let set = stage.cluster.get(Kind::ScaleSet, set).unwrap_or_default();
    let mut conditions = set["status"]["conditions"].as_array().into_iter().flatten();
    let said = conditions.find(|condition| condition["type"] == "CapacitySatisfied");
    format!("  {}", said.map_or_else(|| "-".to_owned(), |said| text(&said["message"])))
}

/// Image version of each machine, and whether its OS disk and data disks are those of its creation.
pub(super) fn images(stage: &Stage) -> String {
    let rows = stage.machines().into_values().map(|machine| {
        let kept = machine.former_os_disk.map_or_else(|| "-".to_owned(), |disk| tail(&disk));
        let data: Vec<String> = machine.disks[1..].iter().map(|disk| tail(disk)).collect();
        vec![machine.owner.name, machine.image_version, tail(&machine.disks[0]), kept, data.join(",")]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    let lines = aligned(&["MACHINE", "IMAGE", "OS-DISK", "FORMER", "DATA-DISKS"], rows);
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// What a machine is known by, and what is stored in it.
pub(super) fn machines(stage: &Stage) -> String {
    let rows = stage.machines().into_values().map(|machine| {
        let address = machine.private_ip_address.unwrap_or_else(|| "-".to_owned());
        let data: Vec<String> = machine.disks[1..].iter().map(|disk| tail(disk)).collect();
        vec![machine.owner.name, tail(&machine.vm_id), address, tail(&machine.disks[0]), data.join(",")]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    let lines = aligned(&["MACHINE", "VM-ID", "ADDRESS", "OS-DISK", "DATA-DISKS"], rows);
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// What each machine is, as the hardware has it.
pub(super) fn layouts(stage: &Stage) -> String {
    let rows = stage.machines().into_values().map(|machine| {
        let model = &machine.model;
        let disks: Vec<String> =
            model.storage_profile.data_disks.iter().map(|disk| format!("{} GB", disk.disk_size_gb)).collect();
        let interfaces = model.network_profile.network_interfaces.iter();
        let interfaces: Vec<String> = interfaces.map(|one| format!("{}:{}", one.name, one.subnet)).collect();
        vec![
            machine.owner.name.clone(),
            model.vm_size.clone(),
            machine.os_name.clone().unwrap_or_else(|| "-".to_owned()),
            if disks.is_empty() { "-".to_owned() } else { disks.join(",") },
            interfaces.join(","),
            machine.private_ip_address.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    let lines = aligned(&["MACHINE", "SIZE", "OS", "DATA-DISKS", "INTERFACES", "ADDRESS"], rows);
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The end of a name tells disks apart.
fn tail(disk: &str) -> String {
    disk[disk.len() - 4..].to_owned()
}

/// The upgrades of a set's OS image, the newest first.
pub(super) fn os_upgrades(stage: &Stage, set: &str) -> String {
    let set = stage.cluster.get(Kind::ScaleSet, set).unwrap_or_default();
    let entries = set["status"]["osUpgradeHistory"].as_array().cloned().unwrap_or_default();
    let rows = entries.iter().map(|entry| {
        let progress = ["successful", "failed", "inProgress", "pending"];
        let progress = progress.map(|name| text(&entry["progress"][format!("{name}InstanceCount")])).join("/");
        let back = ["successfully", "failed"];
        let back = back.map(|name| text(&entry["rollbackInfo"][format!("{name}RolledbackInstanceCount")])).join("/");
        let status = &entry["runningStatus"];
        let ended = if status["endTime"].is_null() { "running" } else { "ended" };
        vec![
            text(&entry["number"]),
            text(&entry["targetImageReference"]["version"]),
            text(&entry["startedBy"]),
            text(&status["code"]),
            ended.to_owned(),
            progress,
            back,
        ]
    });
    let head = ["NUMBER", "VERSION", "STARTED-BY", "CODE", "TIME", "OK/FAILED/RUNNING/PENDING", "BACK-OK/FAILED"];
    let lines = aligned(&head, rows.collect());
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn set_row(set: &Value) -> Vec<String> {
    let status = &set["status"];
    let fields = ["capacity", "replicas", "readyReplicas", "updatedReplicas", "availableReplicas"];
    let counts = fields.iter().map(|field| text(&status[*field]));
    let ready = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let reason = ready.map_or_else(|| "-".to_owned(), |ready| text(&ready["reason"]));
    std::iter::once(text(&set["metadata"]["name"]))
        .chain(counts)
        .chain([reason, text(&status["zonesSummary"]), text(&status["nextInstanceId"])])
        .collect()
}

fn vm_row(vm: &Value) -> Vec<String> {
    let (spec, status, view) = (&vm["spec"], &vm["status"], &vm["status"]["instanceView"]);
    let cells = [
        &vm["metadata"]["name"],
        &status["vmSize"],
        &spec["zone"],
        if spec["platformFaultDomain"].is_null() { &view["platformFaultDomain"] } else { &spec["platformFaultDomain"] },
        &status["powerState"],
        &status["provisioningState"],
        &status["latestModelApplied"],
        &status["computerName"],
    ];
    cells.into_iter().map(text).collect()
}

fn upgrade(set: &Value) -> Option<String> {
    let rolled = set["status"]["rollingUpgrade"].as_object()?;
    let (progress, error) = (&rolled["progress"], rolled.get("error"));
    let [successful, failed, in_progress, pending] =
        ["successful", "failed", "inProgress", "pending"].map(|name| text(&progress[format!("{name}InstanceCount")]));
    let error =
        error.map_or_else(String::new, |error| format!("; {}: {}", text(&error["code"]), text(&error["message"])));
    Some(format!(
        "{} upgrade {}: {}, {successful} successful, {failed} failed, {in_progress} in progress, {pending} pending{error}",
        text(&set["metadata"]["name"]),
        text(&rolled["number"]),
        text(&rolled["runningStatus"]["code"]),
    ))
}

fn blockers(set: &Value) -> Vec<String> {
    let of_set = text(&set["metadata"]["name"]);
    let blockers = set["status"]["blockers"].as_array().into_iter().flatten();
    let line = |blocker: &Value| {
        format!("{of_set} held: {} x{}: {}", text(&blocker["code"]), blocker["count"], text(&blocker["message"]))
    };
    blockers.map(line).collect()
}

fn pending(vm: &Value) -> Vec<String> {
    let of_vm = text(&vm["metadata"]["name"]);
    let changes = vm["status"]["pendingChanges"].as_array().into_iter().flatten();
    let line = |change: &Value| {
        let [path, from, to, impact] = ["path", "from", "to", "impact"].map(|field| text(&change[field]));
        format!("{of_vm} pending: {path}: {from} -> {to} ({impact})")
    };
    changes.map(line).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(string) => string.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// Columns as wide as their widest cell.
fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
