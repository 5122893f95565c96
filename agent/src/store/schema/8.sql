-- Usage by hour and by day: the same counts once more, so that minutes can be dropped. In each of
-- these tables `minute` is the first minute of the period.
CREATE TABLE usage_hour (
    minute               INTEGER NOT NULL,
    identity             INTEGER NOT NULL,
    endpoint             INTEGER NOT NULL,
    rule                 INTEGER NOT NULL,
    reason               INTEGER NOT NULL,
    connects_allowed     INTEGER NOT NULL,
    connects_denied      INTEGER NOT NULL,
    connects_would_deny  INTEGER NOT NULL,
    datagrams_allowed    INTEGER NOT NULL,
    datagrams_denied     INTEGER NOT NULL,
    datagrams_would_deny INTEGER NOT NULL,
    udp_connects         INTEGER NOT NULL,
    closed               INTEGER NOT NULL,
    bytes_out            INTEGER NOT NULL,
    bytes_in             INTEGER NOT NULL,
    first_seen           INTEGER NOT NULL,
    last_seen            INTEGER NOT NULL,
    PRIMARY KEY (minute, identity, endpoint, rule, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_day (
    minute               INTEGER NOT NULL,
    identity             INTEGER NOT NULL,
    endpoint             INTEGER NOT NULL,
    rule                 INTEGER NOT NULL,
    reason               INTEGER NOT NULL,
    connects_allowed     INTEGER NOT NULL,
    connects_denied      INTEGER NOT NULL,
    connects_would_deny  INTEGER NOT NULL,
    datagrams_allowed    INTEGER NOT NULL,
    datagrams_denied     INTEGER NOT NULL,
    datagrams_would_deny INTEGER NOT NULL,
    udp_connects         INTEGER NOT NULL,
    closed               INTEGER NOT NULL,
    bytes_out            INTEGER NOT NULL,
    bytes_in             INTEGER NOT NULL,
    first_seen           INTEGER NOT NULL,
    last_seen            INTEGER NOT NULL,
    PRIMARY KEY (minute, identity, endpoint, rule, reason)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_hour
SELECT minute / 60 * 60, identity, endpoint, rule, reason,
       SUM(connects_allowed), SUM(connects_denied), SUM(connects_would_deny),
       SUM(datagrams_allowed), SUM(datagrams_denied), SUM(datagrams_would_deny),
       SUM(udp_connects), SUM(closed), SUM(bytes_out), SUM(bytes_in),
       MIN(first_seen), MAX(last_seen)
FROM usage GROUP BY 1, 2, 3, 4, 5;

INSERT INTO usage_day
SELECT minute / 1440 * 1440, identity, endpoint, rule, reason,
       SUM(connects_allowed), SUM(connects_denied), SUM(connects_would_deny),
       SUM(datagrams_allowed), SUM(datagrams_denied), SUM(datagrams_would_deny),
       SUM(udp_connects), SUM(closed), SUM(bytes_out), SUM(bytes_in),
       MIN(first_seen), MAX(last_seen)
FROM usage_hour GROUP BY 1, 2, 3, 4, 5;

-- A minute tells itself when something was seen, an hour does not.
ALTER TABLE process_usage ADD COLUMN first_seen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE process_usage ADD COLUMN last_seen INTEGER NOT NULL DEFAULT 0;
UPDATE process_usage SET first_seen = minute * 60000000, last_seen = minute * 60000000;

CREATE TABLE process_usage_hour (
    minute     INTEGER NOT NULL,
    identity   INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    exe        TEXT NOT NULL,
    script     TEXT NOT NULL,
    user       INTEGER NOT NULL,
    allowed    INTEGER NOT NULL,
    denied     INTEGER NOT NULL,
    would_deny INTEGER NOT NULL,
    closed     INTEGER NOT NULL,
    bytes_out  INTEGER NOT NULL,
    bytes_in   INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (minute, identity, endpoint, exe, script, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE process_usage_day (
    minute     INTEGER NOT NULL,
    identity   INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    exe        TEXT NOT NULL,
    script     TEXT NOT NULL,
    user       INTEGER NOT NULL,
    allowed    INTEGER NOT NULL,
    denied     INTEGER NOT NULL,
    would_deny INTEGER NOT NULL,
    closed     INTEGER NOT NULL,
    bytes_out  INTEGER NOT NULL,
    bytes_in   INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (minute, identity, endpoint, exe, script, user)
) STRICT, WITHOUT ROWID;

INSERT INTO process_usage_hour
SELECT minute / 60 * 60, identity, endpoint, exe, script, user,
       SUM(allowed), SUM(denied), SUM(would_deny), SUM(closed), SUM(bytes_out), SUM(bytes_in),
       MIN(first_seen), MAX(last_seen)
FROM process_usage GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO process_usage_day
SELECT minute / 1440 * 1440, identity, endpoint, exe, script, user,
       SUM(allowed), SUM(denied), SUM(would_deny), SUM(closed), SUM(bytes_out), SUM(bytes_in),
       MIN(first_seen), MAX(last_seen)
FROM process_usage_hour GROUP BY 1, 2, 3, 4, 5, 6;

-- From which minute on periods of so many minutes are kept; no row where nothing was dropped.
CREATE TABLE usage_kept (
    period INTEGER PRIMARY KEY,
    minute INTEGER NOT NULL
) STRICT;
