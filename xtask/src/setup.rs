//! `setup`: finds what building and testing need and installs what is missing.
//!
//! Deciding is pure ([`plan`]); looking and installing are beside it. Nothing outside the package
//! manager, rustup and the cache directory is changed.

mod clients;
mod facts;
mod install;
mod need;
mod plan;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

pub(crate) use clients::ensure as ensure_clients;
pub(crate) use need::Group;

use facts::Facts;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what this needs; everything by default
    #[arg(long, value_enum)]
    group: Vec<Group>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let groups = if args.group.is_empty() {
        BTreeSet::from([Group::Build, Group::Test, Group::Clients])
    } else {
        args.group.iter().copied().collect()
    };
    let mut installed = ensure(&groups)?;
    if groups.contains(&Group::Clients) {
        installed |= clients::ensure();
    }
    if !installed {
        println!("nothing is missing");
    }
    Ok(())
}

/// Makes sure that a group's needs are met; says whether anything had to be installed.
pub(crate) fn ensure(groups: &BTreeSet<Group>) -> Result<bool> {
    let mut installed = false;
    // Twice, because a compiler must be there before it can say which linker it needs.
    for _ in 0..2 {
        let mut facts = Facts::gather(groups)?;
        if plan::is_complete(&facts) {
            return Ok(installed);
        }
        if plan::needs_packages(&facts) && facts.can_install_packages() {
            install::refresh_index();
            facts.pair = facts::packaged_pair();
        }
        for step in plan::plan(&facts)? {
            println!("{}", step.explain());
            install::perform(&step)?;
        }
        installed = true;
    }
    let after = Facts::gather(groups)?;
    if !plan::is_complete(&after) {
        bail!("still missing after installing: {}", plan::names(&after));
    }
    Ok(true)
}
