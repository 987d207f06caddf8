"""The filter of system calls, as a program of the kernel's classic BPF.

Denied are: what `syscalls.DENIED` names, new namespaces, sockets of other families than Unix and
IP, input put into terminals, calls of another machine type than the program's own, and calls newer
than this list. Everything else is left to namespaces, limits and file permissions.

The program is assembled here, in the kernel's own format (linux/filter.h, linux/seccomp.h), so
that no library is needed; the tests compare the numbers with libseccomp's.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Callable
from functools import cache

from infrastructure.errors import SandboxUnavailable
from infrastructure.sandbox import syscalls

# Position in the tables of `syscalls`, and AUDIT_ARCH_* of linux/audit.h.
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWNS
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PERSONALITIES = (0, 0xFFFFFFFF)  # Linux, and the question which one it is

_Steps = list[tuple[int, int, int, int]]


@cache
def filter_program(machine: str = platform.machine()) -> bytes:
    """The assembled filter: instructions of struct sock_filter, ready for bubblewrap.

    Raises:
        SandboxUnavailable: the machine type is not known here.
    """
    known = _MACHINES.get(machine)
    if known is None:
        raise SandboxUnavailable(
            f"the sandbox knows the system calls of {' and '.join(_MACHINES)}, not of {machine}"
        )
    column, audit = known
    steps: _Steps = [
        (_LOAD, 0, 0, _MACHINE),
        (_JUMP_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_refused(_JUMP_ABOVE, syscalls.LAST_KNOWN, errno.ENOSYS),
    ]
    for numbers in syscalls.UNKNOWN.values():
        steps += _refused(_JUMP_EQUAL, numbers[column], errno.ENOSYS)
    for numbers in syscalls.DENIED.values():
        number = numbers[column]
        if number is not None:
            steps += _refused(_JUMP_EQUAL, number, errno.EPERM)
    steps += _looked_at(syscalls.CLONE[column], 0, _no_bit_of(_NEW_NAMESPACES))
    steps += _looked_at(syscalls.SOCKET[column], 0, _one_of(*_FAMILIES))
    steps += _looked_at(syscalls.IOCTL[column], 1, _none_of(*_TERMINAL_INPUT))
    steps += _looked_at(syscalls.PERSONALITY[column], 0, _one_of(*_PERSONALITIES))
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _refused(test: int, value: int, error: int) -> _Steps:
    """Answer with an error when the number passes a test; go on otherwise."""
    return [(test, 0, 1, value), (_RETURN, 0, 0, _ERRNO | error)]


def _looked_at(number: int, argument: int, decide: Callable[[], _Steps]) -> _Steps:
    """Decide a call by the lower half of one argument; other calls go past."""
    load = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)
    body = [load, *decide()]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _no_bit_of(mask: int) -> Callable[[], _Steps]:
    return lambda: [(_JUMP_ANY_BIT, 0, 1, mask), _denied(), _allowed()]


def _one_of(*values: int) -> Callable[[], _Steps]:
    def decide() -> _Steps:
        tests: _Steps = [
            (_JUMP_EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)
        ]
        return [*tests, _denied(), _allowed()]

    return decide


def _none_of(*values: int) -> Callable[[], _Steps]:
    def decide() -> _Steps:
        tests: _Steps = [
            (_JUMP_EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)
        ]
        return [*tests, _allowed(), _denied()]

    return decide


def _allowed() -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ALLOW)


def _denied() -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | errno.EPERM)
