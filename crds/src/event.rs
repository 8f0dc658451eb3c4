//! The reasons of events, as closed enums: what a script may match on beside the conditions.

use crate::condition::{Reason, closed_enum};

closed_enum! {
    /// What is told as an event and stands in no condition.
    Occurrence {
        // Of a set: what was decided about its members, and done.
        /// Members were made.
        ScaledOut,
        /// Members are removed, since fewer are wished for.
        ScaledIn,
        /// Members are removed, since the newest model needs new VMs.
        Replacing,
        /// Unhealthy members are replaced, restarted or reimaged.
        Repairing,
        /// Members are removed that were made beyond what was asked for.
        Overprovisioned,
        /// Members get an OS disk of another version of their image.
        UpgradingOSImage,
        /// Members get their former OS disk back.
        RestoringOSDisk,
        // Of a VM: what was done with it.
        /// It was changed while it runs.
        Update,
        /// It restarts.
        Restart,
        /// Its OS disk is made anew.
        Reimage,
        /// All its disks are made anew.
        ReimageAll,
        /// It gets an OS disk of another version of its image.
        UpgradeOSImage,
        /// It gets its former OS disk back.
        RestoreOSDisk,
        /// Its machine is deleted and made anew.
        Replace,
        /// A Spot VM that was evicted is started again.
        Restore,
        /// It leaves its backend pools.
        Drain,
        /// It is back in its backend pools.
        Undrain,
        /// It is deleted as the eviction policy says.
        Delete,
        /// Its eviction is simulated.
        SimulateEviction,
        /// It is started, stopped or deallocated.
        SetPower,
        /// What it was told of begins.
        ApproveScheduledEvent,
        /// It has joined a set.
        Join,
        /// It has left a set.
        Detach,
        /// It was let go although its hardware may still be there.
        HardwareAbandoned,
        // Of a VM: what it was told of. The words of its scheduled events.
        /// It is evicted.
        Preempt,
        /// It is deleted.
        Terminate,
        /// It pauses for some seconds.
        Freeze,
        /// It restarts.
        Reboot,
        /// It restarts on another host: announced, or as an operation wishes.
        Redeploy,
        // Of an operation.
        /// Its turn has come.
        Begun,
        // Of a capacity reservation group.
        /// A reservation was made or changed.
        Reserved,
        /// A reservation was given up.
        Released,
        // Of an autoscale setting.
        /// It has decided on another count.
        ScaleInitiated,
        /// The set has taken the count.
        ScaleSucceeded,
        /// The set has not taken the count.
        ScaleFailed,
        /// A scale-in would be undone at once, and is not done.
        Flapping,
        /// A scale-in was made smaller, so that it is not undone at once.
        FlappingOccurred,
        /// Every metric can be read again.
        MetricsRecovered,
        // Of any object.
        /// A watch did not deliver a write in time.
        CacheBehind,
    }
}

/// The `reason` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventReason {
    /// One that stands in conditions and blockers as well.
    Condition(Reason),
    /// One of events alone.
    Occurrence(Occurrence),
}

impl EventReason {
    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Condition(reason) => reason.as_str(),
            Self::Occurrence(occurrence) => occurrence.as_str(),
        }
    }
}

impl From<Reason> for EventReason {
    fn from(reason: Reason) -> Self {
        Self::Condition(reason)
    }
}

impl From<Occurrence> for EventReason {
    fn from(occurrence: Occurrence) -> Self {
        Self::Occurrence(occurrence)
    }
}
