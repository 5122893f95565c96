//! A resolver. `aN.….test` leads to 127.8.1.N and fd00:8::1:N, `aliasM` in a name to M other names before
//! that, `short` to no time to live; over TCP, `pieces` in a name takes the answer apart.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
};

const AAAA: u16 = 28;
const ALIAS: u16 = 5;
const HEADER: usize = 12;
/// The name in the question, as a reference.
const QUESTION: [u8; 2] = [0xc0, HEADER as u8];

pub(super) fn serve(at: SocketAddr) -> io::Result<()> {
    let datagrams = UdpSocket::bind(at)?;
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = datagrams.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..n]) {
                // Whoever asked may be gone.
                let _ = datagrams.send_to(&answer, from);
            }
        }
    });
    let listener = TcpListener::bind(at)?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut question)?;
                let Some(answer) = answer(&question) else {
                    return Ok(());
                };
                let message = [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat();
                let is_whole = !question.windows(6).any(|window| window == b"pieces");
                let pieces = message.chunks(if is_whole { message.len() } else { 20 });
                stream.set_nodelay(true)?;
                for piece in pieces {
                    stream.write_all(piece)?;
                    thread::park_timeout(std::time::Duration::from_millis(5));
                }
                io::Result::Ok(())
            });
        }
    });
    Ok(())
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (name, end) = name(question)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let mut labels = name.split('.');
    let number = labels
        .next()?
        .strip_prefix('a')
        .and_then(|number| number.parse().ok());
    let second = labels.next().unwrap_or_default();
    let n_aliases = second
        .strip_prefix("alias")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0_u16);
    let ttl: u32 = if second == "short" { 0 } else { 300 };
    let mut message = question.get(..end + 4)?.to_vec();
    message
        .get_mut(2..8)?
        .copy_from_slice(&[0x81, 0x80, 0, 1, 0, n_aliases as u8 + 1]);
    message.get_mut(8..12)?.fill(0);
    let mut owner = QUESTION.to_vec();
    for left in (0..n_aliases).rev() {
        let target = match left {
            // The last stands for the endpoint's name.
            0 => format!("a{}.model.test", number.unwrap_or(0_u8)),
            left => format!("step{left}.other.test"),
        };
        let target = encoded(&target);
        record(&mut message, &owner, ALIAS, ttl, &target);
        owner = target;
    }
    let octets = match (kind, number) {
        (AAAA, number) => vec![
            0xfd,
            0,
            0,
            8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            1,
            0,
            number.unwrap_or(0),
        ],
        (_, Some(number)) => vec![127, 8, 1, number],
        // An address that policy names.
        (_, None) => vec![127, 8, 0, 1],
    };
    record(
        &mut message,
        &owner,
        if kind == AAAA { AAAA } else { 1 },
        ttl,
        &octets,
    );
    Some(message)
}

fn record(message: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, content: &[u8]) {
    message.extend_from_slice(owner);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&1_u16.to_be_bytes());
    message.extend_from_slice(&ttl.to_be_bytes());
    message.extend_from_slice(&(content.len() as u16).to_be_bytes());
    message.extend_from_slice(content);
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// In small letters, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
