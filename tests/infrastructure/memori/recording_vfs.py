"""What SQLite asks of the file system, recorded in order, and made to fail on demand.

While `recorded()` is open, every database that this process opens goes through SQLite's own file
system with a few of its functions replaced: they note writes, truncations, syncs and changes of
folders, and pass them on. Nothing is compiled; the functions are put in by ctypes.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Created:
    """A file that was not there; its name is lost in a power cut until its folder is synced."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """A file's name was removed; it comes back in a power cut until its folder is synced."""

    path: str


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that are lost in a power cut until the file is synced."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    """A size that is lost in a power cut until the file is synced."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class SyncBegun:
    """From here on, what was written before is on its way."""

    file: int


@dataclass(frozen=True, slots=True)
class Synced:
    """What was written before the sync began is durable."""

    file: int


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """The names in a folder are durable."""

    folder: str


@dataclass(frozen=True, slots=True)
class Told:
    """A note of the test's own, such as a write that was acknowledged."""

    what: Any


Event: TypeAlias = (
    Created | Deleted | Written | Truncated | SyncBegun | Synced | FolderSynced | Told
)
Call: TypeAlias = Literal["write", "truncate", "sync"]
Fault: TypeAlias = Callable[[Call, str], int]
"""What a call on a path answers: 0 to go ahead, else SQLite's error code."""


