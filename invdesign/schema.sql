-- Facts about the store itself, such as the simulator it belongs to.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- Finished evaluations, by content. A retried crash is a further attempt: no evaluation is ever changed or removed.
CREATE TABLE evaluations (
    key TEXT NOT NULL, attempt INTEGER NOT NULL,
    identity TEXT NOT NULL, level INTEGER NOT NULL, replicate INTEGER NOT NULL,
    design BLOB NOT NULL, response BLOB, error TEXT, failure TEXT,
    cpu_seconds REAL NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (key, attempt)
) WITHOUT ROWID;
-- One row a (cotangents, gradient) pair asked of an evaluation.
CREATE TABLE gradients (
    key TEXT NOT NULL, cotangent_key TEXT NOT NULL,
    cotangents BLOB NOT NULL, gradient BLOB NOT NULL, cpu_seconds REAL NOT NULL,
    PRIMARY KEY (key, cotangent_key)
) WITHOUT ROWID;
-- Trained networks, search trials and other computations, keyed by their inputs.
CREATE TABLE artefacts (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL, cpu_seconds REAL NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
-- What each run asked for, in order, and what it was charged.
CREATE TABLE runs (
    run TEXT PRIMARY KEY, name TEXT NOT NULL, provenance TEXT NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE journal (
    run TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    cpu_seconds REAL NOT NULL, overhead_seconds REAL NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
-- Verified designs of a run: binarised, simulated at the reference.
CREATE TABLE candidates (
    run TEXT NOT NULL, number INTEGER NOT NULL, label TEXT NOT NULL,
    design BLOB NOT NULL, responses BLOB NOT NULL, loss REAL NOT NULL, distance REAL NOT NULL,
    cpu_seconds REAL NOT NULL, reference_solves INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
-- How a finished run ended: its costs and its convergence check.
CREATE TABLE endings (run TEXT PRIMARY KEY, summary TEXT NOT NULL) WITHOUT ROWID;
