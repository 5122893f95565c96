//! Who talks to an address, as wire types.

use std::net::{IpAddr, SocketAddr};

use super::{DaemonBackend, internal, look};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{LiveCaller, RecentCaller, WhoTalks},
    },
    daemon::{FormerTalker, LiveTalker, TalkedTo, Talkers, WhoError},
    host::sockets,
};

pub(super) async fn who(backend: &DaemonBackend, address: String) -> Result<WhoTalks, ApiError> {
    let asked = talked_to(&address);
    let aim = backend
        .ask(move |core| core.aim(&asked).map_err(who_error))
        .await?;
    let wanted = aim.wanted().clone();
    let found = look(move || sockets::look(&wanted)).await?;
    let talkers = backend
        .ask(move |core| core.talkers(&aim, found).map_err(who_error))
        .await?;
    Ok(wire(address, talkers))
}

fn talked_to(text: &str) -> TalkedTo {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return TalkedTo::Address(address.ip(), Some(address.port()));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(ip) => TalkedTo::Address(ip, None),
        Err(_) => TalkedTo::Name(text.to_owned()),
    }
}

fn who_error(error: WhoError) -> ApiError {
    match error {
        WhoError::Unknown(_) => ApiError::new(ErrorCode::NotFound, error.to_string()),
        WhoError::Store(_) => internal("read who has called", &error),
    }
}

fn wire(address: String, talkers: Talkers) -> WhoTalks {
    let Talkers {
        endpoints,
        now,
        recently,
        unvisited,
    } = talkers;
    WhoTalks {
        address,
        endpoints,
        now: now.into_iter().map(live).collect(),
        recently: recently.into_iter().map(former).collect(),
        unvisited_namespaces: unvisited as u64,
    }
}

fn live(talker: LiveTalker) -> LiveCaller {
    let LiveTalker {
        identity,
        cgroup,
        is_outgoing,
        protocol,
        address,
        connections,
        pid,
        comm,
        exe,
    } = talker;
    LiveCaller {
        identity,
        cgroup,
        direction: if is_outgoing { "out" } else { "in" }.to_owned(),
        protocol: protocol.to_string().to_lowercase(),
        address: address.ip().to_string(),
        port: address.port(),
        connections,
        pid,
        comm,
        exe,
    }
}

fn former(talker: FormerTalker) -> RecentCaller {
    let FormerTalker {
        identity,
        endpoint,
        verdict,
        attempts,
        last_at,
        address,
        port,
        pid,
        comm,
        exe,
    } = talker;
    RecentCaller {
        identity,
        endpoint,
        verdict: verdict.name().to_owned(),
        attempts,
        last_at,
        address,
        port,
        pid,
        comm,
        exe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ip: &str, port: Option<u16>) {
        let ip = ip.parse().expect("an address");
        assert_eq!(talked_to(text), TalkedTo::Address(ip, port), "{text}");
    }

    #[test]
    fn an_address_has_a_port_or_none_and_the_rest_are_names() {
        check("192.0.2.1", "192.0.2.1", None);
        check("192.0.2.1:443", "192.0.2.1", Some(443));
        check("2001:db8::1", "2001:db8::1", None);
        check("[2001:db8::1]", "2001:db8::1", None);
        check("[2001:db8::1]:443", "2001:db8::1", Some(443));
        for name in ["api.openai.com", "openai", "192.0.2.1:x", ""] {
            assert_eq!(talked_to(name), TalkedTo::Name(name.to_owned()));
        }
    }
}
