//! Deletions that were announced: kept with the machine until it is gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::machine::{NoticeStage, TerminateNotice};

/// A machine that was told of its deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Termination {
    pub(crate) event_id: String,
    /// When it goes at the latest.
    pub(crate) not_before: Timestamp,
    pub(crate) stage: NoticeStage,
}

impl Termination {
    /// Whether its deletion is still to begin.
    pub(crate) fn is_pending(&self) -> bool {
        match self.stage {
            NoticeStage::Scheduled | NoticeStage::Approved => true,
            NoticeStage::Started => false,
        }
    }

    pub(crate) fn view(&self) -> TerminateNotice {
        let Self { event_id, not_before, stage } = self;
        TerminateNotice { event_id: event_id.clone(), not_before: *not_before, stage: *stage }
    }
}
