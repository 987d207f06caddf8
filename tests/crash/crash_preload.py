"""What the processes of the crash tests have in common, made once before they are forked.

Importing this imports all that a run needs and fits what reads requests, which costs more than the
run itself. No thread is left behind: a fork would not have it.
"""

from __future__ import annotations

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import crash_world

from genesis import graph, orchestrator
from genesis.planning.reader import RequestReader
from genesis.tasks.infer import TaskTypeInferrer
from infrastructure.embeddings.builtin import BuiltinEmbedder

__all__ = ["crash_world", "graph", "orchestrator"]

_embedder = BuiltinEmbedder()
TaskTypeInferrer(_embedder).infer("Please do all of the work")
RequestReader(_embedder).read("do all of the work", ())
