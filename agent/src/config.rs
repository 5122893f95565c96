//! The agent's settings: a TOML file, then flags, resolved into one value.
//!
//! Policy is not here: it lives in policy files and in the store.

mod anomalies;
mod approval;
mod cgroup_parent;
mod costs;
mod kubernetes;
mod roles;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use agent_common::settings::Mode;
use serde::Deserialize;
use thiserror::Error;

use crate::{
    host::accounts,
    policy::{ApprovalRules, RoleRules, Separation},
    usage::period::Retention,
};

pub use self::{
    anomalies::Anomalies,
    cgroup_parent::CgroupParent,
    costs::Costs,
    kubernetes::{Kubernetes, PodSource},
};

/// Read when `--config` is not given; need not exist then.
pub const DEFAULT_FILE: &str = "/etc/weir/weir.toml";

/// Everything the daemon needs to know, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub mode: Mode,
    /// Directory of the cgroup to govern; `None` for the whole host.
    pub cgroup: Option<PathBuf>,
    /// Directories in which names of units and containers count, beside slices and what runtimes make
    /// by default.
    pub cgroup_parents: Vec<CgroupParent>,
    pub policy_dir: PathBuf,
    pub state_dir: PathBuf,
    pub socket: PathBuf,
    /// Whose members may open the socket, beside root.
    pub socket_group: Option<u32>,
    pub pin_dir: PathBuf,
    /// Where Prometheus metrics are served over TCP besides the socket.
    pub metrics_listen: Option<SocketAddr>,
    pub log_format: LogFormat,
    /// Whether the hosts of endpoints are resolved.
    pub resolve: bool,
    /// Whether names are found out in the kernel: answers of the DNS, first packets of connections.
    pub inspect: bool,
    /// Resolvers whose answers are believed, beside those that the host's files name.
    pub name_servers: BTreeSet<IpAddr>,
    /// Whether a clean stop detaches the programs and removes all pins.
    pub detach_on_exit: bool,
    /// How many events the store keeps.
    pub kept_events: u64,
    /// How long usage is kept, and how much of it.
    pub usage: Retention,
    /// What usage is estimated to cost.
    pub costs: Costs,
    /// What is unusual, and who is told.
    pub anomalies: Anomalies,
    /// Where metadata of pods comes from; `None` for nowhere.
    pub kubernetes: Option<Kubernetes>,
    /// Whether the first bytes of a process's arguments are kept, and shown by `weir explain`.
    pub arguments: bool,
    /// Whether each send on the host is looked at for connections that another workload has made.
    pub watch_sends: bool,
    /// Whether such a send is judged before it leaves.
    pub lsm: Lsm,
    /// Where records of the audit are told besides the store.
    pub audit: Audit,
    /// Which grants need a second person.
    pub approval: ApprovalRules,
    /// What becomes of a subject that may both manage and invoke.
    pub separation_of_duties: Separation,
    /// Who may do what over the API.
    pub roles: RoleRules,
}

/// Places outside the state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    pub journald: bool,
    /// One JSON object a line, only ever added.
    pub file: Option<PathBuf>,
}

/// Use of the kernel's security modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lsm {
    #[default]
    Off,
    /// Where the kernel lets BPF be one.
    Auto,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            cgroup: None,
            cgroup_parents: Vec::new(),
            policy_dir: "/etc/weir/policy.d".into(),
            state_dir: "/var/lib/weir".into(),
            socket: "/run/weir/weir.sock".into(),
            socket_group: None,
            pin_dir: "/sys/fs/bpf/weir".into(),
            metrics_listen: None,
            log_format: LogFormat::Text,
            resolve: true,
            inspect: true,
            name_servers: BTreeSet::new(),
            detach_on_exit: false,
            kept_events: 100_000,
            usage: Retention::default(),
            costs: Costs::default(),
            anomalies: Anomalies::default(),
            kubernetes: None,
            arguments: false,
            watch_sends: false,
            lsm: Lsm::Off,
            audit: Audit::default(),
            approval: ApprovalRules::default(),
            separation_of_duties: Separation::Report,
            roles: RoleRules::default(),
        }
    }
}

/// What the command line says; it wins over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `None` for [`DEFAULT_FILE`] if it exists.
    pub config: Option<PathBuf>,
    pub mode: Option<Mode>,
    pub cgroup: Option<PathBuf>,
    pub policy_dir: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub pin_dir: Option<PathBuf>,
    pub metrics_listen: Option<SocketAddr>,
    pub log_format: Option<LogFormat>,
    pub no_resolve: bool,
    pub no_inspect: bool,
    pub name_servers: Vec<IpAddr>,
    pub detach_on_exit: bool,
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("read `{path}`")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path}: {message}")]
    Invalid { path: String, message: String },
}

