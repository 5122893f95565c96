# What follows the clock when it is set, and what does not; run in a guest, whose clock is its own.
# Instants are seconds since the guest was booted: nothing sets those.
TTL=30
LATE=60
DAY=86400
ROOT=/sys/fs/cgroup/host
export WEIR_SOCKET=/run/weir.sock
n_ok=0
n_failed=0

is() { # WHAT, then a command that has to succeed
    what=$1
    shift
    if "$@"; then
        n_ok=$((n_ok + 1))
        echo "ok $what"
    else
        n_failed=$((n_failed + 1))
        echo "FAIL $what: $*"
        weir grant list --all
        tail -n 20 /run/agent.log
    fi
}

since_boot() { cut -d. -f1 /proc/uptime; }

set_clock_by() { # SECONDS
    date -u -s "@$(($(date +%s) + $1))" >/dev/null
}

start_agent() {
    weir agent --no-resolve --mode enforce --cgroup $ROOT --policy-dir /etc/policy.d \
        --state-dir /var/lib/weir --pin-dir /sys/fs/bpf/weir --socket $WEIR_SOCKET \
        --config /etc/weir.toml 2>>/run/agent.log &
    agent=$!
    wait_until agent_answers
}

agent_answers() { weir status >/dev/null 2>&1; }

wait_until() { # a command that is going to succeed
    deadline=$(($(since_boot) + LATE))
    until "$@"; do
        [ "$(since_boot)" -lt $deadline ] || return 1
        sleep 0.2
    done
}

calls() { # WORKLOAD
    echo x >>"/run/tried-$1"
    sh -c "echo 0 >$ROOT/$1/cgroup.procs && exec nc -w 5 127.0.0.1 443" </dev/null >/dev/null 2>&1
}

is_refused() { ! calls "$1"; }

# The kernel's copy is made anew when the agent has seen it.
clock_is_noticed() { [ "$(grep -c 'the clock was set' /run/agent.log)" -gt "$n_noticed" ]; }

set_clock_and_wait() { # SECONDS
    n_noticed=$(grep -c 'the clock was set' /run/agent.log)
    set_clock_by "$1"
    wait_until clock_is_noticed
}

issue() { # NAME of grant and workload
    from=$(since_boot)
    weir grant issue "$1" --cgroup "/host/$1" --endpoint model --purpose test --ttl ${TTL}s >/dev/null
}

# Refused after its time, which counts from no sooner than `from`, and not before.
ends_in_time() { # WORKLOAD
    deadline=$((from + TTL + LATE))
    while calls "$1"; do
        [ "$(since_boot)" -lt $deadline ] || return 1
        sleep 0.2
    done
    [ "$(since_boot)" -ge $((from + TTL)) ]
}

# Calls until it is refused, and says when that was.
lease() {
    from=$(since_boot)
    sh -c "echo 0 >$ROOT/tasks/cgroup.procs && exec weir run --endpoint model --purpose test \
        --ttl ${TTL}s -- sh -c 'nc -w 5 127.0.0.1 443 </dev/null && echo begun >/run/leased; \
        while nc -w 5 127.0.0.1 443 </dev/null; do sleep 0.2; done; \
        cut -d. -f1 /proc/uptime >/run/lease'" >/dev/null 2>&1 &
    wait_until test -s /run/leased
}

lease_ends_in_time() {
    deadline=$((from + TTL + LATE))
    until [ -s /run/lease ]; do
        [ "$(since_boot)" -lt $deadline ] || return 1
        sleep 0.2
    done
    [ "$(cat /run/lease)" -ge $((from + TTL)) ]
}

# Under whatever minutes: allowed and refused.
is_counted() { # WORKLOAD
    n_tried=$(wc -l <"/run/tried-$1")
    weir usage --by identity --since 30d --csv |
        awk -F, -v key="cgroup:/host/$1" -v tried="$n_tried" \
            '$1 == key { found = $2 + $3 == tried } END { exit !found }'
}

for workload in back forward dead dated tasks; do
    mkdir -p $ROOT/$workload
done
mkdir -p /etc/policy.d
: >/etc/weir.toml
cat >/etc/policy.d/model.yaml <<'END'
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: model}
spec: {provider: test, cidrs: [127.0.0.1/32], ports: [443]}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {name: closed}
spec: {default: true, ungranted: deny}
END
nc -ll -p 443 -e true &
# As on a host that runs: what is a day ago is not before everything.
date -u -s @1900000000 >/dev/null
start_agent
is "refused without a grant" is_refused back

issue back
is "a grant holds" calls back
is "a clock that is set back is noticed" set_clock_and_wait -$DAY
is "a grant holds when the clock is set back" calls back
is "a clock that is set back does not prolong a grant" ends_in_time back

issue forward
is "a clock that is set forward is noticed" set_clock_and_wait $DAY
is "a grant holds when the clock is set forward" calls forward
is "a clock that is set forward does not shorten a grant" ends_in_time forward

issue dead
set_clock_by -$DAY
kill -9 $agent
start_agent
is "a grant holds when the clock is set back while the agent is dead" calls dead
is "a clock that is set back while the agent is dead does not prolong a grant" ends_in_time dead

sed "s/WHEN/$(date -u -d "@$(($(date +%s) + 3600))" +%Y-%m-%dT%H:%M:%SZ)/" >/run/dated.yaml <<'END'
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: dated}
spec:
  subjects: [{cgroup: /host/dated}]
  endpoints: [model]
  purpose: test
  notAfter: WHEN
END
weir policy apply /run/dated.yaml >/dev/null
is "a grant with a date holds" calls dated
is "a clock that is set to a later day is noticed" set_clock_and_wait $DAY
is "a grant with a date ends on that date" wait_until is_refused dated

is "a lease holds" lease
set_clock_and_wait -$DAY
is "a clock that is set back does not prolong a lease" lease_ends_in_time
for workload in back forward dead dated; do
    is "each call of $workload is counted" wait_until is_counted $workload
done
is "the audit verifies" weir audit verify
is "the agent is the one that was started" kill -0 $agent
is "anomalies are looked for" weir anomalies list
echo "selftest: $n_ok passed, $n_failed failed, 0 skipped"
[ $n_failed = 0 ]
