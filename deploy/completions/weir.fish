# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_weir_global_optspecs
    string join \n socket= h/help V/version
end

function __fish_weir_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_weir_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_weir_using_subcommand
    set -l cmd (__fish_weir_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c weir -n "__fish_weir_needs_command" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_needs_command" -s V -l version -d 'Print version'
complete -c weir -n "__fish_weir_needs_command" -f -a "agent" -d 'Run the agent'
complete -c weir -n "__fish_weir_needs_command" -f -a "status" -d 'Show whether the agent is in force, with what coverage and losses'
complete -c weir -n "__fish_weir_needs_command" -f -a "usage" -d 'Show how much each identity has used'
complete -c weir -n "__fish_weir_needs_command" -f -a "top" -d 'Watch who calls what, live'
complete -c weir -n "__fish_weir_needs_command" -f -a "events" -d 'Show what happened, one connection at a time'
complete -c weir -n "__fish_weir_needs_command" -f -a "grant" -d 'Issue, list and revoke grants'
complete -c weir -n "__fish_weir_needs_command" -f -a "deny" -d 'Add, list and remove deny rules'
complete -c weir -n "__fish_weir_needs_command" -f -a "policy" -d 'Check, compare and install policy files'
complete -c weir -n "__fish_weir_needs_command" -f -a "endpoints" -d 'List model endpoints and find those behind a host name'
complete -c weir -n "__fish_weir_needs_command" -f -a "prices" -d 'Show what tokens of models cost'
complete -c weir -n "__fish_weir_needs_command" -f -a "identities" -d 'List every identity that has been seen'
complete -c weir -n "__fish_weir_needs_command" -f -a "explain" -d 'Explain whether an identity would reach an endpoint, and why'
complete -c weir -n "__fish_weir_needs_command" -f -a "who" -d 'Show who talks to an address or an endpoint, now and recently'
complete -c weir -n "__fish_weir_needs_command" -f -a "connections" -d 'Show connections to model endpoints that live, and their bytes so far'
complete -c weir -n "__fish_weir_needs_command" -f -a "audit" -d 'Read, verify and hand over the records of who decided what'
complete -c weir -n "__fish_weir_needs_command" -f -a "report" -d 'Print a review for an auditor'
complete -c weir -n "__fish_weir_needs_command" -f -a "anomalies" -d 'Find calls that are unusual for whoever makes them'
complete -c weir -n "__fish_weir_needs_command" -f -a "run" -d 'Run a command as a task: with a right of its own that ends with it'
complete -c weir -n "__fish_weir_needs_command" -f -a "selftest" -d 'Check on this kernel that the agent does what it promises'
complete -c weir -n "__fish_weir_needs_command" -f -a "detach" -d 'Remove the kernel programs and their counters: nothing is governed any more'
complete -c weir -n "__fish_weir_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c weir -n "__fish_weir_needs_command" -f -a "man" -d 'Write a man page for each command'
complete -c weir -n "__fish_weir_using_subcommand agent" -l config -d 'Configuration file [default: /etc/weir/weir.toml, if it exists]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l mode -d 'What becomes of a refusal [default: observe]' -r -f -a "observe\t'Refuse nothing'
shadow\t'Refuse nothing, but count what would be refused'
enforce\t'Refuse what policy refuses'"
complete -c weir -n "__fish_weir_using_subcommand agent" -l cgroup -d 'Govern only this cgroup and those below it [default: the whole host]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l policy-dir -d 'Directory of policy files [default: /etc/weir/policy.d]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l state-dir -d 'Directory of the store [default: /var/lib/weir]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l pin-dir -d 'Directory of kernel pins, on a BPF file system [default: /sys/fs/bpf/weir]' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l metrics-listen -d 'Serve Prometheus metrics at http://ADDRESS/metrics, as in 127.0.0.1:9464' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l log-format -d 'How log lines look [default: text]' -r -f -a "text\t''
json\t''"
complete -c weir -n "__fish_weir_using_subcommand agent" -l name-server -d 'Believe the answers of this resolver, too; repeat for more' -r
complete -c weir -n "__fish_weir_using_subcommand agent" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand agent" -l no-resolve -d 'Do not resolve the hosts of endpoints'
complete -c weir -n "__fish_weir_using_subcommand agent" -l no-inspect -d 'Find out no names in the kernel: neither from answers of the DNS nor from first packets'
complete -c weir -n "__fish_weir_using_subcommand agent" -l detach-on-exit -d 'Detach the programs and forget the counters at a clean stop'
complete -c weir -n "__fish_weir_using_subcommand agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand status" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand status" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand usage" -l by -d 'Group by one of these, or by two with a comma' -r -f -a "identity\t''
endpoint\t''
grant\t''
reason\t''
unit\t''
slice\t''
container\t''
pod\t''
namespace\t''
service-account\t''
task\t''
owner\t''
exe\t''
user\t''"
complete -c weir -n "__fish_weir_using_subcommand usage" -l filter -d 'Only what has this value of something to group by; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l since -d 'From this time on: RFC 3339, or how long ago, as in 90m or 7d' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l until -d 'Up to this time' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l interval -d 'Show each row in intervals of this length, as in 5m, 1h or 7d' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l identity -d 'Only this identity' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l endpoint -d 'Only this endpoint' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l top -d 'Only the rows with the most connections; the others are added up in one' -r
complete -c weir -n "__fish_weir_using_subcommand usage" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand usage" -l rate -d 'Show connections per minute, too, over the time in which was counted'
complete -c weir -n "__fish_weir_using_subcommand usage" -l csv -d 'Print CSV'
complete -c weir -n "__fish_weir_using_subcommand usage" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand top" -l since -d 'Count since a time, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand top" -l interval -d 'Seconds between two questions' -r
complete -c weir -n "__fish_weir_using_subcommand top" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand events" -l since -d 'From this time on: RFC 3339, or how long ago' -r
complete -c weir -n "__fish_weir_using_subcommand events" -l verdict -d 'Only these: allow, deny or would-deny' -r
complete -c weir -n "__fish_weir_using_subcommand events" -l identity -d 'Only this identity' -r
complete -c weir -n "__fish_weir_using_subcommand events" -l endpoint -d 'Only this endpoint' -r
complete -c weir -n "__fish_weir_using_subcommand events" -l limit -d 'How many of the newest' -r
complete -c weir -n "__fish_weir_using_subcommand events" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand events" -l follow -d 'Go on printing as they happen'
complete -c weir -n "__fish_weir_using_subcommand events" -l json -d 'Print one JSON object a line'
complete -c weir -n "__fish_weir_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "issue" -d 'Issue a grant; it is in force when this returns, unless it needs approval'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "list" -d 'List grants in force or to come'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "unused" -d 'List grants that are not used, or are broader than their use'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "suggest" -d 'Print a policy file that fits what an identity was seen to do'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "requests" -d 'List grants that wait for approval'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "approve" -d 'Approve a grant that another person has asked for'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "reject" -d 'Reject a grant that waits for approval'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "show" -d 'Show a grant and everything that has happened to grants of its name'
complete -c weir -n "__fish_weir_using_subcommand grant; and not __fish_seen_subcommand_from issue list unused suggest requests approve reject show revoke" -f -a "revoke" -d 'Revoke a grant, or all rights of an identity'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l unit -d 'Systemd unit, as in batch.service; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l slice -d 'Systemd slice, as in agents.slice' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l user-unit -d 'Unit of a user\'s own manager; users name these, so give --unit user@UID.service too' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l container -d 'Container by its full id' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l container-name -d 'Container by its name; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l image -d 'Containers of an image, as in ghcr.io/org/app:1; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l pod -d 'Kubernetes pod by its UID' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l namespace -d 'Pods of a Kubernetes namespace' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l service-account -d 'Pods of a Kubernetes service account' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l pod-label -d 'Pods with this label. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l cgroup -d 'Cgroup below the root of the hierarchy, with everything below it' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l task -d 'Registered task by its id' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l exe -d 'Processes of this executable, as in /usr/bin/curl' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l user -d 'Processes of this user: a name or a UID' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l endpoint -d 'Endpoint or provider; `*` for all. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l plane -d 'invoke, manage or resolve [default: invoke; and resolve, for encrypted-dns]' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l purpose -d 'What for' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l ticket -d 'What it refers to in a tracker of changes' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l ttl -d 'How long, as in 8h' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l not-after -d 'First time at which it no longer holds' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l not-before -d 'First time at which it holds' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l any -d 'Everybody'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l needs-approval -d 'Let another person approve it, whether a rule demands that or not'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from issue" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from list" -l all -d 'Also those that have ended, were revoked or rejected'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from unused" -l since -d 'What was used from a time on, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from unused" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from unused" -l json -d 'Print JSON: all grants, with what was used of each'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from unused" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from suggest" -l identity -d 'Whom to suggest for, as `weir identities` names it' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from suggest" -l since -d 'What was done from a time on, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from suggest" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from suggest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from requests" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from requests" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from requests" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -l reason -d 'Kept in the history' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -l digest -d 'Only if the content is still the one that you have seen: the start of its digest' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -l break-glass -d 'Without a second person, for an hour at most; everybody is told'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from reject" -l reason -d 'Kept in the history' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from reject" -l digest -d 'Only if the content is still the one that you have seen: the start of its digest' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from reject" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from reject" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from reject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from show" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -l identity -d 'Refuse this identity everything, whatever grants say, until `weir deny remove`' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -l why -d 'Kept in the history' -r
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -l all -d 'All its rights, from files, too'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand grant; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand deny; and not __fish_seen_subcommand_from add list remove" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand deny; and not __fish_seen_subcommand_from add list remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand deny; and not __fish_seen_subcommand_from add list remove" -f -a "add" -d 'Add a deny rule; it is in force when the command returns'
complete -c weir -n "__fish_weir_using_subcommand deny; and not __fish_seen_subcommand_from add list remove" -f -a "list" -d 'List deny rules'
complete -c weir -n "__fish_weir_using_subcommand deny; and not __fish_seen_subcommand_from add list remove" -f -a "remove" -d 'Remove a deny rule that was added with `weir deny add` or `weir policy apply`'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l unit -d 'Systemd unit, as in batch.service; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l slice -d 'Systemd slice, as in agents.slice' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l user-unit -d 'Unit of a user\'s own manager; users name these, so give --unit user@UID.service too' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l container -d 'Container by its full id' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l container-name -d 'Container by its name; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l image -d 'Containers of an image, as in ghcr.io/org/app:1; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l pod -d 'Kubernetes pod by its UID' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l namespace -d 'Pods of a Kubernetes namespace' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l service-account -d 'Pods of a Kubernetes service account' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l pod-label -d 'Pods with this label. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l cgroup -d 'Cgroup below the root of the hierarchy, with everything below it' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l task -d 'Registered task by its id' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l exe -d 'Processes of this executable, as in /usr/bin/curl' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l user -d 'Processes of this user: a name or a UID' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l endpoint -d 'Endpoint or provider; `*` for all. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l cidr -d 'Network, as in 10.0.0.0/8. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l reason -d 'Why, for those who are refused' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l any -d 'Everybody'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from remove" -l why -d 'Kept in the history' -r
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from remove" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand deny; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "check" -d 'Check files by themselves; needs no agent'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "test" -d 'Run the tests that stand beside a policy; needs no agent'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "apply" -d 'Install all objects of files, or none if there is a mistake'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "diff" -d 'Show what files would change, and who would gain or lose which endpoints'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "show" -d 'Print everything that is in force'
complete -c weir -n "__fish_weir_using_subcommand policy; and not __fish_seen_subcommand_from check test apply diff show remove" -f -a "remove" -d 'Remove an object that was installed with `apply`, `grant issue` or `deny add`'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from check" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from test" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from test" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from apply" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from apply" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -l against -d 'Judge recorded calls instead: which that went through would be refused in that mode, by the running policy or, with files, by what would run' -r -f -a "enforce\t''"
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -l since -d 'With --against: calls from a time on, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -l whole -d 'These are all policy files: what stands in others in the policy directory is gone'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from show" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from remove" -l why -d 'Kept in the history' -r
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from remove" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand policy; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and not __fish_seen_subcommand_from list match" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand endpoints; and not __fish_seen_subcommand_from list match" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and not __fish_seen_subcommand_from list match" -f -a "list" -d 'List all endpoints'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and not __fish_seen_subcommand_from list match" -f -a "match" -d 'Show which endpoints a host name belongs to, and who says so'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from list" -l provider -d 'Only this provider' -r
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from match" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from match" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand endpoints; and __fish_seen_subcommand_from match" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand prices" -l model -d 'Only this model; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand prices" -l config -d 'Configuration file of the agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand prices" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand prices" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand prices" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand identities" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand identities" -l live -d 'Only those that have a cgroup now'
complete -c weir -n "__fish_weir_using_subcommand identities" -l tree -d 'Draw slices, units, containers and what is below them'
complete -c weir -n "__fish_weir_using_subcommand identities" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand identities" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand explain" -l pid -d 'A running process' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l cgroup -d 'A cgroup' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l identity -d 'An identity, as `weir identities` prints it' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l event -d 'Who and where of an event, by its id' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l endpoint -d 'A model endpoint by name' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l host -d 'A host name' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l address -d 'An address and port, as in 192.0.2.1:443' -r
complete -c weir -n "__fish_weir_using_subcommand explain" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand explain" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand who" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand who" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand who" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand connections" -l identity -d 'Only this identity\'s' -r
complete -c weir -n "__fish_weir_using_subcommand connections" -l endpoint -d 'Only those to this endpoint' -r
complete -c weir -n "__fish_weir_using_subcommand connections" -l top -d 'At most so many, those with the most bytes' -r
complete -c weir -n "__fish_weir_using_subcommand connections" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand connections" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand connections" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand audit; and not __fish_seen_subcommand_from list verify export" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand audit; and not __fish_seen_subcommand_from list verify export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand audit; and not __fish_seen_subcommand_from list verify export" -f -a "list" -d 'List the newest records'
complete -c weir -n "__fish_weir_using_subcommand audit; and not __fish_seen_subcommand_from list verify export" -f -a "verify" -d 'Find out whether records were changed, removed or added; exit code 1 if so'
complete -c weir -n "__fish_weir_using_subcommand audit; and not __fish_seen_subcommand_from list verify export" -f -a "export" -d 'Print all records for another program, one JSON object a line'
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l since -d 'Only since a time, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l action -d 'Only of this action, as in grant-revoked' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l name -d 'Only about what has this name' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l limit -d 'How many at most' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from verify" -l state-dir -d 'Read this state directory instead of asking the agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from verify" -l expect -d 'A record that has to be there, as an earlier verification printed it. May be given again' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from verify" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from export" -l format -d 'Form of the objects' -r -f -a "jsonl\t'As `weir audit list --json` has them'
ocsf\t'Open Cybersecurity Schema Framework, version 1.5.0'"
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from export" -l since -d 'Only since a time, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from export" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand audit; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand report" -l since -d 'From a time on, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand report" -l format -d 'How it looks' -r -f -a "text\t'For people'
json\t'For programs'"
complete -c weir -n "__fish_weir_using_subcommand report" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -f -a "list" -d 'List what was unusual, the newest first'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -f -a "show" -d 'Show one anomaly and what it was found by'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -f -a "ack" -d 'Take note of an anomaly, so that it is not listed any more'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -f -a "mute" -d 'Have nobody told of some anomalies for a time; they are kept all the same'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and not __fish_seen_subcommand_from list show ack mute replay" -f -a "replay" -d 'Say what would have been found in recorded counts; needs no agent'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l since -d 'Only those that were seen since a time, or for a duration up to now' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l kind -d 'Only of this kind' -r -f -a "unusual-volume\t''
refused-storm\t''
first-use\t''
dormant-woke\t''
bypasses-gateway\t''
unused-grant\t''"
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l identity -d 'Only of this identity' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l endpoint -d 'Only at this endpoint' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l limit -d 'How many at most' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l all -d 'Also acknowledged and muted ones'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l open -d 'Only those that go on'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from show" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from ack" -l why -d 'What it was' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from ack" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from ack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l kind -d 'Only of this kind' -r -f -a "unusual-volume\t''
refused-storm\t''
first-use\t''
dormant-woke\t''
bypasses-gateway\t''
unused-grant\t''"
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l identity -d 'Only of identities with this name; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l endpoint -d 'Only at endpoints with this name; `*` stands for any characters' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l end -d 'End the mute of this number' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l for -d 'For how long, as in 2h' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l why -d 'Why nobody needs to know' -r
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -l list -d 'List the mutes that hold'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from mute" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l input -d 'CSV with a header, ordered by time within each series' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l output -d 'CSV to write; replaced when all is done' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l hints -d 'CSV of series and timestamp: something was deployed or announced then' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l metric -d 'What is counted, where the input has no such column' -r -f -a "calls\t''
cost\t''"
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l profile -d 'How to score' -r -f -a "default\t'As the agent does: too many calls, too much cost'
benchmark\t'Novelty of values that are no counts and may be negative; raises no alerts'"
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand anomalies; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand run" -l endpoint -d 'Endpoint or provider; several with commas or given again' -r
complete -c weir -n "__fish_weir_using_subcommand run" -l plane -d 'invoke, manage or resolve [default: invoke; and resolve, for encrypted-dns]' -r
complete -c weir -n "__fish_weir_using_subcommand run" -l purpose -d 'What for' -r
complete -c weir -n "__fish_weir_using_subcommand run" -l ttl -d 'How long at most, as in 10m' -r
complete -c weir -n "__fish_weir_using_subcommand run" -l limit -d 'How much at most, as in connections=20/hour, bytes=5MB/day, calls=100/hour or cost=2.50/day' -r
complete -c weir -n "__fish_weir_using_subcommand run" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand selftest" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand selftest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand detach" -l pin-dir -d 'Directory of the pins' -r -F
complete -c weir -n "__fish_weir_using_subcommand detach" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand detach" -l force -d 'Even though an agent is running: what it has taken over from an earlier one ends at once'
complete -c weir -n "__fish_weir_using_subcommand detach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand completions" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c weir -n "__fish_weir_using_subcommand man" -l socket -d 'Socket of the running agent' -r -F
complete -c weir -n "__fish_weir_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
