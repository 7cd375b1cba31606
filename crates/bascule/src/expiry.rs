//! When certificates end, and whether that is soon.

use jiff::Timestamp;

/// Certificates are renewed when 30 of their 90 days are left: with so few, something keeps them from it.
const WARNING_DAYS: i64 = 21;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The end of a certificate, as a moment.
pub(crate) fn moment(unix_s: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(unix_s).ok()?).ok()
}

/// Whole days until then; negative when it has passed.
pub(crate) fn days_until(moment: Timestamp, now_ms: i64) -> i64 {
    (moment.as_millisecond() - now_ms).div_euclid(DAY_MS)
}

/// The days that are left, where they are so few that somebody has to be told.
pub(crate) fn days_if_soon(moment: Timestamp, now_ms: i64) -> Option<i64> {
    Some(days_until(moment, now_ms)).filter(|days| *days <= WARNING_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_one_days_are_few_and_twenty_two_are_not() {
        let now_ms = 1_800_000_000_000;
        let soon = |days: i64| days_if_soon(moment((1_800_000_000 + days * 86_400).cast_unsigned()).unwrap(), now_ms);
        assert_eq!([30, 22, 21, 1, 0, -1].map(soon), [None, None, Some(21), Some(1), Some(0), Some(-1)]);
        // What is left of a day is none.
        assert_eq!(days_until(moment(1_800_000_000 + 86_399).unwrap(), now_ms), 0);
    }
}
