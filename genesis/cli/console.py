"""The command's terminal: what others wrote can neither steer it nor be cut off by it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from infrastructure.text import strip_control

# Without a terminal nothing is folded or cut: the reader is another program.
_WIDTH_OF_A_PIPE: Final = 1000


class SafeConsole(Console):
    """A Rich console on which texts cannot move the cursor, set titles or reverse the writing.

    Names of files, cells, error messages and answers come from elsewhere; what Rich itself sends
    (colours, the live table) are control segments and styles, and stay.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable, their texts without control characters."""
        for segment in super().render(renderable, options):
            if segment.is_control:
                yield segment
            else:
                yield Segment(strip_control(segment.text), segment.style)


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console for stdout or stderr: as wide as the terminal, and unbounded in a pipe."""
    made = SafeConsole(stderr=stderr, highlight=False, soft_wrap=soft_wrap)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH_OF_A_PIPE
    return made
