from __future__ import annotations

from typing import Any

import pytest

from .api import Api, EmbeddedWire, RealWire


@pytest.fixture
def embedded() -> EmbeddedWire:
    return EmbeddedWire()


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_server)])
def api(request: pytest.FixtureRequest) -> Api:
    """The same questions, put to both servers."""
    if request.param == "embedded":
        return Api(EmbeddedWire())
    server: Any = request.getfixturevalue("real_server")
    return Api(RealWire(server))
