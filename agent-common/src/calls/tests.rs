use proptest::prelude::*;

use super::{
    hello::{Octets, offers_http_2},
    *,
};

/// What passes, in the order in which it does.
#[derive(Clone, Debug)]
enum Step {
    Sent(Vec<u8>),
    Received(Vec<u8>),
}

use Step::{Received, Sent};

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

fn sent(lengths: &[usize]) -> Step {
    Sent(records(lengths))
}

fn received(lengths: &[usize]) -> Step {
    Received(records(lengths))
}

/// What both sides say before the first request.
fn greetings() -> Vec<Step> {
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

fn talk(steps: &[Step]) -> Vec<Step> {
    greetings().into_iter().chain(steps.to_vec()).collect()
}

/// How often each [`Found`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    calls: u32,
    requests: u32,
    overlaps: u32,
}

fn calls(calls: u32) -> Tally {
    Tally {
        calls,
        ..Tally::default()
    }
}

fn requests(requests: u32) -> Tally {
    Tally {
        requests,
        ..Tally::default()
    }
}

/// A connection with both its ends.
struct Wire {
    calls: Calls,
    sent: u32,
    received: u32,
    tally: Tally,
}

impl Wire {
    fn new() -> Self {
        // SAFETY: integers, and enums of which 0 is a value.
        let mut calls: Calls = unsafe { std::mem::zeroed() };
        calls.begin();
        // Sequence numbers begin anew in between.
        let (sent, received) = (u32::MAX - 700, u32::MAX - 300);
        calls.open(sent);
        Self {
            calls,
            sent,
            received,
            tally: Tally::default(),
        }
    }

    fn send(&mut self, segment: &[u8]) {
        self.send_at(self.sent, segment);
        self.sent = self.sent.wrapping_add(segment.len() as u32);
    }

    fn send_at(&mut self, sequence: u32, segment: &[u8]) {
        let known = self
            .calls
            .send(sequence, segment.len() as u32, self.received);
        let mut rest = &segment[known as usize..];
        while !rest.is_empty() {
            let n = (self.calls.skippable_sent() as usize).min(rest.len());
            if n > 0 {
                self.calls.skip_sent(n as u32);
                rest = &rest[n..];
                continue;
            }
            let found = self.calls.take_sent(rest[0]);
            rest = &rest[1..];
            self.tally.calls += u32::from(found & Found::CALL != 0);
            self.tally.requests += u32::from(found & Found::REQUEST != 0);
            self.tally.overlaps += u32::from(found & Found::OVERLAP != 0);
        }
    }

    fn receive(&mut self, segment: &[u8]) {
        self.receive_at(self.received, segment, self.sent);
        self.received = self.received.wrapping_add(segment.len() as u32);
    }

    fn receive_at(&mut self, sequence: u32, segment: &[u8], acknowledged: u32) {
        if !self.calls.awaits_answer() {
            return;
        }
        let known = self
            .calls
            .receive(sequence, segment.len() as u32, acknowledged);
        let mut rest = &segment[known as usize..];
        while !rest.is_empty() {
            let n = (self.calls.skippable_received() as usize).min(rest.len());
            if n > 0 {
                self.calls.skip_received(n as u32);
                rest = &rest[n..];
                continue;
            }
            self.calls.take_received(rest[0]);
            rest = &rest[1..];
        }
    }
}

/// Each step in segments of at most `most` octets.
fn pass(steps: &[Step], most: usize) -> Tally {
    let mut wire = Wire::new();
    for step in steps {
        match step {
            Sent(octets) => octets.chunks(most).for_each(|part| wire.send(part)),
            Received(octets) => octets.chunks(most).for_each(|part| wire.receive(part)),
        }
    }
    wire.tally
}

/// However segments cut it.
fn check(what: &str, steps: &[Step], expected: Tally) {
    for most in [usize::MAX, 1_460, 517, 64, 7, 5, 3, 1] {
        assert_eq!(pass(steps, most), expected, "{what}, segments of {most}");
    }
}

fn check_tls(what: &str, steps: &[Step], expected: Tally) {
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
        received(&[400]),
        sent(&[30, 43]),
    ];
    check_tls("updates of windows", &windows, calls(1));
    let next = [&windows[..], &[sent(&[120, 16_401])]].concat();
    check_tls("and another call", &next, calls(2));
}

#[test]
fn more_than_a_head_and_a_body_may_be_several_calls() {
    let overlap = Tally {
        overlaps: 1,
        ..calls(1)
    };
    let several = [sent(&[300, 200, 26, 120, 210, 26, 120, 205])];
    check_tls("three at once", &several, overlap);
    check_tls("of one length", &[sent(&[300]), sent(&[150; 20])], overlap);
    let chunks = [sent(&[300]), sent(&[1_208; 9]), sent(&[700])];
    check_tls("a body in pieces", &chunks, calls(1));
}

#[test]
fn a_caller_of_http_1_calls_once_at_a_time() {
    let mut wire = Wire::new();
    wire.calls.are_one_by_one();
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
    wire.calls.are_one_by_one();
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

fn text(text: &str) -> Step {
    Sent(text.as_bytes().to_vec())
}

#[test]
fn requests_of_plain_http_are_read() {
    let get = "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /v1/chat HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH: 29\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n{}";
    let chunked = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n\
                   1d;a=b\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n{}\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n";
    check("get", &[text(get)], requests(1));
    check("post", &[text(post), text(post)], requests(2));
    check("chunks", &[text(chunked), text(get)], requests(2));
    let all = [get, post, chunked, "\r\n", get, "DELETE /x HTTP/1.1\n\n"].concat();
    check("pipelined", &[text(&all)], requests(5));
    let tunnel = [text("CONNECT a:443 HTTP/1.1\r\n\r\n"), sent(&[300])];
    check("through a proxy", &tunnel, calls(1));
}

#[test]
fn what_cannot_be_read_is_looked_for_after_an_answer() {
    let get = text("GET / HTTP/1.1\r\n\r\n");
    let answer = Received(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
    let steps = [get.clone(), text("?"), get.clone(), answer, get];
    let expected = Tally {
        calls: 1,
        requests: 1,
        overlaps: 1,
    };
    check("junk", &steps, expected);
    let overlap = Tally {
        overlaps: 1,
        ..calls(0)
    };
    check(
        "HTTP/2",
        &[text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
        overlap,
    );
    check("another protocol", &[Sent(vec![0, 1, 2])], overlap);
}

#[test]
fn it_can_begin_after_a_first_flight() {
    let mut wire = Wire::new();
    wire.calls.begin_after_hello(wire.sent, true);
    wire.send(&records(&[300, 400]));
    wire.receive(&records(&[400]));
    wire.send(&records(&[300]));
    assert_eq!(wire.tally, calls(2));
    let mut wire = Wire::new();
    wire.calls.begin_after_hello(wire.sent, false);
    wire.send(b"{\"GET / HTTP/1.1\": 1}");
    wire.receive(b"HTTP/1.1 200 OK\r\n\r\n");
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(wire.tally, calls(2));
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
fn turns() -> impl Strategy<Value = Vec<Step>> {
    let body = prop::collection::vec(MIN_REQUEST as usize..18_000, 0..4);
    let own = prop::collection::vec(1..MIN_REQUEST as usize, 0..3);
    let answer = prop::collection::vec(MIN_ANSWER as usize..18_000, 1..4);
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
