"""The filter of system calls: asked from inside, and its numbers compared with libseccomp's."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import pytest
from confined_python import run_inside, said_inside

from infrastructure.errors import SandboxUnavailable
from infrastructure.sandbox import syscalls
from infrastructure.sandbox.seccomp import filter_program

CALL = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    found = libc.syscall(number, *arguments)
    return errno.errorcode[ctypes.get_errno()] if found < 0 else "allowed"
"""
COLUMN = ["x86_64", "aarch64"].index(platform.machine())


async def test_every_denied_call_is_refused(tmp_path: Path) -> None:
    numbers = {name: row[COLUMN] for name, row in syscalls.DENIED.items()}
    numbers = {name: number for name, number in numbers.items() if number is not None}
    # -1 everywhere: were a call let through, it would fail by itself, and otherwise than so.
    code = f"{CALL}\nprint(*(call(n, *[-1] * 6) for n in {list(numbers.values())!r}))"
    answers = dict(zip(numbers, (await said_inside(code, tmp_path)).split(), strict=True))
    assert set(answers.values()) == {"EPERM"}, answers


def test_what_has_been_used_to_break_out_is_among_them() -> None:
    named = "ptrace mount keyctl bpf perf_event_open unshare io_uring_setup kexec_load init_module"
    assert set(named.split()) <= set(syscalls.DENIED)


async def test_new_namespaces_are_refused_whichever_way(tmp_path: Path) -> None:
    clone = syscalls.CLONE[COLUMN]
    flags = [0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000, 0x04000000, 0x08000000]
    code = f"{CALL}\nprint(*(call({clone}, flag | 17, 0, 0, 0, 0) for flag in {flags}))"
    code += "\nprint(call(435, 0, 0))"
    answers = (await said_inside(code, tmp_path)).split()
    assert answers == ["EPERM"] * len(flags) + ["ENOSYS"]


async def test_newer_calls_than_the_filter_knows_are_refused(tmp_path: Path) -> None:
    code = f"{CALL}\nprint(*(call(n) for n in ({syscalls.LAST_KNOWN + 1}, 500, 0x40000000 + 39)))"
    assert (await said_inside(code, tmp_path)).split() == ["ENOSYS"] * 3


async def test_only_unix_and_ip_sockets_are_made(tmp_path: Path) -> None:
    """AF_VSOCK reaches the machine's host, AF_ALG and others have had many holes."""
    code = f"{CALL}\nprint([f for f in range(64) if call({syscalls.SOCKET[COLUMN]}, f, 2, 0)"
    code += " != 'EPERM'])"
    assert await said_inside(code, tmp_path) == "[1, 2, 10]"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")
async def test_calls_of_another_machine_type_end_the_program(tmp_path: Path) -> None:
    """`int 0x80` takes 32-bit numbers, which mean other calls: 20 there is writev here."""
    code = """
    import ctypes, mmap
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    print("lived on")
    """
    done = await run_inside(code, tmp_path)
    assert (done.returncode, done.stdout) == (-31, "")  # SIGSYS


@pytest.mark.parametrize(("column", "machine"), [(0, 0xC000003E), (1, 0xC00000B7)])
def test_numbers_are_those_of_libseccomp(column: int, machine: int) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    tables = {**syscalls.DENIED, **syscalls.UNKNOWN}
    tables |= {"clone": syscalls.CLONE, "socket": syscalls.SOCKET, "ioctl": syscalls.IOCTL}
    tables["personality"] = syscalls.PERSONALITY
    found: dict[str, int | None] = {}
    for name in tables:
        number = library.seccomp_syscall_resolve_name_arch(machine, name.encode())
        found[name] = number if number >= 0 else None
    newer = {"set_mempolicy_home_node"}  # than the oldest libseccomp that is in use
    expected = {name: row[column] for name, row in tables.items()}
    different = {
        name: (number, found[name])
        for name, number in expected.items()
        if number != found[name] and name not in newer
    }
    assert not different


def test_each_machine_type_gets_its_own_filter() -> None:
    assert filter_program("x86_64") != filter_program("aarch64")
    assert len(filter_program("x86_64")) % 8 == 0
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        filter_program("riscv64")
