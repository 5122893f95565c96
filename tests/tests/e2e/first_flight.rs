//! The first bytes of a connection, in every form that a server would understand: whole, in pieces,
//! hidden, at a proxy; and the datagrams that begin a QUIC connection.
//!
//! The endpoint's name and an ordinary one are served at the same address, and the workload has
//! asked for both: only the bytes tell which one it calls.

mod http;
mod proxies;
mod quic;
mod range;
mod tls;

use weir_tests::harness::Flight;

use self::range::Range;

/// A name of the endpoint `model`, and one that is nobody's endpoint.
const MODEL: &str = "api.model.test";
const OTHER: &str = "www.other.test";

/// What becomes of a flight of a workload without a grant. Reasons are those of its event.
#[derive(Clone, Copy)]
enum Expected {
    /// The endpoint's name is refused, `no-grant`; the ordinary one passes.
    ByName,
    /// The endpoint's name is refused, and the ordinary one may be: then for this reason.
    ByNameOr(&'static str),
    /// Both are refused.
    Refused(&'static str),
    /// Both pass.
    Passes,
}

/// One form, for any name.
struct Case {
    form: String,
    flight: Box<dyn Fn(&str) -> Flight>,
    expected: Expected,
}

fn case(form: &str, expected: Expected, flight: impl Fn(&str) -> Flight + 'static) -> Case {
    Case {
        form: form.to_owned(),
        flight: Box::new(flight),
        expected,
    }
}

/// What a workload without a grant gets, form by form.
fn check(range: Range, cases: &[Case]) {
    let mut range = range.with_agent(cases.len());
    let cases = cases.iter().enumerate();
    let wrong: Vec<String> = cases
        .flat_map(|(number, case)| range.judge(number, case))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_tls_greeting_is_judged_by_its_name_whatever_its_form() {
    check(Range::new(), &tls::forms());
}

#[test]
fn a_tls_greeting_is_judged_by_its_name_however_it_is_cut() {
    check(Range::new(), &tls::cuts());
}

#[test]
fn a_tls_greeting_is_judged_by_its_name_however_it_is_sent() {
    check(Range::new(), &tls::ways());
}

#[test]
fn a_request_over_plain_http_is_judged_by_its_host() {
    check(Range::new(), &http::cases());
}

#[test]
fn a_request_to_a_proxy_is_judged_by_whom_it_is_for() {
    check(Range::new(), &proxies::cases());
}

#[test]
fn quic_is_refused_and_nothing_else_at_an_address_that_nobody_asked_for() {
    let mut cases = quic::beginnings("quic");
    cases.extend(quic::others());
    check(Range::new().without_questions(), &cases);
}

/// Datagrams tell no names: the endpoint's address decides.
#[test]
fn quic_is_refused_at_an_address_of_the_endpoint() {
    check(Range::new(), &quic::beginnings("no-grant"));
}

#[test]
fn at_an_address_that_nobody_asked_for_the_name_decides_as_well() {
    let cases = [
        case("TLS", Expected::ByName, tls::whole),
        case("HTTP", Expected::ByName, http::whole),
    ];
    check(Range::new().without_questions(), &cases);
}

#[test]
fn a_granted_workload_sends_the_endpoints_name_in_any_form() {
    let mut range = Range::new().with_agent(0);
    for case in all() {
        if let Expected::ByName = case.expected {
            range.expect_through("granted", &case);
        }
    }
}

#[test]
fn a_workload_that_may_call_anything_sends_anything() {
    let mut range = Range::new().with_agent(0);
    for case in all() {
        range.expect_through("free", &case);
    }
}

#[test]
fn a_workload_in_shadow_mode_sends_anything_and_is_told_what_would_be_refused() {
    // Without questions nothing is known of the address, so that the name alone decides.
    let mut range = Range::new().without_questions().with_agent(0);
    for case in all() {
        range.expect_through("trial", &case);
    }
    range.expect_told("trial", &["no-grant", "no-sni", "undecidable", "quic"]);
}

/// Else a refusal would prove nothing.
#[test]
fn every_flight_arrives_without_an_agent() {
    let mut range = Range::new();
    for case in all() {
        range.expect_through("other", &case);
    }
}

fn all() -> Vec<Case> {
    [
        tls::forms(),
        tls::cuts(),
        tls::ways(),
        http::cases(),
        proxies::cases(),
        quic::beginnings("quic"),
        quic::others(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
