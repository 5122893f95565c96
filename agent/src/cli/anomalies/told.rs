//! What a running agent found unusual.

use clap::{ArgGroup, Args};

use super::super::{
    Answer,
    args::moment,
    output::{Out, instant, or_dash, relative},
};
use crate::{
    anomaly::Kind,
    api::{
        client::Client,
        types::{Anomaly, AnomalyAck, AnomalyList, AnomalyQuery, Mute, MuteRequest},
    },
};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Also acknowledged and muted ones
    #[arg(long)]
    all: bool,
    /// Only those that go on
    #[arg(long)]
    open: bool,
    /// Only those that were seen since a time, or for a duration up to now
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only of this kind
    #[arg(long, value_name = "KIND", value_parser = Kind::ALL.map(Kind::name))]
    kind: Option<String>,
    /// Only of this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only at this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct MuteArgs {
    /// Only of this kind
    #[arg(long, value_name = "KIND", group = "what", value_parser = Kind::ALL.map(Kind::name))]
    kind: Option<String>,
    /// Only of identities with this name; `*` stands for any characters
    #[arg(long, value_name = "NAME", group = "what")]
    identity: Option<String>,
    /// Only at endpoints with this name; `*` stands for any characters
    #[arg(long, value_name = "NAME", group = "what")]
    endpoint: Option<String>,
    /// List the mutes that hold
    #[arg(long, group = "what", conflicts_with_all = ["kind", "identity", "endpoint", "end"])]
    list: bool,
    /// End the mute of this number
    #[arg(
        long,
        value_name = "ID",
        group = "what",
        conflicts_with_all = ["kind", "identity", "endpoint"]
    )]
    end: Option<i64>,
    /// For how long, as in 2h
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    duration: String,
    /// Why nobody needs to know
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

impl ListArgs {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let query = AnomalyQuery {
            since: self.since.as_deref().map(moment).transpose()?,
            all: self.all,
            open: self.open,
            kind: self.kind,
            identity: self.identity,
            endpoint: self.endpoint,
            limit: Some(self.limit),
        };
        let list = client.anomalies(&query).await?;
        if self.json {
            out.json(&list)?;
        } else {
            print_list(&list, out)?;
        }
        Ok(Answer::Done)
    }
}

fn print_list(list: &AnomalyList, out: &mut Out<'_>) -> anyhow::Result<()> {
    let AnomalyList {
        anomalies,
        watching,
    } = list;
    let now = out.now;
    if anomalies.is_empty() {
        out.line("no anomalies")?;
    } else {
        let rows = anomalies.iter().map(|anomaly| {
            vec![
                anomaly.id.to_string(),
                relative(Some(anomaly.began), now),
                state(anomaly).to_owned(),
                anomaly.kind.clone(),
                anomaly.summary.clone(),
            ]
        });
        let header = ["ID", "BEGAN", "STATE", "KIND", "WHAT"];
        out.table(&header, &["ID"], rows.collect())?;
    }
    out.blank()?;
    let Some(watching) = watching else {
        return out.line("the agent does not look for anomalies: `anomalies.enabled` is false");
    };
    let since = relative(Some(watching.since), now);
    out.line(format!(
        "watching {} pairs of identity and endpoint, first begun {since}",
        watching.series
    ))?;
    if watching.unwatched > 0 {
        out.line(format!(
            "NOT WATCHED: {} times there was no room for a pair; raise `anomalies.max_series`",
            watching.unwatched
        ))?;
    }
    if watching.untold > 0 {
        out.line(format!(
            "NOT TOLD: webhooks did not take {} notices; the agent's log says why",
            watching.untold
        ))?;
    }
    Ok(())
}

fn state(anomaly: &Anomaly) -> &'static str {
    match (anomaly.acked_at, anomaly.muted, anomaly.ended) {
        (Some(_), _, _) => "acked",
        (None, true, _) => "muted",
        (None, false, Some(_)) => "over",
        (None, false, None) => "open",
    }
}

