//! The layers of the agent as data: `cli` → `api` → `daemon` → adapters → domain.

use std::path::Path;

struct Rule {
    /// Modules of the agent that the rule is about.
    modules: &'static [&'static str],
    forbidden: &'static [&'static str],
    why: &'static str,
}

/// Crates that belong to one module.
struct Owner {
    module: &'static str,
    crates: &'static [&'static str],
    why: &'static str,
}

const DOMAIN: &[&str] = &[
    "anomaly", "audit", "endpoint", "identity", "policy", "usage",
];
const ADAPTERS: &[&str] = &["bpf", "config", "host", "kube", "store"];

const RULES: &[Rule] = &[
    Rule {
        modules: DOMAIN,
        forbidden: &[
            "aya",
            "axum",
            "hickory_resolver",
            "hyper",
            "libc",
            "nix",
            "notify",
            "rusqlite",
            "std::env",
            "std::fs",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::ToSocketAddrs",
            "std::net::UdpSocket",
            "std::os",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "tokio",
        ],
        why: "domain modules have no clock, no I/O and no runtime",
    },
    Rule {
        modules: DOMAIN,
        forbidden: &[
            "crate::api",
            "crate::bpf",
            "crate::cli",
            "crate::config",
            "crate::daemon",
            "crate::host",
            "crate::kube",
            "crate::store",
        ],
        why: "the domain is the lowest layer",
    },
    Rule {
        modules: ADAPTERS,
        forbidden: &["crate::api", "crate::cli", "crate::daemon"],
        why: "adapters are below the daemon",
    },
    Rule {
        modules: &["daemon"],
        forbidden: &["crate::api", "crate::cli"],
        why: "the daemon is below the API",
    },
    Rule {
        modules: &["api"],
        forbidden: &["crate::cli"],
        why: "the API is below the command line",
    },
];

const OWNERS: &[Owner] = &[
    Owner {
        module: "bpf",
        crates: &["aya", "aya_log"],
        why: "only `bpf` talks to the kernel's BPF",
    },
    Owner {
        module: "store",
        crates: &["rusqlite"],
        why: "only `store` talks to the database",
    },
    Owner {
        module: "kube",
        crates: &["k8s_openapi", "kube"],
        why: "only `kube` talks to Kubernetes",
    },
    Owner {
        module: "api",
        crates: &["axum", "utoipa", "utoipa_axum"],
        why: "only `api` speaks HTTP to clients",
    },
];

/// Why a file may not name a path; nothing when it may.
pub(crate) fn broken_rule(file: &Path, used: &str) -> Option<&'static str> {
    let module = module_of(file)?;
    let rules = RULES
        .iter()
        .filter(|rule| rule.modules.contains(&module.as_str()))
        .filter(|rule| rule.forbidden.iter().any(|path| is_within(used, path)))
        .map(|rule| rule.why);
    let owners = OWNERS
        .iter()
        .filter(|owner| owner.module != module)
        .filter(|owner| owner.crates.iter().any(|path| is_within(used, path)))
        .map(|owner| owner.why);
    rules.chain(owners).next()
}

/// `policy` for `agent/src/policy.rs` and for everything below `agent/src/policy/`.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix("agent/src").ok()?;
    let first = Path::new(inside.components().next()?.as_os_str());
    Some(first.file_stem()?.to_str()?.to_owned())
}

fn is_within(used: &str, path: &str) -> bool {
    used.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
