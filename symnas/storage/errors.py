"""What goes wrong with stores."""


class StorageError(RuntimeError):
    """A store cannot be opened, read or written; the message says what to do.

    Example:

    >>> import symnas as sn
    >>> try:
    ...     sn.load_study("no/such/folder/studies.db", "first")
    ... except sn.StorageError as error:
    ...     print(error)
    There is no store at ...no/such/folder/studies.db.
    """
