//! What is worth telling somebody.

/// A closed set: programs may decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// More calls than are usual for this identity, at this endpoint, at this time.
    UnusualVolume,
    /// Very many calls refused within a minute.
    RefusedStorm,
    /// An identity that is known for longer calls an endpoint for the first time.
    FirstUse,
    /// An identity calls that had called nothing for a week.
    DormantWoke,
    /// A grant says that an identity calls through a gateway, and it calls somebody else.
    BypassesGateway,
    /// Nobody has used a grant for long.
    UnusedGrant,
}

/// Whether somebody has to look at it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
}

impl Severity {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::UnusualVolume,
        Self::RefusedStorm,
        Self::FirstUse,
        Self::DormantWoke,
        Self::BypassesGateway,
        Self::UnusedGrant,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnusualVolume => "unusual-volume",
            Self::RefusedStorm => "refused-storm",
            Self::FirstUse => "first-use",
            Self::DormantWoke => "dormant-woke",
            Self::BypassesGateway => "bypasses-gateway",
            Self::UnusedGrant => "unused-grant",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::UnusualVolume
            | Self::RefusedStorm
            | Self::DormantWoke
            | Self::BypassesGateway => Severity::Warning,
            Self::FirstUse | Self::UnusedGrant => Severity::Info,
        }
    }

    /// Whether it is over as soon as it has happened.
    #[must_use]
    pub const fn is_moment(self) -> bool {
        matches!(self, Self::FirstUse | Self::DormantWoke)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("volume"), None);
    }
}
