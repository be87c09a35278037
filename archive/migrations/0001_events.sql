-- Events as their streams have them, one row each.
--
-- Names are compared byte by byte (COLLATE "C"): they are no words, and an index over them outlives an upgrade of
-- the C library, which may sort words anew.
CREATE TABLE events (
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint           NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    type         text COLLATE "C" NOT NULL, -- as in the schema: agents.squad.v1.AgentMessage
    agent        text COLLATE "C",
    kind         text COLLATE "C",
    published_at timestamptz      NOT NULL, -- when the stream stored it
    headers      jsonb            NOT NULL, -- {"name": ["value", ..], ..}
    payload      bytea            NOT NULL, -- as it was published, unknown fields and all
    archived_at  timestamptz      NOT NULL DEFAULT now(),

    -- The time makes it one event also where a stream is deleted and begins at 1 again, as that of a bus in memory does
    -- with every start of its program.
    PRIMARY KEY (stream, sequence, published_at)
);

-- One for each question. All end in the order of pages.
CREATE INDEX events_by_time  ON events (published_at, stream, sequence);
CREATE INDEX events_by_type  ON events (type, published_at, stream, sequence);
CREATE INDEX events_by_kind  ON events (type, kind, published_at, stream, sequence) WHERE kind IS NOT NULL;
CREATE INDEX events_by_agent ON events (agent, published_at, stream, sequence) WHERE agent IS NOT NULL;
