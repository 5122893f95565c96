//! Resolves the hosts of model endpoints on the system's resolver, again and again.
//!
//! It only reports answers; what an address means is decided elsewhere. A failed look-up reports
//! nothing, so what is known stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy};
use tokio::{sync::watch, task::JoinSet, time::sleep_until};

/// One host's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub host: String,
    pub addresses: BTreeSet<IpAddr>,
    /// How long the answer is good for, clamped to [`MIN_TTL`] and [`MAX_TTL`].
    pub ttl: Duration,
}

/// Shorter times to live would only ask the resolver more often than addresses change.
pub const MIN_TTL: Duration = Duration::from_secs(30);
/// Longer ones would miss a move for too long.
pub const MAX_TTL: Duration = Duration::from_secs(3600);
/// How long to wait before asking again for a host without an answer.
const RETRY: Duration = Duration::from_secs(60);
/// Look-ups under way at once: the resolver is shared with everybody else on the host.
const CONCURRENCY: usize = 8;

/// Resolves the hosts in `hosts` whenever they are due, until the sender of `hosts` is gone.
pub async fn run(mut hosts: watch::Receiver<BTreeSet<String>>, report: impl Fn(Answer) + Send) {
    let mut due: BTreeMap<String, Instant> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut resolver = None;
    loop {
        let wanted = hosts.borrow_and_update().clone();
        due.retain(|host, _| wanted.contains(host));
        for host in wanted {
            due.entry(host).or_insert_with(Instant::now);
        }
        let now = Instant::now();
        let ready: Vec<_> = due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(host, _)| host.clone())
            .take(CONCURRENCY.saturating_sub(running.len()))
            .collect();
        if !ready.is_empty() && resolver.is_none() {
            resolver = system_resolver();
        }
        for host in ready {
            due.insert(host.clone(), now + RETRY);
            if let Some(resolver) = resolver.clone() {
                running.spawn(look_up(resolver, host));
            }
        }
        // While all places are taken, an answer is what makes room.
        let is_full = running.len() >= CONCURRENCY;
        let next = due.values().min().copied().filter(|_| !is_full);
        let next = next
            .unwrap_or(now + RETRY)
            .max(now + Duration::from_millis(10));
        tokio::select! {
            changed = hosts.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(done) = running.join_next() => {
                match done {
                    Ok(Ok(answer)) => {
                        due.insert(answer.host.clone(), Instant::now() + answer.ttl);
                        report(answer);
                    }
                    // The configuration may have changed: read it again next time.
                    Ok(Err(())) | Err(_) => resolver = None,
                }
            }
            () = sleep_until(next.into()) => {}
        }
    }
}

fn system_resolver() -> Option<TokioResolver> {
    let built = TokioResolver::builder_tokio().and_then(|mut builder| {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.positive_min_ttl = Some(MIN_TTL);
        options.positive_max_ttl = Some(MAX_TTL);
        // Each host is asked for when it is due; a second cache would only hide changes.
        options.cache_size = 0;
        builder.build()
    });
    match built {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::warn!(%error, "cannot use the system's resolver configuration");
            None
        }
    }
}

async fn look_up(resolver: TokioResolver, host: String) -> Result<Answer, ()> {
    // The final dot keeps search domains out of it.
    match resolver.lookup_ip(format!("{host}.")).await {
        Ok(found) => Ok(Answer {
            addresses: found.iter().collect(),
            ttl: found
                .valid_until()
                .saturating_duration_since(Instant::now())
                .clamp(MIN_TTL, MAX_TTL),
            host,
        }),
        Err(error) => {
            tracing::debug!(host, %error, "host not resolved");
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_of_the_hosts_file_is_resolved() {
        let (sender, hosts) = watch::channel(BTreeSet::from(["localhost".to_owned()]));
        let (answers, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let report = move |answer| answers.send(answer).expect("the test listens");
        let task = tokio::spawn(run(hosts, report));
        let answer = receiver.recv().await.expect("an answer");
        assert_eq!(answer.host, "localhost");
        assert!(answer.addresses.iter().all(IpAddr::is_loopback));
        assert!(!answer.addresses.is_empty());
        drop(sender);
        task.await.expect("ends with its sender");
    }
}
