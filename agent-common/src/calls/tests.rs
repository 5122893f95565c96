use proptest::prelude::*;

use super::{
    hello::{Octets, offers_http_2},
    *,
};
use crate::{destination::EndpointId, identity::IdentityId, policy::RuleId};

/// What passes, in the order in which it does.
#[derive(Clone, Debug)]
enum Passed {
    Sent(Vec<u8>),
    Received(Vec<u8>),
}

use Passed::{Received, Sent};

/// Records of application data with these lengths.
fn records(lengths: &[usize]) -> Vec<u8> {
    let record = |len: &usize| {
        let mut record = vec![23, 3, 3];
        record.extend((*len as u16).to_be_bytes());
        record.extend(vec![0x16; *len]);
        record
    };
    lengths.iter().flat_map(record).collect()
}

fn sent(lengths: &[usize]) -> Passed {
    Sent(records(lengths))
}

fn received(lengths: &[usize]) -> Passed {
    Received(records(lengths))
}

/// What both sides say before the first request.
fn greetings() -> Vec<Passed> {
    let record = |kind: u8, len: usize| {
        let mut record = records(&[len]);
        record[0] = kind;
        record
    };
    vec![
        Sent(record(22, 517)),
        Received([record(22, 122), record(20, 1), records(&[3_000, 69])].concat()),
        Sent([record(20, 1), records(&[69])].concat()),
    ]
}

fn talk(steps: &[Passed]) -> Vec<Passed> {
    greetings().into_iter().chain(steps.to_vec()).collect()
}

/// How often each [`Found`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    calls: u32,
    overlaps: u32,
}

fn calls(calls: u32) -> Tally {
    Tally { calls, overlaps: 0 }
}

fn overlap(calls: u32) -> Tally {
    Tally { calls, overlaps: 1 }
}

const COUNTED: CounterKey = CounterKey {
    identity: IdentityId::UNKNOWN,
    endpoint: EndpointId::ANY,
    rule: RuleId::NONE,
    reason: 1,
};

/// A connection with both its ends.
struct Wire {
    calls: Calls,
    sent: u32,
    received: u32,
    tally: Tally,
}

impl Wire {
    fn new() -> Self {
        // SAFETY: integers, and an enum of which 0 is a value.
        let mut calls: Calls = unsafe { std::mem::zeroed() };
        calls.begin(&COUNTED);
        // Sequence numbers begin anew in between.
        let (sent, received) = (u32::MAX - 700, u32::MAX - 300);
        assert!(calls.open(sent, 0));
        Self {
            calls,
            sent,
            received,
            tally: Tally::default(),
        }
    }

    fn begin_after(&mut self, flight: FirstFlight) {
        self.calls.begin_after(flight, &COUNTED, self.sent);
    }

    fn send(&mut self, octets: &[u8]) {
        self.send_at(self.sent, octets);
        self.sent = self.sent.wrapping_add(octets.len() as u32);
    }

    fn send_at(&mut self, sequence: u32, octets: &[u8]) {
        let segment = segment(sequence, octets, self.received);
        let first = first_octets(octets);
        if !self.calls.is_counting() {
            return;
        }
        if self.calls.is_new() {
            self.calls.meet(&segment, first, None);
        }
        if self.calls.reads_heads() {
            let found = self.calls.take_head(&segment, first);
            self.count(found);
            return;
        }
        loop {
            let (at, n) = self.calls.wanted_of_sent(&segment);
            if n == 0 {
                return;
            }
            copy(octets, at, n, self.calls.place_of_sent());
            let found = self.calls.take_sent(&segment, n);
            self.count(found);
        }
    }

    fn count(&mut self, found: u32) {
        self.tally.calls += u32::from(found & Found::CALL != 0);
        self.tally.overlaps += u32::from(found & Found::OVERLAP != 0);
    }

    fn receive(&mut self, octets: &[u8]) {
        self.receive_at(self.received, octets, self.sent);
        self.received = self.received.wrapping_add(octets.len() as u32);
    }

    fn receive_at(&mut self, sequence: u32, octets: &[u8], acknowledged: u32) {
        let segment = segment(sequence, octets, acknowledged);
        if !self.calls.awaits_answer() || !self.calls.receive(&segment) {
            return;
        }
        while self.calls.awaits_answer() {
            let (at, n) = self.calls.wanted_of_received(&segment);
            if n == 0 {
                return;
            }
            copy(octets, at, n, self.calls.place_of_received());
            self.calls.take_received(&segment, n);
        }
    }
}

