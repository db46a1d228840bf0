"""The time, as the records of a run hold it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def now() -> float:
    """Seconds since 1970."""
    return utc_now().timestamp()
