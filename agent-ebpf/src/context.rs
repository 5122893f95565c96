//! The only reads of a `bpf_sock_addr` context.
//!
//! Every field is read once, volatile and by itself: the verifier refuses context reads that the
//! compiler has merged or made conditional.

use core::ptr::read_volatile;

use agent_common::address::Address;
use aya_ebpf::{
    EbpfContext, bindings::bpf_sock, helpers::generated::bpf_get_socket_cookie,
    programs::SockAddrContext,
};

const IPPROTO_UDP: u32 = 17;

/// Where a call wants to go.
#[derive(Clone, Copy)]
pub struct Target {
    pub address: Address,
    /// Network order.
    pub port: u16,
}

#[inline(always)]
pub fn target_v4(ctx: &SockAddrContext, into: &mut Target) -> u32 {
    // SAFETY: the kernel hands in a valid context with these fields.
    let (word, port) = unsafe {
        (
            read_volatile(&raw const (*ctx.sock_addr).user_ip4),
            read_volatile(&raw const (*ctx.sock_addr).user_port),
        )
    };
    into.address = Address::from_v4(word);
    into.port = port as u16;
    0
}

/// Not inlined: see `found::judge`.
#[inline(never)]
pub fn target_v6(ctx: &SockAddrContext, into: &mut Target) -> u32 {
    // SAFETY: the kernel hands in a valid context with these fields, and a socket with it.
    let (words, own, port) = unsafe {
        let words = &raw const (*ctx.sock_addr).user_ip6;
        let socket = read_volatile(&raw const (*ctx.sock_addr).__bindgen_anon_1.sk);
        (
            [
                read_volatile(&raw const (*words)[0]),
                read_volatile(&raw const (*words)[1]),
                read_volatile(&raw const (*words)[2]),
                read_volatile(&raw const (*words)[3]),
            ],
            if socket.is_null() {
                [0; 4]
            } else {
                let own = &raw const (*socket).src_ip6;
                [
                    read_volatile(&raw const (*own)[0]),
                    read_volatile(&raw const (*own)[1]),
                    read_volatile(&raw const (*own)[2]),
                    0,
                ]
            },
            read_volatile(&raw const (*ctx.sock_addr).user_port),
        )
    };
    into.address = Address::from_v6_for_socket(words, own);
    into.port = port as u16;
    0
}

/// The socket that calls.
#[inline(always)]
pub fn socket(ctx: &SockAddrContext) -> Option<*mut bpf_sock> {
    // SAFETY: the kernel hands in a valid context with this field.
    let socket = unsafe { read_volatile(&raw const (*ctx.sock_addr).__bindgen_anon_1.sk) };
    (!socket.is_null()).then_some(socket)
}

#[inline(always)]
pub fn is_udp(ctx: &SockAddrContext) -> bool {
    // SAFETY: the kernel hands in a valid context with this field.
    unsafe { read_volatile(&raw const (*ctx.sock_addr).protocol) == IPPROTO_UDP }
}

/// Kernel-wide number of the socket. Asking gives it one, which marks the socket for the close
/// hook: a socket without a number was never decided.
#[inline(always)]
pub fn socket_cookie(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the context is of a type that the helper accepts.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}
