"""``status.json``: where a run stands, as its writer says and as its process shows."""

from pathlib import Path

from fashion_core import files
from fashion_core.errors import DamagedFileError
from fashion_core.runs import processes
from fashion_core.runs.launchers import engines
from fashion_core.runs.schema import State, Status, cached_record

STARTING_SECONDS = 5.0  # how long a run that was given to a worker may be without the worker's identity


class StatusFile:
    """The status of one run folder, and the file beside it that asks the worker to stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status_path = path / "status.json"
        self.stop_path = path / "stop"

    @property
    def status(self) -> Status:
        """What the writer last said; a damaged file counts as a lost run's, with the reason. Raises ``DiskError``."""
        try:
            return cached_record(self.status_path, Status)
        except DamagedFileError as error:
            return Status(state="lost", queued_at=0, heartbeat=0, error=str(error))

    def read_status(self) -> Status:
        return cached_record(self.status_path, Status)

    def write_status(self, status: Status) -> None:
        """Replace the status; only for the holder of the lock. Raises ``DiskError``."""
        files.write_json(self.status_path, status.model_dump(mode="json"), durable=False)

    def overwrite_status(self, status: Status) -> None:
        """Write the status on a full disk: over the old one, in the block that it has. Raises ``DiskError``."""
        with files.disk_errors(self.status_path), self.status_path.open("r+b") as file:
            file.write(status.model_dump_json().encode())
            file.truncate()

    def state(self, status: Status | None = None) -> State:
        """The state to show: a dead worker makes a running run lost, a stop file makes it stopping."""
        status = status or self.status
        if status.state != "running":
            return status.state
        if self._has_worker(status):
            return "stopping" if self.stop_path.exists() else "running"
        latest = self.status  # it may have ended well since that status was read
        return "lost" if latest == status else self.state(latest)

    def _has_worker(self, status: Status) -> bool:
        """As its engine says; where that can't be reached, or there is none, as its process and heartbeat show."""
        if answer := engines.answer(status.job):
            return answer.state != "ended"
        if status.process:
            return processes.seems_alive(self.path, status.process, status.heartbeat)
        return abs(files.now() - status.heartbeat) < STARTING_SECONDS

    def ended_cleanly(self) -> bool:
        """Whether its writer finished writing: it was not killed, and the disk was not full."""
        return self.status.state in ("finished", "stopped")
