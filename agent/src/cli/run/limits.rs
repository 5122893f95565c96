//! `--limit` of `weir run`: the words of a grant's `limits`, on one line.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::{Value, json};

/// A limit as a grant has it: field and value.
pub(super) type Limit = (String, Value);

const KNOWN: &str = "write connections=20/hour, bytes=5MB/day, calls=100/hour or cost=2.50/day";

/// # Errors
///
/// When it is none, and how to write it. Whether the agent can enforce it, the agent says.
pub(super) fn parse(text: &str) -> Result<Limit, String> {
    let (name, rest) = text.split_once('=').ok_or(KNOWN)?;
    let (amount, per) = rest.split_once('/').ok_or(KNOWN)?;
    let (amount, per) = (amount.trim(), period(per.trim()));
    let count = || {
        let count = amount.parse::<u64>().ok().filter(|count| *count > 0);
        count.ok_or_else(|| format!("`{amount}` is no number from 1 on: {KNOWN}"))
    };
    match name {
        "connections" | "calls" => {
            let value = json!({"count": count()?, "per": per});
            Ok((name.to_owned(), value))
        }
        "bytes" if per == "1d" => Ok(("bytesPerDay".to_owned(), json!(amount))),
        "bytes" => Err(format!(
            "bytes are limited by day: write bytes={amount}/day"
        )),
        "cost" => {
            let usd = amount.trim_start_matches('$').parse::<f64>().ok();
            let usd = usd.filter(|usd| usd.is_finite() && *usd > 0.0);
            let usd = usd.ok_or_else(|| format!("`{amount}` is no amount of dollars: {KNOWN}"))?;
            Ok(("cost".to_owned(), json!({"usd": usd, "per": per})))
        }
        "tokens" => Err(format!(
            "tokens are not metered, because connections are encrypted: {KNOWN}"
        )),
        _ => Err(format!("there is no limit of `{name}`: {KNOWN}")),
    }
}

fn period(text: &str) -> &str {
    match text {
        "minute" => "1m",
        "hour" => "1h",
        "day" | "24h" => "1d",
        other => other,
    }
}

/// All of them together.
///
/// # Errors
///
/// When one is given twice.
pub(super) fn all(limits: Vec<Limit>) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for (name, value) in limits {
        if all.insert(name.clone(), value).is_some() {
            bail!("--limit: {name} is given twice: give it once");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_a_grant_has_it() {
        let check = |text: &str, name: &str, value: Value| {
            assert_eq!(parse(text), Ok((name.to_owned(), value)), "{text}");
        };
        check(
            "connections=20/hour",
            "connections",
            json!({"count": 20, "per": "1h"}),
        );
        check(
            "connections=20/10m",
            "connections",
            json!({"count": 20, "per": "10m"}),
        );
        check("bytes=5MB/day", "bytesPerDay", json!("5MB"));
        check("calls=9/day", "calls", json!({"count": 9, "per": "1d"}));
        check("cost=$2.50/day", "cost", json!({"usd": 2.5, "per": "1d"}));
    }

    #[test]
    fn nonsense_is_refused_and_what_to_write_is_said() {
        let check = |text: &str, start: &str| {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(start), "{error}");
        };
        check("calls", "write connections=20/hour");
        check("calls=9", "write connections=20/hour");
        check("calls=no/hour", "`no` is no number from 1 on");
        check("calls=0/hour", "`0` is no number from 1 on");
        check(
            "bytes=5MB/hour",
            "bytes are limited by day: write bytes=5MB/day",
        );
        check("cost=nan/day", "`nan` is no amount of dollars");
        check("tokens=5/day", "tokens are not metered");
        check("money=5/day", "there is no limit of `money`");
        let twice = vec![
            ("calls".to_owned(), json!(1)),
            ("calls".to_owned(), json!(2)),
        ];
        assert!(all(twice).is_err());
    }
}
