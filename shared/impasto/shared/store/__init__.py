"""Where bytes live: S3 or a folder, behind one interface."""

from impasto.shared.store.interface import ObjectInfo, ObjectStore
from impasto.shared.store.open import open_store

__all__ = ["ObjectInfo", "ObjectStore", "open_store"]