def _healthy(call: Call, path: str) -> int:
    return 0


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, of which a file's first word points to one."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("xClose", ctypes.c_void_p),
        ("xRead", ctypes.c_void_p),
        ("xWrite", ctypes.c_void_p),
        ("xTruncate", ctypes.c_void_p),
        ("xSync", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 13),
    )


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs` of version 3."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p),
        ("zName", ctypes.c_char_p),
        ("pAppData", ctypes.c_void_p),
        ("xOpen", ctypes.c_void_p),
        ("xDelete", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 11),
        ("xSetSystemCall", ctypes.c_void_p),
        ("xGetSystemCall", ctypes.c_void_p),
        ("xNextSystemCall", ctypes.c_void_p),
    )


_int, _int64, _pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_XClose: Final = ctypes.CFUNCTYPE(_int, _pointer)
_XWrite: Final = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _int64)
_XTruncate: Final = ctypes.CFUNCTYPE(_int, _pointer, _int64)
_XSync: Final = ctypes.CFUNCTYPE(_int, _pointer, _int)
_XOpen: Final = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_XDelete: Final = ctypes.CFUNCTYPE(_int, _pointer, ctypes.c_char_p, _int)
_SetCall: Final = ctypes.CFUNCTYPE(_int, _pointer, ctypes.c_char_p, _pointer)
_GetCall: Final = ctypes.CFUNCTYPE(_pointer, _pointer, ctypes.c_char_p)
_OpenFolder: Final = ctypes.CFUNCTYPE(_int, ctypes.c_char_p, _pointer)


class RecordingVfs:
    """The functions in SQLite's place, and what they noted.

    Attributes:
        events: in the order that they happened, over all files.
        fault: asked before every write, truncation and sync.
    """

    def __init__(self, library: ctypes.CDLL, default: int) -> None:
        self.events: list[Event] = []
        self.fault: Fault = _healthy
        self._library = library
        self._default = default
        self._files: dict[str, int] = {}
        self._opened: dict[int, tuple[int, str]] = {}
        self._methods: dict[int, _Methods] = {}
        self._folders = threading.local()
        own = _Vfs.from_buffer_copy(_Vfs.from_address(default))
        self._open_below = _XOpen(own.xOpen)
        self._delete_below = _XDelete(own.xDelete)
        self._set_call = _SetCall(own.xSetSystemCall)
        self._open_folder_below = _OpenFolder(
            _GetCall(own.xGetSystemCall)(default, b"openDirectory")
        )
        # They must live for as long as SQLite may call them.
        self._kept: list[Any] = [_XOpen(self._open), _XDelete(self._delete)]
        own.zName, own.pNext = b"recording", None
        own.xOpen, own.xDelete = (_address(function) for function in self._kept)
        self._own = own
        self._open_folder_callback = _OpenFolder(self._open_folder)

    def install(self) -> None:
        """Have every database opened from now on recorded."""
        self._set_call(self._default, b"openDirectory", _address(self._open_folder_callback))
        assert self._library.sqlite3_vfs_register(ctypes.byref(self._own), 1) == 0

    def remove(self) -> None:
        """Put everything back; every database must be closed."""
        assert not self._opened, f"left open: {self._opened.values()}"
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._own))
        self._library.sqlite3_vfs_register(_pointer(self._default), 1)
        self._set_call(self._default, b"openDirectory", None)

    def tell(self, what: Any) -> None:
        """Note something of the test's own."""
        self.events.append(Told(what))

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        new = not Path(path).exists()
        code = self._open_below(self._default, name, file, flags, out)
        if code != 0 or not path:
            return code
        if new or path not in self._files:
            self._files[path] = len(self.events)
            self.events.append(Created(path, self._files[path]))
        self._opened[file] = self._files[path], path
        below = _pointer.from_address(file)
        assert below.value is not None
        if below.value not in self._methods:
            self._methods[below.value] = self._wrapped(_Methods.from_address(below.value))
        below.value = ctypes.addressof(self._methods[below.value])
        return code

    def _wrapped(self, below: _Methods) -> _Methods:
        close_below, write_below = _XClose(below.xClose), _XWrite(below.xWrite)
        truncate_below, sync_below = _XTruncate(below.xTruncate), _XSync(below.xSync)

        def close(file: int) -> int:
            self._opened.pop(file)
            return close_below(file)

        def write(file: int, data: int, size: int, offset: int) -> int:
            number, path = self._opened[file]
            if code := self.fault("write", path):
                return code
            self.events.append(Written(number, offset, ctypes.string_at(data, size)))
            return write_below(file, data, size, offset)

        def truncate(file: int, size: int) -> int:
            number, path = self._opened[file]
            if code := self.fault("truncate", path):
                return code
            self.events.append(Truncated(number, size))
            return truncate_below(file, size)

        def sync(file: int, flags: int) -> int:
            number, path = self._opened[file]
            if code := self.fault("sync", path):
                return code
            self.events.append(SyncBegun(number))
            code = sync_below(file, flags)
            if code == 0:
                self.events.append(Synced(number))
                self._note_folder()
            return code

        functions = (_XClose(close), _XWrite(write), _XTruncate(truncate), _XSync(sync))
        self._kept.extend(functions)
        own = _Methods.from_buffer_copy(below)
        own.xClose, own.xWrite, own.xTruncate, own.xSync = map(_address, functions)
        return own

    def _delete(self, _: int, name: bytes, sync_folder: int) -> int:
        code = self._delete_below(self._default, name, sync_folder)
        if code == 0:
            self.events.append(Deleted(os.fsdecode(name)))
            self._note_folder()
        return code

    def _open_folder(self, name: bytes, descriptor: int) -> int:
        """SQLite opens a folder only to sync it, before the call that needs it returns."""
        self._folders.opened = str(Path(os.fsdecode(name)).parent)
        return self._open_folder_below(name, descriptor)

    def _note_folder(self) -> None:
        folder, self._folders.opened = getattr(self._folders, "opened", None), None
        if folder is not None:
            self.events.append(FolderSynced(folder))


@contextmanager
def recorded() -> Generator[RecordingVfs]:
    """Record every database that is opened within; all are to be closed when it ends."""
    library = _library()
    vfs = RecordingVfs(library, library.sqlite3_vfs_find(None))
    vfs.install()
    try:
        yield vfs
    finally:
        vfs.remove()


def _library() -> ctypes.CDLL:
    """The SQLite that Python's module uses: linked to it, or within it or the interpreter."""
    for name in (getattr(_sqlite3, "__file__", None), None):
        library = ctypes.CDLL(name)
        if hasattr(library, "sqlite3_vfs_register"):
            library.sqlite3_vfs_find.restype = _pointer
            library.sqlite3_libversion.restype = ctypes.c_char_p
            assert library.sqlite3_libversion().decode() == sqlite3.sqlite_version
            return library
    raise AssertionError(
        "this Python hides the functions of its SQLite, so a power cut cannot be simulated: run "
        "the tests with a Python that is linked to the system's SQLite"
    )


def _address(function: Any) -> int | None:
    return ctypes.cast(function, _pointer).value
