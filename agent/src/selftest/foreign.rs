//! A connection that one workload has made and another uses.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use agent_common::{
    abi::program,
    policy::{RuleId, Window},
    verdict::Reason,
};

use super::{
    Failure, GRANTED, OTHER, Outcome, expect, expect_refused, listener, row, sandbox::Sandbox,
    tables,
};

/// How long nothing arrives of what is cut off.
const SILENCE: Duration = Duration::from_millis(300);

/// Both ends of a connection of the granted workload, in the hands of the other one.
fn handed_over(sandbox: &mut Sandbox) -> Result<(TcpStream, TcpStream), Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let client = TcpStream::connect(address)?;
    let (server, _) = listener.accept()?;
    server.set_read_timeout(Some(SILENCE))?;
    sandbox.enter("other", OTHER)?;
    Ok((client, server))
}

pub(super) fn observe_lets_send(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (mut client, mut server) = handed_over(sandbox)?;
    for sent in [1, 2] {
        client.write_all(&[sent])?;
        let mut arrived = [0];
        server.read_exact(&mut arrived)?;
        expect("what arrives", arrived, [sent])?;
    }
    expect("refusals", sandbox.refusals()?, Vec::new())?;
    Ok(Outcome::Ok)
}

pub(super) fn send_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    if let Err(why) = sandbox.gap(program::FOREIGN_SENDMSG) {
        return Ok(Outcome::Skip(why));
    }
    let (client, server) = handed_over(sandbox)?;
    for _ in 0..2 {
        expect_refused("write()", &(&client).write(&[1]))?;
    }
    told_once(sandbox, &server)
}

pub(super) fn sent_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    if let Err(why) = sandbox.gap(program::FOREIGN_SEND) {
        return Ok(Outcome::Skip(why));
    }
    let (mut client, mut server) = handed_over(sandbox)?;
    sandbox.refusals()?;
    client.write_all(&[1])?;
    server.read_exact(&mut [0])?;
    let port = server.local_addr()?.port();
    let refused: Vec<_> = sandbox.refusals()?.iter().map(|r| r.remote_port).collect();
    expect("connections to end", refused, vec![port])?;
    // Nobody ends it here: it is cut off all the same.
    client.write_all(&[2])?;
    told_once(sandbox, &server)
}

/// Nothing (more) arrives, and one refusal is counted.
fn told_once(sandbox: &mut Sandbox, mut server: &TcpStream) -> Result<Outcome, Failure> {
    expect("nothing arrives", server.read(&mut [0]).is_err(), true)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("refused", counters.connects_denied, 1)?;
    Ok(Outcome::Ok)
}
