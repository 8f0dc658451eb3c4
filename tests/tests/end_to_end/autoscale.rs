//! Autoscale on the real API server: a set follows its load and the calendar, and a decision is carried out once.

use anyhow::{Context, ensure};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use scaleset_crds::autoscale_setting::ScaleActionState;
use scaleset_crds::condition::find;
use scaleset_crds::{AutoscaleSetting, AutoscaleSettingStatus, ScaleSet};
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::{World, run, run_alone};

pub fn setting(name: &str, profiles: &Value) -> Value {
    let spec = json!({"scaleTargetRef": {"name": "web"}, "enabled": true, "profiles": profiles});
    json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "AutoscaleSetting", "metadata": {"name": name}, "spec": spec,
    })
}

fn rule(name: &str, direction: &str, compared: [&str; 2], cooldown_seconds: i32) -> Value {
    let [operator, threshold] = compared;
    json!({
        "name": name,
        "metricTrigger": {"metricName": "Percentage CPU", "operator": operator, "threshold": threshold},
        "scaleAction": {"direction": direction, "value": 4, "cooldownSeconds": cooldown_seconds},
    })
}

/// From 2 to 10 VMs in steps of 4.
pub fn following(cooldown_seconds: i32) -> Value {
    let rules = [
        rule("busy", "Increase", ["GreaterThan", "70"], cooldown_seconds),
        rule("idle", "Decrease", ["LessThan", "30"], cooldown_seconds),
    ];
    json!([{"name": "usual", "capacity": {"minimum": 2, "maximum": 10, "default": 2}, "rules": rules}])
}

async fn load(world: &World, namespace: &str, total: i32) -> anyhow::Result<()> {
    let body = json!({
        "selector": {"namespace": namespace}, "metric": "Percentage CPU", "sharing": "Total", "course": [{"value": total}],
    });
    let _: Value = world.hardware.send(http::Method::PUT, &format!("/loads/{namespace}"), &body).await?;
    Ok(())
}

async fn status(scene: &Scene<'_>, name: &str) -> anyhow::Result<AutoscaleSettingStatus> {
    let found: AutoscaleSetting = scene.api().get(name).await?;
    found.status.context("it has no status")
}

async fn counts(scene: &Scene<'_>, wanted: i32) -> anyhow::Result<()> {
    scene
        .until(&format!("the set has {wanted} VMs"), async || {
            let replicas = scene.set("web").await?.spec.replicas;
            ensure!(replicas == Some(wanted), "it has {replicas:?}, {:?}", status(scene, "auto").await?);
            Ok(())
        })
        .await
}

#[test]
fn a_set_follows_its_load_from_two_to_ten_and_back() {
    run("autoscale", async |scene| {
        load(scene.world, "autoscale", 100).await?;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.apply(&setting("auto", &following(60)))?;
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "asetting/auto"])?;
        load(scene.world, "autoscale", 900).await?;
        counts(scene, 10).await?;
        scene.settled("web").await?;
        load(scene.world, "autoscale", 40).await?;
        counts(scene, 2).await?;
        scene.settled("web").await?;
        let status = scene
            .until("every decision has its end", async || {
                let status = status(scene, "auto").await?;
                let last = status.scale_actions.first().map(|action| action.time.0);
                ensure!(last == status.last_scale_action.as_ref().map(|action| action.time.0), "{status:?}");
                Ok(status)
            })
            .await?;
        assert!(status.scale_actions.iter().all(|action| action.state == ScaleActionState::Succeeded), "{status:?}");
        assert!(status.scale_actions.len() >= 4, "from 2 to 10 and back in steps of 4: {status:?}");
        let between = status.scale_actions.windows(2).map(|pair| pair[0].time.0.duration_since(pair[1].time.0));
        assert!(between.min() >= Some(SignedDuration::from_secs(60)), "within a cooldown: {status:?}");
        scene.event("auto", "ScaleInitiated").await?;
        scene.event("auto", "ScaleSucceeded").await?;
        let managers: Value =
            serde_json::from_str(&scene.kubectl(&["get", "sset/web", "-o", "json", "--show-managed-fields"])?)?;
        let managers = managers["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let of_autoscale = managers.iter().find(|one| one["manager"] == scaleset_crds::AUTOSCALER_FIELD_MANAGER);
        assert_eq!(of_autoscale.context("autoscale has no field")?["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
        let table = scene.kubectl(&["get", "asetting"])?;
        let head: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(head, ["NAME", "TARGET", "ENABLED", "PROFILE", "REPLICAS", "FROM", "TO", "STATUS", "AGE"]);
        Ok(())
    });
}

#[test]
fn a_profile_of_the_calendar_comes_into_force() {
    run("autoscale-calendar", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        let now = scenario_now(scene.world).await?;
        let local = |after: i64| {
            let at = now + SignedDuration::from_secs(after);
            at.to_zoned(TimeZone::UTC).datetime().strftime("%Y-%m-%dT%H:%M:%S").to_string()
        };
        let profiles = json!([
            {"name": "usual", "capacity": {"minimum": 1, "maximum": 2, "default": 1}},
            {
                "name": "sale", "capacity": {"minimum": 5, "maximum": 6, "default": 5},
                "fixedDate": {"timeZone": "UTC", "start": local(200), "end": local(500)},
            },
        ]);
        scene.apply(&setting("auto", &profiles))?;
        comes_and_goes(scene, ["usual", "sale"]).await
    });
}

