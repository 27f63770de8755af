"""One exception hierarchy. The command line prints the message as one line and exits with `status`."""

from __future__ import annotations


class DentryproofError(Exception):
    """Base of every error that is the user's to mend; its text is one line."""

    status = 2


class UsageError(DentryproofError):
    """The command line asks for something that does not exist."""


class AbsentError(UsageError):
    """What is named (a filesystem, an operations table, a clause) is not there."""


class InputError(DentryproofError):
    """A file or folder that was named cannot be read as what it should be."""


class ModelError(InputError):
    """A model file lacks a field, or a field has the wrong form."""


class ClusterError(DentryproofError):
    """The cluster that was to do the work is not there, has no workers, or has some of another version."""


class SpecificationError(DentryproofError):
    """A file under spec/ contradicts itself: a defect of this project."""


class InternalError(DentryproofError):
    """The tool caught itself disagreeing with itself, e.g. a trace that does not replay."""

    status = 70


class DisagreementError(InternalError):
    """Two solvers disagree. It ends the run, however many filesystems there are."""


class Unsayable(DentryproofError):
    """A form that an obligation is exported to has no words for it; the text says what it lacks."""