fn segment(sequence: u32, octets: &[u8], acknowledged: u32) -> Segment {
    Segment {
        sequence,
        len: octets.len() as u32,
        acknowledged,
    }
}

fn first_octets(octets: &[u8]) -> u64 {
    let mut first = [0; 8];
    let n = octets.len().min(8);
    first[..n].copy_from_slice(&octets[..n]);
    u64::from_be_bytes(first)
}

fn copy(octets: &[u8], at: u32, n: u32, place: *mut u8) {
    assert!(n <= 5, "more than a header");
    let wanted = &octets[at as usize..(at + n) as usize];
    // SAFETY: the place has room for eight octets.
    unsafe { std::ptr::copy_nonoverlapping(wanted.as_ptr(), place, wanted.len()) };
}

/// Each step in segments of at most `most` octets.
fn pass(steps: &[Passed], most: usize) -> Tally {
    let mut wire = Wire::new();
    for step in steps {
        match step {
            Sent(octets) => octets.chunks(most).for_each(|part| wire.send(part)),
            Received(octets) => octets.chunks(most).for_each(|part| wire.receive(part)),
        }
    }
    wire.tally
}

/// As if the caller had offered nothing but HTTP/1.
fn one_by_one(wire: &mut Wire) {
    let nothing = segment(wire.sent, &[], wire.received);
    wire.calls.meet(&nothing, 0x16_03_01 << 40, Some(false));
}

/// However segments cut it.
fn check(what: &str, steps: &[Passed], expected: Tally) {
    for most in [usize::MAX, 1_460, 517, 64, 7, 5, 3, 1] {
        assert_eq!(pass(steps, most), expected, "{what}, segments of {most}");
    }
}

fn check_tls(what: &str, steps: &[Passed], expected: Tally) {
    check(what, &talk(steps), expected);
}

#[test]
fn a_call_begins_after_an_answer() {
    check_tls("nothing", &[], calls(0));
    check_tls("head and body", &[sent(&[300]), sent(&[900])], calls(1));
    let turn = [sent(&[300, 900]), received(&[700, 400])];
    check_tls("three", &[&turn[..], &turn, &turn].concat(), calls(3));
    let stream = [
        sent(&[300]),
        sent(&[900]),
        received(&[700]),
        received(&[180; 40]),
    ];
    check_tls("a stream", &[&stream[..], &turn].concat(), calls(2));
    let large = [
        sent(&[300]),
        sent(&[16_401; 12]),
        sent(&[3_000]),
        received(&[900]),
    ];
    check_tls("large prompts", &[&large[..], &large].concat(), calls(2));
}

#[test]
fn frames_by_which_http_2_governs_itself_are_no_calls_and_no_answers() {
    let settings = [sent(&[81]), received(&[84]), sent(&[26])];
    check_tls("settings", &settings, calls(0));
    let windows = [
        sent(&[300, 16_401]),
        received(&[43; 20]),
        sent(&[16_401]),
        received(&[30, 34]),
        sent(&[9_000, 26]),
        received(&[400, 400]),
        sent(&[30, 43]),
    ];
    check_tls("updates of windows", &windows, calls(1));
    let next = [&windows[..], &[sent(&[120, 16_401])]].concat();
    check_tls("and another call", &next, calls(2));
}

#[test]
fn more_than_a_head_and_a_body_may_be_several_calls() {
    let several = [sent(&[300, 200, 26, 120, 210, 26, 120, 205])];
    check_tls("three at once", &several, overlap(1));
    check_tls(
        "of one length",
        &[sent(&[300]), sent(&[150; 20])],
        overlap(1),
    );
    let chunks = [sent(&[300]), sent(&[1_208; 9]), sent(&[700])];
    check_tls("a body in pieces", &chunks, calls(1));
}

#[test]
fn a_caller_of_http_1_calls_once_at_a_time() {
    let mut wire = Wire::new();
    one_by_one(&mut wire);
    let steps = talk(&[sent(&[300]), sent(&[150; 20]), received(&[500])]);
    for step in &steps {
        match step {
            Sent(octets) => wire.send(octets),
            Received(octets) => wire.receive(octets),
        }
    }
    assert_eq!(wire.tally, calls(1));
}

