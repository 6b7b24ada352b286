//! What to do about it: for errors of the kernel that do not say so themselves.

use std::io::{self, ErrorKind};
use ukevent_load::TrustError;

/// An address that cannot be listened on.
pub(crate) const fn on_listening(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "; another program listens there (ss -ltnp shows it)",
        ErrorKind::AddrNotAvailable => "; no interface has this address (ip addr shows them)",
        ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

/// A path that cannot be listened at.
pub(crate) const fn on_listening_at_path(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => {
            "; another program listens there (ss -lxp shows it), or what is there is no socket"
        }
        ErrorKind::NotFound => "; its directory must exist",
        ErrorKind::PermissionDenied => "; writing to its directory must be permitted",
        ErrorKind::InvalidFilename => "; the path of a socket has 107 bytes at most",
        _ => "",
    }
}

/// A certificate or a key that cannot be read.
pub(crate) const fn on_reading_certificate(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "; --tls-cert and --tls-key name files that exist",
        ErrorKind::PermissionDenied => "; reading it must be permitted",
        ErrorKind::IsADirectory => "; --tls-cert and --tls-key name files",
        _ => "",
    }
}

/// A server that is not trusted.
pub(crate) fn on_trusting(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|it| it.downcast_ref()) {
        Some(TrustError::Certificate { .. } | TrustError::NoRoots(_)) => {
            "; --ca FILE names roots to trust, --insecure verifies nothing"
        }
        Some(TrustError::Tls { .. }) => "; http:// asks without TLS",
        Some(TrustError::File { .. } | TrustError::Pem { .. } | TrustError::Empty { .. }) => {
            "; --ca names a PEM file of root certificates"
        }
        _ => "",
    }
}

/// A directory that cannot be served.
pub(crate) const fn on_opening(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "; --root names a directory that exists",
        ErrorKind::NotADirectory => "; --root names a directory, not a file",
        ErrorKind::PermissionDenied => "; reading it must be permitted",
        _ => "",
    }
}
