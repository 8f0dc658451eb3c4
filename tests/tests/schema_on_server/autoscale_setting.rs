//! Cases of `AutoscaleSetting`.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{autoscale_setting, merged};
use crate::server::{self, DryRun};

const NAME: &str = "InvalidParameter: the name must be a DNS label of at most 63 characters: lower-case letters, digits and \
                    '-', starting and ending with a letter or a digit";

fn profile(name: &str, change: &Value) -> Value {
    let usual = json!({"name": name, "capacity": {"minimum": 2, "maximum": 10, "default": 2}});
    merged(&usual, change)
}

fn rule(name: &str, trigger: &Value, action: &Value) -> Value {
    let usual = json!({"metricName": "Percentage CPU", "operator": "GreaterThan", "threshold": "70"});
    let more = json!({"direction": "Increase"});
    json!({"name": name, "metricTrigger": merged(&usual, trigger), "scaleAction": merged(&more, action)})
}

fn profiles(profiles: &[Value]) -> Value {
    json!({"spec": {"profiles": profiles}})
}

/// The only profile, changed.
fn usual(change: &Value) -> Value {
    profiles(&[profile("usual", change)])
}

fn scheduled(number: usize) -> Value {
    let recurrence = json!({"days": ["Monday"], "hours": [number], "minutes": [0]});
    profile(&format!("p{number}"), &json!({"recurrence": recurrence}))
}

/// Every rule of the kind.
pub fn cases() -> Vec<Case> {
    [of_profiles(), of_schedules(), of_triggers(), of_actions()].concat()
}

fn always(accepted: Value, refused: Value, field: &str, message: &str) -> Case {
    accepting(autoscale_setting(), When::Always, accepted).refusing(refused, field, message)
}

fn of_profiles() -> Vec<Case> {
    let many = |count: usize| profiles(&(0..count).map(scheduled).collect::<Vec<Value>>());
    let capacity = |least: i32, most: i32, default: i32| {
        usual(&json!({"capacity": {"minimum": least, "maximum": most, "default": default}}))
    };
    let of_capacity = |field: &str| format!("spec.profiles[].capacity.{field}");
    vec![
        accepting(autoscale_setting(), When::OnCreation, json!({"metadata": {"name": "follow-web"}})).refusing(
            json!({"metadata": {"name": "follow.web"}}),
            "metadata.name",
            NAME,
        ),
        accepting(autoscale_setting(), When::OnChange, json!({"spec": {"enabled": false}})).refusing(
            json!({"spec": {"scaleTargetRef": {"name": "db"}}}),
            "spec.scaleTargetRef",
            "PropertyChangeNotAllowed: scaleTargetRef cannot be changed after creation",
        ),
        always(many(20), many(21), "spec.profiles", "InvalidParameter: there must be 1 to 20 profiles"),
        always(many(1), many(0), "spec.profiles", "InvalidParameter: there must be 1 to 20 profiles"),
        always(
            profiles(&[profile("usual", &json!({})), scheduled(1)]),
            profiles(&[profile("usual", &json!({})), profile("other", &json!({}))]),
            "spec.profiles",
            "InvalidParameter: at most one profile must be without fixedDate and recurrence",
        ),
        always(
            capacity(0, 1000, 0),
            capacity(-1, 10, 2),
            &of_capacity("minimum"),
            "InvalidParameter: minimum must be 0 to 1000",
        ),
        always(
            capacity(1000, 1000, 1000),
            capacity(2, 1001, 2),
            &of_capacity("maximum"),
            "InvalidParameter: maximum must be 0 to 1000",
        ),
        always(
            capacity(2, 10, 10),
            capacity(2, 10, 11),
            &of_capacity("default"),
            "InvalidParameter: default must be from minimum to maximum",
        ),
        always(
            capacity(10, 10, 10),
            capacity(10, 2, 5),
            &of_capacity("minimum"),
            "InvalidParameter: minimum must be at most maximum",
        ),
    ]
}

