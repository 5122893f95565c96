//! Has anomalies told to other programs, and sees to it that none is forgotten on the way.

use std::{collections::BTreeMap, sync::mpsc::Sender as Inputs};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    Core, Input,
    wording::{endpoint_name, identity_name},
};
use crate::{
    anomaly::Severity,
    error_chain,
    host::{
        name,
        webhooks::{self, Delivered, Delivery, Form, Notice, Webhook},
    },
    store::{AnomalyFilter, Names, StoreError, StoredAnomaly},
};

/// Whoever forgets what is not told again hears it every so many seconds.
const AGAIN_EVERY: i64 = 10 * 60;

/// The programs that are told.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Tellers {
    by_name: BTreeMap<String, Teller>,
    /// Until they are started.
    unstarted: Vec<(Webhook, mpsc::UnboundedReceiver<Delivery>)>,
    again_at: i64,
    pub(super) heard: u64,
    pub(super) given_up: u64,
}

#[derive(Debug)]
struct Teller {
    deliveries: mpsc::UnboundedSender<Delivery>,
    form: Form,
    least: Severity,
}

impl Tellers {
    pub(super) fn new(webhooks: &[Webhook]) -> Self {
        let mut tellers = Self::default();
        for webhook in webhooks {
            let (deliveries, receiver) = mpsc::unbounded_channel();
            let teller = Teller {
                deliveries,
                form: webhook.form,
                least: webhook.least,
            };
            tellers.by_name.insert(webhook.name.clone(), teller);
            tellers.unstarted.push((webhook.clone(), receiver));
        }
        tellers
    }

    /// Must be called within a tokio runtime.
    pub(in crate::daemon) fn start(&mut self, inputs: &Inputs<Input>) {
        for (webhook, deliveries) in self.unstarted.drain(..) {
            let outcomes = inputs.clone();
            tokio::spawn(webhooks::run(webhook, deliveries, move |delivered| {
                // An agent that has stopped tells it again when it starts.
                let _ = outcomes.send(Input::Told(delivered));
            }));
        }
    }

    fn send(&self, sink: &str, delivery: Delivery) {
        if let Some(teller) = self.by_name.get(sink) {
            // A task that has ended takes its queue with it; the store still has it.
            let _ = teller.deliveries.send(delivery);
        }
    }
}

impl Core {
    /// Has an anomaly told to everybody who is to hear of it.
    pub(super) fn tell(
        &mut self,
        id: i64,
        anomaly: &StoredAnomaly,
        names: &Names,
    ) -> Result<(), StoreError> {
        self.tell_those(id, anomaly, names, |_| true)
    }

    fn tell_those(
        &mut self,
        id: i64,
        anomaly: &StoredAnomaly,
        names: &Names,
        is_meant: impl Fn(Form) -> bool,
    ) -> Result<(), StoreError> {
        let Some(anomalies) = &self.anomalies else {
            return Ok(());
        };
        let at = crate::host::clock::now().wall;
        let notice = notice(id, anomaly, names);
        for (sink, teller) in &anomalies.tellers.by_name {
            if !is_meant(teller.form) || anomaly.kind.severity() < teller.least {
                continue;
            }
            let delivery = Delivery {
                id: self.store.add_notice(id, sink, at)?,
                made: at,
                notice: notice.clone(),
            };
            anomalies.tellers.send(sink, delivery);
        }
        Ok(())
    }

    /// What an earlier agent did not get told.
    pub(in crate::daemon) fn tell_the_rest(&mut self) {
        if let Err(error) = self.try_tell_the_rest() {
            tracing::error!(error = error_chain(&error), "anomalies not told");
        }
    }

    fn try_tell_the_rest(&mut self) -> Result<(), StoreError> {
        let Some(anomalies) = &self.anomalies else {
            return Ok(());
        };
        let waiting = self.store.notices()?;
        if waiting.is_empty() {
            return Ok(());
        }
        let names = self.names()?;
        let mut unknown = Vec::new();
        for (id, number, sink, made) in waiting {
            let anomaly = self.store.anomaly(number)?;
            let is_there = anomalies.tellers.by_name.contains_key(&sink);
            let Some(anomaly) = anomaly.filter(|_| is_there) else {
                unknown.push(id);
                continue;
            };
            let notice = notice(number, &anomaly, &names);
            anomalies.tellers.send(&sink, Delivery { id, made, notice });
        }
        self.store.remove_notices(&unknown)
    }

    /// Tells those again that would take an open anomaly to be over otherwise.
    pub(super) fn tell_again(&mut self, at: Timestamp) {
        let Some(anomalies) = &mut self.anomalies else {
            return;
        };
        let tellers = &mut anomalies.tellers;
        let forget = |teller: &Teller| teller.form == Form::Alertmanager;
        if at.as_second() < tellers.again_at || !tellers.by_name.values().any(forget) {
            return;
        }
        tellers.again_at = at.as_second() + AGAIN_EVERY;
        if let Err(error) = self.try_tell_again() {
            tracing::error!(error = error_chain(&error), "anomalies not told again");
        }
    }

    fn try_tell_again(&mut self) -> Result<(), StoreError> {
        let open = self.store.anomalies(&AnomalyFilter::OPEN)?;
        let names = self.names()?;
        for (id, anomaly) in open.iter().filter(|(_, anomaly)| !anomaly.is_muted) {
            self.tell_those(*id, anomaly, &names, |form| form == Form::Alertmanager)?;
        }
        Ok(())
    }

    pub(in crate::daemon) fn note_delivery(&mut self, delivered: &Delivered) {
        let Delivered { ids, was_heard } = delivered;
        if let Some(anomalies) = &mut self.anomalies {
            let tellers = &mut anomalies.tellers;
            let sum = if *was_heard {
                &mut tellers.heard
            } else {
                &mut tellers.given_up
            };
            *sum = sum.saturating_add(ids.len() as u64);
        }
        if let Err(error) = self.store.remove_notices(ids) {
            tracing::error!(error = error_chain(&error), "what was told is told again");
        }
    }
}

fn notice(id: i64, anomaly: &StoredAnomaly, names: &Names) -> Notice {
    Notice {
        id,
        host: name::host(),
        kind: anomaly.kind.name(),
        severity: anomaly.kind.severity().name(),
        identity: anomaly.identity.map(|id| identity_name(id, names)),
        endpoint: anomaly.endpoint.map(|id| endpoint_name(id, names)),
        grant: anomaly.grant.clone(),
        began: anomaly.began,
        ended: anomaly.ended,
        summary: anomaly.summary.clone(),
        score: anomaly.score,
        response: anomaly.response.clone(),
    }
}
