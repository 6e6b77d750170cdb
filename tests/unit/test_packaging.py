"""What lands on the path of whoever installs Impasto."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("producer", "worker", "shared")


def test_no_init_file_closes_the_namespace() -> None:
    assert [p for p in PARTS if (ROOT / p / "__init__.py").exists()] == []
    assert [p for p in PARTS if (ROOT / p / "impasto" / "__init__.py").exists()] == []
    assert all((ROOT / p / "impasto" / p / "__init__.py").exists() for p in PARTS)


def test_the_wheel_holds_the_namespace_the_scripts_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"impasto"}
    assert {name.split("/")[1] for name in names if name.startswith("impasto/")} == set(PARTS)
    for part in PARTS:
        assert f"impasto/{part}/py.typed" in names
    assert "impasto/shared/ledger/scripts/lease.lua" in names
    for kind in ("index.html", "gallery.css", "gallery.js", "sheet.js", "viewer.js", "icon.svg"):
        assert f"impasto/producer/gallery/files/{kind}" in names


def test_the_client_and_the_command_line_load_no_torch() -> None:
    code = (
        "import sys, impasto.producer, impasto.producer.cli;"
        "sys.exit(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'torchvision', 'numpy'}) or 0)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert loaded.returncode == 0, loaded.stderr
