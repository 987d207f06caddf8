"""Which files may be given to whoever asks for a run: those in the run's own folder alone.

What agents hand in names their files, and a name may lead anywhere.
"""

from __future__ import annotations

from pathlib import Path


def own_file(path: str, run_id: str, data_dir: Path) -> Path | None:
    """The file itself, links resolved; None when it is none, or lies outside the run's folder.

    Args:
        path: as the run's result names it.
        run_id: of the whole run.
        data_dir: the setting; the run's files lie in its `runs/<run_id>/`.
    """
    real, runs = Path(path).resolve(), (data_dir / "runs").resolve()
    folder = runs / run_id
    if folder.parent != runs or run_id in (".", ".."):
        return None
    return real if real.is_relative_to(folder) and real.is_file() else None
