"""What of access is configured: who is asked about tokens, and how many requests a caller may make."""

from __future__ import annotations

import os

from propensity.access.authorization import Allowance, Authority
from propensity.access.tokens import FILE_VARIABLE, Tokens


def authorities() -> list[Authority]:
    """Who is asked about tokens: the tokens file, and the issuer of JWTs where one is configured.

    Raises:
        TokensError: there is neither, or the file can't be used.
        SettingError: the issuer is configured in part only, or wrongly.
    """
    issuer = None
    if any(name.startswith("PROPENSITY_JWT_") for name in os.environ):
        # Its libraries are loaded by those only who need them.
        from propensity.access.issuer import Issuer  # noqa: PLC0415

        issuer = Issuer.from_environment()
    if issuer is None:
        return [Tokens.from_environment()]
    return [Tokens.from_environment(), issuer] if os.environ.get(FILE_VARIABLE) else [issuer]


def allowance() -> Allowance | None:
    """How many requests a caller may make, where that is limited.

    Raises:
        SettingError: the limit can't be used.
    """
    if not os.environ.get("PROPENSITY_RATE_LIMIT"):
        return None
    from propensity.access.rate_limit import RateLimit  # noqa: PLC0415

    return RateLimit.from_environment()
