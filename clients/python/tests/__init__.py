"""Tests of the client: ``python3 -m unittest discover -s tests -t .`` in this folder's parent.

Those with real nodes need the programs ``rstmdb`` and ``rstmdb-cli`` in RSTMDB_BIN_DIR (``target/debug`` by default).
"""

import logging
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))
# On a busy machine it would report that steps take long.
logging.getLogger("asyncio").setLevel(logging.ERROR)
