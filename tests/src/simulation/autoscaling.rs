//! Stories of sets that follow loads that nobody planned: random rules, loads, faults of calls and of the controller, by seed.

use std::sync::{Mutex, PoisonError};

use scaleset_controller::cluster::Kind;

use super::random::Random;
use super::script::{Setting, Teller};

/// How often the load changes.
const CHANGES: usize = 12;
/// Least and most VMs.
const BOUNDS: (i64, i64) = (1, 12);

/// Plays the story of a seed to its end: loads, healing, rest. The transcript, and what does not hold at the end.
pub fn play_autoscaling(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let (mut random, mut teller) = (Random::new(seed ^ 0x6175_746f_7363_616c), Teller::new("", setting));
    let tell = |teller: &mut Teller, line: String| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        teller.tell(&line);
    };
    let mode = *random.pick(&["Uniform", "Flexible"]);
    let replicas = random.below(15);
    tell(&mut teller, format!("set web {mode} eastus replicas={replicas} mode=Automatic"));
    let (out, back) =
        (random.pick(&["+1", "+3", "+50%", "=8"]).to_owned(), random.pick(&["-1", "-4", "-50%"]).to_owned());
    let (cooldown, slow) = (60 + 60 * random.below(6), 60 + 60 * random.below(6));
    let (least, most) = BOUNDS;
    tell(
        &mut teller,
        format!(
            "setting auto web profile=usual:{least}:{most}:2 out=busy,Percentage_CPU>70,{out},{cooldown} \
             in=idle,Percentage_CPU<30,{back},{slow}"
        ),
    );
    let mut unread = false;
    for _ in 0..CHANGES {
        let line = match random.below(8) {
            0 => "calls metrics fail 60".to_owned(),
            // Only what is broken can be healed.
            1 if unread => "calls heal".to_owned(),
            1 | 2 => format!("api unreliable 10 {seed}"),
            3 => format!("die {} {}", random.pick(&["before", "after"]), random.below(6)),
            4 => format!("change web replicas={}", random.below(15)),
            _ => format!("load web Percentage_CPU total={}", 10 * random.below(100)),
        };
        unread = line.starts_with("calls metrics") || (unread && line != "calls heal");
        tell(&mut teller, line);
        tell(&mut teller, format!("settle-for {}", 30 + 30 * random.below(20)));
    }
    if unread {
        tell(&mut teller, "calls heal".to_owned());
    }
    tell(&mut teller, "api reliable".to_owned());
    tell(&mut teller, "load web Percentage_CPU total=250".to_owned());
    for _ in 0..4 {
        tell(&mut teller, "settle-for 1800".to_owned());
    }
    let findings = settled(&mut teller);
    (teller.end(), findings)
}

/// 250 % over all VMs: at rest nothing asks for more, and there are as many VMs as are wished.
fn settled(teller: &mut Teller) -> Vec<String> {
    let cluster = &teller.stage().cluster;
    let (Some(set), Some(setting)) = (cluster.get(Kind::ScaleSet, "web"), cluster.get(Kind::AutoscaleSetting, "auto"))
    else {
        return vec!["set and setting are there".to_owned()];
    };
    let count = set["spec"]["replicas"].as_i64().unwrap_or(-1);
    let mut findings = Vec::new();
    if count < BOUNDS.0 || count > BOUNDS.1 || 250 / count.max(1) > 70 {
        findings.push(format!("250 % on {count} VMs is no rest"));
    }
    if setting["status"]["currentReplicas"] != set["spec"]["replicas"] {
        findings.push(format!("the setting counts {}, the set {count}", setting["status"]["currentReplicas"]));
    }
    let results = setting["status"]["scaleActions"].as_array().cloned().unwrap_or_default();
    if results.first().is_some_and(|last| last["time"] != setting["status"]["lastScaleAction"]["time"]) {
        findings.push("the last decision has no end".to_owned());
    }
    findings
}
