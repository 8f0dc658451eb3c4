//! A member to make, in words.

use std::fmt;

use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::Surplus;

use super::NewMember;

impl fmt::Display for NewMember {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            computer_name,
            revision,
            zone,
            fault_domain,
            placement_group,
            update_domain,
            reason,
            priority,
            surplus,
            roll: _,
            repair: _,
            kind: _,
            number: _,
        } = self;
        write!(formatter, "create {name} ({computer_name}) at {revision}")?;
        match priority {
            Priority::Regular => {}
            Priority::Spot => write!(formatter, " spot")?,
        }
        match surplus {
            None => {}
            Some(Surplus::Overprovisioned) => write!(formatter, " extra")?,
            Some(Surplus::Undecided) => write!(formatter, " undecided")?,
        }
        if let Some(zone) = zone {
            write!(formatter, " zone {zone}")?;
        }
        if let Some(domain) = fault_domain {
            write!(formatter, " fd {domain}")?;
        }
        if let (Some(group), Some(domain)) = (placement_group, update_domain) {
            write!(formatter, " group {group} ud {domain}")?;
        }
        write!(formatter, ": {reason}")
    }
}
