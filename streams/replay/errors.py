"""What ends a replay before its time, beside what is away (schemas/errors.py)."""


class Stopped(Exception):
    """Somebody asked for it; what was finished until then is kept where that is possible."""


class ProcessLost(Exception):
    """A process ended without a word: killed, as for want of memory."""


class FolderTaken(Exception):
    """Somebody else is writing into that folder, or it holds something else."""


class StoreTaken(Exception):
    """That database is not one that a replay may write into."""
