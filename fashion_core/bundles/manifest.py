"""``manifest.json``, the last member of a bundle: what is in it, and what each member should be."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field, StringConstraints

from fashion_core import __version__
from fashion_core.bundles.layout import FORMAT, ID, VERSION

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Id = Annotated[str, StringConstraints(pattern=f"^{ID.pattern}$".replace(r"\d", "[0-9]"))]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Strict):
    name: str = Field(max_length=100)
    bytes: int = Field(ge=0)
    sha256: _Sha256


class Manifest(_Strict):
    format: Literal["fashion-core bundle"] = FORMAT
    version: Literal[1] = VERSION
    app: str = Field(default=__version__, max_length=100)  # the version that wrote it
    created: AwareDatetime
    runs: tuple[_Id, ...] = Field(min_length=1)  # parents before those resumed from them
    gone: tuple[_Id, ...] = ()  # parents of theirs that the store had no more
    members: Annotated[tuple[Member, ...], FailFast()]  # all others, in their order
