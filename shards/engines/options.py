"""How an engine spreads the work and how long it bears with one source; none of it has a say in a shard's bytes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EngineOptions(BaseModel):
    """What an engine is told besides the work itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_workers: int | None = Field(
        None,
        ge=0,
        description="processes of their own that write shards, so that a source that kills its process costs the run "
        "nothing; by default 1, or with the engine ray one for each CPU that Ray has, also of nodes that join later; 0 works "
        "in the calling process, whatever the engine, for a debugger",
    )
    time_limit: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds a source may take, the warm-up of a fresh process included; after that it counts as one that "
        "killed its process; none by default",
    )
    memory_limit: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="resident memory, in GB, that a worker may take, looked at five times a second; after that the source "
        "counts as one that killed its process; none by default",
    )
    address: str | None = Field(
        None,
        description="of the Ray cluster to work on, host:port or auto, for the engine ray; by default that of RAY_ADDRESS, "
        "and without it Ray is started on this machine for the time of the run",
    )
    gpus_per_worker: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="GPUs, or the share of one, that the engine ray sets aside for each worker",
    )
