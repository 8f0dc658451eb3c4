//! Plays the real passes against both simulated doors until nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use scaleset_controller::cluster::{Cluster, Kind, ObjectKey};
use scaleset_controller::context::{Context, SuddenScaleIn, Wake};
use scaleset_controller::error::PassError;
use scaleset_controller::instance::InstanceKind;
use scaleset_controller::metrics::Metrics;
use scaleset_controller::pace::StatusPace;
use scaleset_controller::{autoscale, instance, operation, reservation_group, scale_set};
use scaleset_hardware::sim::{Call, JournalEntry, Outcome, RegionFile, Simulation, VirtualClock};
use scaleset_hardware::{Hardware, Machine};
use tokio::runtime::Runtime;
use tracing::subscriber::with_default;

use super::cluster::SimulatedCluster;
use super::collector::{Collector, Lines};
use super::random::Random;

/// So many rounds without rest mean that there will never be any.
const ROUNDS_MAX: usize = 600;
/// So many rounds in a row that moved something took some time: calls that fail at random would move for ever without it.
const BUSY_ROUNDS: usize = 20;
/// How much time.
const BUSY_TIME: Duration = Duration::from_secs(10);
/// Passes that are called again by their own wish and do nothing, so often in a row, are waiting and not working.
const IDLE_LOOKS_MAX: usize = 3;
/// When a failed pass is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// In which order the passes of a round run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Sets, then instances, then operations, by name.
    Fixed,
    /// Shuffled by a seed.
    Seeded(u64),
}

/// How long to wait for rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Until nothing moves.
    None,
    /// At most so many seconds of scenario time.
    Seconds(u64),
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing moves and nothing is due.
    Reached,
    /// Something is still to come.
    NotYet,
    /// It moved in each of so many rounds that it never will rest.
    Never,
}

/// What one round did.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Whether the cluster was written or the hardware did something.
    pub moved: bool,
    /// The soonest that a pass is to be called again although nothing changes.
    pub look: Option<Timestamp>,
    /// Passes that failed.
    pub failures: Vec<String>,
}

impl Round {
    fn look_at(&mut self, instant: Timestamp) {
        self.look = Some(self.look.map_or(instant, |sooner| sooner.min(instant)));
    }
}

/// The key of a pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PassKey {
    Set(ObjectKey),
    Instance(InstanceKind, ObjectKey),
    Operation(ObjectKey),
    ReservationGroup(ObjectKey),
    AutoscaleSetting(ObjectKey),
}

/// A cluster, a region, and the controller's passes between them.
pub struct Stage {
    /// The API.
    pub cluster: SimulatedCluster,
    /// The hardware.
    pub hardware: Simulation,
    /// Its clock.
    pub clock: VirtualClock,
    context: Context,
    runtime: Runtime,
    lines: Lines,
    order: Order,
    rounds: u64,
    /// Whether anything has changed that a watch or the hardware would tell of.
    stirred: bool,
    /// The version of the cluster after the last round.
    version: u64,
    /// When passes asked to be called again although nothing changes.
    due: BTreeMap<PassKey, Timestamp>,
    /// Passes that failed, with when they are tried again and what their object was when they failed.
    failed: BTreeMap<PassKey, (Timestamp, i64)>,
    /// Those of them that may not have said what they had to say: the API failed them.
    unheard: BTreeSet<PassKey>,
    /// Whether the last round moved nothing, and everybody has had a say.
    still: bool,
    /// Passes over autoscale settings so far.
    setting_passes: u64,
}

impl Stage {
    /// An empty cluster beside the regions.
    pub fn new(region: RegionFile, order: Order) -> Self {
        let clock = VirtualClock::default();
        let hardware = Simulation::in_memory_with(region, clock.clone());
        let lines = Lines::default();
        let cluster = SimulatedCluster::new(clock.clone(), Arc::clone(&lines));
        let context = context(&cluster, &hardware);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        Self {
            cluster,
            hardware,
            clock,
            context,
            runtime,
            lines,
            order,
            rounds: 0,
            stirred: true,
            version: 0,
            due: BTreeMap::new(),
            failed: BTreeMap::new(),
            unheard: BTreeSet::new(),
            still: false,
            setting_passes: 0,
        }
    }

    /// Runs a future of the hardware's control surface.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Seconds of scenario time since the story began.
    pub fn elapsed_seconds(&self) -> i64 {
        let start = VirtualClock::default().now();
        self.clock.now().duration_since(start).as_secs()
    }