#[test]
fn what_is_sent_again_counts_once() {
    let mut wire = Wire::new();
    let call = records(&[300, 900]);
    let answer = records(&[700]);
    for _ in 0..3 {
        let (sent, received) = (wire.sent, wire.received);
        wire.send(&call);
        wire.send_at(sent, &call);
        wire.send_at(sent.wrapping_add(100), &call[100..]);
        wire.receive(&answer);
        wire.send_at(sent, &call);
        wire.receive_at(received, &answer, wire.sent);
    }
    assert_eq!(wire.tally, calls(3));
}

/// A former answer that arrives once more is no answer to what was sent since, and neither is what
/// the server sent before it had all of the request.
#[test]
fn an_answer_is_new_and_acknowledges_the_request() {
    let mut wire = Wire::new();
    one_by_one(&mut wire);
    let (call, answer) = (records(&[300]), records(&[700]));
    wire.send(&call);
    let first = wire.received;
    wire.receive(&answer);
    wire.send(&call);
    wire.receive_at(first, &answer, wire.sent);
    wire.send(&call);
    assert_eq!(wire.tally, calls(2));
    wire.receive_at(wire.received, &answer, wire.sent.wrapping_sub(1));
    wire.received = wire.received.wrapping_add(answer.len() as u32);
    wire.send(&call);
    assert_eq!(wire.tally, calls(2));
    wire.receive(&answer);
    wire.send(&call);
    assert_eq!(wire.tally, calls(3));
}

#[test]
fn a_segment_that_is_lost_on_its_way_in_does_not_end_the_count() {
    let mut wire = Wire::new();
    wire.send(&records(&[300]));
    let answer = records(&[2_000, 900]);
    let (head, tail) = answer.split_at(1_460);
    let first = wire.received;
    wire.receive_at(first.wrapping_add(1_460), tail, wire.sent);
    wire.receive_at(first, head, wire.sent);
    wire.received = first.wrapping_add(answer.len() as u32);
    wire.receive(&records(&[500]));
    wire.send(&records(&[300]));
    assert_eq!(wire.tally, calls(2));
}

#[test]
fn a_call_without_tls_begins_with_a_method_after_an_answer() {
    let check = |what: &str, steps: &[Passed], expected: Tally| {
        assert_eq!(pass(steps, usize::MAX), expected, "{what}");
    };
    let answer = || text_back("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let post = || text("POST /v1/chat HTTP/1.1\r\nhost: a\r\n\r\n");
    let body = || text("{\"messages\": []}");
    check("a head and a body", &[post(), body()], calls(1));
    let turn = [post(), body(), answer(), answer()];
    check("three", &[&turn[..], &turn, &turn].concat(), calls(3));
    let go_on = text_back("HTTP/1.1 100 Continue\r\n\r\n");
    check(
        "an interim answer",
        &[post(), go_on, body(), answer(), post()],
        calls(2),
    );
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let head = text(&format!("{method} / HTTP/1.1\r\n\r\n"));
        check(method, &[head.clone(), answer(), head], calls(2));
    }
    check("pipelined", &[post(), post(), post()], overlap(1));
    check(
        "junk",
        &[text("?"), text("?"), post()],
        Tally {
            calls: 1,
            overlaps: 1,
        },
    );
    let http_2 = [text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), answer(), post()];
    check("HTTP/2", &http_2, overlap(0));
}

fn text(text: &str) -> Passed {
    Sent(text.as_bytes().to_vec())
}

fn text_back(text: &str) -> Passed {
    Received(text.as_bytes().to_vec())
}

#[test]
fn a_head_that_is_sent_again_counts_once() {
    let mut wire = Wire::new();
    let head = b"GET / HTTP/1.1\r\n\r\n";
    let first = wire.sent;
    wire.send(head);
    wire.send_at(first, head);
    wire.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    wire.send_at(first, head);
    assert_eq!(wire.tally, calls(1));
}

/// The last packet of the first flight is the first that is seen here.
#[test]
fn it_can_begin_after_a_first_flight() {
    let mut wire = Wire::new();
    let flight = [22, 3, 1, 2, 0];
    let first = wire.sent;
    wire.sent = first.wrapping_add(flight.len() as u32);
    wire.begin_after(FirstFlight::Hello);
    wire.send_at(first, &flight);
    wire.send(&records(&[300, 400]));
    wire.receive(&records(&[400, 400]));
    wire.send(&records(&[300]));
    assert_eq!(wire.tally, calls(2));
    let mut wire = Wire::new();
    let first = wire.sent;
    wire.sent = first.wrapping_add(3);
    wire.begin_after(FirstFlight::Request);
    wire.send_at(first, b"\r\n\r");
    wire.send(b"{\"GET / HTTP/1.1\": 1}");
    wire.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(wire.tally, calls(2));
}