#[test]
fn a_recurring_profile_lasts_until_the_next_one_begins() {
    run("autoscale-week", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        // Whole minutes: the rush begins in five to six, and ends five later.
        let now = scenario_now(scene.world).await?;
        let weekly = |minutes: i64| {
            let at = Timestamp::from_second((now.as_second() / 60 + minutes) * 60)?.to_zoned(TimeZone::UTC);
            let day = at.strftime("%A").to_string();
            anyhow::Ok(json!({"timeZone": "UTC", "days": [day], "hours": [at.hour()], "minutes": [at.minute()]}))
        };
        let profiles = json!([
            {"name": "quiet", "capacity": {"minimum": 1, "maximum": 2, "default": 1}, "recurrence": weekly(11)?},
            {"name": "rush", "capacity": {"minimum": 5, "maximum": 6, "default": 5}, "recurrence": weekly(6)?},
        ]);
        scene.apply(&setting("auto", &profiles))?;
        // Until the rush begins the quiet of the week before lasts.
        comes_and_goes(scene, ["quiet", "rush"]).await
    });
}

async fn scenario_now(world: &World) -> anyhow::Result<Timestamp> {
    let clock: Value = world.hardware.send(http::Method::GET, "/clock", &Value::Null).await?;
    Ok(clock["scenarioTime"].as_str().context("the clock tells the time")?.parse()?)
}

/// At most 2 VMs in the first profile, at least 5 in the second, and the first one again.
async fn comes_and_goes(scene: &Scene<'_>, [first, second]: [&str; 2]) -> anyhow::Result<()> {
    scene
        .until(&format!("{second} is to come"), async || {
            let status = status(scene, "auto").await?;
            let next = status.next_profile.as_ref().and_then(|next| next.name.clone());
            let seen = (status.profile.clone(), next);
            ensure!(seen == (Some(first.to_owned()), Some(second.to_owned())), "{seen:?}");
            Ok(())
        })
        .await?;
    for (profile, count) in [(second, 5), (first, 2)] {
        counts(scene, count).await?;
        assert_eq!(status(scene, "auto").await?.profile.as_deref(), Some(profile));
    }
    Ok(())
}

/// What the policy says that keeps everybody from scaling.
const NOT_NOW: &str = "nobody scales now";

/// Nobody scales a set in that namespace while this stands.
fn no_scaling(namespace: &str) -> [Value; 2] {
    let (version, name) = ("admissionregistration.k8s.io/v1", format!("no-scaling-{namespace}"));
    let rule = json!({
        "apiGroups": [scaleset_crds::GROUP], "apiVersions": [scaleset_crds::VERSION], "operations": ["UPDATE"],
        "resources": ["scalesets/scale"],
    });
    let policy = json!({
        "apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": NOT_NOW}],
        },
    });
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let binding = json!({
        "apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here},
    });
    [policy, binding]
}

/// Whether a set may be scaled now, by whomever.
/// Whatever else fails, such as a write that meets another version, is no answer of the policy.
fn may_scale(scene: &Scene<'_>) -> bool {
    let answer = scene.kubectl(&["scale", "sset/web", "--replicas=2", "--dry-run=server"]);
    !answer.is_err_and(|refused| format!("{refused:#}").contains(NOT_NOW))
}

