-- When counts were taken over: without it, an empty minute may be a quiet one or one that nobody saw.
-- In the order in which they were made; instants in microseconds since 1970.
CREATE TABLE measured (
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
