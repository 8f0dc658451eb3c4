//! Style that a program can check: the wall around the planner, sizes, names, and words that must not be there.
//!
//! `docs/ARCHITECTURE.md` says why each rule is there. What clippy and rustfmt know is left to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 500;

/// What the planner must not be able to reach: the network, an async runtime, a clock of its own, chance, a disk.
const IMPURE_CRATES: [&str; 20] = [
    "async-std",
    "axum",
    "chrono",
    "fastrand",
    "futures",
    "getrandom",
    "h2",
    "hyper",
    "kube-client",
    "kube-runtime",
    "mio",
    "rand",
    "rand_core",
    "redb",
    "reqwest",
    "rustls",
    "scaleset-controller",
    "scaleset-hardware",
    "tokio",
    "tower",
];

/// What the standard library and jiff would still allow in the planner.
const IMPURE_WORDS: [&str; 12] = [
    "HashMap",
    "HashSet",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::io",
];

/// Modules that say nothing about what is in them.
const EMPTY_NAMES: [&str; 8] = ["mod", "util", "utils", "helper", "helpers", "common", "misc", "shared"];

/// Files that may wait for time to pass: they ask again until a deadline, or time itself is their subject.
const MAY_SLEEP: [&str; 6] = [
    "tests/src/local.rs",
    "tests/src/bin/bench/ours.rs",
    "tests/src/bin/dashboard/main.rs",
    "tests/tests/runtime_on_server.rs",
    "tests/tests/schema_on_server/server.rs",
    "tests/control-plane/src/",
];

/// What is not the project's.
const LEFT_BEHIND: [&str; 3] = [".git", ".run", "target"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it has a parent").to_owned()
}

/// Every file of the checkout by its path from the root; what builds and runs leave behind is left out.
fn files() -> Vec<String> {
    let (mut files, mut directories) = (Vec::new(), vec![root()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.strip_prefix(root()).expect("it is below").to_str().expect("names are text").to_owned();
            if LEFT_BEHIND.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// The files that end so, with their text.
fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let chosen: Vec<String> =
        files().into_iter().filter(|file| endings.iter().any(|ending| file.ends_with(ending))).collect();
    assert!(!chosen.is_empty(), "no file ends with {endings:?}");
    let text = |file: &String| fs::read_to_string(root().join(file)).expect("it is text");
    chosen.iter().map(|file| (file.clone(), text(file))).collect()
}

/// Lines of the files in which a word stands, as `file:line: word`.
fn places(texts: &[(String, String)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let here = words.iter().filter(|word| line.contains(**word));
            found.extend(here.map(|word| format!("{file}:{}: {word}", number + 1)));
        }
    }
    found
}

/// A word in two parts, so that this file does not find itself.
fn word(start: &str, end: &str) -> String {
    format!("{start}{end}")
}

fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

#[test]
fn the_planner_can_reach_nothing() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--package", "scaleset-planning", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let crates = run(&mut tree);
    let names: Vec<&str> = crates.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"scaleset-crds"), "the tree is there: {names:?}");
    let impure: Vec<String> =
        names.iter().filter(|name| IMPURE_CRATES.contains(name)).map(|name| (*name).to_owned()).collect();
    none(&impure, "the planner depends on what it must not reach");
}

#[test]
fn the_planner_asks_nobody() {
    let mut sources = texts(&[".rs"]);
    sources.retain(|(file, _)| file.starts_with("controller/planning/src/"));
    assert!(sources.len() > 20, "only {} files of the planner were found", sources.len());
    none(&places(&sources, &IMPURE_WORDS), "the planner must get this as an input, or in order");
}

#[test]
fn the_simulated_hardware_knows_no_planner() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--package", "scaleset-hardware", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let crates = run(&mut tree);
    assert!(crates.contains("redb"), "the tree is there");
    assert!(!crates.contains("scaleset-planning"), "hardware and planning do not know each other");
}

#[test]
fn files_fit_a_sitting() {
    let long = texts(&[".rs", ".go"]).into_iter().map(|(file, text)| (file, text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > FILE_LINES_MAX).map(|(file, lines)| format!("{file}: {lines} lines"));
    none(&long.collect::<Vec<String>>(), "split by concern what is longer than 500 lines");
}

#[test]
fn a_name_says_what_is_inside() {
    let named = |file: &String| {
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        EMPTY_NAMES.contains(&stem.as_str())
    };
    let sources = texts(&[".rs"]).into_iter().map(|(file, _)| file);
    let found: Vec<String> = sources.filter(named).collect();
    none(&found, "name the module by what it decides; foo.rs stands beside foo/");
}

#[test]
fn every_module_opens_with_what_it_is() {
    let silent = texts(&[".rs"]).into_iter().filter(|(_, text)| !text.starts_with("//!"));
    // Unit tests beside a module are about that module.
    let silent = silent.filter(|(file, _)| !file.ends_with("/tests.rs"));
    none(&silent.map(|(file, _)| file).collect::<Vec<String>>(), "a file opens with //!");
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        word("todo", "!("),
        word("unimplemented", "!("),
        word("dbg", "!("),
        word("#[ign", "ore"),
        word("TO", "DO"),
        word("FIX", "ME"),
        word("allow(dead", "_code)"),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    none(&places(&texts(&[".rs", ".go", "Makefile"]), &words), "finish it, or leave it out");
}

#[test]
fn tests_wait_for_facts_and_not_for_time() {
    let mut sources = texts(&[".rs"]);
    sources.retain(|(file, _)| file.starts_with("tests/") && !MAY_SLEEP.iter().any(|may| file.starts_with(may)));
    none(
        &places(&sources, &[word("sle", "ep(").as_str()]),
        "poll a condition until a deadline, with what is there for it",
    );
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let words = [
        word("/ro", "ot/"),
        word("/wo", "rk/"),
        word("../sha", "red"),
        word("static.crates", ".io"),
        word("index.crates", ".io"),
        word("proxy.golang", ".org"),
        word("registry.npmjs", ".org"),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let all = texts(&[".rs", ".go", ".md", ".toml", ".yaml", ".txt", ".golden", "Makefile", ".ci/run", "go.mod"]);
    none(&places(&all, &words), "no path of a machine, no host of a registry");
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let mut tops: Vec<String> =
        files().iter().map(|file| file.split('/').next().unwrap_or_default().to_owned()).collect();
    tops.sort();
    tops.dedup();
    tops.retain(|top| !top.starts_with('.'));
    let agreed = [
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "charts",
        "clippy.toml",
        "controller",
        "crds",
        "deny.toml",
        "docs",
        "hack",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "tests",
    ];
    assert_eq!(tops, agreed);
}
