"""Ray Jobs: https://docs.ray.io/en/latest/cluster/running-applications/job-submission/."""

import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fashion_core.errors import EngineError, printable
from fashion_core.runs.launchers.base import Answer, Task

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

INSTALL: Final = "pip install 'ray[default]>=2.50,<3'"
NOT_PLACED_IN_TIME: Final = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"


class RayJobs:
    title: Final = "Ray"

    def __init__(self, address: str) -> None:
        self.address = address  # of its dashboard: HOST:PORT

    @cached_property
    def _client(self) -> "JobSubmissionClient":
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(f"http://{self.address}")

    def submit(self, task: Task) -> str:
        job_id = f"{task.run_id}-{secrets.token_hex(2)}"
        with self._errors():
            self._client.submit_job(
                entrypoint=f"exec {shlex.join(task.command)} >> {shlex.quote(str(task.log))} 2>&1",
                submission_id=job_id,
                runtime_env={"env_vars": dict(task.variables)},
                entrypoint_num_cpus=task.resources.cpus,
                entrypoint_num_gpus=task.resources.gpus,
            )
        return job_id

    def cancel(self, job_id: str, run_id: str) -> None:
        if job_id.startswith(run_id):
            with self._errors():
                self._client.stop_job(job_id)

    def answers(self) -> Mapping[str, Answer]:
        with self._errors():
            return {job.submission_id: _answer(job) for job in self._client.list_jobs() if job.submission_id}

    def printed(self, job_id: str, folder: Path) -> str:
        with self._errors():
            return self._client.get_job_logs(job_id)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            from ray.exceptions import RayError
        except ImportError as error:
            raise EngineError(f"Ray is not installed here: {INSTALL}.") from error
        try:
            yield
        except OSError as error:  # of requests too
            raise EngineError(
                f"Ray can't be reached at {self.address}: check that its dashboard runs there."
            ) from error
        except ValueError as error:  # what it lists is not what this version of its library reads
            raise EngineError(f"Ray at {self.address} answers in a form that is not known here: {INSTALL}.") from error
        except (RuntimeError, RayError) as error:
            reason = printable(str(error).partition("\n")[0]).rstrip(".")
            raise EngineError(f"Ray at {self.address} refuses: {reason}.") from error


def _answer(job: "JobDetails") -> Answer:
    said = printable((job.message or "").partition("\n")[0])
    words = f"{job.status}: {said}" if job.status in ("PENDING", "FAILED") and said else str(job.status)
    if job.status == "PENDING":
        return Answer("waiting", words)
    if job.status == "RUNNING":
        return Answer("running", words)
    return Answer("expired" if job.error_type == NOT_PLACED_IN_TIME else "ended", words)
