"""The tables of home.db, as the steps that made them: a release adds steps, and never changes one.

consents   what the user agreed to and took back, by purpose; only ever added to
egress     what left this device; never inputs or answers
answers    answers by the digest of what was asked
deferred   cases that wait for the cloud, sealed with the app's key
servers    what a server was found to be able to do
flags      the document of feature flags that was fetched last
counters   how often something happened that would else go unnoticed
"""

from __future__ import annotations

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE consents (
            id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, granted INTEGER NOT NULL, version TEXT NOT NULL,
            at REAL NOT NULL, digest TEXT NOT NULL) STRICT""",
        """CREATE TABLE egress (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, destination TEXT NOT NULL, purpose TEXT NOT NULL,
            why TEXT NOT NULL, bytes INTEGER NOT NULL, policy TEXT NOT NULL, bundle TEXT NOT NULL,
            reduced TEXT NOT NULL, outcome TEXT NOT NULL) STRICT""",
        "CREATE INDEX egress_by_why ON egress (why, at)",
        """CREATE TABLE answers (
            key TEXT PRIMARY KEY, origin TEXT NOT NULL, at REAL NOT NULL, bytes INTEGER NOT NULL,
            data BLOB NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE deferred (
            id TEXT PRIMARY KEY, bundle TEXT NOT NULL, at REAL NOT NULL, bytes INTEGER NOT NULL, key TEXT NOT NULL,
            sealed BLOB NOT NULL, claimed REAL NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE servers (
            server TEXT PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE flags (
            name TEXT PRIMARY KEY, version INTEGER NOT NULL, at REAL NOT NULL,
            data BLOB NOT NULL) STRICT, WITHOUT ROWID""",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
)
