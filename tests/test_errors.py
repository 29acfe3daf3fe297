from __future__ import annotations

import copy
import pickle

import pytest

from reconciler.api import AlreadyOwnedError, ModelError, OwnerReference
from reconciler.errors import (
    ApiStatus,
    ConnectionFailedError,
    MalformedObjectError,
    NotFoundError,
    ReconcilerError,
    RetryError,
    SchemaError,
    StatusCause,
    TerminalError,
)

STATUS = ApiStatus(404, "NotFound", "m", (StatusCause("FieldValueInvalid", "m", "spec"),), {"name": "a"}, 1.5)
OWNER = OwnerReference(api_version="v1", kind="ConfigMap", name="a", uid="u")


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(STATUS, "get widgets default/a", hint="h"),
        ConnectionFailedError("m", "get widgets default/a"),
        MalformedObjectError("m", "get widgets default/a"),
        RetryError("m", priority=3),
        SchemaError("spec.size", "m"),
        ModelError("widgets default/a", "spec.size", "str"),
        AlreadyOwnedError("m", OWNER),
        TerminalError("m"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_be_copied_and_pickled(error: ReconcilerError) -> None:
    error.add_note("seen")
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