#[test]
fn killed_between_the_record_and_the_set_a_decision_is_carried_out_once() {
    run_alone(async |world| {
        let namespace = "autoscale-crash";
        let scene = Scene::new(world, namespace).await;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        // Not before both run: the first of them would have all of it and look busy.
        load(world, namespace, 100).await?;
        scene.apply(&setting("auto", &following(1_800)))?;
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "asetting/auto"])?;
        // The decision gets on record, the write to the set is refused: so the process dies between the two.
        for object in no_scaling(namespace) {
            scene.apply(&object)?;
        }
        scene
            .until("nobody may scale", async || {
                ensure!(!may_scale(&scene), "the policy is not in force yet");
                Ok(())
            })
            .await?;
        load(world, namespace, 900).await?;
        let decided = scene
            .until("a decision is on record", async || {
                let status = status(&scene, "auto").await?;
                status.last_scale_action.with_context(|| format!("{:?}", status.rules))
            })
            .await?;
        assert_eq!((decided.from, decided.to), (2, 6));
        scene.event("auto", "ScaleFailed").await?;
        // What was decided stays decided; afterwards nothing more is asked for.
        load(world, namespace, 300).await?;
        drop(scene);
        world.controller.kill().await?;
        let scene = Scene { world, namespace: namespace.to_owned() };
        assert_eq!(scene.set("web").await?.spec.replicas, Some(2), "the set has not heard of it");
        for object in no_scaling(namespace) {
            let kind = object["kind"].as_str().context("it has a kind")?.to_lowercase();
            scene.kubectl(&["delete", &kind, object["metadata"]["name"].as_str().context("it has a name")?])?;
        }
        scene
            .until("the set may be scaled", async || {
                ensure!(may_scale(&scene), "the policy is in force yet");
                Ok(())
            })
            .await?;
        drop(scene);
        world.restart_controller().await?;
        let scene = Scene { world, namespace: namespace.to_owned() };
        counts(&scene, 6).await?;
        let done = scene
            .until("the decision has its end", async || {
                let status = status(&scene, "auto").await?;
                ensure!(!status.scale_actions.is_empty(), "{status:?}");
                Ok(status)
            })
            .await?;
        let told: Vec<_> = done.scale_actions.iter().map(|action| (action.from, action.to, action.time.0)).collect();
        assert_eq!(told, [(2, 6, decided.time.0)], "the decision of the process that died");
        assert_eq!(done.scale_actions[0].state, ScaleActionState::Succeeded);
        scene.settled("web").await?;
        let set: ScaleSet = scene.set("web").await?;
        assert_eq!(set.spec.replicas, Some(6), "once");
        Ok(())
    });
}

/// Leaves a set of 1 to 10 VMs as it is: nobody reports what it is to follow.
fn horizontal_pod_autoscaler() -> Value {
    let target = json!({"apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "name": "web"});
    let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    })
}

/// Waits until the newest generation of the setting is `Ready` so.
async fn ready(scene: &Scene<'_>, expected: (&str, &str)) -> anyhow::Result<()> {
    scene
        .until(&format!("the setting is Ready {expected:?}"), async || {
            let found: AutoscaleSetting = scene.api().get("auto").await?;
            let status = found.status.context("it has no status")?;
            let ready = find(&status.conditions, "Ready").context("no such condition")?;
            let seen = (ready.status.as_str(), ready.reason.as_str());
            ensure!(seen == expected, "it is {seen:?}: {}", ready.message);
            ensure!(status.observed_generation == found.metadata.generation, "it is of an older generation");
            Ok(())
        })
        .await
}

#[test]
fn a_setting_stands_back_from_a_horizontal_pod_autoscaler_and_acts_again_without_it() {
    run("autoscale-rival", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        // Not before both run: the first of them would have all of it and look busy.
        load(scene.world, "autoscale-rival", 100).await?;
        scene.apply(&setting("auto", &following(60)))?;
        ready(scene, ("True", "Ready")).await?;
        scene.apply(&horizontal_pod_autoscaler())?;
        ready(scene, ("False", "OperationNotAllowed")).await?;
        // The load asks for more, and the bounds as well: nothing is done.
        load(scene.world, "autoscale-rival", 900).await?;
        let mut profiles = following(60);
        profiles[0]["capacity"]["minimum"] = json!(4);
        profiles[0]["capacity"]["default"] = json!(4);
        scene.apply(&setting("auto", &profiles))?;
        ready(scene, ("False", "OperationNotAllowed")).await?;
        assert_eq!(scene.set("web").await?.spec.replicas, Some(2), "it stands back");
        assert!(status(scene, "auto").await?.last_scale_action.is_none(), "and decides nothing");
        scene.kubectl(&["delete", "hpa", "web"])?;
        counts(scene, 10).await?;
        ready(scene, ("True", "Ready")).await
    });
}
