//! Greetings of TLS clients as bytes: one that rustls makes, taken apart and put together anew.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::ring,
    pki_types::{DnsName, ServerName},
};

const SERVER_NAME: u16 = 0;
const PADDING: u16 = 21;
const KEY_SHARE: u16 = 51;
const ECH: u16 = 0xfe0d;
const HANDSHAKE: u8 = 22;
/// Longest content of a record.
const RECORD: usize = 0x4000;

/// A ClientHello whose extensions can be changed.
#[derive(Clone)]
pub struct Hello {
    /// From the version to the compression methods.
    head: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// What rustls would send to `name`.
    ///
    /// # Panics
    ///
    /// When `name` is none.
    pub fn to(name: &str) -> Self {
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = DnsName::try_from(name.to_owned()).expect("a name");
        let client = ClientConnection::new(Arc::new(config), ServerName::DnsName(name));
        let mut record = Vec::new();
        let mut client = client.expect("a connection");
        client.write_tls(&mut record).expect("bytes in memory");
        Self::parse(&message(&record).expect("a whole greeting"))
    }

    fn parse(message: &[u8]) -> Self {
        let body = message.get(4..).expect("a body");
        let session = 2 + 32;
        let ciphers = session + 1 + usize::from(body[session]);
        let methods = ciphers + 2 + be16(&body[ciphers..]);
        let end = methods + 1 + usize::from(body[methods]);
        let mut rest = &body[end + 2..];
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            let length = be16(&rest[2..]);
            let kind = u16::from_be_bytes([rest[0], rest[1]]);
            extensions.push((kind, rest[4..4 + length].to_vec()));
            rest = &rest[4 + length..];
        }
        Self {
            head: body[..end].to_vec(),
            extensions,
        }
    }

    /// With exactly these bytes as the name.
    pub fn name(self, name: &[u8]) -> Self {
        self.names(&[name])
    }

    /// With a list of names, of which a server may take any.
    pub fn names(mut self, names: &[&[u8]]) -> Self {
        let entries = names.iter().map(|name| [&[0], &counted(name)[..]].concat());
        let entries: Vec<u8> = entries.flatten().collect();
        for (kind, content) in &mut self.extensions {
            if *kind == SERVER_NAME {
                *content = counted(&entries);
            }
        }
        self
    }

    /// Names nobody.
    pub fn without_name(mut self) -> Self {
        self.extensions.retain(|(kind, _)| *kind != SERVER_NAME);
        self
    }

    /// With so many bytes of padding before everything else.
    pub fn padding(mut self, length: usize) -> Self {
        self.extensions.insert(0, (PADDING, vec![0; length]));
        self
    }

    /// With the name last, behind a key share as large as those of post-quantum key exchanges.
    pub fn large_key_share(mut self) -> Self {
        const X25519_MLKEM768: [u8; 2] = [0x11, 0xec];
        for (kind, content) in &mut self.extensions {
            if *kind == KEY_SHARE {
                let large = [&X25519_MLKEM768[..], &counted(&[7; 1216])].concat();
                *content = counted(&[&large, &content[2..]].concat());
            }
        }
        self.extensions
            .sort_by_key(|(kind, _)| *kind == SERVER_NAME);
        self
    }

    /// With an encrypted inner greeting, of which only the outer name can be read.
    pub fn ech(mut self) -> Self {
        let (kdf_and_aead, config_id) = ([0, 1, 0, 1], [42]);
        let (key, inner) = (counted(&[9; 32]), counted(&[5; 200]));
        let outer = [&[0], &kdf_and_aead[..], &config_id, &key, &inner].concat();
        self.extensions.push((ECH, outer));
        self
    }

    /// Where the name begins in [`Hello::bytes`].
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn name_offset(&self) -> usize {
        let bytes = self.bytes();
        let (_, list) = self
            .extensions
            .iter()
            .find(|(kind, _)| *kind == SERVER_NAME)
            .expect("a name");
        let list_offset = bytes.windows(list.len()).position(|found| found == list);
        list_offset.expect("the list of names") + 5
    }

    /// In as few records as possible.
    pub fn bytes(&self) -> Vec<u8> {
        self.records(RECORD)
    }

    /// In records with so many bytes of content.
    pub fn records(&self, length: usize) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &counted(content)].concat())
            .collect();
        let body = [&self.head[..], &counted(&extensions)].concat();
        let length_24 = u32::try_from(body.len()).expect("a length").to_be_bytes();
        let message = [&[1], &length_24[1..], &body].concat();
        message
            .chunks(length)
            .flat_map(|content| [&[HANDSHAKE, 3, 1][..], &counted(content)].concat())
            .collect()
    }
}

/// The handshake message that `bytes` begin with, if it is there as a whole, in one record or many.
pub(super) fn message(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut rest = bytes;
    while let [HANDSHAKE, _, _, high, low, content @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (fragment, next) = content.split_at_checked(length)?;
        message.extend_from_slice(fragment);
        rest = next;
        if let [_, a, b, c, body @ ..] = message.as_slice()
            && body.len() >= u32::from_be_bytes([0, *a, *b, *c]) as usize
        {
            return Some(message);
        }
    }
    None
}

fn be16(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// With its length before it, in two bytes.
fn counted(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a length");
    [&length.to_be_bytes()[..], content].concat()
}

#[cfg(test)]
mod tests {
    use rustls::server::Acceptor;

    use super::*;

    /// What a server of rustls reads as the name.
    fn name_in(mut bytes: &[u8]) -> Option<String> {
        let mut acceptor = Acceptor::default();
        while acceptor.read_tls(&mut bytes).expect("bytes in memory") > 0 {
            if let Some(accepted) = acceptor
                .accept()
                .map_err(|(error, _)| error)
                .expect("a hello")
            {
                return accepted.client_hello().server_name().map(str::to_owned);
            }
        }
        panic!("the greeting has no end");
    }

    #[test]
    fn a_server_reads_the_name_in_whatever_was_put_together() {
        let hello = || Hello::to("api.model.test");
        let check = |bytes: &[u8], expected: Option<&str>| {
            assert_eq!(name_in(bytes).as_deref(), expected);
            assert!(message(bytes).is_some());
            assert!(message(&bytes[..bytes.len() - 1]).is_none());
        };
        let name = Some("api.model.test");
        check(&hello().bytes(), name);
        check(&hello().records(32), name);
        check(&hello().records(1), name);
        check(&hello().padding(12_000).bytes(), name);
        check(&hello().padding(12_000).records(200), name);
        check(&hello().large_key_share().bytes(), name);
        check(&hello().ech().bytes(), name);
        check(&hello().name(b"API.Model.TEST").bytes(), name);
        check(&hello().without_name().bytes(), None);
    }
}
