//! Changing the world from outside, journalled and durable like any call: what the control endpoint and tests use.

use jiff::Timestamp;
use scaleset_crds::spot::Price;

use super::Simulation;
use super::fault::{Fault, Outage};
use super::hardware::{Draft, journal};
use super::journal::{Call, JournalEntry, Outcome};
use super::load::Load;
use super::requests::{RequestCounts, RequestLoad};
use super::spot::SpotPressure;
use super::store::StoreError;
use super::world::{CallCount, ControlCode, ControlError, Drift, MachineFault, World};
use crate::machine::Health;
use std::collections::BTreeMap;

impl Simulation {
    /// Sets a scripted fault under a name; the same name again replaces it.
    pub async fn set_fault(&self, name: &str, fault: Fault) -> Result<(), ControlError> {
        let detail = format!("set fault {name}: {}", text(&fault));
        self.control("", detail, |world, _| world.set_fault(name, fault)).await
    }

    /// Takes a scripted fault away.
    pub async fn clear_fault(&self, name: &str) -> Result<(), ControlError> {
        self.control("", format!("clear fault {name}"), |world, _| world.clear_fault(name)).await
    }

    /// Takes a region, zone, fault domain or host down under a name; the same name again replaces it.
    pub async fn set_outage(&self, name: &str, outage: Outage) -> Result<(), ControlError> {
        let detail = format!("set outage {name}: {}", text(&outage));
        self.control("", detail, |world, now| world.set_outage(name, outage, now)).await
    }

    /// Brings back what an outage took down.
    pub async fn clear_outage(&self, name: &str) -> Result<(), ControlError> {
        self.control("", format!("clear outage {name}"), |world, now| world.clear_outage(name, now)).await
    }

    /// Sets what Spot machines of a size cost in a region; those that have agreed to less are evicted. `None`: what the
    /// region file says.
    pub async fn set_spot_price(&self, location: &str, size: &str, price: Option<Price>) -> Result<(), ControlError> {
        let said = price.map_or_else(|| "as usual".to_owned(), |price| price.to_string());
        let detail = format!("spot price of {size} in {location}: {said}");
        self.control("", detail, |world, now| world.set_spot_price(location, size, price, now)).await
    }

    /// Puts Spot machines under pressure under a name: some are evicted, none is allocated; the same name again replaces it,
    /// and evicts again.
    pub async fn set_spot_pressure(&self, name: &str, pressure: SpotPressure) -> Result<(), ControlError> {
        let detail = format!("set spot pressure {name}: {}", text(&pressure));
        self.control("", detail, |world, now| world.set_spot_pressure(name, pressure, now)).await
    }

    /// Takes a pressure on Spot machines away.
    pub async fn clear_spot_pressure(&self, name: &str) -> Result<(), ControlError> {
        self.control("", format!("clear spot pressure {name}"), |world, _| world.clear_spot_pressure(name)).await
    }

    /// Sends requests through a load balancer from now on, or no more with `None`, whatever the region file says.
    pub async fn set_requests(
        &self,
        location: &str,
        name: &str,
        load: Option<RequestLoad>,
    ) -> Result<(), ControlError> {
        let said = load.map_or_else(|| "none".to_owned(), |load| text(&load));
        let detail = format!("requests through {name} in {location}: {said}");
        self.control("", detail, |world, now| world.set_requests(location, name, load, now)).await
    }

    /// What has become of the requests of a load balancer; none where none are sent.
    pub fn request_counts(&self, location: &str, name: &str) -> Option<RequestCounts> {
        self.inner.settled().0.requests_of(location, name).map(|(_, counts)| counts)
    }

    /// Puts machines under a load under a name, from now on; the same name again replaces it, `None` ends it.
    pub async fn set_load(&self, name: &str, load: Option<Load>) -> Result<(), ControlError> {
        let said = load.as_ref().map_or_else(|| "over".to_owned(), text);
        self.control("", format!("load {name}: {said}"), |world, now| world.set_load(name, load, now)).await
    }

