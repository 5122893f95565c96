-- The same instant on the clock of one boot, which nobody sets; null where it was not noted.
ALTER TABLE first_seen ADD COLUMN boot TEXT;
ALTER TABLE first_seen ADD COLUMN boot_ns INTEGER;
-- What a person has approved counts from then.
UPDATE first_seen SET at = approved.at
FROM (
    SELECT life.name, life.digest, MAX(step.at) AS at
    FROM grant_step AS step JOIN grant_life AS life ON life.id = step.life
    WHERE life.place < 2 AND step.step IN ('approve', 'break-glass')
    GROUP BY life.name, life.digest
) AS approved
WHERE first_seen.kind = 'InvocationGrant'
    AND first_seen.name = approved.name AND first_seen.digest = approved.digest;
