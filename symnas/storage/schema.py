"""The tables of a stored study."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

# Raised by one with every change of these tables, together with a migration.
SCHEMA_VERSION = 1

metadata = MetaData()

# One row; what is not a store of ours has no such table.
version = Table(
    "symnas_version", metadata, Column("version", Integer, primary_key=True)
)

studies = Table(
    "symnas_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("seed", BigInteger, nullable=False),
    Column("lag", Integer),
    Column("objectives", Text, nullable=False),  # JSON list
    Column("algorithm", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("space", Text, nullable=False),  # JSON, as of `SearchSpace.to_json`
    Column("created", Float, nullable=False),  # seconds since the epoch
)

trials = Table(
    "symnas_trials",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("genotype", Text, nullable=False),  # JSON list
    Column("tells_seen", Integer, nullable=False),  # Results known at the proposal.
    Column("worker", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("begun", Float, nullable=False),  # seconds since the epoch
    Column("done_seq", Integer),  # Results are told in this order.
    Column("rewards", Text),  # JSON list, as given, not signed
    Column("seconds", Float),
    Column("metrics", Text),  # JSON object
    Column("metadata", Text),  # JSON object
    Column("error", Text),
    Column("stopped_early", Boolean),
)
Index("symnas_trials_by_end", trials.c.study_id, trials.c.done_seq)

measurements = Table(
    "symnas_measurements",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON object
)

# A worker is alive while its beats go on. Others count them with clocks of their own,
# so a clock that is set back or forward ends no lease.
workers = Table(
    "symnas_workers",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, primary_key=True),
    Column("beats", Integer, nullable=False),
)