pub(super) async fn show(
    client: &Client,
    id: i64,
    json: bool,
    out: &mut Out<'_>,
) -> anyhow::Result<Answer> {
    let anomaly = client.anomaly(id).await?;
    if json {
        out.json(&anomaly)?;
    } else {
        print(&anomaly, out)?;
    }
    Ok(Answer::Done)
}

fn print(anomaly: &Anomaly, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Anomaly {
        id,
        kind,
        severity,
        identity,
        endpoint,
        grant,
        began,
        last_seen,
        ended,
        summary,
        score,
        excess: _,
        facts,
        muted: _,
        response,
        acked_at,
        acked_by,
        ack_why,
    } = anomaly;
    out.line(format!("anomaly {id}: {summary}"))?;
    out.blank()?;
    let mut fact = |name: &str, value: &str| out.line(format!("  {name:<10} {value}"));
    fact("kind", &format!("{kind} ({severity})"))?;
    fact("state", state(anomaly))?;
    fact("identity", &or_dash(identity.as_deref()))?;
    fact("endpoint", &or_dash(endpoint.as_deref()))?;
    if let Some(grant) = grant {
        fact("grant", grant)?;
    }
    fact("began", &instant(*began))?;
    fact("last seen", &instant(*last_seen))?;
    if let Some(ended) = ended {
        fact("over since", &instant(*ended))?;
    }
    if let Some(score) = score {
        fact("score", &format!("{score:.1} (told from 3.75 on)"))?;
    }
    for (name, value) in facts.as_object().into_iter().flatten() {
        fact(name, &value.to_string())?;
    }
    if !response.is_empty() {
        fact("response", response)?;
    }
    if let (Some(at), Some(by), Some(why)) = (acked_at, acked_by, ack_why) {
        fact("acked", &format!("{} by {by}: {why}", instant(*at)))?;
    }
    out.blank()?;
    if let (Some(identity), Some(endpoint)) = (identity, endpoint) {
        out.line(format!(
            "see `weir usage --identity {identity} --endpoint {endpoint} --by exe --since 1h`"
        ))?;
    }
    Ok(())
}

pub(super) async fn ack(
    client: &Client,
    id: i64,
    why: String,
    out: &mut Out<'_>,
) -> anyhow::Result<Answer> {
    let anomaly = client.ack_anomaly(id, &AnomalyAck { why }).await?;
    out.line(format!("acknowledged {id}: {}", anomaly.summary))?;
    Ok(Answer::Done)
}

impl MuteArgs {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        if self.list {
            return list_mutes(client, out).await;
        }
        if let Some(id) = self.end {
            client.unmute(id).await?;
            out.line(format!("ended mute {id}"))?;
            return Ok(Answer::Done);
        }
        let request = MuteRequest {
            kind: self.kind,
            identity: self.identity,
            endpoint: self.endpoint,
            until: super::super::args::after(out.now, &self.duration)?,
            why: self.why,
        };
        let mute = client.mute(&request).await?;
        out.line(format!("muted until {} ({})", instant(mute.until), mute.id))?;
        Ok(Answer::Done)
    }
}

async fn list_mutes(client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
    let mutes = client.mutes().await?.mutes;
    if mutes.is_empty() {
        out.line("nothing is muted")?;
        return Ok(Answer::No);
    }
    let rows = mutes.into_iter().map(|mute| {
        let Mute {
            id,
            kind,
            identity,
            endpoint,
            until,
            by,
            why,
        } = mute;
        let any = |part: Option<String>| part.unwrap_or_else(|| "*".to_owned());
        vec![
            id.to_string(),
            any(kind),
            any(identity),
            any(endpoint),
            instant(until),
            by,
            why,
        ]
    });
    let header = ["ID", "KIND", "IDENTITY", "ENDPOINT", "UNTIL", "BY", "WHY"];
    out.table(&header, &["ID"], rows.collect())?;
    Ok(Answer::Done)
}