    /// Publishes a version of an image (`publisher:offer:sku`, or an image's id); it is the latest from now on.
    pub async fn publish_image(&self, image: &str, version: &str) -> Result<(), ControlError> {
        self.control("", format!("publish {image} {version}"), |world, _| world.publish(image, version)).await
    }

    /// Lets a running machine hang or crash.
    pub async fn fail_machine(&self, uid: &str, fault: MachineFault) -> Result<(), ControlError> {
        self.control(uid, format!("fail: {fault:?}"), |world, now| world.fail_machine(uid, fault, now)).await
    }

    /// Heals a machine that hangs, and takes back what its application was made to answer.
    pub async fn heal_machine(&self, uid: &str) -> Result<(), ControlError> {
        self.control(uid, "heal".to_owned(), |world, now| world.heal_machine(uid, now)).await
    }

    /// Sets what the application in a machine answers to whoever asks for its health, whatever the script says, until it
    /// is cleared, healed or reimaged.
    pub async fn set_health(&self, uid: &str, health: Health) -> Result<(), ControlError> {
        self.control(uid, format!("health {health:?}"), |world, now| world.set_health(uid, Some(health), now)).await
    }

    /// Leaves what the application in a machine answers to the script of the region file again.
    pub async fn clear_health(&self, uid: &str) -> Result<(), ControlError> {
        self.control(uid, "health as scripted".to_owned(), |world, now| world.set_health(uid, None, now)).await
    }

    /// Takes a machine away as if it had never been.
    pub async fn vanish(&self, uid: &str) -> Result<(), ControlError> {
        self.control(uid, "vanish".to_owned(), |world, now| world.vanish(uid, now)).await
    }

    /// Changes what a machine is, behind the controller's back.
    pub async fn drift(&self, uid: &str, drift: Drift) -> Result<(), ControlError> {
        let detail = format!("drift: {}", text(&drift));
        self.control(uid, detail, |world, now| world.drift(uid, &drift, now)).await
    }

    /// The whole journal, oldest first. It can be long: meant for tests.
    pub fn journal(&self) -> Result<Vec<JournalEntry>, StoreError> {
        self.inner.store.journal_entries()
    }

    /// How often each call was made since the store was made.
    pub fn calls(&self) -> BTreeMap<Call, CallCount> {
        self.inner.settled().0.calls().clone()
    }

    pub(super) async fn control(
        &self,
        uid: &str,
        detail: String,
        work: impl FnOnce(&mut World, Timestamp) -> Result<(), ControlError> + Send,
    ) -> Result<(), ControlError> {
        let inner = &*self.inner;
        let _permit = inner.in_flight.acquire().await.expect("the semaphore is never closed");
        inner.store.check().map_err(|error| unavailable(&error))?;
        let (answer, changes, sequence) = {
            let (mut world, now) = inner.settled();
            let next_before = world.next_event_at();
            world.next_sequence();
            let owner = world.described_owner(uid);
            let answer = work(&mut world, now);
            let outcome = match &answer {
                Ok(()) => Outcome::Accepted,
                Err(ControlError { code, field: _, message }) => {
                    Outcome::Refused { code: format!("{code:?}"), message: message.clone() }
                }
            };
            let draft = Draft { uid: uid.to_owned(), owner, generation: None, detail };
            journal(&mut world, Call::Control, draft, outcome, now);
            inner.hand_over(&mut world, next_before);
            (answer, world.take_announcements(), world.sequence())
        };
        inner.store.committed(sequence).await.map_err(|error| unavailable(&error))?;
        inner.announce(changes);
        answer
    }
}

fn unavailable(error: &crate::HardwareError) -> ControlError {
    ControlError { code: ControlCode::Unavailable, field: "", message: error.to_string() }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what the endpoint takes has string keys only")
}
