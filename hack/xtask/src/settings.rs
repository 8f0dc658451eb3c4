//! What a controller was started with, and how that differs from what is asked for now: one that runs already is left
//! alone, so whoever asks for something else must be told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// A file as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileVersion {
    pub(crate) path: PathBuf,
    modified: SystemTime,
}

impl FileVersion {
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let look = || -> std::io::Result<Self> {
            Ok(Self { path: path.canonicalize()?, modified: fs::metadata(path)?.modified()? })
        };
        look().with_context(|| path.display().to_string())
    }
}

/// What a controller is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) program: FileVersion,
    pub(crate) time_scale: String,
    /// Instead of the built-in regions.
    pub(crate) region_file: Option<FileVersion>,
}

impl Settings {
    /// What the controller `program` can be started with; the rules are its own, so it is asked.
    pub(crate) fn checked(program: &Path, time_scale: &str, region_file: Option<&Path>) -> anyhow::Result<Self> {
        accepted("TIME_SCALE", program, &format!("--time-scale={time_scale}"))?;
        if let Some(file) = region_file {
            accepted("REGION_FILE", program, &format!("--region-file={}", file.display()))?;
        }
        Ok(Self {
            program: FileVersion::of(program)?,
            time_scale: time_scale.to_owned(),
            region_file: region_file.map(FileVersion::of).transpose()?,
        })
    }

    /// One line for each thing that a controller started with `asked` would have otherwise.
    pub(crate) fn differences(&self, asked: &Self) -> Vec<String> {
        let Self { program, time_scale, region_file } = self;
        let mut differences = Vec::new();
        if *time_scale != asked.time_scale {
            differences.push(format!("it runs with TIME_SCALE={time_scale}, not {}", asked.time_scale));
        }
        if *region_file != asked.region_file {
            let (runs, asked) = (regions(region_file.as_ref()), regions(asked.region_file.as_ref()));
            differences.push(if runs == asked {
                format!("{runs} has been changed since it was started")
            } else {
                format!("it runs with {runs}, not with {asked}")
            });
        }
        if *program != asked.program {
            differences.push("it is of another build than the one just made".to_owned());
        }
        differences
    }
}

fn accepted(variable: &str, program: &Path, argument: &str) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(["--check", argument])
        .output()
        .with_context(|| format!("{} could not be run", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("nothing has been started, for {variable} cannot be used: {}", refusal(&said))
}

/// The line that matters of what a program said when it refused its arguments.
fn refusal(said: &str) -> &str {
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("refused");
    line.split_once(": ").map_or(line, |(_speaker, reason)| reason)
}

fn regions(file: Option<&FileVersion>) -> String {
    file.map_or_else(|| "the built-in regions".to_owned(), |file| format!("REGION_FILE={}", file.path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn version(path: &str, seconds: u64) -> FileVersion {
        FileVersion { path: path.into(), modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    fn settings() -> Settings {
        Settings { program: version("controller", 1), time_scale: "15".to_owned(), region_file: None }
    }

    #[test]
    fn a_refusal_is_told_without_its_speaker_and_its_advice() {
        let parser =
            "error: invalid value 'abc' for '--time-scale <N>': not a number\n\nFor more information, try '--help'.\n";
        assert_eq!(refusal(parser), "invalid value 'abc' for '--time-scale <N>': not a number");
        assert_eq!(refusal("scaleset-controller: region file a.yaml: no\n"), "region file a.yaml: no");
        assert_eq!(refusal(""), "refused");
    }

    #[test]
    fn what_is_asked_for_again_is_no_difference() {
        assert_eq!(settings().differences(&settings()), [""; 0]);
    }

    #[test]
    fn each_other_option_is_named() {
        let asked = Settings {
            program: version("controller", 2),
            time_scale: "60".to_owned(),
            region_file: Some(version("/a.yaml", 1)),
        };
        let told = settings().differences(&asked);
        let expected = [
            "it runs with TIME_SCALE=15, not 60",
            "it runs with the built-in regions, not with REGION_FILE=/a.yaml",
            "it is of another build than the one just made",
        ];
        assert_eq!(told, expected);
        let changed = Settings { region_file: Some(version("/a.yaml", 2)), ..asked.clone() };
        assert_eq!(asked.differences(&changed), ["REGION_FILE=/a.yaml has been changed since it was started"]);
    }

    #[test]
    fn a_file_that_is_written_again_is_another_version() {
        let path = std::env::temp_dir().join(format!("scaleset-xtask-{}", std::process::id()));
        fs::write(&path, "one").unwrap();
        let first = FileVersion::of(&path).unwrap();
        assert_eq!(FileVersion::of(&path).unwrap(), first);
        let later = first.modified + Duration::from_secs(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_ne!(FileVersion::of(&path).unwrap(), first);
        fs::remove_file(&path).unwrap();
        assert!(FileVersion::of(&path).is_err());
    }
}
