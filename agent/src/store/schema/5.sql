ALTER TABLE event ADD COLUMN script TEXT;
ALTER TABLE event ADD COLUMN user INTEGER;
-- No column is null: absent ones are '' and -1, so that rows can be told apart.
CREATE TABLE process_usage (
    minute INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    exe TEXT NOT NULL,
    script TEXT NOT NULL,
    user INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    denied INTEGER NOT NULL,
    would_deny INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    PRIMARY KEY (minute, identity, endpoint, exe, script, user)
) STRICT, WITHOUT ROWID;
