//! What the applications in the guests answer: a script of the region file, and what the control endpoint sets.
//!
//! The script is a list of rules; the first one whose conditions all fit a machine decides, and where none fits the
//! answer is `Healthy`. What was set through the control endpoint goes before the script. The answer says nothing of
//! whether anybody asks: that is the model's health source, in [`super::health`].

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;
use serde::{Deserialize, Serialize};

use crate::machine::Health;

/// One rule of the script. A condition that is left out fits every machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationRule {
    /// Image that the OS disk was made from: `publisher:offer:sku`, or an image's id.
    #[serde(default)]
    pub image_family: Option<String>,
    /// Version of that image.
    #[serde(default)]
    pub image_version: Option<String>,
    /// Text in the command of any of the machine's extensions.
    #[serde(default)]
    pub command_contains: Option<String>,
    /// What the application answers.
    pub answer: Health,
    /// Scenario seconds that the guest has to run first; until then the answer is `Healthy`.
    #[serde(default)]
    pub after_seconds: u32,
}

/// An answer, from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) at: Timestamp,
    pub(crate) health: Health,
}

impl ApplicationRule {
    fn fits(&self, model: &VirtualMachineModel, version: &str) -> bool {
        let Self { image_family, image_version, command_contains, answer: _, after_seconds: _ } = self;
        let runs = |text: &String| {
            let mut commands = model.extensions.iter().filter_map(|one| one.settings.command_to_execute.as_ref());
            commands.any(|command| command.contains(text.as_str()))
        };
        image_version.as_ref().is_none_or(|wanted| wanted == version)
            && image_family.as_ref().is_none_or(|wanted| *wanted == model.storage_profile.image_reference.family())
            && command_contains.as_ref().is_none_or(runs)
    }

    /// What it makes an application answer whose guest runs from `runs_from` on.
    fn answers(&self, runs_from: Timestamp) -> Vec<Answer> {
        let decided =
            Answer { at: runs_from + SignedDuration::from_secs(self.after_seconds.into()), health: self.answer };
        if decided.at == runs_from {
            return vec![decided];
        }
        vec![Answer { at: runs_from, health: Health::Healthy }, decided]
    }
}

/// What the script makes an application answer, in the order of time, from the start of its guest on. `version` is the
/// version of the image that the OS disk was made from.
pub(crate) fn scripted(
    script: &[ApplicationRule],
    model: &VirtualMachineModel,
    version: &str,
    runs_from: Timestamp,
) -> Vec<Answer> {
    let rule = script.iter().find(|rule| rule.fits(model, version));
    rule.map_or_else(|| vec![Answer { at: runs_from, health: Health::Healthy }], |rule| rule.answers(runs_from))
}
