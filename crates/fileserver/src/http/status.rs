//! The status codes this server answers with, their reasons, and what each means for the connection.

/// One status of RFC 9110 section 15 that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// The whole representation.
    Ok = 200,
    /// The answer to OPTIONS.
    NoContent = 204,
    /// One or more ranges.
    PartialContent = 206,
    /// A directory asked for without its slash, or a name that has moved.
    MovedPermanently = 301,
    /// For now under another name; a POST becomes a GET, as everybody does it.
    Found = 302,
    /// Another name, asked for with GET.
    SeeOther = 303,
    /// The client's copy is current.
    NotModified = 304,
    /// For now under another name, asked for with the same method.
    TemporaryRedirect = 307,
    /// For ever under another name, asked for with the same method.
    PermanentRedirect = 308,
    /// Broken syntax, framing or Host.
    BadRequest = 400,
    /// A name and a password are asked for.
    Unauthorized = 401,
    /// The file is there and the process may not read it.
    Forbidden = 403,
    /// Nothing to serve under this name.
    NotFound = 404,
    /// A method other than GET, HEAD, OPTIONS.
    MethodNotAllowed = 405,
    /// The head did not arrive in time.
    RequestTimeout = 408,
    /// If-Match or If-Unmodified-Since failed.
    PreconditionFailed = 412,
    /// A request body larger than the limit.
    ContentTooLarge = 413,
    /// The request target is longer than the limit.
    UriTooLong = 414,
    /// No range of the request is within the representation.
    RangeNotSatisfiable = 416,
    /// An Expect other than 100-continue.
    ExpectationFailed = 417,
    /// More requests than the client may make; try again later.
    TooManyRequests = 429,
    /// More header bytes or fields than the limit.
    HeaderFieldsTooLarge = 431,
    /// The system failed while reading.
    InternalServerError = 500,
    /// A transfer coding we do not know.
    NotImplemented = 501,
    /// Out of descriptors or connections; try again.
    ServiceUnavailable = 503,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported = 505,
}

impl Status {
    /// All of them, for tables.
    pub const ALL: [Status; 26] = [
        Status::Ok,
        Status::NoContent,
        Status::PartialContent,
        Status::MovedPermanently,
        Status::Found,
        Status::SeeOther,
        Status::NotModified,
        Status::TemporaryRedirect,
        Status::PermanentRedirect,
        Status::BadRequest,
        Status::Unauthorized,
        Status::Forbidden,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::RequestTimeout,
        Status::PreconditionFailed,
        Status::ContentTooLarge,
        Status::UriTooLong,
        Status::RangeNotSatisfiable,
        Status::ExpectationFailed,
        Status::TooManyRequests,
        Status::HeaderFieldsTooLarge,
        Status::InternalServerError,
        Status::NotImplemented,
        Status::ServiceUnavailable,
        Status::VersionNotSupported,
    ];

    /// The number.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The status of this number, where this server has it.
    pub fn of(code: u16) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The reason phrase.
    pub const fn reason(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::NoContent => "No Content",
            Status::PartialContent => "Partial Content",
            Status::MovedPermanently => "Moved Permanently",
            Status::Found => "Found",
            Status::SeeOther => "See Other",
            Status::NotModified => "Not Modified",
            Status::TemporaryRedirect => "Temporary Redirect",
            Status::PermanentRedirect => "Permanent Redirect",
            Status::BadRequest => "Bad Request",
            Status::Unauthorized => "Unauthorized",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::PreconditionFailed => "Precondition Failed",
            Status::ContentTooLarge => "Content Too Large",
            Status::UriTooLong => "URI Too Long",
            Status::RangeNotSatisfiable => "Range Not Satisfiable",
            Status::ExpectationFailed => "Expectation Failed",
            Status::TooManyRequests => "Too Many Requests",
            Status::HeaderFieldsTooLarge => "Request Header Fields Too Large",
            Status::InternalServerError => "Internal Server Error",
            Status::NotImplemented => "Not Implemented",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::VersionNotSupported => "HTTP Version Not Supported",
        }
    }

    /// True when the connection cannot be used after this answer, because where the next request starts is unknown or the
    /// client is not to be trusted with more.
    pub const fn closes(self) -> bool {
        matches!(
            self,
            Status::BadRequest
                | Status::RequestTimeout
                | Status::ContentTooLarge
                | Status::UriTooLong
                | Status::ExpectationFailed
                | Status::HeaderFieldsTooLarge
                | Status::NotImplemented
                | Status::ServiceUnavailable
                | Status::VersionNotSupported
        )
    }
}

/// The reason phrase of a status that only a handler answers with; RFC 9112 lets it be empty.
pub const fn other_reason(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        205 => "Reset Content",
        300 => "Multiple Choices",
        402 => "Payment Required",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        415 => "Unsupported Media Type",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        451 => "Unavailable For Legal Reasons",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn all_lists_each_status_once_in_ascending_order() {
        assert!(Status::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    }
}
