-- Who began an upload. Of those before it is whose the object will be, which it
-- mostly is.
ALTER TABLE upload ADD COLUMN initiator text NOT NULL DEFAULT '';
UPDATE upload SET initiator = owner;
