//! Rules of the VM profile, shared by `ScaleSet` and `FlexVM`.
//!
//! Sources: Azure's "Modify a Virtual Machine Scale Set" (what cannot change), the REST reference of Virtual Machines
//! (`OSProfile`: reserved administrator names, lengths for Windows), "Computer names of instances" (six characters
//! follow the prefix), "Sequence extension provisioning in Virtual Machine Scale Sets".

use kube::core::Rule;

use super::{Code, require};

/// Names that Azure keeps for itself or finds too easy to guess; compared in lower case.
const RESERVED_ADMIN_NAMES: &[&str] = &[
    "1",
    "123",
    "a",
    "actuser",
    "adm",
    "admin",
    "admin1",
    "admin2",
    "administrator",
    "aspnet",
    "backup",
    "console",
    "david",
    "guest",
    "john",
    "owner",
    "root",
    "server",
    "sql",
    "support",
    "support_388945a0",
    "sys",
    "test",
    "test1",
    "test2",
    "test3",
    "user",
    "user1",
    "user2",
    "user3",
    "user4",
    "user5",
];

/// The administrator may not be one of the reserved names.
pub(crate) fn admin_username_not_reserved() -> Rule {
    let names: Vec<String> = RESERVED_ADMIN_NAMES.iter().map(|name| format!("'{name}'")).collect();
    require(
        &format!("!(self.adminUsername.lowerAscii() in [{}])", names.join(", ")),
        Code::InvalidParameter,
        ".adminUsername",
        "adminUsername must not be a reserved name such as root, admin, administrator, user or test",
    )
}

/// Windows bounds account names more tightly than Linux.
pub(crate) fn windows_admin_username() -> Rule {
    require(
        "self.storageProfile.osDisk.osType != 'Windows' || \
         (size(self.osProfile.adminUsername) <= 20 && !self.osProfile.adminUsername.endsWith('.'))",
        Code::InvalidParameter,
        ".osProfile.adminUsername",
        "adminUsername must have at most 20 characters and not end with '.' where osType is Windows",
    )
}

/// Characters of a prefix; it may end with a hyphen, since six letters or digits follow.
pub(crate) fn computer_name_prefix_characters() -> Rule {
    require(
        "!has(self.computerNamePrefix) || self.computerNamePrefix.matches('^[A-Za-z0-9][A-Za-z0-9-]*$')",
        Code::InvalidParameter,
        ".computerNamePrefix",
        "computerNamePrefix must consist of letters, digits and '-', and start with a letter or a digit",
    )
}

/// Six characters follow the prefix, and Windows allows 15 in all.
pub(crate) fn windows_computer_name_prefix() -> Rule {
    require(
        "self.storageProfile.osDisk.osType != 'Windows' || !has(self.osProfile.computerNamePrefix) || \
         (size(self.osProfile.computerNamePrefix) <= 9 && !self.osProfile.computerNamePrefix.matches('^[0-9]+$'))",
        Code::InvalidParameter,
        ".osProfile.computerNamePrefix",
        "computerNamePrefix must have at most 9 characters, not all digits, where osType is Windows",
    )
}

/// Characters of a whole computer name.
pub(crate) fn computer_name_characters() -> Rule {
    require(
        "!has(self.computerName) || self.computerName.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')",
        Code::InvalidParameter,
        ".computerName",
        "computerName must consist of letters, digits and '-', and start and end with a letter or a digit",
    )
}

/// Windows bounds computer names at 15 characters.
pub(crate) fn windows_computer_name() -> Rule {
    require(
        "self.storageProfile.osDisk.osType != 'Windows' || !has(self.osProfile.computerName) || \
         (size(self.osProfile.computerName) <= 15 && !self.osProfile.computerName.matches('^[0-9]+$'))",
        Code::InvalidParameter,
        ".osProfile.computerName",
        "computerName must have at most 15 characters, not all digits, where osType is Windows",
    )
}

/// An image is named in one of two ways.
pub(crate) fn image_is_named_once() -> Rule {
    require(
        "!has(self.imageReference.id) || !(has(self.imageReference.publisher) || has(self.imageReference.offer) || \
         has(self.imageReference.sku) || has(self.imageReference.version))",
        Code::InvalidParameter,
        ".imageReference",
        "imageReference must have either id, or publisher, offer and sku, but not both",
    )
}

/// A marketplace image needs its three names.
pub(crate) fn image_is_named_wholly() -> Rule {
    require(
        "has(self.imageReference.id) || (has(self.imageReference.publisher) && has(self.imageReference.offer) && \
         has(self.imageReference.sku))",
        Code::InvalidParameter,
        ".imageReference",
        "imageReference must have publisher, offer and sku, or else id",
    )
}

/// Each data disk has a lun of its own.
pub(crate) fn unique_luns() -> Rule {
    require(
        "!has(self.dataDisks) || self.dataDisks.all(disk, self.dataDisks.exists_one(other, other.lun == disk.lun))",
        Code::InvalidParameter,
        ".dataDisks",
        "each data disk must have a lun of its own",
    )
}

/// Each network interface has a name of its own.
pub(crate) fn unique_interface_names() -> Rule {
    require(
        "self.networkInterfaces.all(nic, self.networkInterfaces.exists_one(other, other.name == nic.name))",
        Code::InvalidParameter,
        ".networkInterfaces",
        "each network interface must have a name of its own",
    )
}

/// One network interface carries the VM's primary address.
pub(crate) fn one_primary_interface() -> Rule {
    require(
        "self.networkInterfaces.exists_one(nic, nic.primary)",
        Code::InvalidParameter,
        ".networkInterfaces",
        "exactly one network interface must have primary: true",
    )
}

/// Each extension has a name of its own.
pub(crate) fn unique_extension_names() -> Rule {
    require(
        "!has(self.extensions) || self.extensions.all(extension, \
         self.extensions.exists_one(other, other.name == extension.name))",
        Code::InvalidParameter,
        ".extensions",
        "each extension must have a name of its own",
    )
}

/// An extension waits for extensions of the same profile.
pub(crate) fn extensions_wait_for_known() -> Rule {
    require(
        "!has(self.extensions) || self.extensions.all(extension, !has(extension.provisionAfterExtensions) || \
         extension.provisionAfterExtensions.all(name, self.extensions.exists(other, other.name == name)))",
        Code::InvalidParameter,
        ".extensions",
        "provisionAfterExtensions must name extensions of the same profile",
    )
}

/// An extension that waits for itself would never start.
pub(crate) fn extensions_wait_for_others() -> Rule {
    require(
        "!has(self.extensions) || self.extensions.all(extension, !has(extension.provisionAfterExtensions) || \
         !(extension.name in extension.provisionAfterExtensions))",
        Code::InvalidParameter,
        ".extensions",
        "provisionAfterExtensions must not name the extension itself",
    )
}
