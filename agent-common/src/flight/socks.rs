//! SOCKS4, 4a and 5 requests.

use super::{Flight, Outcome, Phase};

pub(super) const V4: u8 = 4;
pub(super) const V5: u8 = 5;
const USER_PASSWORD: u8 = 1;
const CONNECT: u64 = 1;
const BY_V4: u64 = 1;
const BY_NAME: u64 = 3;
const BY_V6: u64 = 4;
/// Command, port and address.
const SOCKS4_HEAD: u32 = 7;
/// Command, reserved octet and address type.
const SOCKS5_REQUEST: u32 = 3;

impl Flight {
    #[inline(always)]
    pub(super) fn start_socks(&mut self, version: u8) {
        self.flags = 0;
        if version == V4 {
            self.expect(Phase::Socks4Head, SOCKS4_HEAD);
        } else {
            self.expect(Phase::Socks5Greeting, 1);
        }
    }

    #[inline(always)]
    fn expect(&mut self, phase: Phase, len: u32) {
        self.phase = phase;
        self.left = len;
        self.word = 0;
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller passes phases of this protocol only"
    )]
    #[inline(always)]
    pub(super) fn take_socks(&mut self, octet: u8) -> Outcome {
        match self.phase {
            Phase::Socks4User => return self.socks4_user(octet),
            Phase::Socks4Name => return self.socks4_name(octet),
            Phase::Socks5Name => self.name.push(octet),
            _ => self.word = self.word << 8 | octet as u64,
        }
        self.left -= 1;
        if self.left == 0 {
            return self.end_socks_field();
        }
        Outcome::More
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller passes phases of this protocol only"
    )]
    #[inline(always)]
    fn end_socks_field(&mut self) -> Outcome {
        let value = self.word;
        match self.phase {
            Phase::Socks4Head => return self.socks4_head(value),
            Phase::Socks5Greeting => {
                self.skip_socks(value, Phase::Socks5Methods, Phase::Socks5Next)
            }
            Phase::Socks5Next => return self.socks5_next(value as u8),
            Phase::Socks5UserLen => {
                self.skip_socks(value, Phase::Socks5User, Phase::Socks5PasswordLen);
            }
            Phase::Socks5User => self.expect(Phase::Socks5PasswordLen, 1),
            Phase::Socks5PasswordLen => {
                self.skip_socks(value, Phase::Socks5Password, Phase::Socks5Next);
            }
            Phase::Socks5Methods | Phase::Socks5Password => self.expect(Phase::Socks5Next, 1),
            Phase::Socks5Request => return self.socks5_request(value),
            Phase::Socks5NameLen => {
                if value == 0 {
                    return Outcome::Undecidable;
                }
                self.name.clear();
                self.flags |= Self::NAMED;
                self.expect(Phase::Socks5Name, value as u32);
            }
            Phase::Socks5Name | Phase::Socks5Address => self.expect(Phase::Socks5Port, 2),
            _ => {
                self.port = value as u32 & 0xffff;
                return self.end_socks();
            }
        }
        Outcome::More
    }

    /// Expects `len` octets that say nothing, which may be none, and then one octet of `next`.
    #[inline(always)]
    fn skip_socks(&mut self, len: u64, skipped: Phase, next: Phase) {
        if len == 0 {
            self.expect(next, 1);
        } else {
            self.expect(skipped, len as u32);
        }
    }

    #[inline(always)]
    fn socks4_head(&mut self, value: u64) -> Outcome {
        if value >> 48 != CONNECT {
            return Outcome::Undecidable;
        }
        self.port = (value >> 32) as u32 & 0xffff;
        // 0.0.0.x with x not 0: a name follows the user.
        let address = value & 0xffff_ffff;
        if address != 0 && address < 256 {
            self.flags |= Self::NAMED;
        }
        self.phase = Phase::Socks4User;
        Outcome::More
    }

    #[inline(always)]
    fn socks4_user(&mut self, octet: u8) -> Outcome {
        if octet != 0 {
            return Outcome::More;
        }
        if self.flags & Self::NAMED != 0 {
            self.name.clear();
            self.phase = Phase::Socks4Name;
            return Outcome::More;
        }
        self.end_socks()
    }

    #[inline(always)]
    fn socks4_name(&mut self, octet: u8) -> Outcome {
        if octet == 0 {
            return self.end_socks();
        }
        self.name.push(octet);
        Outcome::More
    }

    /// After the greeting or a log-in: a log-in or the request, as the server has asked for.
    #[inline(always)]
    fn socks5_next(&mut self, octet: u8) -> Outcome {
        match octet {
            V5 => self.expect(Phase::Socks5Request, SOCKS5_REQUEST),
            USER_PASSWORD => self.expect(Phase::Socks5UserLen, 1),
            _ => return Outcome::Undecidable,
        }
        Outcome::More
    }

    #[inline(always)]
    fn socks5_request(&mut self, value: u64) -> Outcome {
        if value >> 16 != CONNECT {
            return Outcome::Undecidable;
        }
        match value & 0xff {
            BY_V4 => self.expect(Phase::Socks5Address, 4),
            BY_NAME => self.expect(Phase::Socks5NameLen, 1),
            BY_V6 => self.expect(Phase::Socks5Address, 16),
            _ => return Outcome::Undecidable,
        }
        Outcome::More
    }

    #[inline(always)]
    fn end_socks(&mut self) -> Outcome {
        let is_named = self.flags & Self::NAMED != 0;
        self.enter_tunnel(self.port);
        if !is_named {
            return Outcome::More;
        }
        self.name.end();
        if !self.name.is_valid() {
            return Outcome::Undecidable;
        }
        if self.name.is_address() {
            return Outcome::More;
        }
        Outcome::Name
    }
}
