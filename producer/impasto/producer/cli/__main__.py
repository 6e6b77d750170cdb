import sys

from impasto.producer.cli import main

sys.exit(main())
