//! A set, and VMs made by hand, that use a capacity reservation group, whose reservations come, go and change.

use scaleset_controller::cluster::Kind;

use super::Author;
use crate::simulation::random::Random;

/// What a story knows of its reservations.
pub(super) struct Reserving {
    random: Random,
    /// Whether there is a group at all.
    on: bool,
    vms: usize,
    /// Whether the set names the group.
    named: bool,
}

impl Reserving {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0x7265_7365_7276_6564), on: false, vms: 0, named: false }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }
}

impl Author<'_> {
    /// Half of the stories have a group of three reservations, often of capacity 0, and a set that names it.
    pub(super) fn begin_reserving(&mut self) {
        if self.reserving.below(2) == 0 {
            return;
        }
        let [one, two, three] = [(); 3].map(|()| self.reserving.below(4));
        let size = "Standard_D2s_v3";
        self.tell(&format!("group kept eastus zones=1,2,3 z1={size}:{one}:1 z2={size}:{two}:2 z3={size}:{three}:3"));
        let mode = *self.reserving.random.pick(&["Uniform", "Flexible"]);
        let replicas = self.reserving.below(8);
        self.tell(&format!("set safe {mode} eastus zones=1,2,3 replicas={replicas} mode=Automatic group=kept"));
        (self.reserving.on, self.reserving.named) = (true, true);
    }

    /// Now and then something of it changes.
    pub(super) fn reserve(&mut self) {
        if !self.reserving.on || self.reserving.below(3) > 0 {
            return;
        }
        let zone = 1 + self.reserving.below(3);
        let capacity = self.reserving.below(6);
        let line = match self.reserving.below(9) {
            0..=2 => format!("regroup kept z{zone}={capacity}"),
            3 => format!("regroup kept z{zone}=gone"),
            4 => format!("regroup kept z{zone}=Standard_D2s_v3:{capacity}:{zone}"),
            5 => format!("change safe replicas={}", self.reserving.below(9)),
            6 => {
                self.reserving.named = !self.reserving.named;
                format!("change safe group={}", if self.reserving.named { "kept" } else { "none" })
            }
            7 => {
                self.reserving.vms += 1;
                format!("vm own-{} eastus zone={zone} group=kept", self.reserving.vms)
            }
            _ => "change safe size=Standard_D2s_v3".to_owned(),
        };
        let group = self.teller.stage().cluster.get(Kind::CapacityReservationGroup, "kept");
        let names = group.map(|group| group["spec"]["reservations"].to_string()).unwrap_or_default();
        let has_zone = names.contains(&format!("\"z{zone}\""));
        let sets_capacity = line.starts_with("regroup") && !line.contains(':') && !line.ends_with("gone");
        // A capacity is given to what is there, a new reservation to what is not.
        if (sets_capacity && !has_zone) || (line.contains(':') && has_zone) {
            return;
        }
        self.tell(&line);
    }

    /// What is wished in the end can be had: a reservation in each zone, and everybody names the group.
    pub(super) fn end_reserving(&mut self) {
        if !self.reserving.on {
            return;
        }
        let size = "Standard_D2s_v3";
        self.tell("regroup kept z1=gone z2=gone z3=gone");
        self.tell(&format!("regroup kept z1={size}:2:1 z2={size}:1:2 z3={size}:0:3"));
        self.tell("change safe group=kept");
    }
}