fn of_schedules() -> Vec<Case> {
    let date = |start: &str, end: &str| json!({"fixedDate": {"start": start, "end": end}});
    let week = |hour: i32, minute: i32| {
        usual(
            &json!({"recurrence": {"timeZone": "Europe/Warsaw", "days": ["Monday", "Friday"], "hours": [hour], "minutes": [minute]}}),
        )
    };
    let both = merged(
        &date("2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        &json!({"recurrence": {"days": ["Monday"], "hours": [6], "minutes": [0]}}),
    );
    vec![
        always(
            usual(&date("2026-01-01T00:00:00", "2027-01-01T00:00:00")),
            usual(&date("2026-01-01T00:00:00", "2027-01-01T00:00:01")),
            "spec.profiles[].fixedDate.end",
            "InvalidParameter: end must be after start and at most 365 days after it",
        ),
        always(
            usual(&date("2026-01-01T00:00:00", "2026-01-01T00:00:01")),
            usual(&date("2026-01-02T00:00:00", "2026-01-01T00:00:00")),
            "spec.profiles[].fixedDate.end",
            "InvalidParameter: end must be after start and at most 365 days after it",
        ),
        always(
            usual(&date("2026-01-01T00:00:00", "2026-01-02T00:00:00")),
            usual(&both),
            "spec.profiles[].recurrence",
            "InvalidParameter: recurrence must be absent where fixedDate is set",
        ),
        always(
            week(23, 59),
            week(24, 0),
            "spec.profiles[].recurrence.hours",
            "InvalidParameter: hours must be 0 to 23",
        ),
        always(
            week(0, 0),
            week(0, 60),
            "spec.profiles[].recurrence.minutes",
            "InvalidParameter: minutes must be 0 to 59",
        ),
    ]
}

fn of_triggers() -> Vec<Case> {
    let many = |count: usize| {
        let rules: Vec<Value> = (0..count).map(|number| rule(&format!("r{number}"), &json!({}), &json!({}))).collect();
        usual(&json!({"rules": rules}))
    };
    let of_trigger = |trigger: Value| usual(&json!({"rules": [rule("busy", &trigger, &json!({}))]}));
    let at = |field: &str| format!("spec.profiles[].rules[].{field}");
    let range = |field: &str, least: i32, most: i32| {
        (at(&format!("metricTrigger.{field}")), format!("InvalidParameter: {field} must be {least} to {most}"))
    };
    let (grain, grain_range) = range("timeGrainSeconds", 60, 43_200);
    let (window, window_range) = range("timeWindowSeconds", 300, 43_200);
    vec![
        always(many(10), many(11), "spec.profiles[].rules", "InvalidParameter: there must be at most 10 rules"),
        always(
            of_trigger(json!({"timeGrainSeconds": 60})),
            of_trigger(json!({"timeGrainSeconds": 59})),
            &grain,
            &grain_range,
        ),
        always(
            of_trigger(json!({"timeGrainSeconds": 43_200, "timeWindowSeconds": 43_200})),
            of_trigger(json!({"timeGrainSeconds": 43_201, "timeWindowSeconds": 43_200})),
            &grain,
            &grain_range,
        ),
        always(
            of_trigger(json!({"timeWindowSeconds": 300})),
            of_trigger(json!({"timeWindowSeconds": 299})),
            &window,
            &window_range,
        ),
        always(
            of_trigger(json!({"timeWindowSeconds": 43_200})),
            of_trigger(json!({"timeWindowSeconds": 43_201})),
            &window,
            &window_range,
        ),
        always(
            of_trigger(json!({"timeWindowSeconds": 600, "timeGrainSeconds": 600})),
            of_trigger(json!({"timeWindowSeconds": 300, "timeGrainSeconds": 600})),
            &window,
            "InvalidParameter: timeWindowSeconds must be at least timeGrainSeconds",
        ),
        always(
            of_trigger(dimensions("VMName", 50)),
            of_trigger(dimensions("Slot", 1)),
            &at("metricTrigger.dimensions[].dimensionName"),
            "InvalidParameter: dimensionName must be VMName, the only dimension that VMs of a set have",
        ),
        always(
            of_trigger(dimensions("VMName", 1)),
            of_trigger(dimensions("VMName", 51)),
            &at("metricTrigger.dimensions[].values"),
            "InvalidParameter: there must be 1 to 50 values",
        ),
        always(
            of_trigger(json!({"dimensions": []})),
            of_trigger(dimensions("VMName", 0)),
            &at("metricTrigger.dimensions[].values"),
            "InvalidParameter: there must be 1 to 50 values",
        ),
        always(
            of_trigger(json!({"threshold": "-0.125"})),
            of_trigger(json!({"threshold": "seventy"})),
            &at("metricTrigger.threshold"),
            "InvalidParameter: threshold must be a decimal number with at most 3 digits after the point, -1000000000000 to \
             1000000000000",
        ),
    ]
}

fn dimensions(name: &str, values: usize) -> Value {
    let values: Vec<String> = (0..values).map(|number| format!("web-{number}")).collect();
    json!({"dimensions": [{"dimensionName": name, "operator": "NotEquals", "values": values}]})
}

fn of_actions() -> Vec<Case> {
    let of_action = |action: Value| usual(&json!({"rules": [rule("busy", &json!({}), &action)]}));
    let at = |field: &str| format!("spec.profiles[].rules[].{field}");
    let value = |accepted: i32, refused: i32| {
        always(
            of_action(json!({"value": accepted})),
            of_action(json!({"value": refused})),
            &at("scaleAction.value"),
            "InvalidParameter: value must be 1 to 1000",
        )
    };
    let cooldown = |accepted: i32, refused: i32| {
        always(
            of_action(json!({"cooldownSeconds": accepted})),
            of_action(json!({"cooldownSeconds": refused})),
            &at("scaleAction.cooldownSeconds"),
            "InvalidParameter: cooldownSeconds must be 60 to 604800",
        )
    };
    vec![value(1, 0), value(1_000, 1_001), cooldown(60, 59), cooldown(604_800, 604_801)]
}

/// What looks forbidden and is not.
pub fn legal_changes() -> Vec<LegalChange> {
    let change = |change: Value| LegalChange { before: autoscale_setting(), change };
    vec![
        change(json!({"spec": {"enabled": false}})),
        change(usual(&json!({"capacity": {"minimum": 0, "maximum": 0, "default": 0}}))),
        // Which zones there are only the controller knows.
        change(usual(
            &json!({"recurrence": {"timeZone": "Europe/Atlantis", "days": ["Monday"], "hours": [6], "minutes": [0]}}),
        )),
    ]
}

#[test]
fn a_date_that_does_not_exist_gets_nowhere() {
    server::run(async |server| {
        for (start, end, exists) in [
            ("2026-02-27T00:00:00", "2026-02-28T00:00:00", true),
            ("2028-02-28T00:00:00", "2028-02-29T00:00:00", true),
            ("2026-02-27T00:00:00", "2026-02-30T00:00:00", false),
            ("2026-02-30T00:00:00", "2026-03-02T00:00:00", false),
            ("2026-02-28T00:00:00", "2026-02-29T00:00:00", false),
            ("2026-04-30T00:00:00", "2026-04-31T00:00:00", false),
            ("2026-04-30T00:00:00", "2026-04-30T24:00:00", false),
        ] {
            let dated = usual(&json!({"fixedDate": {"start": start, "end": end}}));
            let answer = server.create(&merged(&autoscale_setting(), &dated), DryRun::Yes).await;
            let refused = answer.err().map(|error| error.to_string());
            assert_eq!(refused.is_none(), exists, "{start} to {end}: {refused:?}");
            let about = refused.is_none_or(|refused| refused.contains("spec.profiles[0].fixedDate"));
            assert!(about, "{start} to {end}: the field is named");
        }
    });
}
