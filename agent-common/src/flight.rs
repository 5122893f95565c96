//! The first flight of a connection: which name does the caller ask for?
//!
//! Octets go in one by one, wherever writes, segments or TLS records have cut them; what comes out
//! are names, and in the end an [`Outcome`]. Nothing is stored but hashes of labels, so a
//! `ClientHello` of any shape costs the same few hundred octets of memory.
//!
//! TLS (RFC 8446, section 4.1.2), HTTP/1 (RFC 9112), `CONNECT` (RFC 9110, section 9.3.6), SOCKS4,
//! 4a and 5 (RFC 1928, 1929). What a tunnel carries is looked at like a connection of its own.

mod http;
mod socks;
mod tls;

use crate::name::Name;

/// Octets after which a first flight that is still undecided counts as undecidable.
pub const MAX_FLIGHT: u32 = 16_384 + 1_024;

/// What one octet has brought.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    More = 0,
    /// [`Flight::name`] is to be judged; more may follow.
    Name = 1,
    /// [`Flight::name`] is that of a complete `ClientHello` and to be judged. The next message tells
    /// whether the server wants another hello (RFC 8446, section 4.1.4), which may have another name.
    Hello = 2,
    /// The flight is over; every name has been judged.
    End = 3,
    /// The flight is over, of a protocol that names its peer, without a name.
    NoName = 4,
    /// Malformed, or too long: cannot be told.
    Undecidable = 5,
    /// Another protocol, which tells no names.
    Unrecognised = 6,
}

/// Which part of which protocol the next octet belongs to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start = 0,
    Tls,
    Method,
    TargetStart,
    Scheme,
    Authority,
    AddressLiteral,
    Port,
    TargetRest,
    LineStart,
    HeaderName,
    HeaderRest,
    HostStart,
    HostFold,
    Socks4Head,
    Socks4User,
    Socks4Name,
    Socks5Greeting,
    Socks5Methods,
    Socks5Next,
    Socks5UserLen,
    Socks5User,
    Socks5PasswordLen,
    Socks5Password,
    Socks5Request,
    Socks5NameLen,
    Socks5Name,
    Socks5Address,
    Socks5Port,
}

/// A flight that is arriving. All zero is a valid beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    pub name: Name,
    /// Octets of numbers, words and marks, by phase.
    word: u64,
    phase: Phase,
    field: tls::Field,
    /// Octets left of the present field.
    left: u32,
    /// Octets left of the TLS record, of the message, and of the extension.
    record: u32,
    message: u32,
    extension: u32,
    /// Octets seen so far.
    total: u32,
    /// Port that a name came with, or that a tunnel leads to, in host order.
    port: u32,
    flags: u32,
    /// Octets of a TLS record header, and how many of them are missing.
    header: u32,
    header_left: u32,
    /// Port that the present tunnel leads to, in host order; 0 outside of one.
    tunnel: u32,
}

const _: () = assert!(size_of::<Flight>() == 480 && align_of::<Flight>() == 8);

impl Flight {
    pub const NEW: Self = Self {
        name: Name::EMPTY,
        word: 0,
        phase: Phase::Start,
        field: tls::Field::Message,
        left: 0,
        record: 0,
        message: 0,
        extension: 0,
        total: 0,
        port: 0,
        flags: 0,
        header: 0,
        header_left: 0,
        tunnel: 0,
    };

    /// `CONNECT` instead of another method.
    const CONNECT: u32 = 1;
    /// `HTTP/` was seen in the request line.
    const HTTP: u32 = 2;
    /// The authority is that of a `Host` header.
    const HOST: u32 = 4;
    /// A name has been given out.
    const NAMED: u32 = 8;
    /// The hello has a server name.
    const SNI: u32 = 16;
    /// The hello has the extension `encrypted_client_hello`.
    const ECH: u32 = 32;
    /// What arrives goes through a tunnel.
    const TUNNEL: u32 = 64;
    /// A hello has been complete: another may follow.
    const AGAIN: u32 = 128;
    /// The present record is `change_cipher_spec`, which may come before the second hello.
    const CIPHER: u32 = 256;
    /// The scheme of an absolute target is one over TLS.
    const SECURE: u32 = 512;
    /// A request names its host by an address.
    const ADDRESSED: u32 = 1_024;

    /// Begins anew.
    #[inline(always)]
    pub fn restart(&mut self) {
        self.phase = Phase::Start;
        self.flags = 0;
        self.total = 0;
        self.port = 0;
        self.tunnel = 0;
        self.record = 0;
    }

