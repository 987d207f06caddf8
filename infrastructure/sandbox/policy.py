"""What a sandboxed command may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """Limits of one command and of all that it starts.

    Attributes:
        wall_s: seconds until it is stopped.
        cpu_s: processor seconds of each process.
        memory_bytes: memory of all processes together.
        address_space_bytes: virtual memory of each process.
        file_bytes: size of each file that it writes.
        open_files: file descriptors of each process.
        processes: processes and threads at once.
        scratch_bytes: what each writable folder takes besides its first content: the private copy
            of the workspace, and the folder for temporary files.
        artifact_bytes: what the artifacts folder may hold.
        artifact_files: how many files and folders the artifacts folder may hold.
        stream_bytes: kept of each of stdout and stderr.
        copy_bytes: largest workspace that is copied.
        copy_files: most files, folders and links of a workspace that is copied.
    """

    wall_s: float = 60.0
    cpu_s: int = 600
    memory_bytes: int = 2 * _GIB
    address_space_bytes: int = 8 * _GIB
    file_bytes: int = 256 * _MIB
    open_files: int = 256
    processes: int = 128
    scratch_bytes: int = 256 * _MIB
    artifact_bytes: int = 256 * _MIB
    artifact_files: int = 10_000
    stream_bytes: int = 1 * _MIB
    copy_bytes: int = 256 * _MIB
    copy_files: int = 20_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} of a sandbox policy must be positive")
