"""
Credential plugins: the program that a kubeconfig names is run, and what it prints is a token or a client certificate.

A plugin is ended with the task that runs it, so that one that hangs leaves nothing behind. Messages name its command;
its arguments, its environment and what it prints may hold secrets, and are named nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reconciler.client.codec import UNREADABLE
from reconciler.errors import ConfigurationError

__all__ = ["Credential", "ExecPlugin"]

_OUTPUT_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credential:
    """What a plugin gave: a token, a client certificate with its key (both PEM), or both, and how long it is good."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires_at: datetime | None = None


class _Variable(msgspec.Struct):
    name: str
    value: str


class _Section(msgspec.Struct, rename="camel"):
    command: str
    api_version: str
    args: list[str | int | float | bool] | None = None
    env: list[_Variable] | None = None
    interactive_mode: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: _Status


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """
    A program that gives credentials.

    Attributes:
        command: A path, or a name to be found on `PATH`.
        api_version: In which version it is to answer.
        arguments: Behind the command.
        environment: On top of this process's own.
        may_ask: Whether it may talk to the person at the terminal, where there is one.

    Mirrors: client-go `plugin/pkg/client/auth/exec`.
    Differs: is ended when its time is over; what it says on stderr is seen only where it may ask; it is not told about
    the cluster (`provideClusterInfo`).
    """

    command: str
    api_version: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    may_ask: bool = False

    @classmethod
    def from_kubeconfig(cls, section: object, folder: Path) -> ExecPlugin:
        """
        Return the plugin that the `exec` section of a user describes; a relative path begins in `folder`.

        Raises:
            ConfigurationError: Something is missing in it, or has the wrong form.
        """
        try:
            found = msgspec.convert(section, type=_Section)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"the user's exec section: {error}") from None
        return cls(
            command=str(folder / found.command) if os.sep in found.command else found.command,
            api_version=found.api_version,
            arguments=tuple(map(str, found.args or ())),
            environment={each.name: each.value for each in found.env or ()},
            may_ask=found.interactive_mode != "Never",
        )

    def __str__(self) -> str:
        return f"the exec plugin {self.command!r}"

    async def run(self) -> Credential:
        """
        Run it, and return what it gave.

        Raises:
            ConfigurationError: It is not there, failed, or printed something else.

        Cancelled: it is killed, with the processes that it started, and so are those of one that has ended and left one
        behind which may still print.
        """
        asks = self.may_ask and _has_terminal()
        process = await self._start(asks=asks)
        is_over = False
        try:
            output = await self._read(process)
            code = await process.wait()
            is_over = True
        finally:
            if not is_over:
                await _kill(process, with_children=not asks)
        if code != 0:
            how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            raise ConfigurationError(f"{self} {how}; run it by hand to see why")
        return self._credential(output)

    async def _start(self, *, asks: bool) -> Process:
        told = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": asks}}
        try:
            return await asyncio.create_subprocess_exec(
                self.command,
                *self.arguments,
                env={**os.environ, **self.environment, "KUBERNETES_EXEC_INFO": json.dumps(told)},
                stdin=None if asks else DEVNULL,
                stdout=PIPE,
                stderr=None if asks else DEVNULL,
                # A group of its own, to be killed as one; whoever asks at the terminal must stay in ours.
                start_new_session=not asks,
            )
        except FileNotFoundError:
            raise ConfigurationError(f"{self} is not there; install it, or put its folder on PATH") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise ConfigurationError(f"{self} cannot be run: {why}") from None

    async def _read(self, process: Process) -> bytes:
        assert process.stdout is not None
        output = bytearray()
        while chunk := await process.stdout.read(_OUTPUT_BYTES_MAX):
            output += chunk
            if len(output) > _OUTPUT_BYTES_MAX:
                raise ConfigurationError(f"{self} printed more than {_OUTPUT_BYTES_MAX} bytes")
        return bytes(output)

    def _credential(self, output: bytes) -> Credential:
        try:
            answer = msgspec.json.decode(output, type=_ExecCredential)
        except UNREADABLE as error:
            raise ConfigurationError(f"{self} printed no ExecCredential: {error}") from None
        if (answer.kind, answer.api_version) != ("ExecCredential", self.api_version):
            raise ConfigurationError(f"{self} printed no ExecCredential of {self.api_version}")
        status = answer.status
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise ConfigurationError(f"{self} gave a client certificate without its key, or the reverse")
        if not (status.token or status.client_certificate_data):
            raise ConfigurationError(f"{self} gave neither a token nor a client certificate")
        expires_at = status.expiration_timestamp
        if expires_at is not None and expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=UTC)
        return Credential(status.token, status.client_certificate_data, status.client_key_data, expires_at)


def _has_terminal() -> bool:
    # A daemon may have closed it, or replaced it.
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


async def _kill(process: Process, *, with_children: bool) -> None:
    # It may have ended by itself; while a child is there, its group is.
    with suppress(ProcessLookupError):
        if with_children:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    await process.wait()
