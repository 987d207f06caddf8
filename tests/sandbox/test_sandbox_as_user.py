"""The same walls for an ordinary user, whom a user namespace confines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

import infrastructure
from infrastructure.sandbox.identity import new_identity

USER = 54_321
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.runner import run_sandboxed

CODE = '''
import ctypes, glob, json, os, signal
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
def tried(action):
    try: return repr(action())
    except OSError as error: return type(error).__name__
made = 0
while True:
    try:
        if os.fork() == 0: signal.pause()
    except OSError: break
    made += 1
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": status["CapEff"].strip() + status["CapBnd"].strip(),
    "data": open("data.txt").read(),
    "outside": tried(lambda: open("../outside.txt").read()),
    "secret": "swordfish" in "".join(open(p).read() for p in glob.glob("/proc/[0-9]*/environ")),
    "usr": tried(lambda: open("/usr/x", "w")),
    "unshare": ctypes.CDLL(None).unshare(0x10000000),
    "made": made,
}))
'''

async def main():
    folder = Path(sys.argv[1])
    done = await run_sandboxed(
        [sys.executable, "-c", CODE], cwd=folder, workspace=folder,
        policy=SandboxPolicy(wall_s=30, processes=25),
    )
    assert done.returncode == 0, done
    print(done.stdout)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that another user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="genesis-user-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all the other tests as such")
def test_an_ordinary_user_has_the_same_walls(folder: Path) -> None:
    python = next((path for path in ("/usr/bin/python3", sys.executable) if usable(path)), None)
    if python is None:
        pytest.skip("there is no Python 3.11 that an ordinary user may run")
    source = Path(infrastructure.__file__).parent
    target = folder / "infrastructure"
    shutil.copytree(source / "sandbox", target / "sandbox")
    shutil.copy(source / "errors.py", target)
    (target / "__init__.py").touch()
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "data.txt").write_text("seven")
    (folder / "outside.txt").write_text("swordfish")
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [python, str(folder / "program.py"), str(workspace)],
        user=USER,
        group=USER,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "SECRET": "swordfish"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert 15 <= said.pop("made") < 25
    assert said == {
        "uid": 1000,
        "capabilities": "0" * 32,
        "data": "seven",
        "outside": "FileNotFoundError",
        "secret": False,
        "usr": "OSError",
        "unshare": -1,
    }


def usable(python: str) -> bool:
    """Whether an ordinary user can run this Python, and it is new enough."""
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        done = subprocess.run(
            [python, "-c", code], user=USER, group=USER, extra_groups=[], check=False, cwd="/"
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands over to another user")
def test_root_hands_over_to_a_new_user_each_time() -> None:
    identities = [new_identity() for _ in range(20)]
    assert all(identity.from_root and identity.number > 65_536 for identity in identities)
    assert len({identity.number for identity in identities}) > 15
