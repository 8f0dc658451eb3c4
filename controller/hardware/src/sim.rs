//! Simulated regions behind the [`Hardware`] trait: hosts with limited room, machines that take their time, and
//! everything that can go wrong on request.
//!
//! A [`RegionFile`] says what there is, a store keeps what happened, a clock says when. Everything random follows from
//! the seed of the region file and from what is drawn for, not from the order of calls. Calls take effect under one lock
//! and return once they are durable; see `docs/hardware.md` for the model and the control endpoint.
//!
//! It never decides anything about sets, and never changes a machine that nobody asked it to change.

mod address;
mod agenda;
mod announce;
mod application;
mod clock;
mod command;
pub mod control;
mod extension;
mod fault;
mod fence;
mod hardware;
mod health;
mod journal;
mod latency;
mod load;
mod maintenance;
mod model;
mod placement;
mod pool;
mod promise;
mod quota;
mod random;
mod region;
mod requests;
mod reservation;
mod schedule;
mod spot;
mod store;
mod survey;
mod termination;
mod vm;
mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::Change;
use clock::{Anchor, Clock};
use store::{Batch, Store, Write};
use world::World;

pub use clock::VirtualClock;
pub use fault::{BootFailure, Fault, FaultEffect, Outage, Selector};
pub use journal::{Call, JournalEntry, Outcome};
pub use latency::{Distribution, Latencies};
pub use load::{Load, LoadSharing, LoadStep};
pub use maintenance::{Maintenance, MaintenanceKind};
pub use region::{RegionFile, RegionFileError};
pub use requests::{RequestCounts, RequestLoad};
pub use spot::SpotPressure;
pub use store::StoreError;
pub use world::{CallCount, ControlCode, ControlError, Drift, MachineFault};

/// Calls that may wait for the store at the same time; more wait for their turn.
const CALLS_IN_FLIGHT: usize = 1_024;
/// Announcements that a slow listener may be behind before it is told of every machine instead.
const ANNOUNCEMENTS_KEPT: usize = 1_024;
/// Largest time scale: a day in less than a second.
const LARGEST_TIME_SCALE: f64 = 100_000.0;

/// What a simulation is made of.
#[derive(Clone, Debug)]
pub struct SimulationOptions {
    /// Which regions there are.
    pub region: RegionSource,
    /// Where the state is kept.
    pub storage: Storage,
    /// Which clock it follows.
    pub clock: ClockSource,
    /// How long operations take.
    pub latency: LatencySource,
}

/// Which regions there are.
#[derive(Clone, Debug)]
pub enum RegionSource {
    /// Those that come with the crate.
    Embedded,
    /// Those of a region file.
    File(PathBuf),
    /// These.
    Given(Box<RegionFile>),
}

impl RegionSource {
    /// The file of that path, or the embedded one; with another seed where one is given. Only then the file is read here.
    pub fn chosen(path: Option<&Path>, seed: Option<u64>) -> Result<Self, RegionFileError> {
        Ok(match (path, seed) {
            (None, None) => Self::Embedded,
            (Some(path), None) => Self::File(path.to_owned()),
            (path, Some(seed)) => {
                let mut file = path.map_or_else(|| Ok(RegionFile::embedded()), RegionFile::read)?;
                file.seed = seed;
                Self::Given(Box::new(file))
            }
        })
    }
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In a file, which survives the process; it is made when it is missing.
    File(PathBuf),
    /// In memory: every call commits before it returns, without another thread.
    Memory,
}

/// Which clock a simulation follows.
#[derive(Clone, Debug)]
pub enum ClockSource {
    /// Wall time since the store was made, multiplied.
    Wall {
        /// Scenario seconds in one second of wall time, above 0 and up to 100,000.
        time_scale: f64,
    },
    /// A clock that only its owner moves.
    Virtual(VirtualClock),
}

/// How long operations take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencySource {
    /// As the region file says.
    RegionFile,
    /// No time at all: every operation is complete when its call returns.
    Zero,
}

/// Why a simulation cannot be opened, in one line that names the thing and the mend.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The region file is wrong.
    #[error(transparent)]
    Region(#[from] RegionFileError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store and the region file do not belong together.
    #[error(
        "the hardware store does not fit the region file: {problem}; use the region file that it was made with, or remove the store"
    )]
    Mismatch {
        /// What does not fit.
        problem: String,
    },
    /// The time scale is out of range.
    #[error("time scale {time_scale} is out of range; give a number above 0 and up to 100000")]
    TimeScale {
        /// What was given.
        time_scale: f64,
    },
}

