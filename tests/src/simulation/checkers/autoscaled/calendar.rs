//! Which profile of a setting is in force, by the words of its spec.

use jiff::Timestamp;
use serde_json::Value;

use crate::simulation::checkers::seen::text;

const DAY: i64 = 86_400;
/// The first of January 1970 was a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The profile in force at an instant. The judge reads no clock but that of UTC: where a calendar names another one, it takes the
/// setting's word for it.
pub(super) fn in_force(setting: &Value, at: Timestamp) -> Option<&Value> {
    let profiles = setting["spec"]["profiles"].as_array()?;
    let elsewhere = |schedule: &Value| !schedule.is_null() && schedule["timeZone"] != "UTC";
    if profiles.iter().any(|profile| elsewhere(&profile["fixedDate"]) || elsewhere(&profile["recurrence"])) {
        return profiles.iter().find(|profile| profile["name"] == setting["status"]["profile"]);
    }
    let dated = profiles.iter().find(|profile| covers(&profile["fixedDate"], at));
    let begun = profiles.iter().filter_map(|profile| Some((began(&profile["recurrence"], at)?, profile)));
    // Of several that began together the first.
    let recurring = begun.reduce(|latest, other| if other.0 > latest.0 { other } else { latest });
    let usual = || profiles.iter().find(|profile| profile["fixedDate"].is_null() && profile["recurrence"].is_null());
    dated.or_else(|| recurring.map(|(_, profile)| profile)).or_else(usual)
}

fn covers(date: &Value, at: Timestamp) -> bool {
    let instant = |field: &str| format!("{}Z", text(&date[field])).parse::<Timestamp>();
    matches!((instant("start"), instant("end")), (Ok(start), Ok(end)) if start <= at && at < end)
}

/// The last second at which a recurrence began, of the week that ends at an instant.
fn began(recurrence: &Value, at: Timestamp) -> Option<i64> {
    let numbers = |field: &str| recurrence[field].as_array().into_iter().flatten().filter_map(Value::as_i64);
    let named = recurrence["days"].as_array()?;
    let (now, today) = (at.as_second(), at.as_second().div_euclid(DAY));
    let weekday = |day: i64| DAYS[usize::try_from(day.rem_euclid(7)).expect("it is below seven")];
    let days = (today - 7..=today).filter(|day| named.iter().any(|name| name == weekday(*day)));
    let starts = days.flat_map(|day| numbers("hours").map(move |hour| day * DAY + hour * 3_600));
    starts
        .flat_map(|start| numbers("minutes").map(move |minute| start + minute * 60))
        .filter(|start| *start <= now)
        .max()
}
