//! Versions of images: which members have an older one than the newest that is published.
//!
//! Source: Azure's "Azure Virtual Machine Scale Set automatic OS image upgrades". Only members on the newest model are
//! looked at: one that follows an older model takes the newest version when it takes the newest model, or when a person
//! gives it that model. That a model which names an exact version has no newer one is Azure's rule.

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::profile::ImageReference;

use super::{ModelChange, Outdated, UpgradeInput};
use crate::snapshot::{Member, OsDiskReport, OsDiskWish, RegionFacts};

/// The profile's image with the newest version that is published, where the profile follows it.
pub(crate) fn newest(profile: &VirtualMachineProfile, region: &RegionFacts) -> Option<ImageReference> {
    let image = &profile.storage_profile.image_reference;
    let versions = region.images.get(&image.family()).filter(|_| image.requested_version() == "latest")?;
    Some(ImageReference { version: Some(versions.last()?.clone()), ..image.clone() })
}

/// Made, live members on the newest model whose OS disk was made from another version than `version`, and that are not
/// wished to have it already.
pub(crate) fn outdated<'pass>(input: &UpgradeInput<'pass>, version: &str) -> Vec<Outdated<'pass>> {
    let made = input.members.iter().filter(|member| member.is_made() && member.is_live());
    let on_model = made.filter(|member| {
        member.assigned_revision.as_deref() == Some(input.newest.name.as_str())
            && !input.requested.contains(&member.uid)
    });
    let change = |disk: &OsDiskReport| ModelChange::Image { from: disk.clone(), to: version.to_owned() };
    on_model
        .filter(|member| version_to_be(member).is_some_and(|found| found != version))
        .filter_map(|member| Some(Outdated { member, change: change(member.report.os_disk.as_ref()?) }))
        .collect()
}

/// The version that a member has, or is about to get.
fn version_to_be(member: &Member) -> Option<&str> {
    let disk = member.report.os_disk.as_ref()?;
    match &member.os_disk_wish {
        Some(OsDiskWish::Fresh { version, after }) if *after == disk.name => Some(version),
        Some(OsDiskWish::Fresh { .. } | OsDiskWish::Former { .. }) | None => Some(&disk.version),
    }
}

/// Whether the disk that is wished for has not come yet.
pub(crate) fn is_awaited(member: &Member) -> bool {
    let name = member.report.os_disk.as_ref().map(|disk| disk.name.as_str());
    match &member.os_disk_wish {
        Some(OsDiskWish::Fresh { version: _, after }) => name == Some(after),
        Some(OsDiskWish::Former { disk }) => name != Some(disk),
        None => false,
    }
}
