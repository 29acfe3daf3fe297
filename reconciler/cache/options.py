"""What part of a kind the cache holds, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from reconciler.api import EncodedObject, ResourceType, field_selector_text, label_selector_text
from reconciler.cache.selector import parse_field_selector, parse_label_selector
from reconciler.client import FieldSelection, JsonObject, LabelSelection
from reconciler.errors import ConfigurationError

__all__ = ["BytesTransform", "KindOptions", "Read", "Transform"]

Read = Callable[[bytes | msgspec.Raw], EncodedObject]
"""Takes in an object as it came; raises `msgspec.DecodeError` where it cannot."""

Transform = Callable[[JsonObject], JsonObject]
"""Returns what to keep of an object; may change and return what it was given. Name, uid and version must stay."""

BytesTransform = Callable[[bytes], bytes]
"""The same from JSON to JSON, for who can do it without decoding."""


_JSON = "application/json"
_METADATA = "application/json;as={};g=meta.k8s.io;v=v1"
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class KindOptions:
    """
    What part of a kind the cache holds, and in which form.

    Attributes:
        namespaces: One watch each; None takes the cache's own, an empty one means all.
        label_selector: The server sends only what fits: a `LabelSelector`, text as in kubectl's `-l`, or labels that
            must be equal.
        field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
        transform: Applied to each object before it is kept, after `metadata.managedFields` was dropped.
        transform_bytes: The same on JSON; applied first.
        metadata_only: The server sends nothing but `metadata`. Such a kind is read by its `ResourceType` alone: a model
            would show defaults where there are values.
        resync: How often handlers are told of every object again; None takes the cache's own, zero means never.

    Raises:
        ConfigurationError: A selector is none of these, or its text cannot be parsed.

    Mirrors: controller-runtime `cache.ByObject`.
    """

    namespaces: tuple[str, ...] | None = None
    label_selector: LabelSelection = None
    field_selector: FieldSelection = None
    transform: Transform | None = None
    transform_bytes: BytesTransform | None = None
    metadata_only: bool = False
    resync: timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse what is no selector."""
        try:
            parse_label_selector(self.labels)
            parse_field_selector(self.fields)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(str(error)) from error

    @property
    def accept_list(self) -> str:
        """The form to ask a list for."""
        return _JSON if not self.metadata_only else _METADATA.format("PartialObjectMetadataList")

    @property
    def accept_one(self) -> str:
        """The form to ask a watch for."""
        return _JSON if not self.metadata_only else _METADATA.format("PartialObjectMetadata")

    @property
    def labels(self) -> str:
        """The label selector in its wire form; empty for none."""
        return label_selector_text(self.label_selector)

    @property
    def fields(self) -> str:
        """The field selector in its wire form; empty for none."""
        return field_selector_text(self.field_selector)

    @property
    def is_whole(self) -> bool:
        """Whether all of an object is kept, but for `metadata.managedFields`."""
        return not self.metadata_only and self.transform is None and self.transform_bytes is None

    def scope_words(self) -> str:
        """Say what is selected, as words that follow a kind and its namespaces; empty where everything is."""
        said = [f"{what} {text}" for what, text in (("labels", self.labels), ("fields", self.fields)) if text]
        return f" with {' and '.join(said)}" if said else ""

    def reader(self, resource: ResourceType) -> Read:
        """Return what turns the JSON of an object of `resource` into what the cache keeps."""
        read: Read = EncodedObject.from_json
        if self.metadata_only:
            read = _metadata_reader(resource)
        if self.transform is None and self.transform_bytes is None:
            return read
        return lambda raw: self._transform(read(raw))

    def change_reader(self, resource: ResourceType) -> Read:
        """Return the same for the objects of a watch."""
        return EncodedObject.from_change if self.is_whole else self.reader(resource)

    def _transform(self, plain: EncodedObject) -> EncodedObject:
        try:
            kept = EncodedObject.from_json(self._transformed(plain), keep_managed_fields=True)
        except Exception as error:  # whatever a user's function may raise
            # The type alone: the text may quote the object.
            raise msgspec.ValidationError(f"its transform failed with {type(error).__name__}") from error
        if (kept.key, kept.uid, kept.resource_version) != (plain.key, plain.uid, plain.resource_version):
            raise msgspec.ValidationError("its transform changed name, namespace, uid or resourceVersion")
        return kept

    def _transformed(self, plain: EncodedObject) -> bytes:
        body = plain.body if self.transform_bytes is None else self.transform_bytes(plain.body)
        if self.transform is None:
            return body
        return msgspec.json.encode(self.transform(msgspec.json.decode(body)))


def namespaces_for(resource: ResourceType, wanted: Iterable[str] | None) -> tuple[str, ...] | None:
    """
    Return the namespaces without repetition, checked against the kind.

    Raises:
        ConfigurationError: The kind lives in none, or a name is empty.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        raise ConfigurationError(f"{resource}: namespaces is {wanted!r}; give a list of names")
    names = tuple(dict.fromkeys(wanted))
    if names and not resource.is_namespaced:
        raise ConfigurationError(f"{resource} live in no namespace, but namespaces are given: {', '.join(names)}")
    if "" in names:
        raise ConfigurationError(f"{resource}: a namespace has a name; leave the list empty for all of them")
    return names


def _metadata_reader(resource: ResourceType) -> Read:
    kind, version = (msgspec.Raw(msgspec.json.encode(each)) for each in (resource.kind, resource.api_version))

    def read(raw: bytes | msgspec.Raw) -> EncodedObject:
        plain = EncodedObject.from_json(raw)
        # It says PartialObjectMetadata, which is the name of the form and not of what it is.
        parts = {**_parts.decode(plain.body), "apiVersion": version, "kind": kind}
        return msgspec.structs.replace(plain, body=bytes(memoryview(msgspec.json.encode(parts))))

    return read
