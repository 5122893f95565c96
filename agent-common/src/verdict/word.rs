//! A decision as one word, for functions that have no room for two.

use super::{Decision, REASON_SHIFT, STRICTNESS_SHIFT, strictness};
use crate::{destination::EndpointId, policy::RuleId};

impl Decision {
    const WORD_REASON: u32 = RuleId::BITS;
    const WORD_ENDPOINT: u32 = Self::WORD_REASON + 5;
    /// Bits of a word from here on to [`Decision::MARK_BITS`] more are free for others.
    pub const WORD_MARKS: u32 = Self::WORD_ENDPOINT + EndpointId::BITS;
    pub const MARK_BITS: u32 = 3;

    /// All of it in one word, for functions that have no room for two.
    #[inline(always)]
    #[must_use]
    pub const fn to_word(&self) -> u64 {
        let strictness = self.packed & strictness::MASK << STRICTNESS_SHIFT;
        let rule = self.packed & (RuleId::LIMIT as u64 - 1);
        let reason = self.packed >> REASON_SHIFT & 0x1f;
        let endpoint = self.endpoint.to_raw() as u64;
        strictness | rule | reason << Self::WORD_REASON | endpoint << Self::WORD_ENDPOINT
    }

    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        let strictness = word & strictness::MASK << STRICTNESS_SHIFT;
        let rule = word & (RuleId::LIMIT as u64 - 1);
        let reason = word >> Self::WORD_REASON & 0x1f;
        Self {
            packed: strictness | reason << REASON_SHIFT | rule,
            endpoint: EndpointId::from_raw((word >> Self::WORD_ENDPOINT) as u32),
        }
    }
}

const _: () = assert!(Decision::WORD_MARKS + Decision::MARK_BITS <= STRICTNESS_SHIFT);
