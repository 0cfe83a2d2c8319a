"""The tables of home.db, as the steps that made them: a release adds steps, and never changes one.

consents     what the user agreed to and took back, by purpose; only ever added to
egress       what left this device; never inputs or answers
answers      answers by the digest of what was asked
deferred     cases that wait for the cloud, sealed with the app's key
servers      what a server was found to be able to do
flags        the document of feature flags that was fetched last
assignments  where on the line of shares this device stands in a rollout
exposures    which digest served first in a rollout, and when
times        the latest time that a signature told
vetoes       digests that this device does not run any more, and why
loads        digests that a process holds, and how far it came with them
trials       how often a digest on trial served well, or died before it answered
shadows      how a candidate answered beside the model that serves
counters     how often something happened that would else go unnoticed
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
        """CREATE TABLE assignments (
            flag TEXT NOT NULL, rollout TEXT NOT NULL, position INTEGER NOT NULL,
            PRIMARY KEY (flag, rollout)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE exposures (
            family TEXT NOT NULL, rollout TEXT NOT NULL, variant TEXT NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL,
            PRIMARY KEY (family, rollout, variant, digest)) STRICT, WITHOUT ROWID""",
        "CREATE TABLE times (name TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE vetoes (
            digest TEXT PRIMARY KEY, kind TEXT NOT NULL, message TEXT NOT NULL, at REAL NOT NULL)
            STRICT, WITHOUT ROWID""",
        """CREATE TABLE loads (
            owner TEXT NOT NULL, digest TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (owner, digest)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE trials (
            digest TEXT PRIMARY KEY, good INTEGER NOT NULL, died INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE shadows (
            current TEXT NOT NULL, candidate TEXT NOT NULL, data TEXT NOT NULL,
            PRIMARY KEY (current, candidate)) STRICT, WITHOUT ROWID""",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
)
