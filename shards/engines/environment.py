"""The environment that worker processes start with: one thread each, and memory that is kept for the next source."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Set to 1: W workers with a thread pool each would fight over the cores."""

ALLOCATOR_VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(1 << 28), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}
"""For glibc, which by default hands arrays of megabytes back to the system when they are freed: the pages of the next ones
are then faulted in anew, which takes longer than drawing a mesh. Other allocators do not look at these."""


def worker_variables(environment: dict[str, str]) -> dict[str, str]:
    """What to set for workers, given the present environment: an allocator setting that is there stays."""
    threads = dict.fromkeys(THREAD_VARIABLES, "1")
    return threads | {name: environment.get(name, value) for name, value in ALLOCATOR_VARIABLES.items()}
