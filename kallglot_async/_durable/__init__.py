"""A batch that outlives its process: one SQLite file is its journal and its result.

From the bottom: `report` (how far a batch has come, and what an outcome makes of an id), `schema` (the file, its tables
and migrations), `identity` (what a file is for), `lock` (one writer at a time), `rows` (an outcome as a row, and
back), `writer` (the thread that owns the connection), `export` (outcomes in another file), `file` (`BatchFile`: what
can be done without a client), `source` (which ids a run takes up, in which order), `runner` (waits and fetches
through the client's own calls), `asking` (requests analyses, and creates none twice), `batch` (`DurableBatch`: what
`client.open_batch` gives).
"""
