//! Autoscale on the real API server: a set follows its load and the calendar, and a decision is carried out once.

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, Patch, PatchParams};
use scaleset_crds::autoscale_setting::ScaleActionState;
use scaleset_crds::{AutoscaleSetting, AutoscaleSettingStatus, ScaleSet};
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::{World, run, run_alone};

fn setting(name: &str, profiles: &Value) -> Value {
    let spec = json!({"scaleTargetRef": {"name": "web"}, "enabled": true, "profiles": profiles});
    json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "AutoscaleSetting", "metadata": {"name": name}, "spec": spec,
    })
}

fn rule(name: &str, direction: &str, operator: &str, threshold: &str, value: i32) -> Value {
    json!({
        "name": name,
        "metricTrigger": {"metricName": "Percentage CPU", "operator": operator, "threshold": threshold},
        "scaleAction": {"direction": direction, "value": value, "cooldownSeconds": 60},
    })
}

fn following() -> Value {
    let rules = [rule("busy", "Increase", "GreaterThan", "70", 4), rule("idle", "Decrease", "LessThan", "30", 4)];
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
        scene.apply(&setting("auto", &following()))?;
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
        let clock: Value = scene.world.hardware.send(http::Method::GET, "/clock", &Value::Null).await?;
        let now: Timestamp = clock["scenarioTime"].as_str().context("the clock tells the time")?.parse()?;
        let local = |after: i64| {
            let at = now + SignedDuration::from_secs(after);
            at.to_zoned(jiff::tz::TimeZone::UTC).datetime().strftime("%Y-%m-%dT%H:%M:%S").to_string()
        };
        let profiles = json!([
            {"name": "usual", "capacity": {"minimum": 1, "maximum": 2, "default": 1}},
            {
                "name": "sale", "capacity": {"minimum": 5, "maximum": 6, "default": 5},
                "fixedDate": {"timeZone": "UTC", "start": local(200), "end": local(500)},
            },
        ]);
        scene.apply(&setting("auto", &profiles))?;
        scene
            .until("the sale is to come", async || {
                let status = status(scene, "auto").await?;
                let next = status.next_profile.as_ref().and_then(|next| next.name.clone());
                let seen = (status.profile.clone(), next);
                ensure!(seen == (Some("usual".to_owned()), Some("sale".to_owned())), "{seen:?}");
                Ok(())
            })
            .await?;
        counts(scene, 5).await?;
        assert_eq!(status(scene, "auto").await?.profile.as_deref(), Some("sale"));
        counts(scene, 2).await?;
        assert_eq!(status(scene, "auto").await?.profile.as_deref(), Some("usual"));
        Ok(())
    });
}

#[test]
fn killed_between_the_record_and_the_set_a_decision_is_carried_out_once() {
    run_alone(async |world| {
        let namespace = "autoscale-crash";
        {
            let scene = Scene::new(world, namespace).await;
            load(world, namespace, 100).await?;
            scene.apply(&uniform("web", 2, json!({})))?;
            scene.settled("web").await?;
            scene.apply(&setting("auto", &following()))?;
            scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "asetting/auto"])?;
        }
        world.controller.kill().await?;
        // What a process leaves behind that dies right after it has put a decision on record.
        let scene = Scene { world, namespace: namespace.to_owned() };
        let time = status(&scene, "auto").await?.evaluated_at.context("it was evaluated")?;
        let record = json!({"from": 2, "to": 6, "time": time, "cause": "busy: Percentage CPU 90 > 70"});
        let until = Timestamp::from_second(time.0.as_second() + 1_800)?;
        let patch = json!({"status": {"lastScaleAction": record, "cooldownUntil": until.to_string()}});
        let settings: Api<AutoscaleSetting> = scene.api();
        settings.patch_status("auto", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        assert_eq!(scene.set("web").await?.spec.replicas, Some(2));
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
        let told: Vec<(i32, i32, ScaleActionState)> =
            done.scale_actions.iter().map(|action| (action.from, action.to, action.state)).collect();
        assert_eq!(told, [(2, 6, ScaleActionState::Succeeded)]);
        scene.settled("web").await?;
        let set: ScaleSet = scene.set("web").await?;
        assert_eq!(set.spec.replicas, Some(6), "once");
        Ok(())
    });
}
