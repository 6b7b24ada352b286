//! The certificate that a server shows, and what becomes of it when its files change.

pub(crate) mod places;

use rustls::{
    InconsistentKeys, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use std::{
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
///
/// ```
/// use ukevent_http::{Certificate, Server};
/// use ukevent_task::block_on;
///
/// let files = Certificate { chain: "/nowhere/chain.pem".into(), key: "/nowhere/key.pem".into() };
/// let started = block_on(async { Server::builder().certificate(files).start() })?;
/// let error = started.expect_err("it is not there");
/// assert_eq!(error.to_string(), "/nowhere/chain.pem: No such file or directory (os error 2)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no PEM file.
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// There is no certificate in the file.
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// There is no private key in the file, or one with a password.
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// The key is another one's.
    OtherKey {
        /// Where the certificate is.
        chain: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// The certificate or its key are of a kind that is not known.
    Refused(rustls::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Pem { path, error } => write!(f, "{}: no PEM file: {error}", path.display()),
            Self::Empty { path } => {
                write!(
                    f,
                    "{}: there is no certificate in it (PEM: BEGIN CERTIFICATE)",
                    path.display()
                )
            }
            Self::NoKey { path } => write!(
                f,
                "{}: there is no private key in it (PEM: BEGIN PRIVATE KEY; without a password)",
                path.display()
            ),
            Self::OtherKey { chain, key } => write!(
                f,
                "{}: it is not the key of the first certificate in {}",
                key.display(),
                chain.display()
            ),
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

/// What sessions are made of; newer ones of a newer certificate. The threads of a server have one together, which
/// one of them renews: so a client's ticket is good at each of them.
#[derive(Debug)]
pub(crate) struct Identity {
    files: Certificate,
    /// Locked while a connection is accepted, and to be replaced; not while files are read.
    config: Mutex<Arc<ServerConfig>>,
    /// Of what was last read, whether it could be used or not.
    read: AtomicU64,
}

impl Identity {
    /// Reads the files. Blocks.
    pub(crate) fn load(files: Certificate) -> Result<Self, CertificateError> {
        let contents = Contents::read(&files);
        let read = AtomicU64::new(contents.digest());
        let config = Mutex::new(contents.config(&files)?);
        Ok(Self { files, config, read })
    }

    pub(crate) const fn files(&self) -> &Certificate {
        &self.files
    }

    /// Reads the files again; what they were before stays, if they cannot be used. Files that are what they
    /// were are not looked into: so of what cannot be used it says so once. Blocks.
    pub(crate) fn reload(&self) -> Result<(), CertificateError> {
        let contents = Contents::read(&self.files);
        let digest = contents.digest();
        // Only one thread reads them.
        if self.read.swap(digest, Ordering::Relaxed) != digest {
            let config = contents.config(&self.files)?;
            let before = std::mem::replace(&mut *self.lock(), config);
            drop(before);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<ServerConfig>> {
        // Nothing panics under it.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a session with a peer that has just connected.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.lock())
    }
}

/// What the files hold.
struct Contents {
    chain: io::Result<Vec<u8>>,
    key: io::Result<Vec<u8>>,
}

impl Contents {
    fn read(files: &Certificate) -> Self {
        Self { chain: fs::read(&files.chain), key: fs::read(&files.key) }
    }

    /// Tells one from another; not meant against somebody who looks for two that are the same.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for content in [&self.chain, &self.key] {
            content.as_ref().map_err(io::Error::kind).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn config(self, files: &Certificate) -> Result<Arc<ServerConfig>, CertificateError> {
        let unread = |path: &PathBuf| {
            let path = path.clone();
            move |error| CertificateError::File { path, error }
        };
        let chain = self.chain.map_err(unread(&files.chain))?;
        let chain = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CertificateError::Pem { path: files.chain.clone(), error })?;
        if chain.is_empty() {
            return Err(CertificateError::Empty { path: files.chain.clone() });
        }
        let key = self.key.map_err(unread(&files.key))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
            pem::Error::NoItemsFound => CertificateError::NoKey { path: files.key.clone() },
            error => CertificateError::Pem { path: files.key.clone(), error },
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::OtherKey { chain: files.chain.clone(), key: files.key.clone() }
            }
            error => CertificateError::Refused(error),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What a session is taken up again by is in the client's ticket, not in the server's memory.
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(CertificateError::Refused)?;
        Ok(Arc::new(config))
    }
}
