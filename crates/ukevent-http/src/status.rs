//! The status codes that this server answers with (RFC 9110, 15).

/// A status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    NoContent,
    PartialContent,
    MovedPermanently,
    NotModified,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PreconditionFailed,
    ContentTooLarge,
    UriTooLong,
    RangeNotSatisfiable,
    ExpectationFailed,
    MisdirectedRequest,
    TooManyRequests,
    HeaderFieldsTooLarge,
    InternalServerError,
    NotImplemented,
    ServiceUnavailable,
    VersionNotSupported,
}

impl Status {
    /// Code and reason phrase, as they stand in a status line.
    pub(crate) const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::NoContent => "204 No Content",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::MisdirectedRequest => "421 Misdirected Request",
            Self::TooManyRequests => "429 Too Many Requests",
            Self::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Self::InternalServerError => "500 Internal Server Error",
            Self::NotImplemented => "501 Not Implemented",
            Self::ServiceUnavailable => "503 Service Unavailable",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }

    /// The hundreds of the code: 2 for success, 4 for the client's error.
    pub(crate) fn class(self) -> u8 {
        self.line().as_bytes()[0] - b'0'
    }

    /// What to tell the person behind the client: the second line of the answer's text.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::Ok | Self::NoContent | Self::PartialContent | Self::NotModified => "",
            Self::MovedPermanently => "This is a directory; its name ends with a slash.",
            Self::BadRequest => "The request is not well-formed HTTP.",
            Self::Forbidden => "The server may not show this.",
            Self::NotFound => "There is nothing of this name.",
            Self::MethodNotAllowed => "Only GET, HEAD and OPTIONS are answered here.",
            Self::RequestTimeout => "The request took too long to arrive.",
            Self::PreconditionFailed => "A precondition of the request does not hold.",
            Self::ContentTooLarge => "The request carries more content than is accepted here.",
            Self::UriTooLong => "The request line is longer than is accepted here.",
            Self::RangeNotSatisfiable => "The content ends before the range that was asked for.",
            Self::ExpectationFailed => "The expectation of the request cannot be met.",
            Self::MisdirectedRequest => "This is asked for over TLS only, and this is not TLS.",
            Self::TooManyRequests => {
                "There were too many requests from this address; try again later."
            }
            Self::HeaderFieldsTooLarge => {
                "The head of the request is larger than is accepted here."
            }
            Self::InternalServerError => "The server could not read what was asked for.",
            Self::NotImplemented => "The server does not know how to do this.",
            Self::ServiceUnavailable => "The server is at its limit; try again in a moment.",
            Self::VersionNotSupported => "The server speaks HTTP/1.1 and HTTP/1.0.",
        }
    }
}
