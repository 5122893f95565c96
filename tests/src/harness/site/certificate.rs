//! An authority that lives as long as a test.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

pub(in crate::harness) struct Authority {
    pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    /// With a server's certificate for all of `names` and for `address`.
    pub(in crate::harness) fn new(names: &[&str], address: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");

        let names: Vec<String> = names
            .iter()
            .chain([&address])
            .map(|name| (*name).into())
            .collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let server = params.signed_by(&key, &authority).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], key)
            .expect("a certificate that fits its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            pem: authority.pem(),
            config: Arc::new(config),
        }
    }

    pub(in crate::harness) fn pem(&self) -> &str {
        &self.pem
    }

    pub(in crate::harness) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}
