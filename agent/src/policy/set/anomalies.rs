//! What policy says about calls that are unusual.

use super::{Grant, PolicySet, selects};
use crate::{endpoint::Plane, identity::Labels, policy::Response};

impl PolicySet {
    /// What is done when the identity with these labels calls `endpoint` unusually often: the
    /// strictest that a grant says which lets it.
    #[must_use]
    pub fn response(&self, labels: &Labels, endpoint: &str) -> Response {
        let Some(endpoint) = self.catalogue.get(endpoint) else {
            return Response::Notify;
        };
        let letting = self
            .grants_of(labels)
            .filter(|(_, rule)| selects(&rule.grant.endpoints, &rule.grant.planes, endpoint));
        let responses = letting.map(|(_, rule)| rule.grant.on_anomaly);
        responses.max().unwrap_or_default()
    }

    /// The grant by which the identity with these labels calls through a gateway, if `endpoint` is
    /// none and is a model.
    #[must_use]
    pub fn bypassed<'s>(&'s self, labels: &'s Labels, endpoint: &str) -> Option<&'s str> {
        let endpoint = self.catalogue.get(endpoint)?;
        if endpoint.plane != Plane::Invoke {
            return None;
        }
        let gateways: Vec<_> = self
            .grants_of(labels)
            .filter(|(_, rule)| rule.grant.gateway)
            .collect();
        let is_gateway = gateways
            .iter()
            .any(|(_, rule)| selects(&rule.grant.endpoints, &rule.grant.planes, endpoint));
        let (name, _) = gateways.first()?;
        (!is_gateway).then_some(*name)
    }

    /// Whether any grant is for a gateway.
    #[must_use]
    pub fn has_gateways(&self) -> bool {
        let mut grants = self.grants.values();
        grants.any(|rule| rule.grant.gateway && !rule.is_over)
    }

    fn grants_of<'s>(
        &'s self,
        labels: &'s Labels,
    ) -> impl Iterator<Item = (&'s str, &'s Grant)> + 's {
        let live = self.grants.iter().filter(move |(_, rule)| {
            let mut subjects = rule.grant.subjects.iter();
            !rule.is_over && subjects.any(|subject| subject.matches(Some(labels)))
        });
        live.map(|(name, rule)| (name.as_str(), rule))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::policy::fixture;

    fn policy() -> PolicySet {
        let model = |name: &str| {
            format!(
                "apiVersion: weir.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{name: {name}}}\n\
                 spec: {{provider: x, hosts: [{name}.example], ports: [443]}}\n---\n"
            )
        };
        let grant = |name: &str, unit: &str, rest: &str| {
            format!(
                "apiVersion: weir.dev/v1alpha1\nkind: InvocationGrant\nmetadata: {{name: {name}}}\n\
                 spec: {{subjects: [{{systemd: {{unit: {unit}}}}}], purpose: x, {rest}}}\n---\n"
            )
        };
        let text = [
            model("gateway"),
            model("openai"),
            grant(
                "through",
                "a.service",
                "endpoints: [gateway], gateway: true",
            ),
            grant(
                "all",
                "'*.service'",
                "endpoints: [openai], onAnomaly: throttle",
            ),
            grant(
                "one",
                "b.service",
                "endpoints: [openai], onAnomaly: suspend",
            ),
        ]
        .concat();
        fixture::set(&text, Timestamp::UNIX_EPOCH)
    }

    fn unit(name: &str) -> Labels {
        Labels::from_cgroup_path(&format!("/system.slice/{name}"))
    }

    #[test]
    fn the_strictest_response_counts() {
        let policy = policy();
        let response = |name, endpoint| policy.response(&unit(name), endpoint);
        assert_eq!(response("a.service", "openai"), Response::Throttle);
        assert_eq!(response("b.service", "openai"), Response::Suspend);
        assert_eq!(response("a.service", "gateway"), Response::Notify);
        assert_eq!(response("x.scope", "openai"), Response::Notify);
        assert_eq!(response("a.service", "nowhere"), Response::Notify);
    }

    #[test]
    fn who_calls_through_a_gateway_calls_nobody_else() {
        let policy = policy();
        assert!(policy.has_gateways());
        let bypassed = |name, endpoint| policy.bypassed(&unit(name), endpoint).map(str::to_owned);
        assert_eq!(bypassed("a.service", "openai").as_deref(), Some("through"));
        assert_eq!(bypassed("a.service", "gateway"), None);
        assert_eq!(bypassed("b.service", "openai"), None);
    }
}
