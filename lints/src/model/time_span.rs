//! Time spans as systemd reads them (`parse_time` of time-util.c, systemd.time(7)): `10`, `1min 30s`, `1.5h`,
//! `infinity`.

/// What a unit of time is in microseconds; without one, it is seconds.
const UNITS: [(&[&str], u64); 9] = [
    (&["us", "usec", "µs", "μs"], 1),
    (&["ms", "msec"], 1_000),
    (&["", "s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hour", "hours"], 3600 * SECOND),
    (&["d", "day", "days"], DAY),
    (&["w", "week", "weeks"], 7 * DAY),
    (&["M", "month", "months"], 2_629_800 * SECOND),
    (&["y", "year", "years"], 31_557_600 * SECOND),
];

/// A second, in microseconds.
pub const SECOND: u64 = 1_000_000;

const DAY: u64 = 86_400 * SECOND;

/// The microseconds of a time span, `u64::MAX` for `infinity`; none if it is no time span, or longer than any.
pub fn microseconds(text: &[u8]) -> Option<u64> {
    let mut rest = trimmed(str::from_utf8(text).ok()?);
    if rest.is_empty() || rest == "infinity" {
        return (!rest.is_empty()).then_some(u64::MAX);
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (whole, fraction, tail) = number(rest)?;
        let tail = trimmed(tail);
        let end = tail.find(|sign: char| sign.is_ascii_digit() || sign.is_ascii_whitespace());
        let (name, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, unit) = UNITS.iter().find(|(names, _)| names.contains(&name))?;
        // systemd's limit, too: what does not fit is no number.
        let count = u64::try_from(whole.parse::<i64>().ok()?).ok()?;
        sum = count.checked_mul(*unit)?.checked_add(sum)?;
        let mut part = *unit;
        for digit in fraction.bytes() {
            part /= 10;
            sum = sum.checked_add(part * u64::from(digit - b'0'))?;
        }
        rest = trimmed(tail);
    }
    Some(sum)
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The digits before and after the point of a number, and what follows it.
fn number(text: &str) -> Option<(&str, &str, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    // As strtoll(3) does.
    let unsigned = text.strip_prefix('+').filter(|rest| digits(rest) > 0);
    let text = unsigned.unwrap_or(text);
    let (whole, rest) = text.split_at(digits(text));
    let Some(tail) = rest.strip_prefix('.') else {
        return (!whole.is_empty()).then_some((whole, "", rest));
    };
    let (fraction, tail) = tail.split_at(digits(tail));
    if fraction.is_empty() {
        return None;
    }
    Some((if whole.is_empty() { "0" } else { whole }, fraction, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_added_up() {
        for (text, seconds) in [
            ("0", 0),
            ("10", 10),
            ("1min 30s", 90),
            (" 1.5h ", 5400),
            (".5min", 30),
            ("1w2d", 9 * 86_400),
        ] {
            assert_eq!(
                microseconds(text.as_bytes()),
                Some(seconds * SECOND),
                "{text}"
            );
        }
        assert_eq!(microseconds(b"1500us"), Some(1500));
        assert_eq!(microseconds(b"infinity"), Some(u64::MAX));
        assert_eq!(microseconds(b"+5s +1s"), Some(6 * SECOND));
    }

    #[test]
    fn other_words_are_none() {
        for text in [
            "",
            " ",
            "d",
            "1x",
            "1infinity",
            "-1d",
            "1d-",
            "1.2.3s",
            "5.",
            "5.s",
            "+.5s",
            "+ 5",
            "9000000000000000000y",
            "99999999999999999999s",
        ] {
            assert_eq!(microseconds(text.as_bytes()), None, "{text}");
        }
    }
}
