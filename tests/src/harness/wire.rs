//! Messages as they are on the wire.

use std::net::Ipv4Addr;

const DNS_HEADER: usize = 12;
/// Length to which clients fill up a `ClientHello` that is neither short nor large.
const HELLO: usize = 517;

/// A question of the DNS: which IPv4 addresses has `name`?
pub fn dns_query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The answer to `query`: these addresses, for an hour.
pub fn dns_answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, addresses.len() as u8]);
    for address in addresses {
        // The same name by a pointer to the question, type A, class IN.
        message.extend([0xc0, DNS_HEADER as u8, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        message.extend(address.octets());
    }
    message
}

/// The name that is asked for, which the question of [`dns_query`] has right after the header.
pub fn dns_name(query: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    let mut rest = query.get(DNS_HEADER..)?;
    while let Some((len, others)) = rest.split_first() {
        if *len == 0 {
            return Some(labels.join("."));
        }
        let (label, others) = others.split_at_checked(usize::from(*len))?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = others;
    }
    None
}

/// The last address of an answer of [`dns_answer`].
pub fn dns_address(answer: &[u8]) -> Option<Ipv4Addr> {
    let octets = answer.last_chunk::<4>()?;
    Some(Ipv4Addr::from(*octets))
}

/// A `ClientHello` for `name` in one record, of usual content and length.
pub fn client_hello(name: &str) -> Vec<u8> {
    let name_len = name.len() as u16;
    let mut server_name = (name_len + 3).to_be_bytes().to_vec();
    server_name.push(0);
    server_name.extend(name_len.to_be_bytes());
    server_name.extend(name.as_bytes());
    let mut key_share = vec![0, 36, 0, 29, 0, 32];
    key_share.extend([5; 32]);
    let mut extensions = Vec::new();
    let mut extend = |kind: u16, data: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((data.len() as u16).to_be_bytes());
        extensions.extend(data);
    };
    // Supported groups, signature algorithms, ALPN, versions, key share; then the name.
    extend(10, &[0, 6, 0, 29, 0, 23, 0, 24]);
    extend(13, &[0, 8, 4, 3, 8, 4, 4, 1, 5, 3]);
    extend(16, b"\0\x0c\x02h2\x08http/1.1");
    extend(43, &[4, 3, 4, 3, 3]);
    extend(51, &key_share);
    extend(0, &server_name);
    // Random, session, suites, compression.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend([0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0]);
    // Headers of record, message and list, then the padding extension.
    let padding = HELLO.saturating_sub(5 + 4 + body.len() + 2 + extensions.len() + 4);
    extensions.extend([0, 21]);
    extensions.extend((padding as u16).to_be_bytes());
    extensions.resize(extensions.len() + padding, 0);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.push(1);
    record.extend(&(body.len() as u32).to_be_bytes()[1..]);
    record.extend(body);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answer_are_read_back() {
        let query = dns_query(7, "api.model.test");
        assert_eq!(dns_name(&query).as_deref(), Some("api.model.test"));
        let address = Ipv4Addr::new(127, 1, 2, 3);
        assert_eq!(dns_address(&dns_answer(&query, &[address])), Some(address));
    }

    #[test]
    fn a_hello_has_the_usual_length() {
        assert_eq!(client_hello("api.model.test").len(), HELLO);
    }
}
