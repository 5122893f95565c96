//! Why a verdict is what it is.

/// Why a verdict is what it is. A closed set with one spelling from kernel to JSON.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No endpoint there, or only prefixes whose deny rules name others: not counted at all.
    Ungoverned = 0,
    /// A live grant entitles the identity.
    Granted = 1,
    /// No grant, and the posture allows what is not granted.
    DefaultAllow = 2,
    /// No grant, and the posture refuses what is not granted.
    NoGrant = 3,
    /// A deny rule matches.
    DeniedByRule = 4,
    /// The grant has ended.
    Expired = 5,
    /// The grant has not begun.
    NotYetValid = 6,
    /// No policy is installed, not even a host default.
    NoPolicy = 7,
    /// Several services answer at the address, and what was sent does not tell which is meant.
    SharedAddress = 8,
    /// TLS or HTTP without a server's name.
    NoSni = 9,
    /// The name is encrypted (Encrypted Client Hello).
    Ech = 10,
    /// QUIC, whose server name cannot be read.
    Quic = 11,
    /// The first flight is malformed, too long, or of a protocol that tells no name.
    Undecidable = 12,
    /// The socket was made by another workload.
    ForeignSocket = 13,
    /// A limit of the grant is reached.
    LimitReached = 14,
    /// A socket whose packets nothing can judge: neither TCP nor UDP.
    RawSocket = 15,
    /// The calls or the cost that the grant allows are used up.
    BudgetSpent = 16,
}

impl Reason {
    pub const ALL: [Self; 17] = [
        Self::Ungoverned,
        Self::Granted,
        Self::DefaultAllow,
        Self::NoGrant,
        Self::DeniedByRule,
        Self::Expired,
        Self::NotYetValid,
        Self::NoPolicy,
        Self::SharedAddress,
        Self::NoSni,
        Self::Ech,
        Self::Quic,
        Self::Undecidable,
        Self::ForeignSocket,
        Self::LimitReached,
        Self::RawSocket,
        Self::BudgetSpent,
    ];

    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(Self::Ungoverned),
            1 => Some(Self::Granted),
            2 => Some(Self::DefaultAllow),
            3 => Some(Self::NoGrant),
            4 => Some(Self::DeniedByRule),
            5 => Some(Self::Expired),
            6 => Some(Self::NotYetValid),
            7 => Some(Self::NoPolicy),
            8 => Some(Self::SharedAddress),
            9 => Some(Self::NoSni),
            10 => Some(Self::Ech),
            11 => Some(Self::Quic),
            12 => Some(Self::Undecidable),
            13 => Some(Self::ForeignSocket),
            14 => Some(Self::LimitReached),
            15 => Some(Self::RawSocket),
            16 => Some(Self::BudgetSpent),
            _ => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ungoverned => "ungoverned",
            Self::Granted => "granted",
            Self::DefaultAllow => "default-allow",
            Self::NoGrant => "no-grant",
            Self::DeniedByRule => "denied-by-rule",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NoPolicy => "no-policy",
            Self::SharedAddress => "shared-address",
            Self::NoSni => "no-sni",
            Self::Ech => "ech",
            Self::Quic => "quic",
            Self::Undecidable => "undecidable",
            Self::ForeignSocket => "foreign-socket",
            Self::LimitReached => "limit-reached",
            Self::RawSocket => "raw-socket",
            Self::BudgetSpent => "budget-spent",
        }
    }

    /// Whether policy lets the connection through, before the mode is asked.
    #[inline(always)]
    #[must_use]
    pub const fn is_entitled(self) -> bool {
        match self {
            Self::Ungoverned | Self::Granted | Self::DefaultAllow => true,
            Self::NoGrant
            | Self::DeniedByRule
            | Self::Expired
            | Self::NotYetValid
            | Self::NoPolicy
            | Self::SharedAddress
            | Self::NoSni
            | Self::Ech
            | Self::Quic
            | Self::Undecidable
            | Self::ForeignSocket
            | Self::LimitReached
            | Self::RawSocket
            | Self::BudgetSpent => false,
        }
    }
}
