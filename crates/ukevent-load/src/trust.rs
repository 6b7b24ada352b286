//! Which certificate of a server is trusted, and what is wrong with one that is not.

use crate::Target;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem, pem::PemObject},
};
use std::{fmt, fs, io, path::PathBuf, sync::Arc};

/// Which certificate of a server is trusted, where the target is asked by TLS.
///
/// ```
/// use ukevent_load::{Plan, Trust};
///
/// let target = "https://localhost:8443/".parse()?;
/// let plan = Plan { trust: Trust::Roots("ca.pem".into()), ..Plan::new(target) };
/// assert_ne!(plan.trust, Trust::System);
/// # Ok::<(), ukevent_load::TargetError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// One that a root of this system leads to, for the URL's host. `SSL_CERT_FILE` and `SSL_CERT_DIR` say
    /// where those are, if they are set.
    #[default]
    System,
    /// One that a root in this PEM file leads to, for the URL's host.
    Roots(PathBuf),
    /// Any, of whomever: nothing is verified. Whoever is in between can read it all.
    Anyone,
}

/// Why a server cannot be asked by TLS. It comes inside of an `io::Error`.
///
/// ```
/// use ukevent_load::{Load, Plan, Trust, TrustError};
/// use ukevent_task::block_on;
///
/// let trust = Trust::Roots("/nowhere/ca.pem".into());
/// let plan = Plan { trust, ..Plan::new("https://127.0.0.1:1/".parse()?) };
/// let error = block_on(Load::prepare(plan))?.expect_err("there is no such file");
/// let why = error.get_ref().and_then(|it| it.downcast_ref::<TrustError>());
/// assert!(matches!(why, Some(TrustError::File { .. })));
/// assert_eq!(error.to_string(), "/nowhere/ca.pem: No such file or directory (os error 2)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// The file of the roots cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no PEM file.
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// There is no certificate in it that can be a root.
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// This system has no roots, or none that can be read: what was met, if anything.
    NoRoots(Option<String>),
    /// The URL's host is no name that a certificate can be for.
    Name(String),
    /// The server's certificate is not trusted.
    Certificate {
        /// Whose.
        server: String,
        /// Why.
        error: CertificateError,
    },
    /// The server speaks no TLS there, or none that this program speaks.
    Tls {
        /// Which.
        server: String,
        /// What was met.
        error: rustls::Error,
    },
}

impl TrustError {
    /// What a handshake with this server has met, if it was TLS that failed.
    pub(crate) fn of(server: String, error: &io::Error) -> Option<Self> {
        Some(match error.get_ref()?.downcast_ref::<rustls::Error>()?.clone() {
            rustls::Error::InvalidCertificate(error) => Self::Certificate { server, error },
            error => Self::Tls { server, error },
        })
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Pem { path, error } => write!(f, "{}: no PEM file: {error}", path.display()),
            Self::Empty { path } => {
                let path = path.display();
                write!(f, "{path}: there is no root certificate in it (PEM: BEGIN CERTIFICATE)")
            }
            Self::NoRoots(None) => write!(f, "this system has no root certificates"),
            Self::NoRoots(Some(why)) => write!(f, "this system's root certificates: {why}"),
            Self::Name(host) => write!(f, "{host:?} is no name that a certificate can be for"),
            // A root of the right name and with another key is another root.
            Self::Certificate {
                server,
                error: CertificateError::UnknownIssuer | CertificateError::BadSignature,
            } => {
                write!(f, "{server}: no root that is trusted leads to its certificate")
            }
            Self::Certificate { server, error: CertificateError::Other(_) } => {
                // What rustls has no name for; nearly always the certificate of a root that a server shows itself.
                write!(
                    f,
                    "{server}: its certificate is not trusted: it is no certificate for a server (it may be a root \
                     itself, as `openssl req -x509` makes them without `basicConstraints=CA:FALSE`)"
                )
            }
            Self::Certificate { server, error } => {
                write!(f, "{server}: its certificate is not trusted: {error}")
            }
            Self::Tls { server, error: rustls::Error::InvalidMessage(_) } => {
                write!(f, "{server}: what it says is no TLS")
            }
            Self::Tls { server, error } => write!(f, "{server}: {error}"),
        }
    }
}

impl std::error::Error for TrustError {}

impl From<TrustError> for io::Error {
    fn from(error: TrustError) -> Self {
        let kind = match &error {
            TrustError::File { error, .. } => error.kind(),
            TrustError::Certificate { .. } | TrustError::Tls { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// What the sessions of a load are made of, all with one memory of sessions that can be taken up again.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Secure {
    /// Reads the roots. Blocks.
    pub(crate) fn new(target: &Target, trust: &Trust) -> Result<Self, TrustError> {
        let host = target.host();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TrustError::Name(host.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Tls { server: host.to_owned(), error })?;
        let config = match trust {
            Trust::System => config.with_root_certificates(system_roots()?),
            Trust::Roots(path) => config.with_root_certificates(roots_of(path.clone())?),
            Trust::Anyone => {
                config.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
        };
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }
}

/// Those that cannot be read or used are passed over, if there are others.
fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TrustError::NoRoots(found.errors.first().map(ToString::to_string)));
    }
    Ok(roots)
}

fn roots_of(path: PathBuf) -> Result<RootCertStore, TrustError> {
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) => return Err(TrustError::File { path, error }),
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = match found {
        Ok(found) => found,
        Err(error) => return Err(TrustError::Pem { path, error }),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    if roots.is_empty() { Err(TrustError::Empty { path }) } else { Ok(roots) }
}

/// Takes any certificate. That its owner has the key is verified all the same: it costs what it costs others.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
