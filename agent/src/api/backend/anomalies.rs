//! Anomalies, as wire types.

use async_trait::async_trait;

use super::{
    DaemonBackend, bad, internal,
    usage::{endpoint_id, identity_id},
};
use crate::{
    anomaly::Kind,
    api::{
        error::{ApiError, ErrorCode},
        server::{AnomalyBackend, Peer},
        types::{Anomaly, AnomalyList, AnomalyQuery, Mute, MuteList, MuteRequest, Watching},
    },
    daemon::{self, AnomalyError, AnomalyView, Author, Core},
    store::{self, AnomalyFilter},
};

const DEFAULT_LIMIT: u32 = 100;
const MOST: u32 = 10_000;

#[async_trait]
impl AnomalyBackend for DaemonBackend {
    async fn anomalies(&self, query: AnomalyQuery) -> Result<AnomalyList, ApiError> {
        self.ask(move |core| list(core, &query)).await
    }

    async fn anomaly(&self, id: i64) -> Result<Anomaly, ApiError> {
        self.ask(move |core| core.anomaly(id).map(wire).map_err(refusal))
            .await
    }

    async fn ack_anomaly(&self, id: i64, why: String, peer: Peer) -> Result<Anomaly, ApiError> {
        self.change(peer, "acknowledge an anomaly", move |core, author| {
            core.ack_anomaly(id, &why, author)
                .map(wire)
                .map_err(refusal)
        })
        .await
    }

    async fn mutes(&self) -> Result<MuteList, ApiError> {
        self.ask(|core| mutes(core)).await
    }

    async fn mute(&self, request: MuteRequest, peer: Peer) -> Result<Mute, ApiError> {
        self.change(peer, "mute anomalies", move |core, author| {
            mute(core, request, author)
        })
        .await
    }

    async fn unmute(&self, id: i64, peer: Peer) -> Result<(), ApiError> {
        self.change(peer, "end a mute", move |core, author| {
            core.unmute(id, author).map_err(refusal)
        })
        .await
    }
}

fn list(core: &mut Core, query: &AnomalyQuery) -> Result<AnomalyList, ApiError> {
    let AnomalyQuery {
        since,
        all,
        open,
        kind,
        identity,
        endpoint,
        limit,
    } = query;
    let names = core
        .names()
        .map_err(|error| internal("read names", &error))?;
    let identity = identity.as_deref().map(|name| identity_id(&names, name));
    let endpoint = endpoint.as_deref().map(|name| endpoint_id(&names, name));
    let filter = AnomalyFilter {
        since: *since,
        all: *all,
        open: *open,
        kind: kind.as_deref().map(kind_of).transpose()?,
        identity: identity.transpose()?,
        endpoint: endpoint.transpose()?,
        limit: limit.unwrap_or(DEFAULT_LIMIT).min(MOST),
    };
    let found = core
        .anomalies(&filter)
        .map_err(|error| internal("read anomalies", &error))?;
    Ok(AnomalyList {
        anomalies: found.into_iter().map(wire).collect(),
        watching: core.watching().map(watching),
    })
}

fn mutes(core: &Core) -> Result<MuteList, ApiError> {
    let mutes = core
        .mutes()
        .map_err(|error| internal("read mutes", &error))?;
    Ok(MuteList {
        mutes: mutes.into_iter().map(mute_wire).collect(),
    })
}

fn mute(core: &mut Core, request: MuteRequest, author: &Author) -> Result<Mute, ApiError> {
    let MuteRequest {
        kind,
        identity,
        endpoint,
        until,
        why,
    } = request;
    let mute = store::Mute {
        id: 0,
        kind: kind.as_deref().map(kind_of).transpose()?,
        identity,
        endpoint,
        until,
        made: until,
        by: String::new(),
        why,
    };
    core.mute(mute, author).map(mute_wire).map_err(refusal)
}

fn kind_of(name: &str) -> Result<Kind, ApiError> {
    Kind::from_name(name).ok_or_else(|| {
        let all = Kind::ALL.map(Kind::name).join(", ");
        bad(format!("unknown kind `{name}`: use one of {all}"))
    })
}

fn refusal(error: AnomalyError) -> ApiError {
    match error {
        AnomalyError::NoAnomaly(_) | AnomalyError::NoMute(_) => {
            ApiError::new(ErrorCode::NotFound, error.to_string())
        }
        AnomalyError::MutesAll | AnomalyError::MuteIsOver | AnomalyError::NoReason => {
            bad(error.to_string())
        }
        AnomalyError::Store(error) => internal("keep what is said to an anomaly", &error),
    }
}

fn watching(watching: daemon::Watching) -> Watching {
    let daemon::Watching {
        series,
        unwatched,
        since,
        told,
        untold,
    } = watching;
    Watching {
        series,
        unwatched,
        since,
        told,
        untold,
    }
}

fn wire(view: AnomalyView) -> Anomaly {
    let AnomalyView {
        id,
        identity,
        endpoint,
        anomaly,
    } = view;
    let (acked_at, acked_by, ack_why) = match anomaly.ack {
        Some(store::Ack { at, by, why }) => (Some(at), Some(by), Some(why)),
        None => (None, None, None),
    };
    Anomaly {
        id,
        kind: anomaly.kind.name().to_owned(),
        severity: anomaly.kind.severity().name().to_owned(),
        identity,
        endpoint,
        grant: anomaly.grant,
        began: anomaly.began,
        last_seen: anomaly.last,
        ended: anomaly.ended,
        summary: anomaly.summary,
        score: anomaly.score,
        excess: anomaly.excess,
        facts: serde_json::from_str(&anomaly.facts).unwrap_or_default(),
        muted: anomaly.is_muted,
        response: anomaly.response,
        acked_at,
        acked_by,
        ack_why,
    }
}

fn mute_wire(mute: store::Mute) -> Mute {
    let store::Mute {
        id,
        kind,
        identity,
        endpoint,
        until,
        made: _,
        by,
        why,
    } = mute;
    Mute {
        id,
        kind: kind.map(|kind| kind.name().to_owned()),
        identity,
        endpoint,
        until,
        by,
        why,
    }
}
