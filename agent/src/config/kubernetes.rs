//! `[kubernetes]`: where metadata of this node's pods comes from.

use std::{env, path::PathBuf};

use serde::Deserialize;

/// What is resolved from the table, the environment and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Name of this node.
    pub node: String,
    pub source: PodSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSource {
    /// The API server that a file names; `None` for that of the cluster around.
    Api { kubeconfig: Option<PathBuf> },
    Kubelet {
        url: String,
        ca: Option<PathBuf>,
        insecure: bool,
    },
}

/// The kubelet of the node, where a process in the node's network finds it.
const KUBELET_URL: &str = "https://127.0.0.1:10250/pods";

/// The table's schema: every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    source: Option<SourceName>,
    node: Option<String>,
    kubeconfig: Option<PathBuf>,
    kubelet_url: Option<String>,
    kubelet_ca: Option<PathBuf>,
    kubelet_insecure: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceName {
    Off,
    Api,
    Kubelet,
}

/// What the surroundings say.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    is_in_cluster: bool,
    node_name: Option<String>,
    host_name: Option<String>,
}

impl Environment {
    pub(super) fn read() -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let host_name = nix::unistd::gethostname().ok();
        Self {
            is_in_cluster: variable("KUBERNETES_SERVICE_HOST").is_some(),
            node_name: variable("NODE_NAME"),
            host_name: host_name.and_then(|name| name.into_string().ok()),
        }
    }
}

impl Table {
    /// `None`: nobody is asked.
    ///
    /// # Errors
    ///
    /// When fields contradict each other or one is missing: names it.
    pub(super) fn resolve(self, environment: Environment) -> Result<Option<Kubernetes>, String> {
        let Self {
            source,
            node,
            kubeconfig,
            kubelet_url,
            kubelet_ca,
            kubelet_insecure,
        } = self;
        let Environment {
            is_in_cluster,
            node_name,
            host_name,
        } = environment;
        let default = if is_in_cluster {
            SourceName::Api
        } else {
            SourceName::Off
        };
        // What is switched off may stay in the file.
        let is_switched_off = source == Some(SourceName::Off);
        let source = source.unwrap_or(default);
        let given = [
            ("kubeconfig", kubeconfig.is_some(), SourceName::Api),
            ("kubelet_url", kubelet_url.is_some(), SourceName::Kubelet),
            ("kubelet_ca", kubelet_ca.is_some(), SourceName::Kubelet),
            (
                "kubelet_insecure",
                kubelet_insecure.is_some(),
                SourceName::Kubelet,
            ),
        ];
        for (field, is_given, only_for) in given {
            if is_given && source != only_for && !is_switched_off {
                return Err(misplaced(field, only_for));
            }
        }
        let source = match source {
            SourceName::Off => return Ok(None),
            SourceName::Api if kubeconfig.is_none() && !is_in_cluster => {
                return Err(
                    "kubernetes.kubeconfig: is needed outside of a pod: name the file that says \
                     where the API server is"
                        .to_owned(),
                );
            }
            SourceName::Api => PodSource::Api { kubeconfig },
            SourceName::Kubelet => kubelet(kubelet_url, kubelet_ca, kubelet_insecure)?,
        };
        let node = node
            .or(node_name)
            .or(host_name)
            .filter(|node| is_node(node));
        let node = node.ok_or(
            "kubernetes.node: is no name of a node: write it as `kubectl get nodes` shows it",
        )?;
        Ok(Some(Kubernetes { node, source }))
    }
}

fn misplaced(field: &str, only_for: SourceName) -> String {
    let name = match only_for {
        SourceName::Off => "off",
        SourceName::Api => "api",
        SourceName::Kubelet => "kubelet",
    };
    format!("kubernetes.{field}: needs `source = \"{name}\"`")
}

fn kubelet(
    url: Option<String>,
    ca: Option<PathBuf>,
    insecure: Option<bool>,
) -> Result<PodSource, String> {
    let url = url.unwrap_or_else(|| KUBELET_URL.to_owned());
    let insecure = insecure.unwrap_or(false);
    let authority = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if authority.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Err(format!(
            "kubernetes.kubelet_url: `{url}` is not a URL: write {KUBELET_URL} or alike"
        ));
    }
    if insecure && ca.is_some() {
        return Err(
            "kubernetes.kubelet_insecure: makes kubelet_ca useless: leave one of them out"
                .to_owned(),
        );
    }
    Ok(PodSource::Kubelet { url, ca, insecure })
}

