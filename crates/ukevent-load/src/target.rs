//! Whom to ask: a URL, and the way there.

use http::Uri;
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// Whom to ask, as a URL names it: `http://host:port/path` or `https://…`; and at which socket, if it is not
/// the URL's host that is connected to.
///
/// ```
/// use ukevent_load::Target;
///
/// let target: Target = "http://localhost:8080/a/b?c=d".parse()?;
/// assert_eq!((target.authority(), target.path()), ("localhost:8080", "/a/b?c=d"));
/// assert!("ftp://localhost/".parse::<Target>().is_err());
/// # Ok::<(), ukevent_load::TargetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    path: String,
    is_secured: bool,
    place: Place,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A host, by its name or address, and a port.
    Tcp {
        /// An address of IPv6 without brackets.
        host: String,
        /// From 1 on.
        port: u16,
    },
    /// A Unix socket of the file system.
    Unix(PathBuf),
}

/// Why something is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no URL at all.
    Syntax(String),
    /// Neither `http://` nor `https://`.
    Scheme(String),
    /// There is no host in it.
    Host(String),
    /// It names a user; there is no authentication.
    User(String),
}

impl Target {
    /// The same, connected to at a Unix socket. The URL still says what is asked for, and of whom.
    #[must_use]
    pub fn at_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::Unix(path.into());
        self
    }

    /// Host, and port if it is not the usual one: what a request names in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host without port, of IPv6 without brackets: for whom a certificate is to be.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.strip_prefix('[').and_then(|it| it.split_once(']')) {
            Some((address, _)) => address,
            None => self.authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is asked by TLS.
    #[must_use]
    pub const fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Where to connect to.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Syntax(url.to_owned()))?;
        let is_secured = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(TargetError::Scheme(url.to_owned())),
        };
        let authority = uri.authority().ok_or_else(|| TargetError::Host(url.to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(TargetError::User(url.to_owned()));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if is_secured {
                    443
                } else {
                    80
                }
            }
            _ => authority.port_u16().unwrap_or(0),
        };
        if host.is_empty() || port == 0 {
            return Err(TargetError::Host(url.to_owned()));
        }
        // Of a URL without a path there may be a query all the same.
        let path = match uri.path_and_query().map_or("", |it| it.as_str()) {
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        Ok(Self {
            authority: authority.as_str().to_owned(),
            path,
            is_secured,
            place: Place::Tcp { host: host.to_owned(), port },
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secured { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)?;
        match &self.place {
            Place::Tcp { .. } => Ok(()),
            Place::Unix(path) => write!(f, " at {}", path.display()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.parse::<IpAddr>().is_ok_and(|it| it.is_ipv6()) => {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(url) => write!(f, "{url:?} is no URL: write http://host:port/path"),
            Self::Scheme(url) => {
                write!(f, "{url:?} begins neither with http:// nor with https://")
            }
            Self::Host(url) => write!(f, "{url:?} names no host and port to connect to"),
            Self::User(url) => {
                write!(f, "{url:?} names a user: give an Authorization header instead")
            }
        }
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, String, String) {
        let target: Target = url.parse().unwrap();
        (target.authority.clone(), target.path.clone(), target.place.to_string())
    }

    #[test]
    fn where_a_url_leads() {
        for (url, authority, path, place) in [
            ("http://a", "a", "/", "a:80"),
            ("https://a/", "a", "/", "a:443"),
            ("http://a:81/b/c?d=e#f", "a:81", "/b/c?d=e", "a:81"),
            ("http://[::1]:8080/x", "[::1]:8080", "/x", "[::1]:8080"),
            ("http://127.0.0.1?q", "127.0.0.1", "/?q", "127.0.0.1:80"),
            ("HTTP://a:1", "a:1", "/", "a:1"),
        ] {
            assert_eq!(parsed(url), (authority.into(), path.into(), place.into()), "{url}");
        }
    }

    #[test]
    fn for_whom_a_certificate_is_to_be() {
        for (url, host) in [
            ("https://a/", "a"),
            ("https://a.b:81/c", "a.b"),
            ("https://[::1]:8080/x", "::1"),
            ("https://[::1]/x", "::1"),
            ("https://127.0.0.1?q", "127.0.0.1"),
        ] {
            let target = url.parse::<Target>().unwrap();
            assert_eq!(target.host(), host, "{url}");
            assert_eq!(target.at_socket("/socket").host(), host, "{url}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_in_a_sentence() {
        for (url, says) in [
            ("", "is no URL"),
            ("localhost:80", "neither"),
            ("/path", "neither"),
            ("ftp://a/", "neither"),
            ("http://", "is no URL"),
            ("http://a:0/", "names no host"),
            ("http://a:99999/", "names no host"),
            ("http://a:/", "names no host"),
            ("http://u:p@a/", "names a user"),
            ("http://a b/", "is no URL"),
        ] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
        }
    }
}
