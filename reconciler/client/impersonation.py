"""
Acting as somebody else: who a request is to be taken for, as headers.

The server lets it through only where the credentials' own user may impersonate (`impersonate` in RBAC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from reconciler.errors import ConfigurationError

__all__ = ["Impersonation", "impersonation_in"]

# What Go leaves as it is in a header's name; `%` is written as `%25`.
_HEADER_SAFE = "!#$&'*+^`|"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """
    Who the requests are to be taken for, instead of the credentials' own user.

    Attributes:
        user: Such as `jane` or `system:serviceaccount:default:builder`.
        groups: Its groups; the server adds `system:authenticated`, and those of a service account where none is given.
        uid: Its UID; empty for none.
        extra: What an authenticator would have added, each key with its values.

    Raises:
        ConfigurationError: There is no user, or a value cannot stand in a header (a line end, characters beyond ASCII).

    Mirrors: client-go `rest.ImpersonationConfig`.
    Differs: a value that no header can hold is refused before the first request.
    """

    user: str
    groups: Sequence[str] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def __post_init__(self) -> None:
        """Refuse what cannot be sent: a request without the header would run with the rights of the credentials."""
        if not self.user:
            raise ConfigurationError("groups, uid or extra are to be impersonated without a user; name one")
        if isinstance(self.groups, str) or any(isinstance(values, str) for values in self.extra.values()):
            raise ConfigurationError("the groups and the values of extra to be impersonated are lists, not one text")
        for name, value in self.headers:
            if not value.isascii() or not value.isprintable() or value != value.strip():
                raise ConfigurationError(f"the value for {name} cannot stand in a header: printable ASCII is needed")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of each request; a name may come several times."""
        headers = [("Impersonate-User", self.user)]
        if self.uid:
            headers.append(("Impersonate-Uid", self.uid))
        headers += [("Impersonate-Group", group) for group in self.groups]
        for key, values in self.extra.items():
            # Header names know no case, and the server takes keys in lower case.
            name = "Impersonate-Extra-" + quote(key.lower(), safe=_HEADER_SAFE)
            headers += [(name, value) for value in values]
        return tuple(headers)


def impersonation_in(user: Mapping[str, object]) -> Impersonation | None:
    """
    Return whom the `user` section of a kubeconfig impersonates; None for nobody.

    Raises:
        ConfigurationError: `as-groups`, `as-uid` or `as-user-extra` stand there without `as`, or have another form.

    Mirrors: client-go `clientcmd` `validateAuthInfo` and `getUserIdentificationPartialConfig`.
    """
    try:
        found = msgspec.convert(user, type=_Section)
    except msgspec.ValidationError as error:
        # It names the place and the types.
        raise ConfigurationError(f"the user's as, as-groups, as-uid or as-user-extra: {error}") from None
    if not (found.user or found.groups or found.uid or found.extra):
        return None
    extra = {key: tuple(values or ()) for key, values in (found.extra or {}).items()}
    return Impersonation(found.user or "", tuple(found.groups or ()), found.uid or "", extra)


class _Section(msgspec.Struct):
    user: str | None = msgspec.field(default=None, name="as")
    groups: list[str] | None = msgspec.field(default=None, name="as-groups")
    uid: str | None = msgspec.field(default=None, name="as-uid")
    extra: dict[str, list[str] | None] | None = msgspec.field(default=None, name="as-user-extra")
