"""Access as it is configured: the authorities that know tokens, and the allowance of each caller."""

from __future__ import annotations

import os

from propensity.access.authorization import Allowance, Authority
from propensity.access.tokens import FILE_VARIABLE, Tokens


def authorities() -> list[Authority]:
    """The authorities that know tokens: the tokens file, the issuer of JWTs, or both.

    Raises:
        TokensError: neither is configured, or the file can't be used.
        SettingError: the issuer is configured only in part, or wrongly.
    """
    issuer = None
    if any(name.startswith("PROPENSITY_JWT_") for name in os.environ):
        # Imported late: only workers that take JWTs load its libraries.
        from propensity.access.issuer import Issuer  # noqa: PLC0415

        issuer = Issuer.from_environment()
    if issuer is None:
        return [Tokens.from_environment()]
    return [Tokens.from_environment(), issuer] if os.environ.get(FILE_VARIABLE) else [issuer]


def allowance() -> Allowance | None:
    """The allowance of each caller; None if requests are not limited.

    Raises:
        SettingError: the limit can't be used.
    """
    if not os.environ.get("PROPENSITY_RATE_LIMIT"):
        return None
    from propensity.access.rate_limit import RateLimit  # noqa: PLC0415

    return RateLimit.from_environment()
