//! Certificates and keys: read from PEM files, checked, chosen by the name that a client asks for, and replaced while serving.
use crate::{error::StartError, options::TlsOptions, whole};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

/// The most that is read of a file.
const BYTES_MAX: u64 = 1 << 20;

/// What a server proves itself with.
#[derive(Debug)]
pub(crate) struct Keys {
    options: Vec<TlsOptions>,
    ring: Arc<KeyRing>,
    config: Arc<ServerConfig>,
}

/// The certificates in use; the first is for those who ask for no name, or for one that none has.
#[derive(Debug)]
struct KeyRing {
    keys: RwLock<Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for KeyRing {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let named = hello.server_name().and_then(|name| keys.iter().find(|key| is_for(key, name)));
        named.or(keys.first()).cloned()
    }
}

/// True when a certificate is valid for a name (RFC 9525).
fn is_for(key: &CertifiedKey, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

impl Keys {
    /// Reads all pairs; `None` when there are none, and the server speaks HTTP. Tickets of the keys `before` are good for these too.
    pub(crate) fn open(options: &[TlsOptions], before: Option<&Keys>) -> Result<Option<Keys>, StartError> {
        if options.is_empty() {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let ring = Arc::new(KeyRing { keys: RwLock::new(read_all(options, &provider)?) });
        let wrong = |error: rustls::Error| StartError::Core { core: 0, reason: error.to_string() };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&ring) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets that the server keeps nothing for, under keys that change every six hours.
        config.ticketer = match before {
            Some(before) => Arc::clone(&before.config.ticketer),
            None => ring::Ticketer::new().map_err(wrong)?,
        };
        Ok(Some(Keys { options: options.to_vec(), ring, config: Arc::new(config) }))
    }

    /// For a new session.
    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Reads all pairs again. When one of them is wrong, those in use stay.
    pub(crate) fn reload(&self) -> Result<(), StartError> {
        let fresh = read_all(&self.options, self.config.crypto_provider())?;
        *self.ring.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Fails as a start would.
pub(crate) fn check(options: &[TlsOptions]) -> Result<(), StartError> {
    read_all(options, &ring::default_provider()).map(drop)
}

fn read_all(options: &[TlsOptions], provider: &CryptoProvider) -> Result<Vec<Arc<CertifiedKey>>, StartError> {
    options.iter().map(|pair| read(pair, provider).map(Arc::new)).collect()
}

fn read(pair: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, StartError> {
    let wrong = |path: &Path, reason: String| StartError::Tls { path: path.to_owned(), reason };
    let pem = file(&pair.cert)?;
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| {
        wrong(&pair.cert, format!("is no PEM file ({error}); write the certificates anew"))
    })?;
    if chain.is_empty() {
        let what = if contains(&pem, b"PRIVATE KEY-----") {
            "holds a key, no certificate; are cert and key exchanged?"
        } else {
            "holds no certificate in PEM (-----BEGIN CERTIFICATE-----); convert it with `openssl x509 -inform der`"
        };
        return Err(wrong(&pair.cert, what.to_owned()));
    }
    let pem = file(&pair.key)?;
    if contains(&pem, b"ENCRYPTED") {
        return Err(wrong(
            &pair.key,
            "is encrypted; write it without a passphrase (`openssl pkey -in … -out …`) and protect the file"
                .to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let what = if contains(&pem, b"BEGIN CERTIFICATE-----") {
            "holds a certificate, no key; are cert and key exchanged?"
        } else {
            "holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1)"
        };
        wrong(&pair.key, what.to_owned())
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(&pair.key, format!("is not the key of the certificate in {:?}; name the two that belong together, the server's certificate before its issuers'", pair.cert))
        }
        error => wrong(
            &pair.key,
            format!(
                "cannot be used ({error}); make an ECDSA P-256 or P-384, Ed25519 or RSA key (2048 to 8192 bits), and a certificate for it"
            ),
        ),
    })
}

/// A whole file, unless it is far too long for what it should hold.
fn file(path: &Path) -> Result<Vec<u8>, StartError> {
    let wrong = |reason| StartError::Tls { path: path.to_owned(), reason };
    let bytes = whole::read(path, BYTES_MAX).map_err(|error| {
        wrong(format!("cannot be read: {error}; check the path, and that this user may read it"))
    })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong(format!(
            "has more than {BYTES_MAX} bytes; name a PEM file that holds a certificate and its issuers, or a key, and nothing else"
        )));
    }
    Ok(bytes)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}
