//! Tells about pods, and only once that somebody is away.

use std::error::Error;

use jiff::Timestamp;
use kube::{core::Status, runtime::watcher};

use super::Update;

/// Longest reason that is passed on: a server may answer with anything.
const MAX_REASON: usize = 300;

pub(super) struct Reporter<'a, F> {
    report: &'a F,
    state: State,
}

enum State {
    Unknown,
    Connected,
    Away { since: Timestamp, why: String },
}

impl<'a, F: Fn(Update)> Reporter<'a, F> {
    pub(super) const fn new(report: &'a F) -> Self {
        Self {
            report,
            state: State::Unknown,
        }
    }

    pub(super) fn tell(&self, update: Update) {
        (self.report)(update);
    }

    pub(super) fn connected(&mut self) {
        if !matches!(self.state, State::Connected) {
            self.state = State::Connected;
            self.tell(Update::Connected);
        }
    }

    /// The first instant of an absence stays, whatever the reasons are one after the other.
    pub(super) fn away(&mut self, why: &str) {
        let why = one_line(why);
        let since = match &self.state {
            State::Away { why: known, .. } if *known == why => return,
            State::Away { since, .. } => *since,
            State::Unknown | State::Connected => Timestamp::now(),
        };
        self.tell(Update::Away {
            since,
            why: why.clone(),
        });
        self.state = State::Away { since, why };
    }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= MAX_REASON {
        return words;
    }
    let kept: String = words.chars().take(MAX_REASON).collect();
    format!("{kept}…")
}

/// Why following failed, in one sentence.
pub(super) fn watcher_reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => client_reason(error),
        watcher::Error::WatchError(status) => status_reason(status),
        watcher::Error::NoResourceVersion => {
            "the answer has no resourceVersion: it is not one of an API server".to_owned()
        }
    }
}

/// Why a request failed, in one sentence.
pub(super) fn client_reason(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status_reason(status);
    }
    if let kube::Error::SerdeError(error) = error {
        return format!("the answer is not a list of pods: {error}");
    }
    // What wraps the cause says only through which layers it came.
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn status_reason(status: &Status) -> String {
    let Status {
        code,
        message,
        reason,
        ..
    } = status;
    match code {
        401 => format!("the credentials are not accepted: {message}"),
        403 => format!(
            "not allowed ({message}): bind a role that may get, list and watch pods, as \
             deploy/kubernetes/weir.yaml does, or get nodes/proxy for the kubelet"
        ),
        _ => format!("answered {code} {reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn an_absence_is_told_once_and_keeps_its_beginning() {
        let told = RefCell::new(Vec::new());
        let report = |update| told.borrow_mut().push(update);
        let mut reporter = Reporter::new(&report);
        for why in ["refused", "refused", "reset"] {
            reporter.away(why);
        }
        reporter.connected();
        reporter.connected();
        reporter.away(&"word ".repeat(100));
        let told = told.into_inner();
        let [
            Update::Away { since, why },
            Update::Away {
                since: still,
                why: other,
            },
            Update::Connected,
            Update::Away { why: long, .. },
        ] = told.as_slice()
        else {
            panic!("{told:?}");
        };
        assert_eq!((why.as_str(), other.as_str()), ("refused", "reset"));
        assert_eq!(since, still);
        assert_eq!(long.chars().count(), MAX_REASON + 1);
    }
}
