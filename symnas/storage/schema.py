"""The tables of a database of studies. All text is JSON, names or messages."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
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
    Column("algorithm", Text, nullable=False),  # as it prints
    Column("fingerprint", Text, nullable=False),
    Column("decisions", Text, nullable=False),  # JSON, see `decisions.py`
    Column("outline", Text, nullable=False),  # the space as code, for people
    Column("checksum", Text, nullable=False),  # SHA-256 of the texts above
    Column("created", Double, nullable=False),  # seconds since the epoch
    # Every transaction that writes begins by counting here, which also locks the row.
    Column("num_trials", Integer, nullable=False, default=0),
    Column("num_ended", Integer, nullable=False, default=0),
    Column("num_measurements", Integer, nullable=False, default=0),
    Column("stopped_by", Integer, nullable=False, default=0),  # the trial, or 0
    # A worker of a study that was deleted must not find another one in its place.
    sqlite_autoincrement=True,
)

trials = Table(
    "symnas_trials",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("genotype", Text, nullable=False),  # JSON list
    Column("budget", Integer),  # the step at which the evaluation is to end
    Column("results_seen", Integer, nullable=False),  # told before it was proposed
    Column("worker", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("begun", Double, nullable=False),  # seconds since the epoch
    Column("end_number", Integer),  # results are told in this order
    Column("rewards", Text),  # JSON list, as given
    Column("seconds", Double),
    Column("metrics", Text),  # JSON object
    Column("metadata", Text),  # JSON object
    Column("error", Text),
    Column("stopped_early", Boolean),
    sqlite_with_rowid=False,  # The rows lie in the index of their key.
)
_has_ended = trials.c.end_number.is_not(None)
Index(
    "symnas_trials_by_end",
    trials.c.study_id,
    trials.c.end_number,
    sqlite_where=_has_ended,
    postgresql_where=_has_ended,
)

measurements = Table(
    "symnas_measurements",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trial_id", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),  # those of earlier ones do not count
    Column("step", BigInteger, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON object
    sqlite_with_rowid=False,
)

# What each study was begun with, for people; stores of earlier versions have no such table.
environments = Table(
    "symnas_environments",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("environment", Text, nullable=False),  # JSON object
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