/// The file's schema: every field may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    mode: Option<FileMode>,
    cgroup: Option<PathBuf>,
    cgroup_parents: Vec<CgroupParent>,
    policy_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    pin_dir: Option<PathBuf>,
    metrics_listen: Option<SocketAddr>,
    log_format: Option<LogFormat>,
    resolve: Option<bool>,
    inspect: Option<bool>,
    name_servers: Option<Vec<IpAddr>>,
    detach_on_exit: Option<bool>,
    kept_events: Option<u64>,
    usage: usage::Table,
    prices: BTreeMap<String, costs::PriceTable>,
    costs: Vec<costs::RuleTable>,
    /// What these two say.
    #[serde(skip)]
    money: Costs,
    anomalies: anomalies::Table,
    kubernetes: kubernetes::Table,
    arguments: Option<bool>,
    watch_sends: Option<bool>,
    lsm: Option<Lsm>,
    audit: Audit,
    approval: approval::Table,
    roles: roles::Table,
    separation_of_duties: Option<SeparationName>,
    socket_group: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileMode {
    Observe,
    Shadow,
    Enforce,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeparationName {
    Report,
    Refuse,
}

impl From<SeparationName> for Separation {
    fn from(name: SeparationName) -> Self {
        match name {
            SeparationName::Report => Self::Report,
            SeparationName::Refuse => Self::Refuse,
        }
    }
}

impl From<FileMode> for Mode {
    fn from(mode: FileMode) -> Self {
        match mode {
            FileMode::Observe => Self::Observe,
            FileMode::Shadow => Self::Shadow,
            FileMode::Enforce => Self::Enforce,
        }
    }
}

impl Config {
    /// Reads the file and applies `overrides`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has a mistake: with its line, field and what is allowed.
    pub fn resolve(overrides: Overrides) -> Result<Self, ConfigError> {
        let path = overrides.config.as_deref();
        let path = path.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
        let file = if overrides.config.is_some() || path.exists() {
            read(&path)?
        } else {
            File::default()
        };
        let invalid = |message| ConfigError::Invalid {
            path: path.display().to_string(),
            message,
        };
        let kubernetes = file.kubernetes.clone();
        let kubernetes = kubernetes.resolve(kubernetes::Environment::read());
        let groups = accounts::groups();
        let socket_group = file.socket_group.as_deref();
        let socket_group = socket_group.map(|name| roles::number("socket_group", name, &groups));
        let (approval, roles) = (file.approval.clone(), file.roles.clone());
        let (usage, anomalies) = (file.usage.clone(), file.anomalies.clone());
        Ok(Self {
            kubernetes: kubernetes.map_err(invalid)?,
            socket_group: socket_group.transpose().map_err(invalid)?,
            approval: approval.resolve().map_err(invalid)?,
            roles: roles.resolve(&groups).map_err(invalid)?,
            usage: usage.resolve().map_err(invalid)?,
            anomalies: anomalies.resolve().map_err(invalid)?,
            ..Self::merge(file, overrides)
        })
    }

    fn merge(file: File, overrides: Overrides) -> Self {
        let defaults = Self::default();
        let File {
            mode,
            cgroup,
            cgroup_parents,
            policy_dir,
            state_dir,
            socket,
            pin_dir,
            metrics_listen,
            log_format,
            resolve,
            inspect,
            name_servers,
            detach_on_exit,
            kept_events,
            usage: _,
            prices: _,
            costs: _,
            money,
            anomalies: _,
            kubernetes: _,
            arguments,
            watch_sends,
            lsm,
            audit,
            approval: _,
            roles: _,
            socket_group: _,
            separation_of_duties,
        } = file;
        let path = |flag: Option<PathBuf>, file: Option<PathBuf>, default| {
            flag.or(file).unwrap_or(default)
        };
        Self {
            mode: overrides
                .mode
                .or(mode.map(Mode::from))
                .unwrap_or(defaults.mode),
            cgroup: overrides.cgroup.or(cgroup),
            cgroup_parents,
            policy_dir: path(overrides.policy_dir, policy_dir, defaults.policy_dir),
            state_dir: path(overrides.state_dir, state_dir, defaults.state_dir),
            socket: path(overrides.socket, socket, defaults.socket),
            pin_dir: path(overrides.pin_dir, pin_dir, defaults.pin_dir),
            metrics_listen: overrides.metrics_listen.or(metrics_listen),
            log_format: overrides.log_format.or(log_format).unwrap_or_default(),
            resolve: !overrides.no_resolve && resolve.unwrap_or(defaults.resolve),
            inspect: !overrides.no_inspect && inspect.unwrap_or(defaults.inspect),
            name_servers: name_servers
                .into_iter()
                .flatten()
                .chain(overrides.name_servers)
                .collect(),
            detach_on_exit: overrides.detach_on_exit
                || detach_on_exit.unwrap_or(defaults.detach_on_exit),
            kept_events: kept_events.unwrap_or(defaults.kept_events),
            usage: defaults.usage,
            costs: money,
            anomalies: defaults.anomalies,
            kubernetes: None,
            arguments: arguments.unwrap_or(defaults.arguments),
            watch_sends: watch_sends.unwrap_or(defaults.watch_sends),
            lsm: lsm.unwrap_or(defaults.lsm),
            audit,
            approval: defaults.approval,
            roles: defaults.roles,
            separation_of_duties: separation_of_duties
                .map_or(defaults.separation_of_duties, Separation::from),
            socket_group: None,
        }
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: shown.clone(),
        source,
    })?;
    parse(&shown, &text)
}

