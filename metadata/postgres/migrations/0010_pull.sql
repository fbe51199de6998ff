-- What makes a bucket a pull zone; empty for all others.
ALTER TABLE bucket ADD COLUMN pull json NOT NULL DEFAULT '{}';
