//! The namespaces in which a node's processes run, held by one process.
//!
//! Network, mounts and process ids are the node's own. When the holder ends, the kernel ends every process inside, and
//! with the last of them go the mounts, the devices, their addresses, routes and packet filters: nothing has to be
//! taken back one by one, and nothing stays when whoever started it is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::certificates::write;
use crate::error::{ControlPlaneError, file};
use crate::log::log_tail;
use crate::process::{ProcessId, Supervisor};

const READY_DEADLINE: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 10;

/// Starts the holder as the first process of the namespace of process ids, and ends it when it is told to end itself. It
/// forks nothing before: that would be the first one.
const KEEPER: &str = r#"
trap 'kill -KILL $!' TERM INT HUP
sh "$1/holder.sh" "$1" & holder=$!
echo $holder >"$1/holder"
while kill -0 $holder 2>/dev/null; do wait $holder; done
"#;

/// Prepares what the node's processes see, and then only reaps what ends. What Kubernetes writes at fixed places goes to
/// memory of the node; the settings that kubelet would change for the whole kernel are files that already say what it
/// wants.
const HOLDER: &str = r#"
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir /run/state && mount --bind "$1" /run/state
for directory in /var/lib /var/log; do
  mkdir -p /run/over$directory/upper /run/over$directory/work
  mount -t overlay -o lowerdir=$directory,upperdir=/run/over$directory/upper,workdir=/run/over$directory/work overlay $directory
done
mount --bind /run/state "$1"
mkdir /run/settings
while read -r name value; do
  [ -e /proc/sys/$name ] || continue
  echo $value >/run/settings/${name##*/}
  mount --bind /run/settings/${name##*/} /proc/sys/$name
done <<SETTINGS
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
mount --make-rshared /
: >"$1/namespace-ready"
trap 'exit 0' TERM
while :; do sleep 86400 & wait $!; done
"#;

/// The namespaces, by the processes that hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// The holder's parent, outside.
    keeper: ProcessId,
    /// The first process inside.
    pub(crate) holder: ProcessId,
}

impl Namespace {
    /// Makes the namespaces; `directory` is seen inside as it is outside. They end with the supervisor.
    pub(crate) fn make(directory: &Path, supervisor: &mut Supervisor) -> Result<Self, ControlPlaneError> {
        let log = directory.join("namespace.log");
        for mark in ["holder", "namespace-ready"] {
            let _ = fs::remove_file(directory.join(mark));
        }
        // As files, for the watchdog takes commands of one line.
        write(&directory.join("holder.sh"), HOLDER)?;
        let script = directory.join("keeper.sh");
        write(&script, KEEPER)?;
        let (script, of) = (script.display().to_string(), directory.display().to_string());
        let arguments = ["--net", "--mount", "--pid", "sh", &script, &of].map(str::to_owned);
        let keeper = supervisor.start(Path::new("unshare"), &arguments, &log)?;
        let started = Instant::now();
        while !directory.join("namespace-ready").exists() {
            if !keeper.is_running() || started.elapsed() > READY_DEADLINE {
                let (seconds, tail) = (started.elapsed().as_secs(), log_tail(&log, 0, LOG_TAIL_LINES));
                return Err(ControlPlaneError::NotReady { process: "the node's namespace", seconds, log, tail });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { keeper, holder: holder(directory)? })
    }

    /// A program inside, for [`Supervisor::start`]: what it finds on `PATH` comes from `path`.
    pub(crate) fn entering(self, program: &Path, arguments: &[String], path: &str) -> (PathBuf, Vec<String>) {
        let target = self.holder.pid.to_string();
        let enter = ["--target", &target, "--net", "--mount", "--pid", "--", "env", &format!("PATH={path}")];
        let mut words: Vec<String> = enter.map(str::to_owned).to_vec();
        words.push(program.display().to_string());
        words.extend_from_slice(arguments);
        (PathBuf::from("nsenter"), words)
    }

    /// Whether it is there.
    pub(crate) fn is_there(self) -> bool {
        self.holder.is_running()
    }

    /// Ends every process inside; all of them are gone when this returns. Whether there was one.
    pub(crate) fn end(self) -> bool {
        let there = self.is_there();
        self.holder.kill();
        self.keeper.stop();
        there
    }
}

/// The holder, as its parent outside has written it down.
fn holder(directory: &Path) -> Result<ProcessId, ControlPlaneError> {
    let path = directory.join("holder");
    let started = Instant::now();
    loop {
        if let Some(holder) = fs::read_to_string(&path).ok().and_then(|text| ProcessId::of(text.trim().parse().ok()?)) {
            return Ok(holder);
        }
        if started.elapsed() > READY_DEADLINE {
            return Err(file(path)(std::io::Error::other("the node's namespace has no holder")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
