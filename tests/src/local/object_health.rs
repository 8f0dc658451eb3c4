//! What deployment tools make of an object: kstatus' own library, which Flux reads with, and Argo CD with our health script.
//!
//! Both live in one small program (`hack/object-health`) that answers line by line. One process serves all tests; it
//! ends when this one does, for then its input ends.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use scaleset_control_plane::binaries::object_health;
use serde::Deserialize;
use serde_json::Value;

use super::cluster::workspace;

/// The script that an administrator of Argo CD installs, from the root of the checkout.
pub const HEALTH_SCRIPT: &str = "hack/argocd/resource_customizations/compute.scaleset.io/_/health.lua";

/// What kstatus takes an object for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is being deleted.
    Terminating,
    /// Somebody is at work.
    InProgress(String),
    /// Nothing more will happen by itself.
    Failed(String),
    /// It is as its spec says.
    Current,
}

/// What Argo CD takes an object for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is as its spec says.
    Healthy(String),
    /// Somebody is at work.
    Progressing(String),
    /// Somebody has halted it.
    Suspended(String),
    /// Nothing more will happen by itself.
    Degraded(String),
}

/// What the tools make of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// kstatus.
    pub kstatus: Reading,
    /// Argo CD.
    pub argo_cd: Health,
}

/// Builds the program where that is needed: whoever waits for an object should not wait for a compiler.
pub fn prepare() -> anyhow::Result<()> {
    object_health(|_| {})?;
    Ok(())
}

/// Asks for a judgement.
pub fn judge(object: &Value) -> anyhow::Result<Judgement> {
    static JUDGE: LazyLock<Mutex<Option<Judge>>> = LazyLock::new(Mutex::default);
    let mut judge = JUDGE.lock().unwrap_or_else(PoisonError::into_inner);
    let judge = match &mut *judge {
        Some(judge) => judge,
        none => none.insert(Judge::start()?),
    };
    judge.ask(object)
}

impl Judgement {
    /// Both tools must tell a user the same.
    pub fn agreed(self) -> anyhow::Result<Self> {
        let Self { kstatus, argo_cd } = &self;
        let alike = match argo_cd {
            Health::Healthy(_) | Health::Suspended(_) => *kstatus == Reading::Current,
            Health::Progressing(_) => matches!(kstatus, Reading::InProgress(_) | Reading::Terminating),
            Health::Degraded(_) => matches!(kstatus, Reading::Failed(_)),
        };
        ensure!(alike, "to kstatus it is {kstatus}, to Argo CD {argo_cd:?}");
        Ok(self)
    }
}

/// The running program.
struct Judge {
    _child: Child,
    objects: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answers {
    kstatus: Answer,
    argocd: Answer,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    message: String,
}

impl Judge {
    fn start() -> anyhow::Result<Self> {
        let program = object_health(|_| {})?;
        let mut child = Command::new(&program)
            .arg("-health-script")
            .arg(workspace().join(HEALTH_SCRIPT))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let objects = child.stdin.take().context("its input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        Ok(Self { _child: child, objects, answers })
    }

    fn ask(&mut self, object: &Value) -> anyhow::Result<Judgement> {
        // One write: the program reads a line when it is whole.
        self.objects.write_all(format!("{object}\n").as_bytes())?;
        self.objects.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "object-health has ended; its complaint stands above");
        let Answers { kstatus, argocd } = serde_json::from_str(&line).with_context(|| line.clone())?;
        let kstatus = match kstatus.status.as_str() {
            "Terminating" => Reading::Terminating,
            "InProgress" => Reading::InProgress(kstatus.message),
            "Failed" => Reading::Failed(kstatus.message),
            "Current" => Reading::Current,
            other => bail!("kstatus says {other}: {}", kstatus.message),
        };
        let argo_cd = match argocd.status.as_str() {
            "Healthy" => Health::Healthy(argocd.message),
            "Progressing" => Health::Progressing(argocd.message),
            "Suspended" => Health::Suspended(argocd.message),
            "Degraded" => Health::Degraded(argocd.message),
            other => bail!("Argo CD says {other}: {}", argocd.message),
        };
        Ok(Judgement { kstatus, argo_cd })
    }
}

impl Reading {
    /// Its name without what is said.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terminating => "Terminating",
            Self::InProgress(_) => "InProgress",
            Self::Failed(_) => "Failed",
            Self::Current => "Current",
        }
    }
}

impl Health {
    /// Its name and what is said.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Healthy(message) => ("Healthy", message),
            Self::Progressing(message) => ("Progressing", message),
            Self::Suspended(message) => ("Suspended", message),
            Self::Degraded(message) => ("Degraded", message),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminating => write!(formatter, "being deleted"),
            Self::InProgress(words) => write!(formatter, "in progress ({words})"),
            Self::Failed(words) => write!(formatter, "failed ({words})"),
            Self::Current => write!(formatter, "current"),
        }
    }
}
