"""What a program inside the sandbox cannot see, reach, write or call: asked from inside."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from confined_python import run_inside, said_inside

from infrastructure.sandbox.runner import run_sandboxed

SECRET = "swordfish-4711"

TRY = """
def tried(action):
    try:
        return repr(action())
    except OSError as error:
        return type(error).__name__
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "data.txt").write_text("seven")
    (tmp_path / "outside.txt").write_text(SECRET)
    return folder


async def test_the_workspace_is_seen_and_a_copy(workspace: Path) -> None:
    code = """
    import pathlib
    print(pathlib.Path.cwd(), pathlib.Path("data.txt").read_text())
    pathlib.Path("data.txt").write_text("changed")
    pathlib.Path("new.txt").write_text("new")
    print(sorted(path.name for path in pathlib.Path().iterdir()))
    """
    said = await said_inside(code, workspace)
    assert said.splitlines() == [f"{workspace} seven", "['data.txt', 'new.txt']"]
    assert (workspace / "data.txt").read_text() == "seven"
    assert [path.name for path in workspace.iterdir()] == ["data.txt"]


async def test_files_outside_the_workspace_do_not_exist(workspace: Path) -> None:
    paths = [str(workspace.parent / "outside.txt"), "/etc/shadow", "/root/.bashrc", "/sys", "/home"]
    paths += ["/var", "/run", "/proc/1/root/var", "/dev/mem", "/dev/kmsg", "/proc/kcore"]
    code = f"{TRY}\nfor path in {paths!r}: print(tried(lambda: open(path, 'rb').read(10)))"
    said = (await said_inside(code, workspace)).split()
    allowed = {"FileNotFoundError", "PermissionError", "NotADirectoryError"}
    assert set(said) <= allowed, dict(zip(paths, said, strict=True))


async def test_links_out_of_the_workspace_lead_nowhere(workspace: Path) -> None:
    (workspace / "up").symlink_to("../outside.txt")
    (workspace / "absolute").symlink_to(workspace.parent / "outside.txt")
    (workspace / "folder").symlink_to(workspace.parent, target_is_directory=True)
    (workspace / "inner").symlink_to("data.txt")
    code = f"""{TRY}
for path in ("up", "absolute", "folder/outside.txt", "inner"):
    print(tried(lambda: open(path).read()))
"""
    said = (await said_inside(code, workspace)).split()
    assert said == ["FileNotFoundError"] * 3 + ["'seven'"]


async def test_places_of_credentials_are_left_out_of_the_copy(workspace: Path) -> None:
    for name in (".env", ".netrc", ".git-credentials"):
        (workspace / name).write_text(SECRET)
    (workspace / ".git").mkdir()
    (workspace / ".git" / "config").write_text(SECRET)
    said = await said_inside("import os; print(sorted(os.listdir()))", workspace)
    assert said == "['data.txt']"


async def test_hard_links_and_closed_files_do_not_hinder_the_copy(workspace: Path) -> None:
    (workspace / "twin.txt").hardlink_to(workspace / "data.txt")
    (workspace / "-rf").write_text("a name like an option")
    (workspace / "new\nline").write_text("a name of two lines")
    said = await said_inside("import os; print(sorted(os.listdir()))", workspace)
    assert said == r"['-rf', 'data.txt', 'new\nline', 'twin.txt']"


