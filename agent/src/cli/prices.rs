//! `weir prices`

use std::path::PathBuf;

use serde::Serialize;

use super::{Answer, output::Out};
use crate::{
    config::{Config, Overrides},
    policy::NamePattern,
    usage::prices::{Price, TABLE_SOURCE},
};

/// Show what tokens of models cost
///
/// In US dollars per million tokens, from a public table that is compiled in, with [prices] of the
/// agent's configuration in their places. They are used for rules of [[costs]] that say a model and how
/// many tokens a call has: weir sees neither on encrypted connections.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weir prices --model 'gpt-4o*'\n  weir prices --json")]
pub(super) struct Args {
    /// Only this model; `*` stands for any characters
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Configuration file of the agent
    ///
    /// [default: /etc/weir/weir.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct List<'p> {
    /// Where the built-in ones are from.
    source: &'static str,
    models: Vec<Model<'p>>,
}

#[derive(Debug, Serialize)]
struct Model<'p> {
    model: &'p str,
    /// `null` for a price of the configuration.
    provider: Option<&'p str>,
    input_usd_per_million_tokens: f64,
    output_usd_per_million_tokens: f64,
    /// Longer prompts cost more.
    has_tiers: bool,
}

impl Args {
    pub(super) fn run(self, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let config = Config::resolve(Overrides {
            config: self.config,
            ..Overrides::default()
        })?;
        let prices = config.costs.prices;
        let pattern = self.model.as_deref().map(NamePattern::new);
        let is_asked = |model: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(model))
        };
        let all = prices.all().into_iter();
        let models = all.filter(|(model, _)| is_asked(model)).map(listed);
        let list = List {
            source: TABLE_SOURCE,
            models: models.collect(),
        };
        if self.json {
            out.json(&list)?;
        } else if list.models.is_empty() {
            out.line("no such model: [prices] of the configuration adds one")?;
        } else {
            print(&list, out)?;
        }
        let is_none = list.models.is_empty();
        Ok(if is_none { Answer::No } else { Answer::Done })
    }
}

fn listed<'p>((model, price): (&'p str, &'p Price)) -> Model<'p> {
    Model {
        model,
        provider: price.provider,
        input_usd_per_million_tokens: price.input.to_f64(),
        output_usd_per_million_tokens: price.output.to_f64(),
        has_tiers: price.has_tiers,
    }
}

fn print(list: &List<'_>, out: &mut Out<'_>) -> anyhow::Result<()> {
    let rows = list.models.iter().map(|model| {
        vec![
            model.model.to_owned(),
            model.provider.unwrap_or("(configuration)").to_owned(),
            model.input_usd_per_million_tokens.to_string(),
            model.output_usd_per_million_tokens.to_string(),
            if model.has_tiers {
                "long prompts cost more"
            } else {
                ""
            }
            .to_owned(),
        ]
    });
    let header = ["MODEL", "PROVIDER", "INPUT", "OUTPUT", "NOTE"];
    out.table(&header, &["INPUT", "OUTPUT"], rows.collect())?;
    out.blank()?;
    out.line(format!(
        "US dollars per million tokens, by {}: check them against your provider's",
        list.source
    ))
}
