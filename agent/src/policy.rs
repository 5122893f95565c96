//! Who may reach which model endpoint: policy objects, their files, and what the kernel gets.
//!
//! Files are parsed into objects ([`parse`]), objects are checked together ([`PolicySet`]) and
//! flattened into entries that are complete in themselves ([`compile`]). Nothing here reads a
//! clock or a file, and nothing decides about a connection: that is
//! [`agent_common::verdict::decide`].

mod approval;
mod breadth;
mod compile;
mod diff;
mod error;
mod explain;
#[cfg(test)]
mod fixture;
mod gains;
mod lease;
mod lifecycle;
mod limits;
mod object;
mod parse;
mod rehearsal;
mod render;
mod revoke;
mod roles;
mod set;
mod subject;
mod suggest;
mod test;
mod validity;
mod windows;

pub use approval::ApprovalRules;
pub use breadth::{Breadth, Measure};
pub use compile::{
    ClockAnchor, CompileError, CompiledPolicy, Compiler, Entries, Numbers, PrefixRow, Selection,
    Selections, check_addresses, compile, earlier,
};
pub use diff::{Change, What, diff};
pub use error::{PolicyError, Position};
pub use explain::{
    Considered, ExplainError, Explanation, PostureSource, Rights, State, explain, rights,
};
pub use gains::{Gain, Numbered, gains};
pub use lease::entitled_until;
pub use lifecycle::{
    Approval, BREAK_GLASS, Basis, By, Entry, Life, NotAnother, Person, Stage, Step, StepError,
    stage_of,
};
pub use limits::{Budget, ConnectionLimit, Limits};
pub use object::{
    EgressDeny, InvocationGrant, Kind, Located, Metadata, Object, PostureRule, PostureScope,
    Response, Spec,
};
pub use parse::{parse, parse_tests};
pub use rehearsal::{Refusable, Rehearsal, rehearse};
pub use render::RenderError;
pub use revoke::{refuse, refuse_all};
pub use roles::{Role, RoleRules};
pub use set::{BuildOptions, Built, Finding, GrantStanding, OnExpired, PolicySet, Separation};
pub use subject::{NamePattern, Parts, Subject, UserSelector};
pub use suggest::{Evidence, Seen, SuggestError, suggest};
pub use test::{Case, CasePlace, Expected, PolicyTest, decide_case};
pub use validity::{End, Span, Validity};
