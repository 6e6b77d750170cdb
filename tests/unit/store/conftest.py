from __future__ import annotations

from pathlib import Path

import pytest

from impasto.shared.store.folder import FolderStore

pytest.register_assert_rewrite("store_contract")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "a store")