/// Names of nodes are names of the DNS.
fn is_node(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("a table")
    }

    fn resolve(text: &str, is_in_cluster: bool) -> Result<Option<Kubernetes>, String> {
        table(text).resolve(Environment {
            is_in_cluster,
            node_name: None,
            host_name: Some("host".to_owned()),
        })
    }

    fn api(node: &str, kubeconfig: Option<&str>) -> Option<Kubernetes> {
        Some(Kubernetes {
            node: node.to_owned(),
            source: PodSource::Api {
                kubeconfig: kubeconfig.map(PathBuf::from),
            },
        })
    }

    #[test]
    fn a_pod_asks_its_own_api_server_and_nobody_else_asks_without_being_told() {
        assert_eq!(resolve("", false), Ok(None));
        assert_eq!(resolve("", true), Ok(api("host", None)));
        assert_eq!(resolve("source = 'off'", true), Ok(None));
        assert_eq!(resolve("source = 'off'\nkubeconfig = '/a'", true), Ok(None));
        let own = "source = 'api'\nnode = 'n1'\nkubeconfig = '/a'";
        assert_eq!(resolve(own, false), Ok(api("n1", Some("/a"))));
        assert_eq!(
            resolve("kubeconfig = '/a'", true),
            Ok(api("host", Some("/a")))
        );
    }

    #[test]
    fn a_kubelet_is_on_this_machine_and_has_a_certificate() {
        let check = |text: &str, url: &str, ca: Option<&str>, insecure: bool| {
            let found = resolve(&format!("source = 'kubelet'\n{text}"), false);
            let expected = PodSource::Kubelet {
                url: url.to_owned(),
                ca: ca.map(PathBuf::from),
                insecure,
            };
            assert_eq!(
                found.map(|found| found.map(|found| found.source)),
                Ok(Some(expected)),
                "{text}"
            );
        };
        check("", KUBELET_URL, None, false);
        check("kubelet_ca = '/ca'", KUBELET_URL, Some("/ca"), false);
        check(
            "kubelet_url = 'http://127.0.0.1:10255'\nkubelet_insecure = true",
            "http://127.0.0.1:10255",
            None,
            true,
        );
    }

    #[test]
    fn the_node_is_the_first_that_somebody_names() {
        let environment = |node_name: Option<&str>, host_name: Option<&str>| Environment {
            is_in_cluster: true,
            node_name: node_name.map(ToOwned::to_owned),
            host_name: host_name.map(ToOwned::to_owned),
        };
        let node = |text: &str, environment| {
            let found = table(text).resolve(environment);
            found.map(|found| found.map(|found| found.node))
        };
        let is = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(
            node("node = 'a'", environment(Some("b"), Some("c"))),
            is("a")
        );
        assert_eq!(node("", environment(Some("b"), Some("c"))), is("b"));
        assert_eq!(node("", environment(None, Some("c"))), is("c"));
        for bad in [environment(None, None), environment(Some("a,b"), None)] {
            let error = node("", bad).expect_err("no node");
            assert!(error.starts_with("kubernetes.node: "), "{error}");
        }
    }

    #[test]
    fn what_contradicts_itself_names_the_field() {
        let check = |text: &str, is_in_cluster, expected: &str| {
            let error = resolve(text, is_in_cluster).expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        };
        check("source = 'api'", false, "kubernetes.kubeconfig: is needed");
        check(
            "kubeconfig = '/a'",
            false,
            "kubernetes.kubeconfig: needs `source = \"api\"`",
        );
        check(
            "source = 'kubelet'\nkubeconfig = '/a'",
            true,
            "kubernetes.kubeconfig: needs `source = \"api\"`",
        );
        check(
            "kubelet_insecure = true",
            true,
            "kubernetes.kubelet_insecure: needs `source = \"kubelet\"`",
        );
        for url in ["127.0.0.1:10250", "https://", "http:///pods"] {
            check(
                &format!("source = 'kubelet'\nkubelet_url = '{url}'"),
                true,
                "kubernetes.kubelet_url: ",
            );
        }
        check(
            "source = 'kubelet'\nkubelet_ca = '/ca'\nkubelet_insecure = true",
            true,
            "kubernetes.kubelet_insecure: ",
        );
    }
}
