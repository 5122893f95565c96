//! Packets as octets, for those who write them themselves.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

pub(super) const UDP: u8 = 17;
pub(super) const TCP: u8 = 6;
/// Where crafted packets say that they come from.
pub(super) const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 8, 0, 77);
const SOURCE_PORT: u16 = 4077;
const TTL: u8 = 64;

/// An IPv4 packet with this payload.
pub(super) fn ipv4(protocol: u8, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    fragment(protocol, to, payload, 0, &[])
}

/// Offset in units of eight octets, with the flag that more follow, and options, padded to words.
pub(super) fn fragment(
    protocol: u8,
    to: Ipv4Addr,
    payload: &[u8],
    offset: u16,
    options: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let total = (header + payload.len()) as u16;
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend_from_slice(&total.to_be_bytes());
    packet.extend_from_slice(&0x77_u16.to_be_bytes());
    packet.extend_from_slice(&offset.to_be_bytes());
    packet.extend_from_slice(&[TTL, protocol, 0, 0]);
    packet.extend_from_slice(&SOURCE.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(options);
    let sum = checksum(&[&packet]).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(payload);
    packet
}

pub(super) const MORE_FRAGMENTS: u16 = 0x2000;

/// An IPv6 packet with this payload.
pub(super) fn ipv6(next: u8, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next, TTL]);
    // From the address itself: there is no other that has a way back.
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(payload);
    packet
}

/// A datagram. Over IPv4 it needs no checksum.
pub(super) fn udp(to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    udp_header(to.port(), payload, 0)
}

pub(super) fn udp6(to: SocketAddrV6, payload: &[u8]) -> Vec<u8> {
    let bare = udp_header(to.port(), payload, 0);
    let pseudo = pseudo6(*to.ip(), UDP, bare.len());
    udp_header(to.port(), payload, checksum(&[&pseudo, &bare]))
}

fn udp_header(port: u16, payload: &[u8], sum: u16) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = SOURCE_PORT.to_be_bytes().to_vec();
    datagram.extend_from_slice(&port.to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&sum.to_be_bytes());
    datagram.extend_from_slice(payload);
    datagram
}

/// A SYN that carries data: a listener that takes fast open without a cookie hands it on at once.
pub(super) fn syn(to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    const SYN: u8 = 2;
    /// Fast open without a cookie, and two fillers.
    const OPTIONS: [u8; 4] = [34, 2, 1, 1];
    let mut segment = SOURCE_PORT.to_be_bytes().to_vec();
    segment.extend_from_slice(&to.port().to_be_bytes());
    segment.extend_from_slice(&1_u32.to_be_bytes());
    segment.extend_from_slice(&0_u32.to_be_bytes());
    let words = (20 + OPTIONS.len()) as u8 / 4;
    segment.extend_from_slice(&[words << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(&OPTIONS);
    segment.extend_from_slice(payload);
    let mut pseudo = SOURCE.octets().to_vec();
    pseudo.extend_from_slice(&to.ip().octets());
    pseudo.extend_from_slice(&[0, TCP]);
    pseudo.extend_from_slice(&(segment.len() as u16).to_be_bytes());
    let sum = checksum(&[&pseudo, &segment]).to_be_bytes();
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// An echo request.
pub(super) fn echo(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 7, 0, 1];
    message.extend_from_slice(payload);
    let sum = checksum(&[&message]).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

/// An echo request of IPv6; the kernel adds the checksum.
pub(super) fn echo6(payload: &[u8]) -> Vec<u8> {
    [&[128, 0, 0, 0, 0, 7, 0, 1], payload].concat()
}

fn pseudo6(to: Ipv6Addr, next: u8, length: usize) -> Vec<u8> {
    let mut pseudo = to.octets().to_vec();
    pseudo.extend_from_slice(&to.octets());
    pseudo.extend_from_slice(&(length as u32).to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, next]);
    pseudo
}

/// Of parts of even length, but for the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A greeting of DTLS 1.2 to `name`, and `rest` as a record of its own.
pub(super) fn dtls_hello(name: &str, rest: &[u8]) -> Vec<u8> {
    let entry = [&[0], &counted(name.as_bytes())[..]].concat();
    let extension = [&[0, 0], &counted(&counted(&entry))[..]].concat();
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    // No session, no cookie, one cipher, no compression.
    body.extend_from_slice(&[0, 0, 0, 2, 0xc0, 0x2f, 1, 0]);
    body.extend_from_slice(&counted(&extension));
    let length = (body.len() as u32).to_be_bytes();
    let mut message = vec![1];
    message.extend_from_slice(&length[1..]);
    message.extend_from_slice(&[0; 5]);
    message.extend_from_slice(&length[1..]);
    message.extend_from_slice(&body);
    let record =
        |kind: u8, content: &[u8]| [&[kind, 0xfe, 0xfd], &[0; 8][..], &counted(content)].concat();
    [record(22, &message), record(23, rest)].concat()
}

/// With its length before it, in two octets.
fn counted(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}
