"""Settings of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from physics.sealed import FOLDER_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set-ups of the Maxwell solver are kept in a temporary folder, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("fdfd")))
        yield
