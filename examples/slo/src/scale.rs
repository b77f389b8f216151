//! Shortens the windows of the rules, so that a month passes in hours.

/// Divides the durations in a rule file by `factor`: the ranges in brackets, the fields `for`
/// and `interval`, and the number of seconds in a day. The names of the series stay the same.
pub(crate) fn shorten(rules: &str, factor: u64) -> String {
    let mut shortened = String::new();
    for line in rules.lines() {
        let field = line.trim_start().trim_start_matches("- ");
        if let Some((field, value)) = field.split_once(": ")
            && matches!(field, "for" | "interval")
            && let Some(millis) = millis(value)
        {
            let indent = &line[..line.len() - value.len()];
            shortened.push_str(&format!("{indent}{}ms", millis / factor));
        } else {
            let day = format!(" {} ", 86_400.0 / factor as f64);
            shortened.push_str(&shorten_ranges(line, factor).replace(" 86400 ", &day));
        }
        shortened.push('\n');
    }
    shortened
}

/// Divides the durations in brackets: `[30m]` and `[6h:5m]`.
fn shorten_ranges(line: &str, factor: u64) -> String {
    let mut rest = line;
    let mut shortened = String::new();
    while let Some((before, range)) = rest.split_once('[') {
        shortened.push_str(before);
        shortened.push('[');
        let (range, after) = range.split_once(']').unwrap_or((range, ""));
        let durations: Option<Vec<u64>> = range.split(':').map(millis).collect();
        match durations {
            Some(durations) => {
                let divided = durations
                    .iter()
                    .map(|millis| format!("{}ms", millis / factor));
                shortened.push_str(&divided.collect::<Vec<_>>().join(":"));
            }
            None => shortened.push_str(range),
        }
        shortened.push(']');
        rest = after;
    }
    shortened.push_str(rest);
    shortened
}

/// Returns the milliseconds of a duration such as `30m`. `None` if it is not a duration.
fn millis(duration: &str) -> Option<u64> {
    let (number, unit) = duration.split_at(duration.find(|sign: char| !sign.is_ascii_digit())?);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn windows_are_shortened_and_names_are_not() {
        for (rule, shortened) in [
            ("interval: 5m", "interval: 1000ms"),
            ("    for: 1h", "    for: 12000ms"),
            ("  - interval: 2m", "  - interval: 400ms"),
            (
                "increase(slo:increase5m[1h]) / x:ratio_rate30d[6h:5m]",
                "increase(slo:increase5m[12000ms]) / x:ratio_rate30d[72000ms:1000ms]",
            ),
            ("left * 30 * 86400 / %f", "left * 30 * 288 / %f"),
            ("labels: { window: 1h }", "labels: { window: 1h }"),
            ("a[b]", "a[b]"),
        ] {
            assert_eq!(shorten(rule, 300), format!("{shortened}\n"));
        }
    }
}
