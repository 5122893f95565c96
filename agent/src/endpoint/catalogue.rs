//! All known endpoints, ordered by name, and the search for those behind a host name.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::LazyLock,
};

use ipnet::IpNet;

use super::{Endpoint, HostPattern, Plane, Source, builtin, host_pattern::normalise};

/// An immutable set of endpoints with unique names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    endpoints: BTreeMap<String, Endpoint>,
    by_provider: BTreeMap<String, BTreeSet<String>>,
    /// Exact host → names.
    by_host: BTreeMap<String, BTreeSet<String>>,
    wildcards: Vec<(HostPattern, String)>,
}

/// One endpoint that a host name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'c> {
    pub endpoint: &'c Endpoint,
    pub plane: Plane,
    pub pattern: &'c HostPattern,
}

impl Match<'_> {
    /// Whether management goes to this host too.
    #[must_use]
    pub fn also_manages(&self) -> bool {
        matches!(
            &self.endpoint.source,
            Source::Catalogue { also_manage, .. } if also_manage.contains(self.pattern)
        )
    }
}

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::new(builtin::endpoints()));

impl Catalogue {
    /// The catalogue that is compiled in.
    #[must_use]
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Of two endpoints with the same name the later one stays.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let endpoints = endpoints.into_iter();
        let mut catalogue = Self {
            endpoints: endpoints
                .map(|endpoint| (endpoint.name.clone(), endpoint))
                .collect(),
            ..Self::default()
        };
        for (name, endpoint) in &catalogue.endpoints {
            let provider = catalogue.by_provider.entry(endpoint.provider.clone());
            provider.or_default().insert(name.clone());
            for pattern in &endpoint.hosts {
                if pattern.is_exact() {
                    let names = catalogue.by_host.entry(pattern.as_str().to_owned());
                    names.or_default().insert(name.clone());
                } else {
                    catalogue.wildcards.push((pattern.clone(), name.clone()));
                }
            }
        }
        catalogue
    }

    /// This catalogue with `endpoints` added; a name that is known is replaced as a whole.
    #[must_use]
    pub fn with(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self::new(self.endpoints.values().cloned().chain(endpoints))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// In the order of their names.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.by_provider.keys().map(String::as_str)
    }

    /// Everything that `selector` means; see [`Endpoint::is_selected_by`].
    #[must_use]
    pub fn select(&self, selector: &str) -> BTreeMap<&str, &Endpoint> {
        let below = format!("{selector}/");
        let narrower = self
            .endpoints
            .range(below.clone()..)
            .take_while(|(name, _)| name.starts_with(&below));
        let of_provider = self.by_provider.get(selector).into_iter().flatten();
        self.endpoints
            .get_key_value(selector)
            .into_iter()
            .chain(narrower)
            .chain(of_provider.filter_map(|name| self.endpoints.get_key_value(name)))
            .map(|(name, endpoint)| (name.as_str(), endpoint))
            .collect()
    }

    /// The known name, or provider, that is spelled most like `selector`.
    #[must_use]
    pub fn closest(&self, selector: &str) -> Option<&str> {
        const ALIKE: f64 = 0.8;
        self.endpoints
            .keys()
            .map(String::as_str)
            .chain(self.providers())
            .map(|name| (strsim::jaro_winkler(name, selector), name))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|(a, first), (b, second)| a.total_cmp(b).then(second.cmp(first)))
            .map(|(_, name)| name)
    }

    /// The endpoints that `host` belongs to, most specific pattern first: exact, then wildcards
    /// inside, then a leading wildcard; longer patterns before shorter ones.
    #[must_use]
    pub fn match_host(&self, host: &str) -> Vec<Match<'_>> {
        let host = normalise(host);
        let exact = self.by_host.get(&host).into_iter().flatten();
        let wild = self
            .wildcards
            .iter()
            .filter(|(pattern, _)| pattern.matches(&host));
        let names = exact
            .chain(wild.map(|(_, name)| name))
            .collect::<BTreeSet<_>>();
        let mut matches = names
            .into_iter()
            .filter_map(|name| self.endpoints.get(name))
            .filter_map(|endpoint| {
                let fitting = endpoint
                    .hosts
                    .iter()
                    .filter(|pattern| pattern.matches(&host));
                let pattern = fitting.min_by_key(|pattern| pattern.closeness())?;
                Some(Match {
                    endpoint,
                    plane: endpoint.plane,
                    pattern,
                })
            })
            .collect::<Vec<_>>();
        matches.sort_by_key(|found| found.pattern.closeness());
        matches
    }

    /// The endpoints that have a network around `address`, with the narrowest one; narrower ones
    /// first.
    #[must_use]
    pub fn match_address(&self, address: IpAddr) -> Vec<(&Endpoint, IpNet)> {
        let mut matches = self
            .endpoints
            .values()
            .filter_map(|endpoint| {
                let around = endpoint.cidrs.iter().filter(|net| net.contains(&address));
                let narrowest = around.max_by_key(|net| net.prefix_len())?;
                Some((endpoint, *narrowest))
            })
            .collect::<Vec<_>>();
        matches.sort_by_key(|(_, net)| Reverse(net.prefix_len()));
        matches
    }

    /// The patterns that are spelled most like `host`, at most three, each of another endpoint.
    #[must_use]
    pub fn similar_hosts(&self, host: &str) -> Vec<(&HostPattern, &Endpoint)> {
        const ALIKE: f64 = 0.8;
        const MOST: usize = 3;
        let host = normalise(host);
        let mut similar = self
            .endpoints
            .values()
            .flat_map(|endpoint| {
                endpoint
                    .hosts
                    .iter()
                    .map(move |pattern| (pattern, endpoint))
            })
            .map(|(pattern, endpoint)| {
                let text = pattern.as_str();
                let likeness = strsim::normalized_damerau_levenshtein(text, &host);
                (likeness, pattern, endpoint)
            })
            .filter(|(likeness, ..)| *likeness >= ALIKE)
            .collect::<Vec<_>>();
        similar.sort_by(|(a, first, _), (b, second, _)| b.total_cmp(a).then(first.cmp(second)));
        let mut named = BTreeSet::new();
        let of_others = similar
            .into_iter()
            .filter(|(_, _, endpoint)| named.insert(&endpoint.name));
        of_others
            .take(MOST)
            .map(|(_, pattern, endpoint)| (pattern, endpoint))
            .collect()
    }

    /// Every (endpoint, host) that can be looked up in the DNS: the hosts without wildcard.
    pub fn resolvable_hosts(&self) -> impl Iterator<Item = (&Endpoint, &str)> {
        self.endpoints.values().flat_map(|endpoint| {
            let exact = endpoint.hosts.iter().filter(|pattern| pattern.is_exact());
            exact.map(move |pattern| (endpoint, pattern.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Risk, Source};

    fn endpoint(name: &str, provider: &str, hosts: &[&str]) -> Endpoint {
        let pattern = |host: &&str| HostPattern::parse(host).expect("a pattern");
        Endpoint {
            name: name.to_owned(),
            provider: provider.to_owned(),
            plane: Plane::Invoke,
            hosts: hosts.iter().map(pattern).collect(),
            cidrs: Vec::new(),
            ports: vec![Endpoint::DEFAULT_PORT],
            risk: Risk::default(),
            shared: false,
            exclusive: false,
            source: Source::Api,
        }
    }

    fn sample() -> Catalogue {
        Catalogue::new([
            endpoint("acme", "acme", &["*.acme.ai", "api.acme.ai"]),
            endpoint("acme/eu", "acme", &["api.eu.acme.ai"]),
            endpoint("inner", "other", &["api.*.acme.ai"]),
            endpoint("acmeist", "third", &["acme.ai"]),
        ])
    }

    fn check_host(host: &str, expected: &[(&str, &str)]) {
        let catalogue = sample();
        let found = catalogue.match_host(host);
        let plain = found
            .iter()
            .map(|found| (found.endpoint.name.as_str(), found.pattern.as_str()));
        assert_eq!(plain.collect::<Vec<_>>(), expected, "{host}");
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        check_host("API.acme.ai.", &[("acme", "api.acme.ai")]);
        check_host(
            "api.eu.acme.ai",
            &[
                ("acme/eu", "api.eu.acme.ai"),
                ("inner", "api.*.acme.ai"),
                ("acme", "*.acme.ai"),
            ],
        );
        check_host("acme.ai", &[("acmeist", "acme.ai")]);
        check_host("acme.ai.evil.org", &[]);
    }

    fn check_selector(selector: &str, expected: &[&str]) {
        let catalogue = sample();
        let names = catalogue.select(selector).into_keys().collect::<Vec<_>>();
        assert_eq!(names, expected, "{selector}");
        let slow = catalogue
            .iter()
            .filter(|endpoint| endpoint.is_selected_by(selector));
        assert_eq!(
            slow.map(|endpoint| &endpoint.name).collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn a_selector_means_a_name_what_is_below_it_and_a_provider() {
        check_selector("acme", &["acme", "acme/eu"]);
        check_selector("acme/eu", &["acme/eu"]);
        check_selector("third", &["acmeist"]);
        check_selector("acm", &[]);
        check_selector("", &[]);
    }

    #[test]
    fn a_later_endpoint_replaces_one_of_the_same_name() {
        let replaced = sample().with([endpoint("acme", "mine", &["llm.internal"])]);
        assert!(replaced.match_host("api.acme.ai").is_empty());
        assert_eq!(replaced.match_host("llm.internal").len(), 1);
        assert_eq!(replaced.select("acme").len(), 2);
    }

    #[test]
    fn only_exact_hosts_can_be_resolved() {
        let catalogue = sample();
        let hosts = catalogue
            .resolvable_hosts()
            .map(|(_, host)| host)
            .collect::<Vec<_>>();
        assert_eq!(hosts, ["api.acme.ai", "api.eu.acme.ai", "acme.ai"]);
    }

    #[test]
    fn an_address_belongs_to_the_networks_around_it_the_narrowest_first() {
        let with_cidrs = |name: &str, cidrs: &[&str]| Endpoint {
            cidrs: cidrs
                .iter()
                .map(|net| net.parse().expect("a network"))
                .collect(),
            ..endpoint(name, name, &[])
        };
        let catalogue = Catalogue::new([
            with_cidrs("wide", &["10.0.0.0/8", "0.0.0.0/0"]),
            with_cidrs("narrow", &["10.1.0.0/16", "fd00::/8"]),
        ]);
        let names = |address: &str| {
            let found = catalogue.match_address(address.parse().expect("an address"));
            let names = found
                .iter()
                .map(|(endpoint, net)| format!("{} {net}", endpoint.name));
            names.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(names("10.1.2.3"), "narrow 10.1.0.0/16, wide 10.0.0.0/8");
        assert_eq!(names("192.0.2.1"), "wide 0.0.0.0/0");
        assert_eq!(names("fd12::1"), "narrow fd00::/8");
        assert_eq!(names("2001:db8::1"), "");
    }

    #[test]
    fn a_host_that_nobody_has_is_answered_with_those_that_look_like_it() {
        let similar = |host: &str| {
            let similar = Catalogue::builtin().similar_hosts(host);
            let hosts = similar.iter().map(|(pattern, _)| pattern.as_str());
            hosts.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            similar("api.opanai.com").first().map(String::as_str),
            Some("api.openai.com")
        );
        assert_eq!(similar("openai.azure.com"), ["*.openai.azure.com"]);
        assert!(similar("www.example.org").is_empty());
    }

    #[test]
    fn a_typing_error_finds_the_name_that_was_meant() {
        assert_eq!(sample().closest("acme/ue"), Some("acme/eu"));
        assert_eq!(Catalogue::builtin().closest("antropic"), Some("anthropic"));
        assert_eq!(sample().closest("zzz"), None);
    }
}