    /// Whether nothing has arrived.
    #[inline(always)]
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.total == 0 && self.flags == 0
    }

    /// Whether the hello may hide another name. Clients that only pretend to cannot be told apart.
    #[inline(always)]
    #[must_use]
    pub const fn is_ech(&self) -> bool {
        self.flags & Self::ECH != 0
    }

    /// Port that came with the name, or that the tunnel leads to, in host order; 0 if neither.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port as u16
    }

    /// Port that the present tunnel leads to, in host order, whatever port a request inside names;
    /// 0 outside of one.
    #[inline(always)]
    #[must_use]
    pub const fn tunnel_port(&self) -> u16 {
        self.tunnel as u16
    }

    /// How many of the next octets need not be looked at.
    #[inline(always)]
    #[must_use]
    pub fn skippable(&self) -> u32 {
        if matches!(self.phase, Phase::Tls) {
            return self.skippable_tls();
        }
        0
    }

    /// Passes over `n` octets, at most [`Flight::skippable`].
    #[inline(always)]
    pub fn skip(&mut self, n: u32) -> Outcome {
        self.total += n;
        if self.total > MAX_FLIGHT {
            return self.too_long();
        }
        self.skip_tls(n)
    }

    /// Takes the next octet.
    #[inline(always)]
    pub fn take(&mut self, octet: u8) -> Outcome {
        self.total += 1;
        if self.total > MAX_FLIGHT {
            return self.too_long();
        }
        match self.phase {
            Phase::Start => self.start(octet),
            Phase::Tls => self.take_tls(octet),
            Phase::Method
            | Phase::TargetStart
            | Phase::Scheme
            | Phase::Authority
            | Phase::AddressLiteral
            | Phase::Port
            | Phase::TargetRest
            | Phase::LineStart
            | Phase::HeaderName
            | Phase::HeaderRest
            | Phase::HostStart
            | Phase::HostFold => self.take_http(octet),
            Phase::Socks4Head
            | Phase::Socks4User
            | Phase::Socks4Name
            | Phase::Socks5Greeting
            | Phase::Socks5Methods
            | Phase::Socks5Next
            | Phase::Socks5UserLen
            | Phase::Socks5User
            | Phase::Socks5PasswordLen
            | Phase::Socks5Password
            | Phase::Socks5Request
            | Phase::Socks5NameLen
            | Phase::Socks5Name
            | Phase::Socks5Address
            | Phase::Socks5Port => self.take_socks(octet),
        }
    }

    /// A request whose name has been judged may have long headers.
    #[inline(always)]
    const fn too_long(&self) -> Outcome {
        let is_tls = matches!(self.phase, Phase::Tls);
        if self.flags & (Self::NAMED | Self::CONNECT) == Self::NAMED && !is_tls {
            return Outcome::End;
        }
        Outcome::Undecidable
    }

    /// Whether a request asks for an address instead of a name.
    #[inline(always)]
    #[must_use]
    pub const fn is_addressed(&self) -> bool {
        self.flags & Self::ADDRESSED != 0
    }

    /// Whether what arrives is TLS.
    #[inline(always)]
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self.phase, Phase::Tls)
    }

    #[inline(always)]
    fn start(&mut self, octet: u8) -> Outcome {
        match octet {
            tls::CHANGE_CIPHER_SPEC | tls::ALERT | tls::HANDSHAKE => self.start_tls(octet),
            socks::V4 | socks::V5 => self.start_socks(octet),
            _ if http::is_token(octet) => self.start_http(octet),
            // Servers ignore an empty line before a request (RFC 9112, section 2.2).
            b'\r' | b'\n' => {}
            _ if http::is_separator(octet) => {}
            _ => return Outcome::Unrecognised,
        }
        Outcome::More
    }

    /// What follows goes through a tunnel to `port`.
    #[inline(always)]
    fn enter_tunnel(&mut self, port: u32) {
        self.phase = Phase::Start;
        self.port = port;
        self.tunnel = port;
        self.flags = Self::TUNNEL;
        self.total = 0;
    }

    /// Reads all of `octets`: for the agent and for tests. The last outcome that is not
    /// [`Outcome::More`], with all names that `judge` was shown.
    pub fn read(&mut self, octets: &[u8], mut judge: impl FnMut(&Self)) -> Outcome {
        let mut rest = octets;
        while let Some((first, others)) = rest.split_first() {
            let n = self.skippable() as usize;
            let outcome = if n > 0 {
                let n = n.min(rest.len());
                rest = &rest[n..];
                self.skip(n as u32)
            } else {
                rest = others;
                self.take(*first)
            };
            match outcome {
                Outcome::More => {}
                Outcome::Name | Outcome::Hello => judge(self),
                Outcome::End | Outcome::NoName | Outcome::Undecidable | Outcome::Unrecognised => {
                    return outcome;
                }
            }
        }
        Outcome::More
    }
}

#[cfg(test)]
mod tests;