async def test_passwords_of_package_indexes_are_not_read(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = workspace.parent / "environment"
    environment.mkdir()
    (environment / "pip.conf").write_text(SECRET)
    (environment / "seen.txt").write_text("seen")
    monkeypatch.setattr(sys, "exec_prefix", str(environment))
    code = f"{TRY}\nfor name in ('seen.txt', 'pip.conf'):"
    code += f"\n    print(tried(lambda: open({str(environment)!r} + '/' + name).read()))"
    assert (await said_inside(code, workspace)).split() == ["'seen'", "PermissionError"]


async def test_hidden_folders_are_left_out_of_the_copy(workspace: Path) -> None:
    (workspace / "data" / "runs").mkdir(parents=True)
    done = await run_sandboxed(
        ["/bin/ls"], cwd=workspace, workspace=workspace, hidden=[workspace / "data"]
    )
    assert done.stdout.split() == ["data.txt"]


async def test_of_a_hidden_folder_only_what_is_shown_is_copied(workspace: Path) -> None:
    kept = workspace / "kept"
    for name in ("mine", "theirs"):
        (kept / name).mkdir(parents=True)
        (kept / name / "secret").write_text(name)
    (kept / "note").write_text("x")
    done = await run_sandboxed(
        ["/usr/bin/find", "kept", "-type", "f"],
        cwd=workspace,
        workspace=workspace,
        hidden=[kept],
        shown=[kept / "mine"],
    )
    assert done.stdout.split() == ["kept/mine/secret"], done


async def test_no_variable_of_this_process_is_seen(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    code = f"""{TRY}
import os, glob
print(dict(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    print(path, tried(lambda: open(path, "rb").read()))
"""
    said = await said_inside(code, workspace)
    assert "/proc/1/environ" in said
    assert SECRET not in said
    assert "SOME_API_KEY" not in said


async def test_only_its_own_processes_are_seen(workspace: Path) -> None:
    said = await said_inside(
        "import os; print([p for p in os.listdir('/proc') if p.isdigit()], os.getppid())", workspace
    )
    assert said == "['1', '2'] 1"


async def test_no_file_descriptor_is_inherited(workspace: Path) -> None:
    with socket.socket() as held:  # as any other descriptor of this process
        assert held.fileno() > 2
        said = await said_inside("import os; print(os.listdir('/proc/self/fd'))", workspace)
    assert said == "['0', '1', '2', '3']"  # the third is the listing's own


async def test_there_is_no_network(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""{TRY}
import socket, os
print(tried(lambda: socket.create_connection(("127.0.0.1", {port}), timeout=5)))
print(tried(lambda: socket.create_connection(("192.0.2.1", 53), timeout=5)))
print(tried(lambda: socket.getaddrinfo("example.org", 80)))
print([line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line])
own = socket.create_server(("127.0.0.1", 0))
print(bool(socket.create_connection(own.getsockname())))
"""
        said = (await said_inside(code, workspace)).splitlines()
    assert said == ["ConnectionRefusedError", "OSError", "gaierror", "['lo']", "True"]


async def test_abstract_sockets_of_the_machine_are_not_reached(workspace: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        name = f"\0genesis-test-{workspace.parent.name}"
        server.bind(name)
        server.listen()
        code = f"{TRY}\nimport socket\ns = socket.socket(socket.AF_UNIX)"
        code += f"\nprint(tried(lambda: s.connect({name!r})))"
        assert await said_inside(code, workspace) == "ConnectionRefusedError"


async def test_nothing_outside_the_copy_can_be_written(workspace: Path) -> None:
    paths = ["/x", "/usr/x", "/etc/x", "/dev/x", "/proc/sys/kernel/core_pattern", sys.prefix + "/x"]
    paths += ["/etc/passwd", "/proc/sysrq-trigger", "/bin/sh", "/lib/x", sys.base_prefix + "/x"]
    code = f"{TRY}\nfor path in {paths!r}: print(tried(lambda: open(path, 'a')))"
    said = (await said_inside(code, workspace)).split()
    allowed = {"OSError", "PermissionError", "FileNotFoundError"}
    assert set(said) <= allowed, dict(zip(paths, said, strict=True))


async def test_it_has_no_privilege_and_cannot_gain_one(workspace: Path) -> None:
    code = f"""{TRY}
import os, pathlib, shutil
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(os.getuid() == 0, *(status[f"Cap{{kind}}"].strip() for kind in ("Prm", "Eff", "Bnd", "Amb")))
print(status["NoNewPrivs"].strip(), status["Seccomp"].strip())
print(tried(lambda: os.setuid(0)), tried(lambda: os.setgroups([0])))
shutil.copy("/usr/bin/id", "own"); os.chmod("own", 0o6755)
print(os.popen("./own -u").read().strip() == str(os.getuid()))
print(tried(lambda: os.mknod("device", 0o60666, os.makedev(8, 0))))
print(tried(lambda: os.chroot(".")))
"""
    said = (await said_inside(code, workspace)).splitlines()
    assert said == [
        "False " + " ".join(["0" * 16] * 4),
        "1 2",
        said[2],
        "True",
        "PermissionError",
        "PermissionError",
    ]
    assert set(said[2].split()) <= {"PermissionError", "OSError"}


async def test_it_is_the_first_to_go_when_memory_is_short(workspace: Path) -> None:
    code = "print(open('/proc/self/oom_score_adj').read())"
    assert await said_inside(code, workspace) == "1000"


async def test_it_cannot_end_or_trace_what_keeps_it(workspace: Path) -> None:
    code = f"""{TRY}
import os, signal
tried(lambda: os.kill(1, signal.SIGKILL))
tried(lambda: os.kill(-1, 0))
print(os.getppid(), tried(lambda: os.kill(4194303, 0)))
"""
    assert await said_inside(code, workspace) == "1 ProcessLookupError"


async def test_a_terminal_cannot_be_typed_into(workspace: Path) -> None:
    code = f"""{TRY}
import fcntl, os, pty, termios
_, terminal = pty.openpty()
print(tried(lambda: fcntl.ioctl(terminal, termios.TIOCSTI, b"x")))
print(tried(lambda: open("/dev/tty")))
"""
    assert (await said_inside(code, workspace)).split() == ["PermissionError", "OSError"]


async def test_ordinary_work_is_not_hindered(workspace: Path) -> None:
    """Threads, processes, pipes, locks, shared memory, time zones, accounts, subprocesses."""
    code = """
    import concurrent.futures, getpass, multiprocessing, pwd, os, subprocess, tempfile, threading
    def double(n): return 2 * n
    with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(double, [1, 2]))
    with concurrent.futures.ThreadPoolExecutor(8) as pool: print(list(pool.map(double, [3])))
    print(subprocess.run(["sh", "-c", "echo hello"], capture_output=True, text=True).stdout.strip())
    with tempfile.NamedTemporaryFile() as file: print(file.write(b"x"))
    print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir, os.path.expanduser("~"))
    import ssl, sqlite3, ctypes, asyncio
    async def main():
        process = await asyncio.create_subprocess_exec("true"); print(await process.wait())
    asyncio.run(main())
    """
    said = (await said_inside(code, workspace)).splitlines()
    assert said == ["[2, 4]", "[6]", "hello", "1", "sandbox /tmp /tmp", "0"]


async def test_exit_codes_and_signals_come_back(workspace: Path) -> None:
    assert (await run_inside("import sys; sys.exit(3)", workspace)).returncode == 3
    assert (await run_inside("import os; os.kill(os.getpid(), 11)", workspace)).returncode == -11
