//! What one component of a path says by its form. Whether that can be believed depends on where
//! it stands.

/// One directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Component<'p> {
    Slice {
        name: &'p str,
        /// UID of the pod that the slice is for.
        pod: Option<String>,
    },
    Pod {
        uid: String,
    },
    Container {
        id: &'p str,
        /// Its scope.
        unit: Option<&'p str>,
        pod: Option<String>,
        /// Inside the unit that started it, it is that unit.
        is_payload: bool,
    },
    /// A container of LXC, which has a name and no id.
    Machine {
        name: &'p str,
        text: &'p str,
    },
    Unit {
        name: &'p str,
        keeper: Keeper,
    },
    /// Anything else.
    Plain,
}

/// Who manages the cgroups below a unit, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    Itself,
    /// `user@1000.service`: its user.
    User,
    /// A runtime that keeps its containers below itself.
    Runtime,
}

/// Units with a cgroup.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

const RUNTIMES: [&str; 8] = [
    "containerd.service",
    "crio.service",
    "docker.service",
    "k3s-agent.service",
    "k3s.service",
    "kubelet.service",
    "rke2-agent.service",
    "rke2-server.service",
];

/// Directories of container runtimes and of the kubelet, by the names that they have by default.
const PARENTS: [&str; 13] = [
    "besteffort",
    "burstable",
    "default",
    "docker",
    "ecs",
    "k8s.io",
    "kubelet",
    "kubepods",
    "libpod_parent",
    "lxc",
    "lxc.payload",
    "moby",
    "nerdctl",
];

const ID_LENGTH: usize = 64;
/// Of a task of ECS.
const TASK_LENGTH: usize = 32;

/// Whether a runtime keeps containers in a directory of this name below that one.
pub(super) fn is_parent(text: &str, parent: &str) -> bool {
    let is_id = |length| text.len() == length && text.bytes().all(is_hex);
    match parent {
        "ecs" => is_id(TASK_LENGTH),
        "libpod_parent" => is_id(ID_LENGTH),
        _ => PARENTS.contains(&text),
    }
}

impl<'p> Component<'p> {
    /// `parent` is the component above, or empty.
    pub(super) fn read(text: &'p str, parent: &str) -> Self {
        if let Some((prefix, id)) = container(text) {
            let is_pod_of_podman = prefix.is_empty() && parent == "libpod_parent";
            let is_monitor = prefix.ends_with("conmon-");
            if !is_pod_of_podman && !is_monitor {
                return Self::Container {
                    id,
                    unit: text.ends_with(".scope").then_some(text),
                    pod: prefix.split(':').next().and_then(pod_of_slice),
                    is_payload: prefix == "libpod-payload-",
                };
            }
        }
        if let Some(name) = machine(text, parent) {
            return Self::Machine { name, text };
        }
        if let Some(uid) = text.strip_prefix("pod").filter(|uid| is_pod_uid(uid)) {
            return Self::Pod {
                uid: uid.to_owned(),
            };
        }
        // Systemd puts a `_` before names that would be taken for a file of the cgroup.
        let name = text.strip_prefix('_').unwrap_or(text);
        if name.ends_with(".slice") {
            let pod = pod_of_slice(name);
            return Self::Slice { name, pod };
        }
        if UNITS.iter().any(|suffix| name.ends_with(suffix)) {
            let keeper = if name.starts_with("user@") && name.ends_with(".service") {
                Keeper::User
            } else if RUNTIMES.contains(&name) {
                Keeper::Runtime
            } else {
                Keeper::Itself
            };
            return Self::Unit { name, keeper };
        }
        Self::Plain
    }

    /// What it is called where it cannot be believed. A directory or slice is nobody by itself.
    pub(super) fn nested(&self) -> Option<String> {
        match self {
            Self::Slice { pod: None, .. } | Self::Plain => None,
            Self::Container {
                is_payload: true, ..
            } => None,
            Self::Slice { pod: Some(uid), .. } | Self::Pod { uid } => Some(format!("pod{uid}")),
            Self::Container { id, .. } => Some((*id).to_owned()),
            Self::Machine { text, .. } => Some((*text).to_owned()),
            Self::Unit { name, .. } => Some((*name).to_owned()),
        }
    }
}

/// `<id>`, `docker-<id>.scope`, `libpod-<id>`, `kata_<id>`, `….slice:cri-containerd:<id>`, as what
/// comes before the id and the id.
fn container(text: &str) -> Option<(&str, &str)> {
    let stem = text.strip_suffix(".scope").unwrap_or(text);
    let (prefix, id) = stem.split_at_checked(stem.len().checked_sub(ID_LENGTH)?)?;
    let is_apart = prefix.is_empty() || prefix.ends_with(['-', '_', ':']);
    (is_apart && id.bytes().all(is_hex)).then_some((prefix, id))
}

/// `lxc.payload.<name>`, and `<name>` below `lxc` or `lxc.payload`.
fn machine<'p>(text: &'p str, parent: &str) -> Option<&'p str> {
    let name = text
        .strip_prefix("lxc.payload.")
        .or_else(|| matches!(parent, "lxc" | "lxc.payload").then_some(text))?;
    (!name.is_empty()).then_some(name)
}

/// `kubepods-burstable-pod<uid with underscores>.slice`, also below a prefix of the kubelet's.
fn pod_of_slice(name: &str) -> Option<String> {
    let (above, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let uid = uid.replace('_', "-");
    (above.contains("kubepods") && is_pod_uid(&uid)).then_some(uid)
}

/// That of a static pod is a hash without dashes.
fn is_pod_uid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).collect::<Vec<_>>();
    matches!(lengths.as_slice(), [8, 4, 4, 4, 12] | [32])
        && text.bytes().all(|byte| byte == b'-' || is_hex(byte))
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
