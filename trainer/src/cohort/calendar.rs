//! Moments in the shifted future in which de-identified hospitals live, as seconds and as MIMIC writes them.

/// Seconds in an hour.
pub(super) const HOUR: i64 = 3600;
/// Seconds in a day.
pub(super) const DAY: i64 = 24 * HOUR;
/// Seconds in a year of the Gregorian calendar, on average.
pub(super) const YEAR: i64 = 31_556_952;

/// Seconds since the start of 1970, without time zones or leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// Midnight at the start of this day of the Gregorian calendar.
    pub(super) fn of_date(year: i64, month: i64, day: i64) -> Self {
        // Years begin in March, so that the leap day is the last of its year.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468) * DAY)
    }

    /// Year, month, day.
    pub(super) fn date(self) -> (i64, i64, i64) {
        let days = self.0.div_euclid(DAY) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (era * 400 + year_of_era + i64::from(month <= 2), month, day)
    }

    /// `2151-07-16 13:05:00`.
    pub(super) fn stamp(self) -> String {
        let (year, month, day) = self.date();
        let second = self.0.rem_euclid(DAY);
        format!(
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
            second / HOUR,
            second / 60 % 60,
            second % 60
        )
    }

    /// `2151-07-16`.
    pub(super) fn day_stamp(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Midnight at the start of the day.
    pub(super) fn midnight(self) -> Self {
        Self(self.0.div_euclid(DAY) * DAY)
    }

    /// The start of the minute.
    pub(super) fn minute(self) -> Self {
        Self(self.0.div_euclid(60) * 60)
    }

    /// So many hours later.
    pub(super) fn plus_hours(self, hours: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "stays are far below 2^53 seconds")]
        let seconds = (hours * 3600.0).round() as i64;
        Self(self.0 + seconds)
    }

    /// Hours from `earlier` to here.
    pub(super) fn hours_since(self, earlier: Self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "stays are far below 2^53 seconds")]
        let seconds = (self.0 - earlier.0) as f64;
        seconds / 3600.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        assert_eq!(Moment(0).stamp(), "1970-01-01 00:00:00");
        assert_eq!(Moment(4_107_542_400).stamp(), "2100-03-01 00:00:00"); // date -u -d @4107542400
        assert_eq!(Moment(4_107_542_399).stamp(), "2100-02-28 23:59:59"); // 2100 is no leap year
        assert_eq!(Moment::of_date(1838, 12, 31).day_stamp(), "1838-12-31");
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for day in 0..146_097 {
            let moment = Moment((day - 60_000) * DAY);
            let (year, month, date) = moment.date();
            assert_eq!(Moment::of_date(year, month, date), moment);
        }
    }
}
