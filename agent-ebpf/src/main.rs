//! Kernel programs of the Weir agent.
//!
//! Each entry function only calls its worker and turns the answer into a return code; the
//! decision itself is `agent_common::verdict::decide`.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod attempt;
mod caller;
mod calls;
mod cgroup;
mod context;
mod decide;
mod dns;
mod ending;
mod events;
mod exe_path;
mod flight;
mod foreign;
mod found;
mod hooks;
mod inspection;
mod kernel;
mod limit;
mod live;
mod maps;
mod names;
mod packet;
mod peer;
mod process;
mod quic;
mod refusal;
mod sharing;
mod socket;
mod task;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
