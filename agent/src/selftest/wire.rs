//! Messages as they are on the wire, as small as they can be.

use std::net::Ipv4Addr;

/// An answer of the DNS: `name` has `address` for a minute.
pub(super) fn dns_answer(name: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    // The same name by a pointer to the question, type A, class IN.
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(address.octets());
    message
}

/// A `ClientHello` in one record; without a server's name if `name` is empty.
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let mut extensions = vec![0x00, 0x2b, 0, 3, 2, 3, 4];
    if !name.is_empty() {
        let len = name.len() as u16;
        extensions.extend([0, 0]);
        extensions.extend((len + 5).to_be_bytes());
        extensions.extend((len + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(len.to_be_bytes());
        extensions.extend(name.as_bytes());
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.push(1);
    record.extend(&(body.len() as u32).to_be_bytes()[1..]);
    record.extend(body);
    record
}

/// The start of a QUIC v1 Initial packet.
pub(super) fn quic_initial() -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend([9; 1194]);
    packet
}