fn parse(path: &str, text: &str) -> Result<File, ConfigError> {
    let invalid = |start: usize, message: String| {
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        ConfigError::Invalid {
            path: format!("{path}:{line}:{column}"),
            message,
        }
    };
    let mut file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        invalid(start, error.message().to_owned())
    })?;
    file.money = costs::resolve(&file.prices, &file.costs)
        .map_err(|mistake| invalid(mistake.at.start, mistake.message))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::cost::{Dollars, Rate};

    fn error(text: &str) -> String {
        parse("weir.toml", text).expect_err("a mistake").to_string()
    }

    #[test]
    fn a_mistake_names_line_column_and_what_is_allowed() {
        assert_eq!(
            error("socket = \"/a\"\nmode = \"block\"\n"),
            "weir.toml:2:8: unknown variant `block`, expected one of `observe`, `shadow`, `enforce`"
        );
        assert!(
            error("modus = 1").starts_with("weir.toml:1:1: unknown field `modus`, expected one of"),
            "{}",
            error("modus = 1")
        );
        assert!(
            error("[kubernetes]\nsource = \"kube\"").starts_with("weir.toml:2:10: unknown variant"),
        );
        assert!(error("metrics_listen = \"9464\"").starts_with("weir.toml:1:18: "));
    }

    #[test]
    fn prices_and_costs_are_read_and_mistakes_have_a_place() {
        let text = "[prices.mine]\ninput = 2\noutput = 10.5\n\
                    [[costs]]\nendpoint = \"openai\"\nper_call = 0.25\n\
                    [[costs]]\nendpoint = \"*\"\nmodel = \"mine\"\nper_megabyte = 1\n\
                    tokens_per_call = {input = 1000, output = 200}\n";
        let costs = parse("weir.toml", text).expect("a valid file").money;
        let rates: Vec<_> = costs.rules.iter().map(|rule| rule.rate).collect();
        let price = Dollars::price;
        assert_eq!(
            rates,
            [
                Rate {
                    per_call: price(0.25),
                    per_megabyte: None
                },
                Rate {
                    per_call: price(0.0041),
                    per_megabyte: price(1.0)
                },
            ]
        );
        let check = |text: &str, start: &str| {
            let error = error(text);
            assert!(error.starts_with(start), "{error}");
        };
        let rule = "[[costs]]\nendpoint = \"openai\"\n";
        check(
            rule,
            "weir.toml:2:12: costs.endpoint: nothing says what it costs",
        );
        check(
            &format!("{rule}per_call = -1.0"),
            "weir.toml:3:12: costs.per_call: -1 is no price",
        );
        check(
            &format!("{rule}model = \"gpt-0\"\ntokens_per_call = {{input = 1, output = 1}}"),
            "weir.toml:3:9: costs.model: no price of `gpt-0` is known",
        );
        check(
            &format!("{rule}model = \"gpt-4o\""),
            "weir.toml:3:9: costs.model: give tokens_per_call",
        );
        check(
            "[prices.mine]\ninput = 1\noutput = nan",
            "weir.toml:3:10: prices.mine.output: NaN is no price",
        );
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "mode = \"shadow\"\nresolve = true\nstate_dir = \"/srv/weir\"\n";
        let file = parse("weir.toml", text).expect("a valid file");
        let flags = Overrides {
            mode: Some(Mode::Enforce),
            no_resolve: true,
            ..Overrides::default()
        };
        let config = Config::merge(file, flags);
        assert_eq!(config.mode, Mode::Enforce);
        assert_eq!(config.state_dir, PathBuf::from("/srv/weir"));
        assert!(!config.resolve);
        assert_eq!(config.socket, Config::default().socket);
    }
}
