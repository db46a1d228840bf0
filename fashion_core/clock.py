"""What time it is, asked for in one place."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def now() -> float:
    """Seconds since 1970."""
    return utc_now().timestamp()
