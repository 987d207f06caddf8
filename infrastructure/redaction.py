"""Secrets taken out of text before it is logged, stored or shown."""

from __future__ import annotations

import os
import re

_KEY = re.compile(r"(?i)(bearer\s+|\b(?:sk|pk|key|gsk|xai)-)[\w.*~+/=-]{4,}")
_SECRET_NAME = re.compile(r"(_API_KEY|_TOKEN|_SECRET|_PASSWORD)$")
_MIN_SECRET_CHARS = 6


def hide_secrets(text: str) -> str:
    """The text with whatever looks like a key, and the secrets of the environment, taken out."""
    secrets = [
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value) >= _MIN_SECRET_CHARS
    ]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _KEY.sub(r"\1***", text)
