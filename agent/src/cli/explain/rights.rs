//! `weir explain` without a place: who is it, and what may it call?

use agent_common::settings::Mode;

use super::Out;
use crate::api::types::{CallableEndpoint, Label, ProcessInfo, Rights, Who};

pub(in crate::cli) fn print(rights: &Rights, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Rights {
        who,
        mode,
        revision,
        posture,
        posture_mode,
        posture_name,
        grants,
        denies,
        may_call,
    } = rights;
    print_who(who, out)?;
    let source = posture_source(posture_name.as_deref(), posture_mode);
    out.line(format!(
        "posture   {posture} without a grant ({source}), in mode {mode}, revision {revision}"
    ))?;
    for grant in grants {
        let end = grant
            .not_after
            .map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"));
        out.line(format!(
            "grant     {} ({}): {}, {end}, for {}",
            grant.name,
            grant.state,
            grant.endpoints.join(", "),
            grant.purpose
        ))?;
    }
    for deny in denies {
        let what: Vec<_> = deny.endpoints.iter().chain(&deny.cidrs).cloned().collect();
        out.line(format!(
            "deny      {}: {}, because {}",
            deny.name,
            what.join(", "),
            deny.reason
        ))?;
    }
    print_endpoints(may_call, out)
}

fn print_who(who: &Who, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Who {
        identity,
        found_by,
        cgroup,
        pid: _,
        labels,
        processes,
    } = who;
    out.line(format!("who       {identity} ({found_by})"))?;
    if let Some(cgroup) = cgroup {
        out.line(format!("cgroup    {cgroup}"))?;
    }
    for Label { name, value } in labels {
        out.line(format!("{name:<9} {value}"))?;
    }
    print_processes(processes, out)?;
    Ok(())
}

/// By name what a grant allows; what the posture allows is nearly everything.
fn print_endpoints(may_call: &[CallableEndpoint], out: &mut Out<'_>) -> anyhow::Result<()> {
    let (granted, others): (Vec<_>, Vec<_>) = may_call.iter().partition(|one| one.rule.is_some());
    for CallableEndpoint {
        endpoint,
        reason,
        in_shadow,
        rule,
    } in granted
    {
        let rule = rule.as_deref().unwrap_or_default();
        let reason = told(reason, *in_shadow);
        out.line(format!("may call  {endpoint} ({reason}, by {rule})"))?;
    }
    match others.as_slice() {
        [] if may_call.is_empty() => out.line("may call  no model endpoint"),
        [] => Ok(()),
        [one] => out.line(format!(
            "may call  {} ({})",
            one.endpoint,
            told(&one.reason, one.in_shadow)
        )),
        [first, ..] => out.line(format!(
            "may call  {} endpoints for which it has no grant ({})",
            others.len(),
            told(&first.reason, first.in_shadow)
        )),
    }
}

fn told(reason: &str, in_shadow: bool) -> String {
    if in_shadow {
        format!("in shadow mode, else {reason}")
    } else {
        reason.to_owned()
    }
}

/// Name of a posture, with its mode where that is not the ordinary one.
pub(super) fn posture_source(name: Option<&str>, mode: &str) -> String {
    let name = name.unwrap_or("the built-in default");
    if mode == Mode::Enforce.name() {
        name.to_owned()
    } else {
        format!("{name}, in {mode} mode")
    }
}

/// From the process itself to the first one that is remembered.
pub(in crate::cli) fn print_processes(
    processes: &[ProcessInfo],
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    for (index, process) in processes.iter().enumerate() {
        let ProcessInfo {
            pid,
            comm,
            exe,
            script,
            arguments,
            user,
            has_ended,
        } = process;
        let name = exe.as_ref().or(comm.as_ref());
        let mut text = format!("{}[{pid}]", name.map_or("?", String::as_str));
        if let Some(script) = script {
            text = format!("{text} for {script}");
        }
        if let Some(user) = user {
            text = format!("{text}, user {user}");
        }
        if *has_ended {
            text += ", ended";
        }
        if let Some(arguments) = arguments {
            text = format!("{text}: {}", arguments.join(" "));
        }
        let head = if index == 0 { "process" } else { "  by" };
        out.line(format!("{head:<9} {text}"))?;
    }
    Ok(())
}
