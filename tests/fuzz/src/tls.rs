//! `ClientHello` messages, against the server side of rustls.

use agent_common::flight::Outcome;
use arbitrary::{Arbitrary as _, Result, Unstructured};
use rustls::server::Acceptor;

use crate::flight;

const HANDSHAKE: u8 = 0x16;
const SERVER_NAME: u16 = 0;

/// What a server makes of it.
#[derive(Debug)]
enum Heard {
    /// A complete hello, with the server name in it.
    Hello(Option<String>),
    More,
    Refused,
}

/// What begins like a record of TLS is taken as it is, anything else as a plan for a hello and its
/// records. The name that a server hears is the first one that is given out, or the hello cannot be
/// told. Another hello may follow, which is read like the first.
///
/// # Panics
/// If not.
pub fn check(octets: &[u8]) {
    if matches!(octets, [0x14..=0x17, ..]) {
        check_flight(octets);
    } else if let Ok(flight) = build(&mut Unstructured::new(octets)) {
        check_flight(&flight);
    }
}

fn check_flight(octets: &[u8]) {
    let said = flight::read(octets);
    match hear(octets) {
        _ if said.outcome == Outcome::Undecidable => {}
        Heard::Hello(Some(name)) => assert!(
            said.begins_with(&name),
            "{name} is not the first of {said:?}"
        ),
        Heard::Hello(None) => assert_eq!(
            (said.outcome, said.names.len()),
            (Outcome::NoName, 0),
            "there is no name"
        ),
        // A record can be longer than the hello in it, which is then known before the record ends.
        Heard::More | Heard::Refused => {}
    }
}

fn hear(octets: &[u8]) -> Heard {
    let mut acceptor = Acceptor::default();
    let mut rest = octets;
    while !rest.is_empty() {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => return Heard::Refused,
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Heard::Hello(name);
            }
            Ok(None) => {}
            Err(_) => return Heard::Refused,
        }
    }
    Heard::More
}

/// A hello that servers accept unless its plan says otherwise, cut into records at any places.
fn build(plan: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut extensions = Vec::new();
    // Supported groups and versions, signature algorithms, key shares.
    for (kind, data) in [
        (10, &[0, 2, 0, 29][..]),
        (13, &[0, 2, 4, 3]),
        (43, &[2, 3, 4]),
        (51, &[0, 2, 0, 0]),
    ] {
        if plan.ratio(15, 16)? {
            put_extension(&mut extensions, kind, data);
        }
    }
    for _ in 0..plan.int_in_range(0..=4)? {
        let mut extension = Vec::new();
        put_planned(&mut extension, plan)?;
        if bool::arbitrary(plan)? {
            extensions.splice(0..0, extension);
        } else {
            extensions.extend(extension);
        }
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    put_u8_list(&mut body, &vec![9; plan.int_in_range(0..=33)?]);
    put_u16_list(&mut body, &[0x13, 1, 0xc0, 0x2b]);
    put_u8_list(&mut body, &[0]);
    put_u16_list(&mut body, &extensions);
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    if plan.ratio(1, 4)? {
        let at = plan.choose_index(message.len())?;
        message[at] = u8::arbitrary(plan)?;
    }
    cut(&message, plan)
}

fn put_planned(extensions: &mut Vec<u8>, plan: &mut Unstructured<'_>) -> Result<()> {
    let kind = *plan.choose(&[SERVER_NAME, SERVER_NAME, 0xfe0d, 21, 16, 35, 0x3a3a])?;
    if kind != SERVER_NAME {
        let data = plan.arbitrary::<&[u8]>()?;
        put_extension(extensions, kind, &data[..data.len().min(2_000)]);
        return Ok(());
    }
    let mut names = Vec::new();
    for _ in 0..plan.int_in_range(1..=2)? {
        names.push(if plan.ratio(7, 8)? { 0 } else { 1 });
        let known: [&[u8]; 6] = [
            b"api.model.test",
            b"WWW.other.test",
            b"192.0.2.1",
            b"a.test.",
            b"::1",
            b"x_y.test",
        ];
        if bool::arbitrary(plan)? {
            put_u16_list(&mut names, plan.choose(&known)?);
        } else {
            let name = plan.arbitrary::<&[u8]>()?;
            put_u16_list(&mut names, &name[..name.len().min(300)]);
        }
    }
    let mut data = Vec::new();
    put_u16_list(&mut data, &names);
    put_extension(extensions, SERVER_NAME, &data);
    Ok(())
}

fn put_extension(extensions: &mut Vec<u8>, kind: u16, data: &[u8]) {
    extensions.extend(kind.to_be_bytes());
    put_u16_list(extensions, data);
}

fn put_u8_list(out: &mut Vec<u8>, data: &[u8]) {
    out.push(data.len() as u8);
    out.extend(data);
}

fn put_u16_list(out: &mut Vec<u8>, data: &[u8]) {
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
}

fn cut(message: &[u8], plan: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let most = rest.len().min(16_384);
        let len = if bool::arbitrary(plan)? {
            plan.int_in_range(1..=most.min(40))?
        } else {
            most
        };
        let (part, others) = rest.split_at(len);
        rest = others;
        out.extend([HANDSHAKE, 3, 1]);
        put_u16_list(&mut out, part);
    }
    Ok(out)
}
