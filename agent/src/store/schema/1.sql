-- Names and the numbers that the kernel knows them by. A number is never used again.
CREATE TABLE identity (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL UNIQUE,
    cgroup     TEXT NOT NULL,
    unit       TEXT,
    slice      TEXT,
    container  TEXT,
    pod        TEXT,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

CREATE TABLE endpoint (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL UNIQUE
) STRICT;

-- Networks that deny rules name; the kernel's number is this one plus a constant.
CREATE TABLE prefix (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE rule (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;

-- When exactly this object was first seen: the start of a `ttl`.
CREATE TABLE first_seen (
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    digest TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (kind, name, digest)
) STRICT, WITHOUT ROWID;

-- Policy objects made over the API.
CREATE TABLE object (
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    yaml       TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE removed_object (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    yaml       TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    removed_by TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    why        TEXT
) STRICT;

-- The policy files that ran last without a mistake.
CREATE TABLE snapshot_file (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;

CREATE TABLE revision (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    newest       INTEGER NOT NULL,
    snapshot     INTEGER,
    installed_at INTEGER
) STRICT;
INSERT INTO revision (id, newest) VALUES (1, 0);

-- Usage by minute. Counts are unsigned, stored bit for bit.
CREATE TABLE usage (
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

-- The kernel's counters as they were when they were last added to `usage`.
CREATE TABLE watermark (
    generation           INTEGER NOT NULL,
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
    PRIMARY KEY (generation, identity, endpoint, rule, reason)
) STRICT, WITHOUT ROWID;

-- The last addresses of endpoints' hosts: a restarted agent knows them before it has asked.
CREATE TABLE host_address (
    host    TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (host, address)
) STRICT, WITHOUT ROWID;

-- The newest events.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    verdict     INTEGER NOT NULL,
    reason      INTEGER NOT NULL,
    identity    INTEGER NOT NULL,
    endpoint    INTEGER NOT NULL,
    rule        INTEGER NOT NULL,
    address     TEXT NOT NULL,
    port        INTEGER NOT NULL,
    is_udp      INTEGER NOT NULL,
    is_shared   INTEGER NOT NULL,
    pid         INTEGER,
    comm        TEXT,
    exe         TEXT,
    cgroup      TEXT,
    bytes_out   INTEGER,
    bytes_in    INTEGER,
    duration_ms INTEGER
) STRICT;
