//! Plays every story in `tests/scenarios` and compares its transcript with the golden one beside it.
//! `UPDATE_GOLDENS=1` writes the transcripts anew; the change is then to be read.

use std::fs;
use std::path::{Path, PathBuf};

use scaleset_tests::simulation::script::{Setting, play};
use scaleset_tests::simulation::stage::Order;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn stories() -> Vec<PathBuf> {
    let entries = fs::read_dir(directory()).expect("tests/scenarios is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
}

#[test]
fn every_story_is_told_as_before() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let directory = directory();
    let stories = stories();
    let mut differences = Vec::new();
    for path in &stories {
        let story = fs::read_to_string(path).expect("a story can be read");
        let told = std::panic::catch_unwind(|| play(&story, Setting { directory: &directory, order: Order::Fixed }));
        let Ok(transcript) = told else {
            differences.push(format!("{}: see above", path.display()));
            continue;
        };
        let golden = path.with_extension("golden");
        if update {
            fs::write(&golden, &transcript).expect("a transcript can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if transcript != expected {
            differences.push(format!("{}\n{}", path.display(), first_difference(&expected, &transcript)));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(stories.len() >= 20, "only {} stories were found", stories.len());
}

/// The first line that differs, with three before it.
fn first_difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let context: Vec<String> = new[same.saturating_sub(3)..same].iter().map(|line| format!("  {line}\n")).collect();
    let context = context.concat();
    let line = |lines: &[&str]| lines.get(same).map_or_else(|| "(the end)".to_owned(), |line| (*line).to_owned());
    format!("{context}- {}\n+ {}", line(&old), line(&new))
}
