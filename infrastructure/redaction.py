"""Secrets taken out of text before it is logged, stored or shown."""

from __future__ import annotations

import os
import re

_KEY = re.compile(r"(?i)(bearer\s+|\b(?:sk|pk|key|gsk|xai)-)[\w.*~+/=-]{4,}")
_SECRET_ENDINGS = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_MIN_SECRET_CHARS = 6


def hide_secrets(text: str) -> str:
    """The text with whatever looks like a key, and the secrets of the environment, taken out."""
    # Names first: a value is decoded each time that it is asked for, and few are secret.
    named = [os.environ.get(name, "") for name in os.environ if name.endswith(_SECRET_ENDINGS)]
    secrets = [value for value in named if len(value) >= _MIN_SECRET_CHARS]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _KEY.sub(r"\1***", text)
