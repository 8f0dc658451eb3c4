//! Tables as kubectl prints them, JSON and YAML.

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Output;

/// Rows under headings, aligned, without lines.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<&str>>().join("\n")
}

/// `name: value` lines, aligned.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let line = |(name, value): &(&str, String)| format!("{:width$} {value}", format!("{name}:")).trim_end().to_owned();
    facts.iter().map(line).collect::<Vec<String>>().join("\n")
}

/// An object without what the API server keeps for itself.
pub(crate) fn object(object: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(object).expect("an object is plain data");
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value
}

/// Prints a value for programs.
pub(crate) fn print(value: &Value, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Yaml => print!("{}", serde_saphyr::to_string(value)?),
        Output::Json | Output::Table => println!("{}", serde_json::to_string_pretty(value)?),
    }
    Ok(())
}

/// A value that may be missing.
pub(crate) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "<none>".to_owned(), |value| value.to_string())
}

/// How long ago, as kubectl says it.
pub(crate) fn age(since: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_end_with_their_text() {
        let rows = [vec!["web-0".to_owned(), "running".to_owned()], vec!["web-10".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "POWER"], &rows), "NAME     POWER\nweb-0    running\nweb-10");
    }

    #[test]
    fn facts_are_aligned() {
        let lines = facts(&[("Mode", "Uniform".to_owned()), ("Zones", String::new())]);
        assert_eq!(lines, "Mode:  Uniform\nZones:");
    }

    #[test]
    fn ages_are_short() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let ago = |seconds: i64| age(now - jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!([ago(5), ago(119), ago(120), ago(7_200), ago(200_000)], ["5s", "119s", "2m", "2h", "2d"]);
    }
}
