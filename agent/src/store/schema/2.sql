-- Labels that nothing is looked up by, as one JSON object: new ones need no new table.
ALTER TABLE identity ADD COLUMN more TEXT NOT NULL DEFAULT '{}';
