//! The definitions hang together, and every command explains itself.

use clap::{Command, CommandFactory};

use super::*;

fn walk(command: &Command, path: &str, visit: &mut dyn FnMut(&str, &Command)) {
    let path = format!("{path} {}", command.get_name());
    visit(path.trim(), command);
    for sub in command.get_subcommands() {
        walk(sub, &path, visit);
    }
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_a_sentence_and_an_example() {
    walk(&Cli::command(), "", &mut |path, command| {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(!about.is_empty() && about.len() < 80, "{path}: `{about}`");
        if path != "weir" {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.starts_with("Example"), "{path} has no example");
            assert!(help.contains("weir "), "{path}: {help}");
        }
    });
}

#[test]
fn every_option_says_what_it_does() {
    walk(&Cli::command(), "", &mut |path, command| {
        for argument in command.get_opts() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {}",
                argument.get_id()
            );
        }
    });
}

mod rendering {
    //! Exact text for people, from wire types.

    use jiff::Timestamp;

    use super::super::{events, explain, grant, output::Out, status, usage, who};
    use crate::api::types::{
        BrokenGlass, CallableEndpoint, ConsideredObject, Cost, Event, Explanation, Grant,
        HookCoverage, IntervalCoverage, Kubernetes, Label, LimitUse, LiveCaller, LossCount,
        MatchedEndpoint, NamingLatency, OtherUsage, ProcessInfo, Quality, RecentCaller,
        RefusedConnections, Rights, Rule, Status, Target, UsageInterval, UsageKey, UsagePoint,
        UsageReport, UsageRow, Who, WhoTalks,
    };

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn ago(seconds: i64) -> Timestamp {
        NOW - jiff::SignedDuration::from_secs(seconds)
    }

