//! What is kept for those who ask later who decided what: records, their chain, their proof.
//!
//! Each record names an action of a closed set, who did it, to what and why. Its hash covers all of
//! it and the hash of the record before, so nothing can be changed, removed, put in or moved without
//! a trace; a signed checkpoint now and then proves how far the chain went. Nothing here reads a
//! clock, a file or a database.

mod action;
mod checkpoint;
mod controls;
mod entry;
mod json;
mod ocsf;
mod record;
mod tally;
mod verify;

pub use self::{
    action::{Action, Outcome},
    checkpoint::{Checkpoint, FIRST_LINE, Key, Occasion, PublicKey, Purpose, Signed, line_hash},
    controls::{Control, Framework, controls},
    entry::{Actor, Entry, Target, Via},
    ocsf::ocsf,
    record::{GENESIS, Hash, Record, Row, hex, parse_hex},
    tally::{Tally, interval, tally},
    verify::{KEY_DETAIL, Known, Problem, Proof, Verified, Verifier},
};
