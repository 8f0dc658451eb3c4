//! The course of an operation, drawn when it is accepted: when the power changes to what, when the guest runs, when
//! all is over and whether it failed.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::profile::Extension;
use scaleset_crds::vocabulary::PowerState;

use crate::sim::extension::{self, Runs};
use crate::sim::fault::{BootFailure, Disturbance};
use crate::sim::latency::{Distribution, Latencies, in_milliseconds};
use crate::sim::random::Chance;
use crate::sim::vm::{Failure, PowerStep};

/// A restart or reimage spends this part of its time stopping.
const STOPPING_SHARE: f64 = 0.25;
/// Cutting the power takes this part of a shutdown.
const POWER_CUT_SHARE: f64 = 0.1;

/// What the course of one operation depends on.
pub(crate) struct Scheduler<'a> {
    pub(crate) now: Timestamp,
    pub(crate) uid: &'a str,
    /// Number of the operation on this machine.
    pub(crate) attempt: u32,
    pub(crate) chance: Chance,
    pub(crate) latencies: &'a Latencies,
    pub(crate) disturbance: Disturbance,
}

/// The course of an operation, without its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) power: Vec<PowerStep>,
    pub(crate) ready_at: Timestamp,
    pub(crate) guest: Guest,
    pub(crate) failure: Option<Failure>,
}

/// What is done to a machine whose power stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Update,
    Reimage,
}

/// What an operation does to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Nothing: it runs, or does not, as before.
    Undisturbed,
    /// It boots, and runs from then on.
    RunsFrom(Timestamp),
    /// It boots, and never reports.
    Lost,
    /// It goes down.
    Down,
}

impl Course {
    /// From when on the machine runs, if the course starts it.
    pub(crate) fn runs_from(&self) -> Option<Timestamp> {
        self.power.iter().find(|step| step.power == PowerState::Running).map(|step| step.at)
    }
}

impl Scheduler<'_> {
    /// A new machine: allocation, then first boot.
    pub(crate) fn create(&self) -> Course {
        let starts_at = self.now + self.draw("allocate", self.latencies.allocate);
        let before = vec![self.step(PowerState::Creating)];
        self.boot(before, starts_at, self.draw("boot", self.latencies.boot))
    }

    /// Starting a stopped machine, or one that has just been allocated again.
    pub(crate) fn start(&self) -> Course {
        self.boot(Vec::new(), self.now, self.draw("start", self.latencies.start))
    }

    /// Stopping and starting a running machine.
    pub(crate) fn restart(&self) -> Course {
        self.cycle("restart", self.latencies.restart)
    }

    /// Stopping a running machine, replacing its disk and starting it.
    pub(crate) fn reimage(&self) -> Course {
        self.cycle("reimage", self.latencies.reimage)
    }

    /// Work on a machine that keeps its power state.
    pub(crate) fn steady(&self, work: Work, power: PowerState) -> Course {
        let latency = match work {
            Work::Update => self.draw("update", self.latencies.update),
            Work::Reimage => self.draw("reimage", self.latencies.reimage),
        };
        quiet(vec![self.step(power)], self.now + latency, Guest::Undisturbed)
    }

    /// From running to stopped.
    pub(crate) fn stop(&self) -> Course {
        self.down(PowerState::Stopping, PowerState::Stopped, self.draw("stop", self.latencies.stop))
    }

    /// From running to stopped without asking the guest.
    pub(crate) fn cut_power(&self) -> Course {
        let whole = self.draw("stop", self.latencies.stop);
        let latency = in_milliseconds(whole.as_secs_f64() * POWER_CUT_SHARE);
        self.down(PowerState::Stopping, PowerState::Stopped, latency)
    }

    /// From deallocated to stopped: hardware is allocated, the guest stays down.
    pub(crate) fn allocate(&self) -> Course {
        self.down(PowerState::Deallocated, PowerState::Stopped, self.draw("stop", self.latencies.stop))
    }

    /// From running or stopped to deallocated.
    pub(crate) fn deallocate(&self) -> Course {
        let latency = self.draw("deallocate", self.latencies.deallocate);
        self.down(PowerState::Deallocating, PowerState::Deallocated, latency)
    }

    /// Deleting a machine whose power is `power`.
    pub(crate) fn delete(&self, power: PowerState) -> Course {
        let shown = match power {
            PowerState::Creating | PowerState::Starting | PowerState::Running | PowerState::Stopping => {
                PowerState::Stopping
            }
            PowerState::Stopped | PowerState::Deallocating | PowerState::Deallocated | PowerState::Unknown => power,
        };
        quiet(vec![self.step(shown)], self.now + self.draw("delete", self.latencies.delete), Guest::Down)
    }

    /// The runs of `chosen` among `order`, from the instant at which the guest runs.
    pub(crate) fn extensions(&self, order: &[&Extension], chosen: &BTreeSet<String>, guest_runs_at: Timestamp) -> Runs {
        let duration = |name: &str| self.draw(&format!("extension {name}"), self.latencies.extension);
        extension::run(order, chosen, guest_runs_at, duration, &self.disturbance.failing_extensions)
    }

    fn cycle(&self, name: &str, latency: Distribution) -> Course {
        let whole = self.draw(name, latency);
        let stopping = in_milliseconds(whole.as_secs_f64() * STOPPING_SHARE);
        self.boot(vec![self.step(PowerState::Stopping)], self.now + stopping, whole - stopping)
    }

    fn down(&self, passing: PowerState, reached: PowerState, latency: SignedDuration) -> Course {
        let ready_at = self.now + latency;
        quiet(vec![self.step(passing), PowerStep { at: ready_at, power: reached }], ready_at, Guest::Down)
    }

    fn boot(&self, mut power: Vec<PowerStep>, starts_at: Timestamp, latency: SignedDuration) -> Course {
        let slow_factor = self.disturbance.slow_factor.unwrap_or(1.0);
        let runs_at = starts_at + in_milliseconds(latency.as_secs_f64() * slow_factor);
        power.push(PowerStep { at: starts_at, power: PowerState::Starting });
        let Some(code) = self.disturbance.boot_failure else {
            power.push(PowerStep { at: runs_at, power: PowerState::Running });
            return quiet(power, runs_at, Guest::RunsFrom(runs_at));
        };
        let failed_at = starts_at + self.draw("provisioning timeout", self.latencies.provisioning_timeout);
        let (reached, message) = match code {
            BootFailure::OSProvisioningTimedOut => (
                PowerStep { at: runs_at.min(failed_at), power: PowerState::Running },
                "the guest did not report in time",
            ),
            BootFailure::VMStartTimedOut => {
                (PowerStep { at: failed_at, power: PowerState::Stopped }, "the machine did not start in time")
            }
        };
        power.push(reached);
        let failure = Failure { code: code.code().to_owned(), message: message.to_owned() };
        Course { power, ready_at: failed_at, guest: Guest::Lost, failure: Some(failure) }
    }

    fn step(&self, power: PowerState) -> PowerStep {
        PowerStep { at: self.now, power }
    }

    fn draw(&self, name: &str, latency: Distribution) -> SignedDuration {
        latency.draw(|| self.chance.generator(&["latency", self.uid, name, &self.attempt.to_string()]))
    }
}

fn quiet(power: Vec<PowerStep>, ready_at: Timestamp, guest: Guest) -> Course {
    Course { power, ready_at, guest, failure: None }
}
