//! What tokens of models cost, from a public table that is compiled in and what the user says instead.
//! Pure.

use std::{collections::BTreeMap, sync::LazyLock};

use super::cost::Dollars;

/// `cargo xtask prices` writes it; see `model_prices.NOTICE`.
const TABLE: &str = include_str!("../../data/model_prices.tsv");

/// Where the built-in prices are from.
pub const TABLE_SOURCE: &str = "litellm 1.109.1 (MIT, Berri AI), retrieved on 2026-11-28";

static BUILTIN: LazyLock<BTreeMap<&str, Price>> =
    LazyLock::new(|| rows().filter_map(parse).collect());

/// Prices of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of a million tokens.
    pub input: Dollars,
    pub output: Dollars,
    /// Whose model it is; `None` where the user gives the price.
    pub provider: Option<&'static str>,
    /// Longer prompts cost more than this.
    pub has_tiers: bool,
}

impl Price {
    /// Of a call with so many tokens.
    #[must_use]
    pub fn of_call(&self, input: u64, output: u64) -> Dollars {
        self.input.of_a_million(input) + self.output.of_a_million(output)
    }
}

/// The built-in prices with those of the user in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    pub own: BTreeMap<String, Price>,
}

impl Prices {
    #[must_use]
    pub fn get(&self, model: &str) -> Option<&Price> {
        self.own.get(model).or_else(|| BUILTIN.get(model))
    }

    /// All of them by model.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&str, &Price> {
        let builtin = BUILTIN.iter().map(|(model, price)| (*model, price));
        let own = self.own.iter();
        builtin
            .chain(own.map(|(model, price)| (model.as_str(), price)))
            .collect()
    }
}

fn rows() -> impl Iterator<Item = &'static str> {
    TABLE.lines().skip(1)
}

fn parse(row: &'static str) -> Option<(&'static str, Price)> {
    let mut cells = row.split('\t');
    let (model, provider) = (cells.next()?, cells.next()?);
    let mut dollars = || Dollars::price(cells.next()?.parse().ok()?);
    let (input, output) = (dollars()?, dollars()?);
    let price = Price {
        input,
        output,
        provider: Some(provider),
        has_tiers: cells.next()? == "tiers",
    };
    Some((model, price))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read() {
        assert_eq!(BUILTIN.len(), rows().count());
        let price = Prices::default();
        let price = price.get("gpt-4o").expect("a price");
        assert_eq!((price.input.to_f64(), price.output.to_f64()), (2.5, 10.0));
        assert_eq!(price.of_call(1_200, 400).to_f64(), 0.007);
    }

    #[test]
    fn the_user_knows_better() {
        let own = Price {
            input: Dollars::ZERO,
            output: Dollars::ZERO,
            provider: None,
            has_tiers: false,
        };
        let prices = Prices {
            own: [("gpt-4o".to_owned(), own), ("mine".to_owned(), own)].into(),
        };
        assert_eq!(prices.get("gpt-4o"), Some(&own));
        assert_eq!(prices.get("nobody's"), None);
        assert_eq!(prices.all().len(), BUILTIN.len() + 1);
    }
}