/// Simulated regions. Clones are the same simulation.
#[derive(Clone, Debug)]
pub struct Simulation {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    clock: Clock,
    store: Store,
    changes: broadcast::Sender<Change>,
    in_flight: Semaphore,
    announcer: announce::Announcer,
    /// Wakes the announcer when something is due earlier than it knows.
    wake: Arc<Notify>,
}

impl Simulation {
    /// Opens a simulation: reads the region file, opens or makes the store, and goes on where the store ends.
    pub fn open(options: SimulationOptions) -> Result<Self, OpenError> {
        let SimulationOptions { region, storage, clock, latency } = options;
        let file = match region {
            RegionSource::Embedded => RegionFile::embedded(),
            RegionSource::File(path) => RegionFile::read(&path)?,
            RegionSource::Given(file) => *file,
        };
        let file = match latency {
            LatencySource::RegionFile => file,
            LatencySource::Zero => file.without_latency(),
        };
        check_time_scale(&clock)?;
        let (store, stored) = match storage {
            Storage::File(path) => Store::open(&path)?,
            Storage::Memory => Store::in_memory(),
        };
        let clock = match clock {
            ClockSource::Virtual(clock) => Clock::Virtual(clock),
            ClockSource::Wall { time_scale } => {
                let wall = Timestamp::now();
                let kept = stored.anchor.map(|anchor| anchor.rescaled(wall, time_scale));
                let anchor = kept.unwrap_or_else(|| Anchor::at(wall, time_scale));
                store.save_anchor(&anchor, stored.sequence);
                Clock::scaled(anchor, stored.latest)
            }
        };
        let world = World::restore(file, stored, clock.now()).map_err(|problem| OpenError::Mismatch { problem })?;
        let inner = Inner {
            world: Mutex::new(world),
            clock,
            store,
            changes: broadcast::Sender::new(ANNOUNCEMENTS_KEPT),
            in_flight: Semaphore::new(CALLS_IN_FLIGHT),
            announcer: announce::Announcer::default(),
            wake: Arc::new(Notify::new()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The embedded regions in memory, under a clock that the caller moves.
    pub fn in_memory(clock: VirtualClock) -> Self {
        Self::in_memory_with(RegionFile::embedded(), clock)
    }

    /// Regions in memory, under a clock that the caller moves.
    pub fn in_memory_with(region: RegionFile, clock: VirtualClock) -> Self {
        Self::open(SimulationOptions {
            region: RegionSource::Given(Box::new(region)),
            storage: Storage::Memory,
            clock: ClockSource::Virtual(clock),
            latency: LatencySource::RegionFile,
        })
        .expect("nothing outside this process is needed")
    }

    /// When something next changes by itself, scenario time; `None` when nothing is under way. A test that moves a
    /// virtual clock there and asks again walks through everything that will happen.
    pub fn next_event_at(&self) -> Option<Timestamp> {
        self.inner.settled().0.next_event_at()
    }

    /// Announces on [`crate::Hardware::changes`] what has become due. Every call does so too, and a running task does so
    /// in time as long as somebody listens.
    pub fn settle(&self) {
        drop(self.inner.settled());
    }
}

impl Inner {
    /// The world at this instant, with everything that is due done.
    fn settled(&self) -> (MutexGuard<'_, World>, Timestamp) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        world.settle(now);
        self.announce(world.take_announcements());
        (world, now)
    }

    fn announce(&self, changes: Vec<Change>) {
        for change in changes {
            // Nobody listening is no error: whoever begins to listen observes everything first.
            let _ = self.changes.send(change);
        }
    }

    /// Hands over what has been written since the last time, and wakes the announcer if something is due earlier.
    fn hand_over(&self, world: &mut World, next_before: Option<Timestamp>) {
        let writes: Vec<Write> = world.take_writes();
        if !writes.is_empty() {
            self.store.enqueue(Batch { writes, sequence: world.sequence() });
        }
        let next = world.next_event_at();
        if next.is_some_and(|next| next_before.is_none_or(|before| next < before)) {
            self.wake.notify_one();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

fn check_time_scale(clock: &ClockSource) -> Result<(), OpenError> {
    match clock {
        ClockSource::Wall { time_scale } if !(*time_scale > 0.0 && *time_scale <= LARGEST_TIME_SCALE) => {
            Err(OpenError::TimeScale { time_scale: *time_scale })
        }
        ClockSource::Wall { time_scale: _ } | ClockSource::Virtual(_) => Ok(()),
    }
}
