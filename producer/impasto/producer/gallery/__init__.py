"""A batch as a page: contact sheet, compare slider, filters, failures, settings; opens without a server."""

from impasto.producer.gallery.build import Gallery, build_gallery

__all__ = ["Gallery", "build_gallery"]
