//! Payload bytes of a TCP connection that is ending, from what the kernel keeps.

/// TCP states, as `enum` in `include/net/tcp_states.h` numbers them.
pub mod state {
    pub const SYN_SENT: u32 = 2;
    pub const FIN_WAIT1: u32 = 4;
    pub const FIN_WAIT2: u32 = 5;
    pub const CLOSE: u32 = 7;
    pub const CLOSE_WAIT: u32 = 8;
    pub const LAST_ACK: u32 = 9;
    pub const CLOSING: u32 = 11;
}

/// The kernel's fields at the moment in which a socket enters `TCP_CLOSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// State that the socket leaves.
    pub old_state: u32,
    /// `tcp_sock.bytes_acked`: payload plus one for the SYN, plus one for an acknowledged FIN.
    pub bytes_acked: u64,
    /// `tcp_sock.bytes_received`: payload plus one for the peer's FIN.
    pub bytes_received: u64,
    /// Everything sent, the FIN included, has been acknowledged (`snd_una == write_seq`).
    pub all_acked: bool,
    /// The peer's FIN arrived (`SOCK_DONE`).
    pub peer_finished: bool,
}

impl Final {
    /// Payload bytes that the peer acknowledged.
    #[inline(always)]
    #[must_use]
    pub const fn bytes_out(&self) -> u64 {
        let fin_sent = matches!(
            self.old_state,
            state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING | state::LAST_ACK
        );
        let control = 1 + (fin_sent && self.all_acked) as u64;
        self.bytes_acked.saturating_sub(control)
    }

    /// Payload bytes received.
    #[inline(always)]
    #[must_use]
    pub const fn bytes_in(&self) -> u64 {
        self.bytes_received
            .saturating_sub(self.peer_finished as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: u32, acked: u64, received: u64, flags: (bool, bool), expected: (u64, u64)) {
        let last = Final {
            old_state: state,
            bytes_acked: acked,
            bytes_received: received,
            all_acked: flags.0,
            peer_finished: flags.1,
        };
        assert_eq!((last.bytes_out(), last.bytes_in()), expected, "{last:?}");
    }

    #[test]
    fn control_octets_are_not_payload() {
        check(state::FIN_WAIT2, 1002, 501, (true, true), (1000, 500));
        check(state::LAST_ACK, 1002, 501, (true, true), (1000, 500));
        check(state::CLOSE_WAIT, 1001, 501, (true, true), (1000, 500));
    }

    #[test]
    fn an_aborted_connection_sent_no_fin() {
        check(1, 1001, 500, (true, false), (1000, 500));
        check(state::FIN_WAIT1, 801, 500, (false, false), (800, 500));
    }

    #[test]
    fn a_connection_that_never_opened_has_no_bytes() {
        check(state::SYN_SENT, 0, 0, (false, false), (0, 0));
    }
}
