//! `kubectl scaleset` as a child process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::binary::Program;

/// The plugin with a kubeconfig and a namespace.
#[derive(Clone, Debug)]
pub struct Plugin {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub said: String,
    /// Standard error.
    pub complained: String,
}

impl Plugin {
    /// Builds it where that is needed.
    pub async fn new(kubeconfig: &Path, namespace: &str) -> anyhow::Result<Self> {
        let program = Program::Plugin.binary().await?;
        Ok(Self { program, kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() })
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs it to its end.
    pub fn answer(&self, arguments: &[&str], input: &str) -> anyhow::Result<Answer> {
        self.answer_as(&self.program, &[&["--namespace", &self.namespace], arguments].concat(), input)
    }

    /// Runs it under another name, as a link to it has.
    pub fn answer_as(&self, program: &Path, arguments: &[&str], input: &str) -> anyhow::Result<Answer> {
        let mut child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        child.stdin.take().context("its input is a pipe")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().context("it was killed")?;
        Ok(Answer { code, said: text(&output.stdout), complained: text(&output.stderr) })
    }

    /// What it said where it succeeded, otherwise an error with its complaint.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Answer { code, said, complained } = self.answer(arguments, "")?;
        ensure!(code == 0, "kubectl scaleset {}: exit code {code}: {said}{complained}", arguments.join(" "));
        Ok(said)
    }

    /// What it complained of; an error where it succeeded.
    pub fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Answer { code, said, complained } = self.answer(arguments, "")?;
        ensure!(code != 0, "kubectl scaleset {} succeeded: {said}", arguments.join(" "));
        Ok(format!("{said}{complained}"))
    }
}