    fn printed(print: impl FnOnce(&mut Out<'_>) -> anyhow::Result<()>) -> String {
        let mut bytes = Vec::new();
        let mut out = Out::to(&mut bytes, NOW);
        print(&mut out).expect("memory can be written to");
        drop(out);
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn row(key: &str, allowed: u64, bytes: Option<u64>) -> UsageRow {
        UsageRow {
            key: vec![key.to_owned()],
            connections_allowed: allowed,
            connections_denied: 2,
            connections_would_deny: 0,
            connections_quality: Quality::Exact,
            datagrams_allowed: 0,
            datagrams_denied: 0,
            datagrams_would_deny: 0,
            bytes_out: bytes,
            bytes_in: bytes.map(|bytes| 2 * bytes),
            bytes_quality: Quality::Exact,
            connections_without_bytes: u64::from(bytes.is_none()),
            calls: bytes.map(|_| 30),
            calls_quality: Quality::Inferred,
            cost: None,
            first_seen: Some(ago(7_200)),
            last_seen: Some(ago(3)),
            connections_per_minute: None,
            rate_quality: Quality::Unknown,
            points: Vec::new(),
        }
    }

    #[test]
    fn usage_shows_unknown_bytes_as_a_dash_and_says_what_is_missing() {
        let report = UsageReport {
            by: vec![UsageKey::Identity],
            since: None,
            until: NOW,
            covered_since: None,
            covered_until: None,
            minutes_since: None,
            hours_since: None,
            days_since: None,
            counted_minutes: None,
            intervals: Vec::new(),
            other: None,
            next: None,
            rows: vec![
                row("unit:a.service", 10, Some(2_048)),
                row("unit:b.service", 1, None),
            ],
            lost_events: 0,
        };
        let expected = "\
IDENTITY        ALLOWED  DENIED  WOULD-DENY  CALLS  BYTES OUT  BYTES IN  FIRST SEEN  LAST SEEN
unit:a.service       10       2           0    ~30    2.0 KiB   4.0 KiB  2h ago      3s ago
unit:b.service        1       2           0      -          -         -  2h ago      3s ago

1 allowed connections are still open, never opened, or UDP: their bytes are not counted
";
        assert_eq!(printed(|out| usage::print(&report, false, out)), expected);
        let nothing = UsageReport {
            rows: Vec::new(),
            ..report
        };
        let expected = "no usage: nothing has called a model endpoint in that time\n";
        assert_eq!(printed(|out| usage::print(&nothing, false, out)), expected);
    }

    #[test]
    fn a_time_that_is_longer_than_what_was_asked_for_is_told() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let check = |since: &str, covered: &str, expected: &str| {
            let report = UsageReport {
                by: vec![UsageKey::Identity],
                since: at(since),
                until: NOW,
                covered_since: at(covered),
                covered_until: None,
                minutes_since: at("2026-01-02T10:00:00Z"),
                hours_since: None,
                days_since: None,
                counted_minutes: None,
                intervals: Vec::new(),
                other: None,
                next: None,
                rows: vec![row("unit:a.service", 10, Some(2_048))],
                lost_events: 0,
            };
            let text = printed(|out| usage::print(&report, false, out));
            let told = text.lines().skip(2).collect::<Vec<_>>().join("\n");
            assert_eq!(told, expected, "{since}");
        };
        check("2026-01-02T10:05:07Z", "2026-01-02T10:05:00Z", "");
        check(
            "2026-01-01T10:05:07Z",
            "2026-01-01T10:00:00Z",
            "\nthis is from 2026-01-01T10:00:00Z on: shorter periods of that time are no longer kept",
        );
    }

    #[test]
    fn datagrams_have_a_column_only_when_there_are_any() {
        let report = UsageReport {
            by: vec![UsageKey::Endpoint],
            since: None,
            until: NOW,
            covered_since: None,
            covered_until: None,
            minutes_since: None,
            hours_since: None,
            days_since: None,
            counted_minutes: None,
            intervals: Vec::new(),
            other: None,
            next: None,
            rows: vec![UsageRow {
                datagrams_denied: 7,
                ..row("openai", 0, Some(1))
            }],
            lost_events: 0,
        };
        let text = printed(|out| usage::print(&report, false, out));
        assert!(
            text.contains("WOULD-DENY  DATAGRAMS  CALLS  BYTES OUT"),
            "{text}"
        );
    }

    #[test]
    fn costs_are_marked_as_estimates_and_what_is_not_known_is_a_dash() {
        let cost = |usd, partial| Cost {
            usd,
            quality: Quality::Estimate,
            partial,
        };
        let with = |key, cost| UsageRow {
            cost,
            ..row(key, 10, Some(1))
        };
        let mut report = series();
        report.intervals.clear();
        report.by = vec![UsageKey::Endpoint];
        report.other = None;
        report.rows = vec![
            with("a", Some(cost(1.234, false))),
            with("b", Some(cost(0.0, true))),
            with("c", None),
        ];
        let expected = "\
ENDPOINT  ALLOWED  DENIED  WOULD-DENY  CALLS    COST  BYTES OUT  BYTES IN  FIRST SEEN  LAST SEEN
a              10       2           0    ~30  ~$1.23        1 B       2 B  2h ago      3s ago
b              10       2           0    ~30   >=~$0        1 B       2 B  2h ago      3s ago
c              10       2           0    ~30       -        1 B       2 B  2h ago      3s ago

costs are estimates by [[costs]] of the configuration

>= costs leave out what no rule tells and what was not counted, as bytes of open connections
";
        assert_eq!(printed(|out| usage::print(&report, false, out)), expected);
    }

    /// Two rows of which one is for the rest, in two intervals.
    fn series() -> UsageReport {
        let point = |connections: Option<u64>| UsagePoint {
            connections_allowed: connections,
            connections_denied: connections.map(|_| 0),
            connections_would_deny: connections.map(|_| 0),
            connections_quality: connections.map_or(Quality::Unknown, |_| Quality::Inferred),
            bytes_out: None,
            bytes_in: None,
            bytes_quality: Quality::Unknown,
            cost: connections.map(|count| Cost {
                usd: count as f64 / 1e6,
                quality: Quality::Estimate,
                partial: count > 2,
            }),
        };
        let interval = |begin: i64, coverage| UsageInterval {
            since: ago(begin),
            until: ago(begin - 300),
            coverage,
        };
        let with = |row: UsageRow, points: [Option<u64>; 2], rate| UsageRow {
            connections_per_minute: rate,
            rate_quality: Quality::Inferred,
            points: points.map(point).into(),
            ..row
        };
        UsageReport {
            by: vec![UsageKey::Identity, UsageKey::Endpoint],
            since: None,
            until: NOW,
            covered_since: None,
            covered_until: None,
            minutes_since: None,
            hours_since: None,
            days_since: None,
            counted_minutes: Some(10.0),
            intervals: vec![
                interval(600, IntervalCoverage::None),
                interval(300, IntervalCoverage::Late),
            ],
            rows: vec![with(
                UsageRow {
                    key: vec!["=a, \u{1b}".to_owned(), "openai".to_owned()],
                    ..row("", 10, Some(1))
                },
                [None, Some(12)],
                Some(1.2),
            )],
            other: Some(OtherUsage {
                rows: 7,
                sum: with(row("", 3, Some(1)), [Some(2), Some(3)], None),
            }),
            next: None,
            lost_events: 0,
        }
    }

    #[test]
    fn what_is_left_out_is_one_row_and_intervals_are_a_line_of_marks() {
        let expected = "\
IDENTITY        ENDPOINT  ALLOWED  DENIED  WOULD-DENY  PER MINUTE  CALLS  BYTES OUT  BYTES IN  FIRST SEEN  LAST SEEN  CONNECTIONS
=a, \\u{1b}      openai         10       2           0        ~1.2    ~30        1 B       2 B  2h ago      3s ago     ?█
other (7 more)                  3       2           0           -    ~30        1 B       2 B  2h ago      3s ago     ▄█

connections in each 5m from 2025-06-15T14:56:40Z to 2025-06-15T15:06:40Z; · is none, ? is not known

per minute of the 10.0 in which was counted
";
        let text = printed(|out| usage::print(&series(), true, out));
        assert_eq!(text, expected);
    }

    #[test]
    fn csv_has_a_line_for_each_interval_and_nothing_for_what_is_unknown() {
        let text = |report: &UsageReport| {
            let bytes = usage::csv::text(report).expect("CSV");
            String::from_utf8(bytes).expect("UTF-8")
        };
        let mut report = series();
        let expected = "\
identity,endpoint,since,until,coverage,connections_allowed,connections_denied,connections_would_deny,connections_quality,bytes_out,bytes_in,bytes_quality,cost_usd,cost_quality,cost_partial
\"=a, \\u{1b}\",openai,2025-06-15T14:56:40Z,2025-06-15T15:01:40Z,none,,,,unknown,,,unknown,,unknown,
\"=a, \\u{1b}\",openai,2025-06-15T15:01:40Z,2025-06-15T15:06:40Z,late,12,0,0,inferred,,,unknown,0.000012,estimate,true
other (7 more),,2025-06-15T14:56:40Z,2025-06-15T15:01:40Z,none,2,0,0,inferred,,,unknown,0.000002,estimate,false
other (7 more),,2025-06-15T15:01:40Z,2025-06-15T15:06:40Z,late,3,0,0,inferred,,,unknown,0.000003,estimate,true
";
        assert_eq!(text(&report), expected);
        report.intervals.clear();
        report.rows.clear();
        let expected = "\
identity,endpoint,connections_allowed,connections_denied,connections_would_deny,connections_quality,datagrams_allowed,datagrams_denied,datagrams_would_deny,calls,calls_quality,bytes_out,bytes_in,bytes_quality,connections_without_bytes,first_seen,last_seen,connections_per_minute,rate_quality,cost_usd,cost_quality,cost_partial
other (7 more),,3,2,0,exact,0,0,0,30,inferred,1,2,exact,0,2025-06-15T13:06:40Z,2025-06-15T15:06:37Z,,inferred,,unknown,
";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn status_is_loud_about_observing_mistakes_and_gaps() {
        let status = Status {
            version: "1.0.0".to_owned(),
            mode: "observe".to_owned(),
            revision: 3,
            revision_installed_at: ago(300),
            policy_errors: vec!["p.yaml:1:2: kind: unknown".to_owned()],
            policy_warnings: Vec::new(),
            cgroup: "/sys/fs/cgroup".to_owned(),
            started_at: ago(600),
            kernel: "6.1.0".to_owned(),
            hooks: vec![HookCoverage {
                hook: "connect4".to_owned(),
                purpose: "decide".to_owned(),
                state: "unavailable".to_owned(),
                why: Some("EPERM".to_owned()),
            }],
            close_source: "sock_ops".to_owned(),
            close_fallback: Some("no BTF".to_owned()),
            resolvers: vec!["127.0.0.53".to_owned(), "192.0.2.1".to_owned()],
            refused: RefusedConnections {
                ended: 7,
                gone: 1,
                not_ended: 0,
            },
            naming: Some(NamingLatency {
                count: 40,
                median_us: 310,
                p99_us: 2_400,
                max_us: 9_050,
            }),
            capacity: Vec::new(),
            losses: vec![LossCount {
                reason: "event-ring-full".to_owned(),
                count: 5,
                meaning: "events are missing".to_owned(),
            }],
            identities: 2,
            endpoints: 3,
            grants: 1,
            waiting: vec!["admin".to_owned()],
            findings: vec!["grant `a` is broad".to_owned()],
            broken_glass: vec![BrokenGlass {
                grant: "urgent".to_owned(),
                by: "uid 7".to_owned(),
                until: Some(ago(-60)),
            }],
            hosts: 4,
            hosts_resolved: 2,
            kubernetes: Some(Kubernetes {
                source: "api".to_owned(),
                node: "n1".to_owned(),
                pods: 12,
                unresolved: 1,
                connected: false,
                away_since: Some(ago(180)),
                why: Some("connection refused".to_owned()),
                age_seconds: Some(240),
                current_at: Some(ago(240)),
            }),
            limits: vec!["root can detach the programs".to_owned()],
        };
        let expected = "\
mode      observe: nothing is ever refused
policy    revision 3, 1 grants, installed 5m ago
cgroup    /sys/fs/cgroup
agent     weir 1.0.0, started 10m ago
kernel    6.1.0
knows     2 identities, 3 endpoints; 2 of 4 hosts have an address
kubernetes  api, 12 pods of n1, 1 UNRESOLVED, AWAY for 3m: connection refused (what is known is 4m old)
BROKEN GLASS  urgent holds until 2025-06-15T15:07:40Z without a second person: uid 7 let it through
waiting   1 grants wait for approval: `weir grant requests`
finding   grant `a` is broad
MISTAKE   p.yaml:1:2: kind: unknown (the running revision stays)

hooks
  connect4             UNAVAILABLE: EPERM
  bytes come from sock_ops: no BTF
  answers of the DNS are believed from 127.0.0.53, 192.0.2.1
  refused after they were made: 7 connections ended, 1 gone already, 0 left to their timeouts
  40 new cgroups were named: half within 0.3 ms, 99 % within 2.4 ms, the slowest in 9.1 ms

kernel maps

losses
  event-ring-full      5  (events are missing)

limits of this version
  - root can detach the programs
";
        assert_eq!(printed(|out| status::print(&status, out)), expected);
    }

    #[test]
    fn an_explanation_ends_with_what_to_do() {
        let explanation = Explanation {
            who: Who {
                identity: "unit:a.service".to_owned(),
                found_by: "event 4".to_owned(),
                cgroup: None,
                pid: Some(7),
                labels: Vec::new(),
                processes: Vec::new(),
            },
            target: Target {
                asked: "address 192.0.2.1:443".to_owned(),
                endpoints: vec![MatchedEndpoint {
                    endpoint: "openai".to_owned(),
                    recognised_by: "the address of api.openai.com".to_owned(),
                    certainty: "certain".to_owned(),
                }],
            },
            verdict: "deny".to_owned(),
            reason: "expired".to_owned(),
            summary: "the grant has ended".to_owned(),
            mode: "enforce".to_owned(),
            revision: 2,
            rule: Some("nightly".to_owned()),
            posture: "deny".to_owned(),
            posture_mode: "enforce".to_owned(),
            posture_name: None,
            limits: vec![LimitUse {
                limit: "calls".to_owned(),
                used: Some(7.0),
                most: 9.0,
                quality: Quality::Inferred,
                anew_at: NOW,
                account: Some("unit:a.service".to_owned()),
            }],
            considered: vec![ConsideredObject {
                kind: "InvocationGrant".to_owned(),
                name: "nightly".to_owned(),
                applies: true,
                text: "ended".to_owned(),
            }],
            note: None,
            suggestion: Some("weir grant issue ...".to_owned()),
        };
        let expected = "\
who       unit:a.service (event 4)
where     openai (address 192.0.2.1:443: recognised by the address of api.openai.com, certain)
verdict   deny (expired, by nightly) in mode enforce, revision 2
because   the grant has ended
limit     calls: ~7 of 9 used by all parts of unit:a.service; anew at 2025-06-15T15:06:40Z
more      docs/reasons/expired.md
posture   deny without a grant (the built-in default)

considered
  + InvocationGrant nightly: ended

to allow it
  weir grant issue ...
";
        assert_eq!(printed(|out| explain::print(&explanation, out)), expected);
    }

    #[test]
    fn events_say_when_a_process_was_gone() {
        let event = Event {
            id: 12,
            at: NOW,
            kind: "connect".to_owned(),
            verdict: "deny".to_owned(),
            reason: "no-grant".to_owned(),
            identity: "unit:a.service".to_owned(),
            endpoint: "openai".to_owned(),
            rule: None,
            address: "2001:db8::1".to_owned(),
            port: 443,
            protocol: "tcp".to_owned(),
            shared_address: false,
            pid: Some(7),
            comm: None,
            exe: None,
            script: None,
            user: Some(0),
            cgroup: None,
            bytes_out: None,
            bytes_in: None,
            duration_ms: None,
        };
        let expected = "\
ID  TIME                  KIND     VERDICT  REASON    IDENTITY        ENDPOINT  ADDRESS            PROCESS  DETAIL
12  2025-06-15T15:06:40Z  connect  deny     no-grant  unit:a.service  openai    [2001:db8::1]:443  gone[7]  -
";
        assert_eq!(
            printed(|out| events::print(&[event], false, true, out)),
            expected
        );
    }

    #[test]
    fn grants_say_whom_what_for_and_how_long() {
        let grant = Grant {
            not_after: Some(ago(-8 * 3_600)),
            ..nightly()
        };
        let expected = "\
NAME     STATE   WHOM                ENDPOINTS  PURPOSE    ENDS   SOURCE
nightly  active  unit batch.service  openai     summaries  in 8h  api
";
        assert_eq!(printed(|out| grant::print(&[grant], out)), expected);
    }

    fn nightly() -> Grant {
        Grant {
            name: "nightly".to_owned(),
            state: "active".to_owned(),
            subjects: vec!["unit batch.service".to_owned()],
            endpoints: vec!["openai".to_owned()],
            planes: vec!["invoke".to_owned()],
            purpose: "summaries".to_owned(),
            not_before: None,
            not_after: None,
            source: "api".to_owned(),
            issued_by: None,
            revoked_by: None,
            revoked_why: None,
            ticket: None,
            digest: String::new(),
            needs_approval: Vec::new(),
            requested_by: None,
            approved_by: None,
            broke_glass: false,
        }
    }

    #[test]
    fn who_somebody_is_comes_with_what_it_may_call() {
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let may_call = |endpoint: &str, reason: &str, rule: Option<&str>| CallableEndpoint {
            endpoint: endpoint.to_owned(),
            reason: reason.to_owned(),
            in_shadow: reason == "no-grant",
            rule: rule.map(ToOwned::to_owned),
        };
        let mut rights = Rights {
            who: Who {
                identity: "unit:batch.service".to_owned(),
                found_by: "process 7 is in cgroup /system.slice/batch.service".to_owned(),
                cgroup: Some("/system.slice/batch.service".to_owned()),
                pid: Some(7),
                labels: vec![
                    label("unit", "batch.service"),
                    label("service account", "x"),
                ],
                processes: vec![
                    ProcessInfo {
                        pid: 7,
                        exe: Some("/usr/bin/python3.11".to_owned()),
                        script: Some("/opt/job.py".to_owned()),
                        arguments: Some(vec!["job.py".to_owned(), "-v".to_owned()]),
                        user: Some(1007),
                        ..ProcessInfo::default()
                    },
                    ProcessInfo {
                        pid: 5,
                        comm: Some("cron".to_owned()),
                        has_ended: true,
                        ..ProcessInfo::default()
                    },
                ],
            },
            mode: "enforce".to_owned(),
            revision: 2,
            posture: "allow".to_owned(),
            posture_mode: "enforce".to_owned(),
            posture_name: None,
            grants: vec![nightly()],
            denies: vec![Rule {
                name: "freeze".to_owned(),
                subjects: Vec::new(),
                endpoints: vec!["xai".to_owned()],
                cidrs: vec!["192.0.2.0/24".to_owned()],
                reason: "leak".to_owned(),
                source: "api".to_owned(),
            }],
            may_call: vec![
                may_call("anthropic", "default-allow", None),
                may_call("mistral", "default-allow", None),
                may_call("openai", "granted", Some("nightly")),
            ],
        };
        let expected = "\
who       unit:batch.service (process 7 is in cgroup /system.slice/batch.service)
cgroup    /system.slice/batch.service
unit      batch.service
service account x
process   /usr/bin/python3.11[7] for /opt/job.py, user 1007: job.py -v
  by      cron[5], ended
posture   allow without a grant (the built-in default), in mode enforce, revision 2
grant     nightly (active): openai, without an end, for summaries
deny      freeze: xai, 192.0.2.0/24, because leak
may call  openai (granted, by nightly)
may call  2 endpoints for which it has no grant (default-allow)
";
        assert_eq!(
            printed(|out| explain::rights::print(&rights, out)),
            expected
        );
        rights.posture_name = Some("closed".to_owned());
        "deny".clone_into(&mut rights.posture);
        "shadow".clone_into(&mut rights.posture_mode);
        rights.may_call = vec![may_call("xai", "no-grant", None)];
        let text = printed(|out| explain::rights::print(&rights, out));
        let posture = "deny without a grant (closed, in shadow mode), in mode enforce";
        assert!(text.contains(posture), "{text}");
        let told = "\nmay call  xai (in shadow mode, else no-grant)\n";
        assert!(text.ends_with(told), "{text}");
        rights.may_call.clear();
        let text = printed(|out| explain::rights::print(&rights, out));
        assert!(text.ends_with("\nmay call  no model endpoint\n"), "{text}");
    }

    #[test]
    fn who_talks_is_told_for_now_and_for_before() {
        let live = |identity: Option<&str>, direction: &str, pid: Option<u32>| LiveCaller {
            identity: identity.map(ToOwned::to_owned),
            cgroup: Some("/x".to_owned()),
            direction: direction.to_owned(),
            protocol: "tcp".to_owned(),
            address: "2001:db8::1".to_owned(),
            port: 443,
            connections: 3,
            pid,
            comm: pid.map(|_| "curl".to_owned()),
            exe: None,
        };
        let mut found = WhoTalks {
            address: "api.openai.com".to_owned(),
            endpoints: vec!["openai".to_owned()],
            now: vec![
                live(Some("unit:a.service"), "out", Some(7)),
                live(None, "in", None),
            ],
            recently: vec![RecentCaller {
                identity: "unit:b.service".to_owned(),
                endpoint: "openai".to_owned(),
                verdict: "deny".to_owned(),
                attempts: 12,
                last_at: ago(180),
                address: "192.0.2.1".to_owned(),
                port: 443,
                pid: Some(8),
                comm: None,
                exe: None,
            }],
            unvisited_namespaces: 1,
        };
        let expected = "\
api.openai.com is openai

now
IDENTITY        DIRECTION  ADDRESS                CONNECTIONS  PROCESS
unit:a.service  out        tcp [2001:db8::1]:443            3  curl[7]
ungoverned /x   in         tcp [2001:db8::1]:443            3  -

recently
IDENTITY        ENDPOINT  VERDICT  ATTEMPTS  LAST    ADDRESS        PROCESS
unit:b.service  openai    deny           12  3m ago  192.0.2.1:443  gone[8]

1 network namespaces could not be looked into
";
        assert_eq!(printed(|out| who::print(&found, out)), expected);
        found = WhoTalks::default();
        let expected = "\
now: nobody

recently: no attempt to reach a model endpoint there
";
        assert_eq!(printed(|out| who::print(&found, out)), expected);
    }
}
