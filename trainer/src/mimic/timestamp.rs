//! Dates and times as the tables write them.

/// Seconds since the start of 1970, without time zones or leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(pub(crate) i64);

/// Seconds in an hour.
pub(crate) const HOUR: i64 = 3600;
/// Seconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;

impl Timestamp {
    /// Reads `2151-07-16`, `2151-07-16 13:05` or `2151-07-16 13:05:00`; none if that is no day of the calendar or no time
    /// of the day.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let days = parse_date(bytes.get(..10)?)?;
        let below = |at: usize, bound: i64| number(bytes.get(at..at + 2)?).filter(|n| *n < bound);
        let separated = |at: usize, by: &[u8]| bytes.get(at).is_some_and(|b| by.contains(b));
        let time = match bytes.len() {
            10 => 0,
            16 | 19 if separated(10, b" T") && separated(13, b":") => {
                let seconds = match bytes.len() {
                    16 => 0,
                    _ if separated(16, b":") => below(17, 60)?,
                    _ => return None,
                };
                HOUR * below(11, 24)? + 60 * below(14, 60)? + seconds
            }
            _ => return None,
        };
        Some(Self(DAY * days + time))
    }
}

/// Days since the start of 1970 of `2151-07-16`.
fn parse_date(text: &[u8]) -> Option<i64> {
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let separated = text[4] == b'-' && text[7] == b'-';
    if !separated || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = shifted / 4 - shifted / 100 + shifted / 400;
    Some(365 * shifted + leap_days + day_of_year - 719_468)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number written in these digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| 10 * number + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_those_of_the_gregorian_calendar() {
        for (text, seconds) in [
            ("1970-01-01 00:00:00", 0), // `date --utc --date "..." +%s`
            ("2100-03-01", 4_107_542_400),
            ("2151-07-16 13:05:09", 5_728_799_109),
            ("1838-12-31 23:59", -4_133_980_860),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_on_no_calendar_is_refused() {
        for text in [
            "2100-02-29",
            "2151-13-01",
            "2151-00-10",
            "2151-04-31",
            "2151-07-16 24:00:00",
            "2151-07-16 10:60",
            "2151-7-16",
            "16/07/2151",
            "",
            "2151-07-16 10:00:00:00",
            "2151-07-16 ",
            "2151-07-1é",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
