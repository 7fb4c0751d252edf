"""Where requests go, and with which key: the settings, else the environment, else the default endpoint.

An address that holds a user, a password or a query is refused: it would be kept with every answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from tui_lookups.errors import LookupsError

KEY_VARIABLE = "OPENAI_API_KEY"
BASE_URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""The key sent where there is none: local servers want a header and do not look at it."""


class ExplainerError(LookupsError):
    """The endpoint cannot be used as it is set up: no key, refused, unreachable, over its limits."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `base_url` has neither user, query nor fragment, nor a slash at its end."""

    base_url: str
    model: str

    @property
    def is_default(self) -> bool:
        return self.base_url == DEFAULT_BASE_URL

    @property
    def is_local(self) -> bool:
        """Whether requests stay on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.base_url).scheme == "https"


def find_endpoint(base_url: str | None, model: str) -> Endpoint:
    """The endpoint of the settings, else of OPENAI_BASE_URL, else the default one.

    Raises ExplainerError for a text that is no URL, or holds what may be a secret.
    """
    chosen = base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    try:
        parts = urlsplit(chosen.strip())
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise ExplainerError(
            "The base URL of the explainer is not a valid http or https URL.",
            "Write it like http://127.0.0.1:8000/v1.",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ExplainerError(
            "The base URL of the explainer holds a user, a password or a query, which would be kept with "
            "every answer.",
            f"Leave those out and give the key in {KEY_VARIABLE}.",
        )
    return Endpoint(chosen.strip().rstrip("/"), model)


def key_of_environment() -> str:
    """The API key in OPENAI_API_KEY; "" where there is none."""
    return os.environ.get(KEY_VARIABLE, "").strip()


def find_key(endpoint: Endpoint, given: str | None = None) -> str:
    """The API key: as given, else of OPENAI_API_KEY; a stand-in for an endpoint of one's own without any.

    Raises ExplainerError when the default endpoint has none, or it cannot be a header. Never names it.
    """
    key = given.strip() if given else key_of_environment()
    if not key:
        if endpoint.is_default:
            raise ExplainerError(
                f"Explanations need an API key, and {KEY_VARIABLE} is not set.",
                f"Set {KEY_VARIABLE}, or point --base-url (or {BASE_URL_VARIABLE}) at a server of your own, "
                "such as vLLM, Ollama or llama.cpp.",
            )
        return NO_KEY
    if not key.isascii() or not key.isprintable() or " " in key:
        of = "that was given" if given else f"in {KEY_VARIABLE}"
        raise ExplainerError(
            f"The API key {of} holds characters that no key has.", "Copy it again, in one line."
        )
    return key
