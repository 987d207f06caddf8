"""What an agent's function asked while it worked, and what it was answered."""

from __future__ import annotations

from collections import OrderedDict

from genesis.agents.wire import AssignedMessage
from infrastructure.a2a.types import Message

# Nobody may ever answer, and messages may hold files.
_MAX_WAITING = 100


class Conversations:
    """Tasks that wait for an answer: the messages that they began with, and what was said since."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[Message, tuple[str, ...]]] = OrderedDict()

    def keep(self, task_id: str, message: Message, question: str) -> None:
        """Note that a task waits for the answer to a question."""
        first, notes = self.told(message)
        self._waiting[task_id] = first, (*notes, f"you asked: {question}")
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popitem(last=False)

    def forget(self, task_id: str) -> None:
        """A task has ended."""
        self._waiting.pop(task_id, None)

    def told(self, message: Message) -> tuple[Message, tuple[str, ...]]:
        """The message that the task began with, and the questions and answers since.

        A run keeps its own questions, so its answer counts even where the question was asked by a
        process that has ended; it comes with the whole assignment again.
        """
        first, notes = self._waiting.get(message.task_id, (message, ()))
        local = isinstance(message, AssignedMessage)
        answers = bool(message.task_id) if local else first is not message
        if not answers:
            return message, ()
        return (message if local else first), (*notes, f"the answer: {message.text}")
