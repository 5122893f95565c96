//! Layouts and decisions shared by the Weir agent and its kernel programs.
//!
//! Everything here is `no_std`, allocates nothing, reads no clock and no map: facts come in as
//! arguments, a value goes out. The kernel programs, `weir explain` and the tests all call
//! [`verdict::decide`], so they cannot drift apart.
//!
//! Byte order: an address or a port that is stored is stored in network order, exactly as the
//! kernel hands it over ([`address::Address`] is four 32-bit words whose *bytes* read left to
//! right). Accessors convert to `core::net` types. Every other integer is in host order.
//!
//! Clock: every `_ns` instant is on the boot clock (`CLOCK_BOOTTIME`), which no administrator can
//! set and which keeps running through suspend.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod abi;
pub mod address;
pub mod calls;
pub mod cgroup;
pub mod counter;
pub mod destination;
pub mod dns;
pub mod event;
pub mod flight;
pub mod foreign;
pub mod identity;
pub mod inspected;
pub mod learned;
pub mod limit;
pub mod live;
pub mod loss;
pub mod name;
pub mod open;
pub mod policy;
pub mod presence;
pub mod process;
pub mod settings;
pub mod tcp;
pub mod verdict;
