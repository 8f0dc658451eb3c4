//! Who of a set is an extra, and whether it makes any.

use std::borrow::Cow;

use scaleset_crds::vocabulary::Surplus;

use super::{Member, ScaleSetSnapshot, SetLife};

/// `spec.overprovision` and `spec.doNotRunExtensionsOnOverprovisionedVMs`, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overprovision {
    /// The set makes what it is asked for.
    Off,
    /// It makes more when it grows.
    On,
    /// The same, and extensions run only on those that are kept.
    ExtensionsOnKept,
}

impl Member {
    /// Whether it is an extra of a scale-out, which counts nowhere and may yet go.
    pub fn is_extra(&self) -> bool {
        self.surplus == Some(Surplus::Overprovisioned)
    }

    /// Whether it was asked for and waits to hear that it stays.
    pub fn is_undecided(&self) -> bool {
        self.surplus == Some(Surplus::Undecided)
    }
}

impl ScaleSetSnapshot {
    /// The same without the extras: everything that counts, compares or chooses members looks at this. Of a set that goes,
    /// extras go like the others.
    pub fn without_extras(&self) -> Cow<'_, Self> {
        if self.set.life != SetLife::Live || !self.members.iter().any(Member::is_extra) {
            return Cow::Borrowed(self);
        }
        let members = self.members.iter().filter(|member| !member.is_extra()).cloned().collect();
        Cow::Owned(Self { members, ..self.clone() })
    }
}
