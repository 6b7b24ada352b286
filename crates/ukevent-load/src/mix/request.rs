//! A request, and its bytes.

use super::Refusal;
use crate::{Asked, Target, syntax::is_token};

/// What is sent when the caller names no program.
const USER_AGENT: &str = concat!("ukevent/", env!("CARGO_PKG_VERSION"));

/// What one request asks for, wherever it is sent.
///
/// ```
/// use ukevent_load::{Asked, Request};
///
/// let fields = [("Accept".to_owned(), "text/html".to_owned())];
/// let request = Request::new("HEAD", "/", fields, Vec::new())?;
/// assert_eq!(request.asked(), Asked::Head);
/// let text = String::from_utf8(request.bytes("[::1]:80", false)?)?;
/// assert!(text.starts_with("HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n"));
/// assert!(text.contains("\r\nConnection: close\r\n"));
///
/// // What would be two requests is none.
/// assert!(Request::new("GET", "/ HTTP/1.1\r\n\r\nGET /", [], Vec::new()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Asks so. A path begins with `/`, or is an `http` or `https` URL for a proxy, or `*` with OPTIONS. Fields are
    /// names and values; what is missing is added by [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// A [`Refusal`], if a server could not read it as it is meant.
    pub fn new(
        method: &str,
        path: &str,
        fields: impl IntoIterator<Item = (String, String)>,
        body: Vec<u8>,
    ) -> Result<Self, Refusal> {
        check_line(method, path)?;
        let fields: Vec<_> = fields.into_iter().collect();
        for (name, value) in &fields {
            check_field(name, value)?;
        }
        let request = Self { method: method.to_owned(), path: path.to_owned(), fields, body };
        request.check_framing()?;
        Ok(request)
    }

    /// Asks for this path of a [`Target`], which has been checked.
    pub(crate) fn get(target: &Target) -> Self {
        let (method, path) = ("GET".to_owned(), target.path().to_owned());
        Self { method, path, fields: Vec::new(), body: Vec::new() }
    }

    /// Its method, which is told apart by case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its path, with the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What [`ReplyReader::feed`](crate::ReplyReader::feed) wants to know of it.
    #[must_use]
    pub fn asked(&self) -> Asked {
        if self.method == "HEAD" { Asked::Head } else { Asked::Content }
    }

    /// It as it is sent to this host and port. Added are, unless they are given: Host, User-Agent, the
    /// Content-Length of a body (0, if the method expects one), and `Connection: close` if the connection is not to
    /// stay.
    ///
    /// # Errors
    /// [`Refusal::Host`], if `authority` is no host.
    pub fn bytes(&self, authority: &str, keep_alive: bool) -> Result<Vec<u8>, Refusal> {
        if authority.is_empty() || !authority.bytes().all(is_of_authority) {
            return Err(Refusal::Host(authority.to_owned()));
        }
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let mut add = |name: &str, value: &str| text.extend([name, ": ", value, "\r\n"]);
        // First, as RFC 9110, 7.2 wants it.
        add("Host", self.values("host").next().unwrap_or(authority));
        for (name, value) in &self.fields {
            if !name.eq_ignore_ascii_case("host") {
                add(name, trim(value));
            }
        }
        if self.values("user-agent").next().is_none() {
            add("User-Agent", USER_AGENT);
        }
        if !keep_alive && !self.closes() {
            add("Connection", "close");
        }
        // RFC 9110, 8.6.
        let expects_body = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        if self.values("content-length").next().is_none() && (expects_body || !self.body.is_empty())
        {
            add("Content-Length", &self.body.len().to_string());
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    /// The values of the fields of this name.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(given, _): &&(String, String)| given.eq_ignore_ascii_case(name);
        self.fields.iter().filter(of_name).map(|(_, value)| trim(value))
    }

    /// Whether its own fields say that the connection is not to stay.
    fn closes(&self) -> bool {
        self.values("connection")
            .flat_map(|value| value.split(','))
            .any(|option| trim(option).eq_ignore_ascii_case("close"))
    }

    /// Fields that say where it ends must say the truth.
    fn check_framing(&self) -> Result<(), Refusal> {
        if self.values("transfer-encoding").next().is_some() {
            return Err(Refusal::Coding);
        }
        if self.values("host").count() > 1 {
            return Err(Refusal::Twice("Host"));
        }
        if let Some(host) = self.values("host").find(|host| !host.bytes().all(is_of_authority)) {
            return Err(Refusal::Host(host.to_owned()));
        }
        if self.values("content-length").count() > 1 {
            return Err(Refusal::Twice("Content-Length"));
        }
        let body_bytes = self.body.len();
        // As it is written, not as a number: 010 or +10 is for the server to guess.
        match self.values("content-length").find(|given| *given != body_bytes.to_string()) {
            Some(given) => Err(Refusal::Length { given: given.to_owned(), body_bytes }),
            None => Ok(()),
        }
    }
}

/// Whether this is a request line.
pub(super) fn check_line(method: &str, path: &str) -> Result<(), Refusal> {
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Refusal::Method(method.to_owned()));
    }
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    let may_not = |character: &char| !character.is_ascii_graphic() || *character == '#';
    if let Some(character) = path.chars().find(may_not) {
        return Err(Refusal::PathCharacter(character));
    }
    let is_url = path.starts_with("http://") || path.starts_with("https://");
    if path.starts_with('/') || is_url || (method == "OPTIONS" && path == "*") {
        Ok(())
    } else {
        Err(Refusal::Path(path.to_owned()))
    }
}

/// Whether this is a field.
pub(super) fn check_field(name: &str, value: &str) -> Result<(), Refusal> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Refusal::Name(name.to_owned()));
    }
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(Refusal::Value(name.to_owned()));
    }
    Ok(())
}

/// Spaces around a value are not part of it.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// What can stand in a host and its port (RFC 3986, 3.2), user and password left out.
const fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'[' | b']')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',')
        || matches!(byte, b';' | b'=')
}
