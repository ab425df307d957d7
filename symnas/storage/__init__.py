"""Studies that are kept in a database."""

from symnas.storage.errors import StorageError as StorageError
from symnas.storage.opening import StudySummary as StudySummary
from symnas.storage.opening import delete_study as delete_study
from symnas.storage.opening import list_studies as list_studies
from symnas.storage.opening import load_study as load_study