    /// What the passes and the cluster have said since the last call.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts a controller that knows nothing of the one before.
    fn restart(&mut self) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push("the controller died, and is started again".into());
        self.failed.clear();
        self.due.clear();
        self.stirred = true;
        self.cluster.restart();
        self.context = context(&self.cluster, &self.hardware);
    }

    /// Nobody is there for so long, only the hardware goes on; then a controller is started that knows nothing of the one before.
    pub fn away(&mut self, time: Duration) {
        self.idle_until(self.clock.now() + time);
        self.restart();
    }

    /// The hardware announces something: every pass has its turn in the next round.
    pub const fn stir(&mut self) {
        self.stirred = true;
    }

    /// Every pass once, or only those that are due where nothing has changed since the last round; then the garbage collector. A controller that dies is started again and has its passes in the
    /// next round.
    pub fn round(&mut self) -> Round {
        let before = (self.cluster.version(), self.effects());
        self.stirred |= before.0 != self.version;
        let mut round = Round::default();
        let collector = Collector { lines: Arc::clone(&self.lines) };
        with_default(collector, || self.run_passes(&mut round));
        self.cluster.collect_garbage();
        let delivered = self.cluster.deliver(1 + self.keys().len() / 2);
        self.hardware.settle();
        self.rounds += 1;
        self.version = self.cluster.version();
        round.moved |= delivered > 0 || before != (self.version, self.effects());
        self.stirred = round.moved;
        let kept_quiet = |key: &PassKey| {
            matches!(key, PassKey::Set(_) | PassKey::ReservationGroup(_) | PassKey::AutoscaleSetting(_))
                || self.unheard.contains(key)
        };
        self.still = !round.moved && !self.failed.keys().any(kept_quiet);
        round
    }

    /// Whether the last round moved nothing although every pass that something calls has had its turn.
    pub const fn is_still(&self) -> bool {
        self.still
    }

    fn run_passes(&mut self, round: &mut Round) {
        let keys = self.keys();
        self.failed.retain(|key, _| keys.contains(key));
        self.due.retain(|key, _| keys.contains(key));
        for key in keys {
            let (now, generation) = (self.clock.now(), self.generation(&key));
            if self.failed.get(&key).is_some_and(|(until, of)| now < *until && *of == generation) {
                continue;
            }
            let due = self.failed.contains_key(&key) || self.due.get(&key).is_some_and(|due| *due <= now);
            if !self.stirred && !due {
                continue;
            }
            self.failed.remove(&key);
            self.due.remove(&key);
            self.setting_passes += u64::from(matches!(key, PassKey::AutoscaleSetting(_)));
            match self.pass(&key) {
                Some(Ok(Wake::OnChange)) => {}
                Some(Ok(Wake::After(wait))) => drop(self.due.insert(key, now + wait)),
                Some(Err(error)) => {
                    if matches!(error, PassError::Hardware(_)) {
                        self.unheard.remove(&key);
                    } else {
                        self.unheard.insert(key.clone());
                    }
                    round.failures.push(error.to_string());
                    self.failed.insert(key, (now + RETRY, generation));
                }
                None => {
                    round.moved = true;
                    return self.restart();
                }
            }
        }
        for until in self.failed.values().map(|(until, _)| until).chain(self.due.values()) {
            round.look_at(*until);
        }
    }

    /// Rounds, and time between them, until nothing moves and nothing is due, or the limit is reached. `tell` is
    /// given the lines of each round.
    pub fn settle(&mut self, limit: Limit, mut tell: impl FnMut(&Self, Vec<String>)) -> Rest {
        let end = match limit {
            Limit::None => Timestamp::MAX,
            Limit::Seconds(seconds) => self.clock.now() + Duration::from_secs(seconds),
        };
        let (mut idle_looks, mut busy_rounds) = (0, 0);
        for _ in 0..ROUNDS_MAX {
            let round = self.round();
            tell(self, self.take_lines());
            let event = self.hardware.next_event_at();
            let next = match (event, round.look) {
                _ if round.moved && busy_rounds < BUSY_ROUNDS => {
                    (idle_looks, busy_rounds) = (0, busy_rounds + 1);
                    continue;
                }
                _ if round.moved => self.clock.now() + BUSY_TIME,
                (None, None) => return Rest::Reached,
                (None, Some(_)) if idle_looks == IDLE_LOOKS_MAX && limit == Limit::None => return Rest::Reached,
                (Some(event), None) => event,
                (event, Some(look)) => event.map_or(look, |event| event.min(look)),
            };
            busy_rounds = 0;
            idle_looks = if event == Some(next) || round.moved { 0 } else { idle_looks + 1 };
            self.clock.advance_to(next.min(end));
            self.hardware.settle();
            self.stirred |= event == Some(next);
            if next > end {
                return Rest::NotYet;
            }
        }
        Rest::Never
    }

    /// Time in which nothing moves, up to `end`.
    pub fn idle_until(&mut self, end: Timestamp) {
        if self.clock.now() < end {
            self.clock.advance_to(end);
            self.hardware.settle();
        }
    }

    /// Passes over autoscale settings so far.
    pub const fn setting_passes(&self) -> u64 {
        self.setting_passes
    }

    /// Calls that could have changed the hardware and were not refused.
    pub fn effects(&self) -> u64 {
        let changing = [
            Call::Create,
            Call::Update,
            Call::SetPower,
            Call::Reimage,
            Call::ReplaceOsDisk,
            Call::Perform,
            Call::ApproveEvent,
            Call::Delete,
            Call::Count,
            Call::SetMembership,
            Call::Drain,
            Call::Undrain,
            Call::PutReservationGroup,
            Call::Reserve,
            Call::ReleaseReservation,
            Call::DeleteReservationGroup,
        ];
        let calls = self.hardware.calls();
        changing.iter().filter_map(|call| calls.get(call)).map(|count| count.accepted + count.unchanged).sum()
    }

    /// The same, and what somebody did to the hardware from outside.
    pub fn journalled(&self) -> u64 {
        self.effects() + self.hardware.calls().get(&Call::Control).map_or(0, |count| count.accepted)
    }

    /// Everything that the hardware was asked to do.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.hardware.journal().expect("a journal in memory can be read")
    }

    /// Every machine that there is, by the uid of its object; none while the hardware does not answer.
    pub fn machines(&self) -> BTreeMap<String, Machine> {
        self.observed().unwrap_or_default()
    }

    /// The same, where the hardware answers.
    pub fn observed(&self) -> Option<BTreeMap<String, Machine>> {
        self.block_on(self.hardware.observe_all()).map(|inventory| inventory.machines).ok()
    }

    /// Of the object that a pass is about, as the pass sees it: what a person changes raises it, and calls a pass once its
    /// cache shows it.
    fn generation(&self, key: &PassKey) -> i64 {
        let generation = match key {
            PassKey::Set(key) => self.cluster.scale_set(key).and_then(|set| set.metadata.generation),
            PassKey::Operation(key) => self.cluster.operation(key).and_then(|operation| operation.metadata.generation),
            PassKey::ReservationGroup(key) => {
                self.cluster.reservation_group(key).and_then(|group| group.metadata.generation)
            }
            PassKey::AutoscaleSetting(key) => {
                self.cluster.autoscale_setting(key).and_then(|setting| setting.metadata.generation)
            }
            PassKey::Instance(InstanceKind::ScaleSetVM, key) => {
                self.cluster.scale_set_vm(key).and_then(|vm| vm.metadata.generation)
            }
            PassKey::Instance(InstanceKind::FlexVM, key) => {
                self.cluster.flex_vm(key).and_then(|vm| vm.metadata.generation)
            }
        };
        generation.unwrap_or(0)
    }

    fn keys(&self) -> Vec<PassKey> {
        let sets = self.cluster.keys(Kind::ScaleSet).into_iter().map(PassKey::Set);
        let uniform = self.cluster.keys(Kind::ScaleSetVM).into_iter();
        let flexible = self.cluster.keys(Kind::FlexVM).into_iter();
        let uniform = uniform.map(|key| PassKey::Instance(InstanceKind::ScaleSetVM, key));
        let flexible = flexible.map(|key| PassKey::Instance(InstanceKind::FlexVM, key));
        let operations = self.cluster.keys(Kind::ScaleSetOperation).into_iter().map(PassKey::Operation);
        let groups = self.cluster.keys(Kind::CapacityReservationGroup).into_iter().map(PassKey::ReservationGroup);
        let settings = self.cluster.keys(Kind::AutoscaleSetting).into_iter().map(PassKey::AutoscaleSetting);
        let keys = sets.chain(uniform).chain(flexible).chain(operations).chain(groups).chain(settings);
        let mut keys: Vec<PassKey> = keys.collect();
        if let Order::Seeded(seed) = self.order {
            Random::new(seed ^ self.rounds.wrapping_mul(0x9E37_79B9_7F4A_7C15)).shuffle(&mut keys);
        }
        keys
    }

    /// One pass; `None` when the controller died in it.
    fn pass(&self, key: &PassKey) -> Option<Result<Wake, PassError>> {
        let pass = async {
            match key {
                PassKey::Set(key) => scale_set::reconcile(&self.context, key).await,
                PassKey::Operation(key) => operation::reconcile(&self.context, key).await,
                PassKey::ReservationGroup(key) => reservation_group::reconcile(&self.context, key).await,
                PassKey::AutoscaleSetting(key) => autoscale::reconcile(&self.context, key).await,
                PassKey::Instance(kind, key) => instance::reconcile(&self.context, *kind, key).await,
            }
        };
        self.block_on(async {
            tokio::select! {
                biased;
                result = pass => Some(result),
                () = self.cluster.crashed() => None,
            }
        })
    }
}

fn context(cluster: &SimulatedCluster, hardware: &Simulation) -> Context {
    Context {
        cluster: Arc::new(cluster.clone()),
        hardware: Arc::new(hardware.clone()),
        metrics: Arc::new(Metrics::default()),
        pace: Arc::new(StatusPace::new(Duration::ZERO)),
        group_pace: Arc::new(StatusPace::new(Duration::ZERO)),
        looked: Arc::default(),
        sudden_scale_in: SuddenScaleIn::Allow,
    }
}

/// Whether a call did something.
pub fn took_effect(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted | Outcome::AnswerLost => true,
        Outcome::Unchanged | Outcome::Refused { .. } => false,
    }
}
