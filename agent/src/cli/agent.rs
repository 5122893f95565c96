//! `weir agent`

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use agent_common::settings::Mode;
use clap::ValueEnum;

use super::Answer;
use crate::{
    config::{LogFormat, Overrides},
    run,
};

/// Run the agent
///
/// Loads the kernel programs, puts the policy in force and serves the API until SIGTERM. SIGHUP
/// reads the policy files again. The programs stay in force when the agent ends or is killed:
/// `weir detach` removes them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir agent --mode observe --metrics-listen 127.0.0.1:9464")]
pub(super) struct Args {
    /// Configuration file [default: /etc/weir/weir.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What becomes of a refusal [default: observe]
    #[arg(long)]
    mode: Option<ModeArg>,
    /// Govern only this cgroup and those below it [default: the whole host]
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Directory of policy files [default: /etc/weir/policy.d]
    #[arg(long, value_name = "DIR")]
    policy_dir: Option<PathBuf>,
    /// Directory of the store [default: /var/lib/weir]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Directory of kernel pins, on a BPF file system [default: /sys/fs/bpf/weir]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,
    /// Serve Prometheus metrics at http://ADDRESS/metrics, as in 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// How log lines look [default: text]
    #[arg(long)]
    log_format: Option<LogFormat>,
    /// Do not resolve the hosts of endpoints
    #[arg(long)]
    no_resolve: bool,
    /// Find out no names in the kernel: neither from answers of the DNS nor from first packets
    #[arg(long)]
    no_inspect: bool,
    /// Believe the answers of this resolver, too; repeat for more
    #[arg(long = "name-server", value_name = "ADDRESS")]
    name_servers: Vec<IpAddr>,
    /// Detach the programs and forget the counters at a clean stop
    #[arg(long)]
    detach_on_exit: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// Refuse nothing
    Observe,
    /// Refuse nothing, but count what would be refused
    Shadow,
    /// Refuse what policy refuses
    Enforce,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Observe => Self::Observe,
            ModeArg::Shadow => Self::Shadow,
            ModeArg::Enforce => Self::Enforce,
        }
    }
}

impl Args {
    /// `socket` is the global flag, if it was given.
    pub(super) fn run(self, socket: Option<PathBuf>) -> anyhow::Result<Answer> {
        let code = run::agent(Overrides {
            config: self.config,
            mode: self.mode.map(Mode::from),
            cgroup: self.cgroup,
            policy_dir: self.policy_dir,
            state_dir: self.state_dir,
            socket,
            pin_dir: self.pin_dir,
            metrics_listen: self.metrics_listen,
            log_format: self.log_format,
            no_resolve: self.no_resolve,
            no_inspect: self.no_inspect,
            name_servers: self.name_servers,
            detach_on_exit: self.detach_on_exit,
        })?;
        Ok(if code == ExitCode::SUCCESS {
            Answer::Done
        } else {
            Answer::No
        })
    }
}
