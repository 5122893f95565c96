//! `cargo xtask prices FILE`: writes the table of model prices from a copy of the public file that
//! `agent/data/model_prices.NOTICE` names. Only prices of tokens are taken.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

const OUTPUT: &str = "agent/data/model_prices.tsv";
const HEAD: &str = "model\tprovider\tinput\toutput\ttiers\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON by model, with `input_cost_per_token` and `output_cost_per_token` in dollars
    file: PathBuf,
}

/// One model of the file; what else it says is left out.
#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    litellm_provider: String,
    input_cost_per_token: Option<f64>,
    output_cost_per_token: Option<f64>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

/// # Errors
/// If the file cannot be read, or holds something that the table cannot.
pub(crate) fn run(args: &Args) -> Result<()> {
    let path = args.file.display();
    let text = fs::read_to_string(&args.file).with_context(|| format!("read {path}"))?;
    let mut models: BTreeMap<String, Model> =
        serde_json::from_str(&text).with_context(|| format!("parse {path}"))?;
    models.remove("sample_spec");
    let table = table(&models)?;
    let output = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(OUTPUT);
    fs::write(output, &table).with_context(|| format!("write {OUTPUT}"))?;
    eprintln!(
        "{OUTPUT}: {} of {} models; note version, date and SHA-256 in model_prices.NOTICE",
        table.lines().count() - 1,
        models.len()
    );
    Ok(())
}

fn table(models: &BTreeMap<String, Model>) -> Result<String> {
    let mut table = HEAD.to_owned();
    for (name, model) in models {
        let (Some(input), Some(output)) = (model.input_cost_per_token, model.output_cost_per_token)
        else {
            continue;
        };
        let provider = &model.litellm_provider;
        let is_plain = |text: &str| !text.contains(['\t', '\n']);
        ensure!(
            is_plain(name) && is_plain(provider),
            "`{name}`: has a tab or a line break in its name"
        );
        let (input, output) = (per_million(name, input)?, per_million(name, output)?);
        let has_tiers = model
            .more
            .keys()
            .any(|key| key.contains("cost_per_token_above_"));
        let tiers = if has_tiers { "tiers" } else { "" };
        writeln!(table, "{name}\t{provider}\t{input}\t{output}\t{tiers}")?;
    }
    Ok(table)
}

/// Dollars per million tokens with at most six digits after the point.
fn per_million(name: &str, per_token: f64) -> Result<String> {
    ensure!(
        (0.0..1.0).contains(&per_token),
        "`{name}`: a token for {per_token} dollars"
    );
    let text = format!("{:.6}", per_token * 1e6);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_with_prices_of_tokens_are_taken() {
        let text = r#"{
            "a": {"litellm_provider": "x", "input_cost_per_token": 9.499999999999999e-07,
                  "output_cost_per_token": 1e-05, "input_cost_per_token_above_200k_tokens": 1e-06},
            "b": {"litellm_provider": "x", "output_cost_per_image": 0.06},
            "c": {"input_cost_per_token": 0.0, "output_cost_per_token": 3e-10, "mode": "chat"}
        }"#;
        let models = serde_json::from_str(text).expect("JSON");
        let rows = "a\tx\t0.95\t10\ttiers\nc\t\t0\t0.0003\t\n";
        assert_eq!(table(&models).expect("a table"), HEAD.to_owned() + rows);
    }

    #[test]
    fn a_price_that_is_none_is_refused() {
        assert!(per_million("a", -1e-6).is_err());
        assert!(per_million("a", 2.0).is_err());
    }
}
