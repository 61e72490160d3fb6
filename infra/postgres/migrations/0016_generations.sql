-- Which rows a watermark is about: another number after `python -m streams.cli rebuild` has put others in their place, so that
-- a worker forgets what it remembers of the ones before.
ALTER TABLE watermarks ADD COLUMN generation int NOT NULL DEFAULT 1;
