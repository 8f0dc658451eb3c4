//! Every command line of ours that the documents show can be typed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::Arguments;

const COMMAND: &str = "kubectl scaleset ";

/// Where a command line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a block: it is shown as it is typed.
    Block,
    /// In a sentence, where a verb may stand for all that can follow it.
    Sentence,
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = fs::read_dir(root.join("docs")).expect("docs is there");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(root.join("README.md"));
    pages
}

/// The command lines of a page, behind `kubectl scaleset`.
fn command_lines(page: &str) -> Vec<(Place, &str)> {
    let mut found = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            let lines = part.lines().map(|line| line.trim().trim_start_matches("$ "));
            found.extend(lines.filter_map(|line| line.strip_prefix(COMMAND)).map(|line| (Place::Block, line)));
        } else {
            let quoted = part.split('`').skip(1).step_by(2);
            found.extend(quoted.filter_map(|code| code.strip_prefix(COMMAND)).map(|line| (Place::Sentence, line)));
        }
    }
    found
}

/// The words of a line as a shell would hand them over; of `start|stop` the lines with each.
fn words(line: &str) -> Vec<Vec<String>> {
    let typed = line.split(" #").next().unwrap_or(line);
    let word = |word: &str| if word == "N" { "3".to_owned() } else { word.replace(['\'', '"'], "") };
    let words: Vec<String> = typed.split_whitespace().map(word).collect();
    let (verbs, rest) = words.split_first().expect("a line has a verb");
    verbs.split('|').map(|verb| [&["kubectl-scaleset".to_owned(), verb.to_owned()], rest].concat()).collect()
}

/// What is wrong with a line.
fn refusal(place: Place, words: &[String]) -> Option<String> {
    let error = Arguments::try_parse_from(words).err()?;
    let is_mention = place == Place::Sentence && error.kind() == ErrorKind::MissingRequiredArgument;
    (!is_mention).then(|| error.to_string())
}

#[test]
fn every_command_line_in_the_documents_can_be_typed() {
    let mut count = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page can be read");
        for (place, line) in command_lines(&page) {
            for words in words(line) {
                count += 1;
                let refusal = refusal(place, &words);
                assert!(refusal.is_none(), "{}: kubectl scaleset {line}: {refusal:?}", path.display());
            }
        }
    }
    assert!(count > 40, "only {count} command lines were found");
}

#[test]
fn a_line_that_cannot_be_typed_is_found() {
    let page = "To confirm: `kubectl scaleset scale SET --replicas N --confirm`, or `kubectl scaleset start|go web`.\n\
                See `kubectl scaleset scale`.\n\n```console\n$ kubectl scaleset scale web\n```\n";
    let lines = command_lines(page)
        .into_iter()
        .flat_map(|(place, line)| words(line).into_iter().map(move |words| (place, words)));
    let refused: Vec<String> =
        lines.filter(|(place, words)| refusal(*place, words).is_some()).map(|(_, words)| words.join(" ")).collect();
    let expected =
        ["kubectl-scaleset scale SET --replicas 3 --confirm", "kubectl-scaleset go web", "kubectl-scaleset scale web"];
    assert_eq!(refused, expected);
}
