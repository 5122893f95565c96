//! Requests of HTTP/1 without TLS (RFC 9112), as far as their first octets tell.

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A method that a client of models uses.
    Request,
    /// The preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
    Other,
}

const fn word(octets: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*octets)
}

/// `first` are the first eight octets, zero where there are fewer.
#[inline(always)]
pub(super) const fn beginning(first: u64) -> Beginning {
    let four = first & word(b"\xff\xff\xff\xff\0\0\0\0");
    let five = first & word(b"\xff\xff\xff\xff\xff\0\0\0");
    if four == word(b"PRI \0\0\0\0") {
        return Beginning::Http2;
    }
    if five == word(b"POST \0\0\0")
        || four == word(b"GET \0\0\0\0")
        || four == word(b"PUT \0\0\0\0")
        || five == word(b"HEAD \0\0\0")
        || first & !0xffff == word(b"PATCH \0\0")
        || first & !0xff == word(b"DELETE \0")
        || first == word(b"OPTIONS ")
    {
        return Beginning::Request;
    }
    Beginning::Other
}