#[test]
fn a_socket_that_connects_elsewhere_is_not_counted_any_more() {
    let mut wire = Wire::new();
    let first = wire.sent;
    assert!(wire.calls.open(first, 0), "the same once more");
    wire.send(&records(&[300]));
    assert!(!wire.calls.open(first.wrapping_add(1_000_000), 0));
}

/// Tickets for later sessions come after the handshake, so perhaps between head and body.
#[test]
fn tickets_are_no_answer_to_the_first_request() {
    let steps = [
        sent(&[300]),
        received(&[250, 250]),
        sent(&[900]),
        received(&[700]),
        sent(&[300]),
        received(&[250]),
        sent(&[300]),
    ];
    check_tls("tickets", &steps, calls(3));
}

struct Packet<'p>(&'p [u8]);

impl Octets for Packet<'_> {
    fn u8_at(&self, at: u32) -> Option<u32> {
        self.0.get(at as usize).map(|octet| u32::from(*octet))
    }

    fn u16_at(&self, at: u32) -> Option<u32> {
        Some(self.u8_at(at)? << 8 | self.u8_at(at + 1)?)
    }
}

#[test]
fn a_hello_tells_which_protocols_it_offers() {
    let hello = |extensions: &[(u16, &[u8])]| {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([2, 9, 9, 0, 2, 0x13, 1, 1, 0]);
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, data)| {
                let len = data.len() as u16;
                [&kind.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
            })
            .collect();
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        let mut message = vec![22, 3, 1];
        message.extend((body.len() as u16 + 4).to_be_bytes());
        message.extend([1, 0]);
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        message
    };
    let check = |octets: &[u8], expected| assert_eq!(offers_http_2(&Packet(octets)), expected);
    let both = hello(&[(0, &[1, 2]), (16, b"\0\x0c\x02h2\x08http/1.1"), (5, &[])]);
    check(&both, Some(true));
    check(&hello(&[(16, b"\0\x0c\x08http/1.1\x02h2")]), Some(true));
    check(
        &hello(&[(16, b"\0\x09\x08http/1.1"), (5, &[])]),
        Some(false),
    );
    check(&hello(&[(16, b"\0\x09\x08http/1.1")]), Some(false));
    check(&hello(&[(5, &[1])]), Some(false));
    check(&hello(&[(5, &[1, 2, 3])])[..60], None);
    check(&both[..40], None);
    check(b"GET / HTTP/1.1\r\n", None);
}

/// Turns of one call each, in records of any length.
fn turns() -> impl Strategy<Value = Vec<Passed>> {
    let body = prop::collection::vec(MIN_REQUEST as usize..18_000, 0..4);
    let own = prop::collection::vec(1..MIN_REQUEST as usize, 0..3);
    let answer = prop::collection::vec(MIN_FIRST_ANSWER as usize..18_000, 1..4);
    let turn = (90..2_000_usize, body, own, answer).prop_map(|(head, body, own, answer)| {
        [sent(&[head]), sent(&body), sent(&own), received(&answer)]
    });
    prop::collection::vec(turn, 0..6).prop_map(|turns| turns.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn segments_do_not_matter(
        steps in turns(),
        cuts in prop::collection::vec(1..3_000_usize, 1..40),
    ) {
        let steps = talk(&steps);
        let whole = pass(&steps, usize::MAX);
        let mut wire = Wire::new();
        let mut cuts = cuts.into_iter().cycle();
        for step in &steps {
            let (Sent(octets) | Received(octets)) = step;
            let mut rest = &octets[..];
            while !rest.is_empty() {
                let (part, others) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                match step {
                    Sent(_) => wire.send(part),
                    Received(_) => wire.receive(part),
                }
                rest = others;
            }
        }
        prop_assert_eq!(wire.tally, whole);
        let n_turns = steps.iter().filter(|step| matches!(step, Received(_))).count() - 1;
        prop_assert_eq!(whole.calls as usize, n_turns);
    }

    #[test]
    fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        pass(&[Sent(octets.clone()), Received(octets.clone()), Sent(octets)], 50);
    }
}
