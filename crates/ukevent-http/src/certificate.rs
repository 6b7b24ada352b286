//! The certificate that a server shows, and what becomes of it when its files change.

use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a certificate and its key lie: PEM files. The first holds the certificate and behind it those that
/// lead to a known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and its chain.
    pub chain: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM file.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The certificate and its key do not fit, or are of a kind that is not known.
    Refused(rustls::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Empty { path } => write!(f, "{}: there is no certificate in it", path.display()),
            Self::Refused(error) => write!(f, "the certificate and its key: {error}"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl From<CertificateError> for io::Error {
    fn from(error: CertificateError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// What sessions are made of; newer ones of a newer certificate.
#[derive(Debug)]
pub(crate) struct Identity {
    files: Certificate,
    config: RefCell<Arc<ServerConfig>>,
}

impl Identity {
    /// Reads the files. Blocks.
    pub(crate) fn load(files: Certificate) -> Result<Self, CertificateError> {
        let config = RefCell::new(read(&files)?);
        Ok(Self { files, config })
    }

    pub(crate) fn files(&self) -> &Certificate {
        &self.files
    }

    /// Reads the files again; what they were before stays, if they cannot be used. Blocks.
    pub(crate) fn reload(&self) -> Result<(), CertificateError> {
        let config = read(&self.files)?;
        drop(self.config.replace(config));
        Ok(())
    }

    /// A session with a peer that has just connected.
    pub(crate) fn session(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config.borrow()))
    }
}

fn read(files: &Certificate) -> Result<Arc<ServerConfig>, CertificateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| CertificateError::File { path, error }
    };
    let chain = CertificateDer::pem_file_iter(&files.chain).map_err(failed(&files.chain))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed(&files.chain))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path: files.chain.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(CertificateError::Refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // What a session is taken up again by is in the client's ticket, not in the server's memory.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(CertificateError::Refused)?;
    Ok(Arc::new(config))
}
