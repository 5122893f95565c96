//! `[prices]` and `[[costs]]`: what tokens cost, and what calls are estimated to cost.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use toml::Spanned;

use crate::usage::{
    cost::{CostRule, Dollars, Rate},
    prices::{Price, Prices},
};

/// What money is reckoned by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    pub prices: Prices,
    /// In order: the first that selects an endpoint counts.
    pub rules: Vec<CostRule>,
}

/// A mistake, and where it stands in the file.
pub(super) struct Mistake {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// An amount of dollars, as it stands in the file.
type Amount = Spanned<f64>;

/// Dollars per million tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceTable {
    input: Amount,
    output: Amount,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    endpoint: Spanned<String>,
    per_call: Option<Amount>,
    per_megabyte: Option<Amount>,
    model: Option<Spanned<String>>,
    tokens_per_call: Option<Spanned<Tokens>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    input: u64,
    output: u64,
}

/// # Errors
///
/// When an amount is none, a model has no price, or a rule says nothing or two things: names the field.
pub(super) fn resolve(
    prices: &BTreeMap<String, PriceTable>,
    rules: &[RuleTable],
) -> Result<Costs, Mistake> {
    let prices = prices.iter().map(|(model, price)| {
        let field = |name| format!("prices.{model}.{name}");
        let price = Price {
            input: amount(&field("input"), &price.input)?,
            output: amount(&field("output"), &price.output)?,
            provider: None,
            has_tiers: false,
        };
        Ok((model.clone(), price))
    });
    let prices = Prices {
        own: prices.collect::<Result<_, Mistake>>()?,
    };
    let rules = rules.iter().map(|rule| self::rule(rule, &prices));
    let rules = rules.collect::<Result<_, Mistake>>()?;
    Ok(Costs { prices, rules })
}

fn rule(rule: &RuleTable, prices: &Prices) -> Result<CostRule, Mistake> {
    let RuleTable {
        endpoint,
        per_call,
        per_megabyte,
        model,
        tokens_per_call,
    } = rule;
    let price = |name: &str, text: &Option<Amount>| {
        let text = text.as_ref();
        text.map(|text| amount(&format!("costs.{name}"), text))
            .transpose()
    };
    let by_tokens = match (model, tokens_per_call) {
        (None, None) => None,
        (Some(model), Some(tokens)) => Some(tokens_cost(model, tokens.get_ref(), prices)?),
        (Some(only), None) => return Err(mistake(only, "costs.model: give tokens_per_call, too")),
        (None, Some(only)) => return Err(mistake(only, "costs.tokens_per_call: give model, too")),
    };
    let per_call = match (price("per_call", per_call)?, by_tokens, model) {
        (Some(_), Some(_), Some(model)) => {
            let message = "costs.model: per_call says it already: leave one of them out";
            return Err(mistake(model, message));
        }
        (given, computed, _) => given.or(computed),
    };
    let rate = Rate {
        per_call,
        per_megabyte: price("per_megabyte", per_megabyte)?,
    };
    if rate == Rate::default() {
        let message = "costs.endpoint: nothing says what it costs: give per_call, per_megabyte, or \
                       model and tokens_per_call";
        return Err(mistake(endpoint, message));
    }
    Ok(CostRule {
        endpoint: endpoint.get_ref().clone(),
        rate,
    })
}

fn tokens_cost(
    model: &Spanned<String>,
    tokens: &Tokens,
    prices: &Prices,
) -> Result<Dollars, Mistake> {
    let name = model.get_ref();
    let price = prices.get(name).ok_or_else(|| {
        let message = format!(
            "costs.model: no price of `{name}` is known: `weir prices --model` finds names, and \
             [prices] adds one"
        );
        mistake(model, message)
    })?;
    Ok(price.of_call(tokens.input, tokens.output))
}

fn amount(field: &str, amount: &Amount) -> Result<Dollars, Mistake> {
    Dollars::price(*amount.get_ref()).ok_or_else(|| {
        let message = format!(
            "{field}: {} is no price: write dollars, from 0 to {}",
            amount.get_ref(),
            Dollars::MOST
        );
        mistake(amount, message)
    })
}

fn mistake<T>(at: &Spanned<T>, message: impl Into<String>) -> Mistake {
    Mistake {
        at: at.span(),
        message: message.into(),
    }
}
